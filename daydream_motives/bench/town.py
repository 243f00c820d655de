"""The people that the engine is measured with: the harbour town's, as many as are wanted.

Knows no model: what a context costs in tokens is counted by a function that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from daydream_motives.characters.person import Person
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import SettingsError
from daydream_motives.motives.budget import CountTokens
from daydream_motives.settings import shipped
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

_MOST_DAYS = 50


def harbour_town() -> World:
    """The example world that ships with the package."""
    return World.load(shipped("sim_examples") / "harbour_town")


def crowd(world: World, count: int) -> World:
    """The same town with `count` people: its own, and as often as needed again under new ids, each
    time with the same ties among themselves."""
    ids = sorted(world.sheets)
    rounds = -(-count // len(ids))
    names = [{id: id if n == 0 else f"{id}-{n + 1}" for id in ids} for n in range(rounds)]
    sheets, graph = {}, world.relationships.copy()
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
