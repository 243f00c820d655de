"""How the cost of a context grows with the world, and what a big world takes.

Worlds are generated: people with ten relationships and a hundred memories each, twenty to a place,
lore for every tenth. The same contexts are composed in a small world and in one ten times as big,
in turns, so that whatever else the machine does hits both alike.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from daydream_motives.characters.character import Character
from daydream_motives.characters.memory import Lived
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import CharacterSheet, RoutineEntry
from daydream_motives.engine.compose import compose
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.journal import Journal
from daydream_motives.motives.budget import CountTokens, rough_count
from daydream_motives.motives.context import DEFAULT_BUDGET
from daydream_motives.motives.situation import Situation
from daydream_motives.simulation.checkpoint import read_checkpoint, snapshot, write_packed
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.scene import Scene
from daydream_motives.simulation.schema import ClockSettings, LoreNote, Place
from daydream_motives.simulation.world import World

TIES, MEMORIES, A_PLACE = 10, 100, 20
_FIRST = "Ada Bo Cleo Dag Eva Finn Gro Hal Ivo Jun Kai Lea Mio Nea Ole Pia Rui Sol Tov Una".split()
_LAST = "Ash Birk Cole Dahl Eide Foss Gran Holm Ivey Juul Kerr Lund Moss Nord Orr Pryce".split()
_WORK = "baker smith ferryman healer weaver carter scribe miller mason fisher".split()
_KINDS = "friend colleague neighbour rival sibling mentor customer ally cousin employer".split()
_DID = "helped argued with|lent money to|sang with|told a secret to|turned away".split("|")
_THINGS = "net bell lamp ladder boat kettle ledger fiddle axe wheel".split()


@dataclass(frozen=True, slots=True)
class Scale:
    """What one world takes; times in milliseconds, sizes in bytes."""

    characters: int
    relationships: int
    memories: int
    lore: int
    context_ms: float
    context_p95_ms: float
    situation_ms: float
    checkpoint_s: float
    checkpoint_bytes: int
    load_checkpoint_s: float


def generate(characters: int, rng: random.Random) -> World:
    """A world of so many people who know each other, with places and lore."""
    ids = [f"p{n}" for n in range(characters)]
    places = {}
    count = max(2, characters // A_PLACE)
    for n in range(count):
        near = {f"h{m}": 5 for m in (n - 1, n + 1) if 0 <= m < count}
        places[f"h{n}"] = Place(
            name=f"House {n}", connects=near, restores={"rest": 0.1}, things=(rng.choice(_THINGS),)
        )
    routine = (
        RoutineEntry(at="07:00", activity="working"),
        RoutineEntry(at="22:00", activity="sleep"),
    )
    sheets = {
        id: CharacterSheet(
            name=f"{rng.choice(_FIRST)} {rng.choice(_LAST)} {n}", age=rng.randint(18, 80),
            occupation=rng.choice(_WORK), home=f"h{n % count}", routine=routine,
            description=f"Has mended every {rng.choice(_THINGS)} in the street.",
            wants=(f"to own a {rng.choice(_THINGS)}", f"to outdo every {rng.choice(_WORK)}"),
        )
        for n, id in enumerate(ids)
    }  # fmt: skip
    graph = RelationshipGraph()
    for id, sheet in sheets.items():
        graph.add_person(Person.of(id, sheet))
    for n, id in enumerate(ids):
        # Half of them live here, half anywhere.
        here = [f"p{m}" for m in range(n % count, characters, count) if m != n]
        friends = rng.sample(here, min(TIES // 2, len(here)))
        for other in dict.fromkeys((*friends, *rng.sample(ids, min(TIES, characters)))):
            if other != id and len(list(graph.of(id))) < TIES:
                graph.set(id, other, Relationship(
                    kinds=(rng.choice(_KINDS),), trust=rng.uniform(-1, 1),
                    affection=rng.uniform(-1, 1), story=f"They share a {rng.choice(_THINGS)}.",
                ))  # fmt: skip
    lore = tuple(
        LoreNote(id=f"l{n}", text=f"The {thing} of House {n} was found in the sea.",
                 keys=(f"House {n}", thing))
        for n in range(characters // 10)
        for thing in [rng.choice(_THINGS)]
    )  # fmt: skip
    return World("Generated", "", ClockSettings(), places, sheets, graph, lore, ())


def remember(simulation: Simulation, rng: random.Random, each: int = MEMORIES) -> int:
    """Give everyone so many memories of those they know; returns how many that are in all."""
    start, total = simulation.clock.now, 0
    for id, actor in simulation.actors.items():
        known = [other for other, _ in simulation.relationships.of(id)]
        for n in range(each):
            other = rng.choice(known)
            name = simulation.actors[other].character.sheet.name
            text = (
                f"{actor.character.sheet.short_name} {rng.choice(_DID)} {name} over the "
                f"{rng.choice(_THINGS)} of House {rng.randrange(10_000)}."
            )
            at = start - timedelta(hours=rng.uniform(0, 24 * 14))
            actor.character.memory.add(
                Lived(text, at, rng.random(), place=f"h{n % 7}", who=(other,))
            )
        total += len(actor.character.memory)
    return total


class Town:
    """A generated world with its engine, measured context by context."""

    def __init__(self, characters: int, seed: int, count: CountTokens) -> None:
        rng = random.Random(f"scale:{seed}")
        self.count = count
        self.engine = MotiveEngine("scripted", seed=seed, namespace="scale")
        self.simulation = Simulation(generate(characters, rng), self.engine, seed=seed)
        self.memories = remember(self.simulation, rng)
        for actor in self.simulation.actors.values():
            actor.asleep = False
        began = time.perf_counter()
        self.scene = Scene(self.simulation.world, self.simulation.actors)
        self.look_s = time.perf_counter() - began
        self.people = rng.sample(sorted(self.simulation.actors), min(1000, characters))
        self.composing: list[float] = []
        self.seeing: list[float] = []

    def context(self, index: int) -> None:
        """Compose one context and keep how long it took, with and without the situation."""
        actor = self.simulation.actors[self.people[index % len(self.people)]]
        began = time.perf_counter()
        situation = self.scene.situation(actor, self.simulation.clock.now, ())
        seen = time.perf_counter()
        _compose(actor.character, situation, self.count, self.engine)
        self.seeing.append(seen - began)
        self.composing.append(time.perf_counter() - seen)

    def figures(self) -> Scale:
        """What was measured, and what a checkpoint takes."""
        simulation = self.simulation
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "checkpoint.json.gz"
            began = time.perf_counter()
            write_packed(file, snapshot(simulation, {"decisions": 0, "events": 0}))
            wrote = time.perf_counter()
            read_checkpoint(file)
            read, size = time.perf_counter(), file.stat().st_size
        ordered = sorted(self.composing)
        return Scale(
            characters=len(simulation.actors), relationships=len(simulation.relationships),
            memories=self.memories, lore=len(simulation.world.lore),
            context_ms=median(ordered) * 1000,
            context_p95_ms=ordered[int(0.95 * (len(ordered) - 1))] * 1000,
            situation_ms=median(self.seeing) * 1000,
            checkpoint_s=wrote - began, checkpoint_bytes=size, load_checkpoint_s=read - wrote,
        )  # fmt: skip


def _compose(
    character: Character, situation: Situation, count: CountTokens, engine: MotiveEngine
) -> None:
    compose(character, situation, count_tokens=count, budget=DEFAULT_BUDGET, lore=engine.lore)


def journal_rates(decisions: int, seed: int) -> dict[str, float]:
    """Decisions written a second to a journal, each kept at once; the same as bare JSON Lines, and
    their ratio (the price of a record that survives the process at any moment)."""
    rng = random.Random(f"journal:{seed}")
    with (
        tempfile.TemporaryDirectory() as folder,
        MotiveEngine("scripted", seed=seed, namespace="journal") as engine,
    ):
        simulation = Simulation(generate(100, rng), engine)
        character = simulation.character("p0")
        situation = simulation.situation_of("p0")
        made = [engine.decide(character, situation) for _ in range(min(200, decisions))]
        with Journal(Path(folder) / "journal.sqlite") as journal:
            began = time.perf_counter()
            for n in range(decisions):
                decision = made[n % len(made)]
                decision.id = f"{n}"
                decision.chosen = 1
                journal.decided(decision, situation)
                journal.chosen(decision)
                journal.resolved(decision)
            kept = decisions / (time.perf_counter() - began)
        with (Path(folder) / "plain.jsonl").open("w", encoding="utf-8") as plain:
            began = time.perf_counter()
            for n in range(decisions):
                plain.write(_line(made[n % len(made)], situation))
            bare = decisions / (time.perf_counter() - began)
    return {"decisions_per_s": kept, "jsonl_per_s": bare, "ratio": kept / bare}


def _line(decision: Any, situation: Situation) -> str:
    data = {
        **decision.ranked.as_data(), "context": decision.context.fields,
        "situation": situation.model_dump(mode="json", exclude_defaults=True),
        "receipt": [asdict(entry) for entry in decision.provenance.receipt],
    }  # fmt: skip
    return json.dumps(data, ensure_ascii=False) + "\n"


def measure(
    sizes: tuple[int, int] = (1_000, 10_000),
    *,
    contexts: int = 1_000,
    seed: int = 0,
    count: CountTokens = rough_count,
) -> Iterator[tuple[str, Any]]:
    """Figures as they come, by name: `small` and `big` (Scale), `growth` (the ratio of the times
    per context), `journal`, and `peak_bytes` of this process."""
    towns = [Town(size, seed, count) for size in sizes]
    gc.collect()
    for index in range(contexts):
        for town in towns:
            town.context(index)
    small, big = (town.figures() for town in towns)
    yield "small", small
    yield "big", big
    yield "growth", big.context_ms / small.context_ms
    yield "peak_bytes", peak_bytes()
    for town in towns:
        town.engine.close()
    yield "journal", journal_rates(2_000, seed)


def peak_bytes() -> int | None:
    """The most memory this process ever held, where the system says it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
