"""An edited world taken up by a running one. Knows nothing of files.

What the writer changed counts, and what was lived stays: a relationship whose written form changed
is set to what was written, all others keep what life made of them. New people and places come in;
people may go, places and the clock may not.
"""

from __future__ import annotations

from collections.abc import Sequence

from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.errors import Problem, WorldError
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World, lore_of, timetable


def adopt(simulation: Simulation, world: World) -> list[str]:
    """Let the simulation go on in `world`; returns what changed, a line each.

    Raises WorldError, and changes nothing, where the clock or a place that is still there was taken
    away or would have to change.
    """
    old = simulation.world
    if world.hash == old.hash:
        return []
    problems = []
    if world.clock != old.clock:
        found, expected = "another start or tick", "the clock as it was when the run began"
        problems.append(Problem("world", "clock", found, expected))
    for id in sorted(old.places.keys() - world.places.keys()):
        problems.append(Problem("places", id, "no longer there", "every place, while a run lasts"))
    if problems:
        raise WorldError(problems, remedy="begin a new run for such a change")
    graph, ties = _graph(simulation, world)
    changes = _changes(old, world) + ties
    _take_up(simulation, world, graph)
    return changes or ["the writer changed the world's description"]


def note(simulation: Simulation, changes: Sequence[str]) -> None:
    """Keep in the journal what the writer changed."""
    for change in changes:
        simulation.note(change, "edited", place=None, who=())


def _take_up(simulation: Simulation, world: World, graph: RelationshipGraph) -> None:
    simulation.world = world
    simulation.engine.lore = lore_of(world)
    actors = simulation.actors
    for id in [id for id in actors if id not in world.sheets]:
        simulation.interrupt(actors.pop(id), "left the story")
    for id, sheet in world.sheets.items():
        if id in actors:
            actors[id].character.change_sheet(sheet)
        else:
            simulation.enter(id)
            # Whoever comes back is asked nothing that was asked before.
            actors[id].character.decisions = simulation.decided
    simulation.actors = dict(sorted(actors.items()))  # in the order of a fresh start
    simulation.plan_again()
    simulation.take_over(graph)
    for actor in simulation.actors.values():
        if actor.action and actor.action.person and actor.action.person not in world.sheets:
            simulation.interrupt(actor, "whoever was looked for has left the story")
    left, now = {event.id for event in simulation.due}, simulation.clock.now
    simulation.due = [
        event
        for event in timetable(world)
        if event.id in left or (event.at is not None and event.at >= now)
    ]


def _graph(simulation: Simulation, world: World) -> tuple[RelationshipGraph, list[str]]:
    """Everyone's relationships as they will be, and what the writer changed in them."""
    old, lived = simulation.world.relationships, simulation.relationships
    graph = RelationshipGraph(world.relationships.extra_kinds)
    for person in world.relationships.people():
        graph.add_person(person)
    written: dict[tuple[str, str], Relationship] = {
        (a, b): rel for a, b, rel in world.relationships.edges()
    }
    before = {(a, b): rel for a, b, rel in old.edges()}
    changed = {pair for pair, rel in written.items() if before.get(pair) != rel}
    gone = before.keys() - written.keys()
    for a, b, rel in lived.edges():
        if a in graph and b in graph and (a, b) not in changed and (a, b) not in gone:
            graph.set(a, b, rel)
    for a, b in sorted(changed):
        graph.set(a, b, written[a, b])
    told = [f"the writer changed how {a} sees {b}" for a, b in sorted(changed)]
    return graph, told + [f"the writer took away how {a} sees {b}" for a, b in sorted(gone)]


def _changes(old: World, new: World) -> list[str]:
    """What differs, section by section."""
    found = []
    for noun, before, after in (
        ("character", old.sheets, new.sheets),
        ("place", old.places, new.places),
        ("lore", {n.id: n for n in old.lore}, {n.id: n for n in new.lore}),
        ("event", {e.id: e for e in old.events}, {e.id: e for e in new.events}),
    ):
        for id in sorted(before.keys() | after.keys()):
            was, now = before.get(id), after.get(id)
            if was != now:
                verb = "added" if was is None else "took away" if now is None else "changed"
                found.append(f"the writer {verb} the {noun} {id}")
    return found
