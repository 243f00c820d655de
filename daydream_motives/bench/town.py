"""The people that the engine is measured with: the harbour town's, as many as are wanted.

Knows no model: what a context costs in tokens is counted by a function that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from daydream_motives.characters.character import Character
from daydream_motives.characters.person import Person
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import SettingsError
from daydream_motives.motives.budget import CountTokens
from daydream_motives.motives.situation import Situation
from daydream_motives.settings import shipped
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

_MOST_DAYS = 50
_HOUR = 10


def harbour_town() -> World:
    """The example world that ships with the package."""
    return World.load(shipped("sim_examples") / "harbour_town")


def crowd(world: World, count: int) -> World:
    """The same town with `count` people: its own, and as often as needed again under new ids, each
    time with the same ties among themselves."""
    ids = sorted(world.sheets)
    rounds = -(-count // len(ids))
    names = [{id: id if n == 0 else f"{id}-{n + 1}" for id in ids} for n in range(rounds)]
    sheets: dict[str, CharacterSheet] = {}
    graph = world.relationships.copy()
    for name in names:
        for id in ids:
            if len(sheets) < count:
                sheets[name[id]] = world.sheets[id]
    for id, sheet in sheets.items():
        if id not in graph:
            graph.add_person(Person.of(id, sheet))
    for name in names[1:]:
        for a, b, tie in world.relationships.edges():
            if name[a] in sheets and name[b] in sheets:
                graph.set(name[a], name[b], tie)
    return replace(world, sheets=sheets, relationships=graph)


class _Listener(ScriptedBackend):
    """Takes down what it is asked, and answers by rule so that the town lives on."""

    def __init__(self, count: CountTokens) -> None:
        super().__init__(BackendSpec("scripted"))
        self.count, self.requests = count, list[Request]()

    def count_tokens(self, text: str) -> int:
        return self.count(text)

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.requests.extend(requests)
        return super().decide_many(requests, cancelled)


def decisions(count: int, tokens: CountTokens, *, seed: int = 1) -> list[Request]:
    """The first `count` decisions of the harbour town, some 64 of them a day."""
    listener, world = _Listener(tokens), harbour_town()
    with MotiveEngine(listener, seed=seed, namespace="bench") as engine:
        ticks = min(_MOST_DAYS, -(-count // 64)) * 1440 // world.clock.minutes_per_tick
        simulation = Simulation(world, engine, seed=seed, ticks=ticks, max_decisions=count)
        for _ in simulation.run(ticks):
            pass
    if len(listener.requests) < count:
        raise SettingsError(
            f"the town took only {len(listener.requests)} decisions",
            remedy="measure with fewer decisions",
        )
    return listener.requests[:count]


_NEWS = (
    "{who} says that the boat will not be ready in time",
    "{who} asks for a hand with the ropes",
    "{who} has heard something about the vote",
    "{who} walks past without a word",
    "{who} laughs at something by the water",
    "{who} wants to know who was at the ice house",
    "{who} puts a basket down and waits",
    "{who} has bad news about the nets",
)


class Cast:
    """People of the town at ten in the morning, each with ever new things happening to it."""

    def __init__(self, engine: MotiveEngine, count: int, *, seed: int = 0) -> None:
        world = crowd(harbour_town(), count)
        simulation = Simulation(world, engine, seed=seed)
        clock = simulation.clock
        clock.tick = next(t for t in range(clock.ticks_per_day) if clock.at(t).hour == _HOUR)
        for actor in simulation.actors.values():
            actor.asleep = False
            entry = actor.character.sheet.routine_at(clock.now)
            if entry:
                actor.character.place = entry.place or actor.character.place
                actor.character.activity = entry.activity
        self.people: list[Character] = [a.character for a in simulation.actors.values()]
        self._faced = [simulation.situation_of(person.id) for person in self.people]
        self.rng = random.Random(f"cast:{seed}")
        self._told = [0] * len(self.people)

    def situation(self, index: int) -> Situation:
        """What the person of this index faces now: never twice the same."""
        faced, self._told[index] = self._faced[index], self._told[index] + 1
        others = [entity.name for entity in faced.present] or ["A gull"]
        news = self.rng.choice(_NEWS).format(who=self.rng.choice(others))
        time = faced.time and faced.time + timedelta(minutes=3 * self._told[index])
        return faced.model_copy(update={"happened": (news,), "time": time})
