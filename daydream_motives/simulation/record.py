"""What a run's record gives back: its scenario, its answers, its state at a checkpoint.

Knows nothing of terminals, and writes nothing.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import RankedPurposes
from daydream_motives.records import as_decision
from daydream_motives.simulation.checkpoint import file_of, restore
from daydream_motives.simulation.folder import ENSEMBLE, RunFolder, fits
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

log = logging.getLogger("daydream_motives")
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that, with a world and a model, decides a run.

    `max_decisions` are spread over the first `spread` ticks, or all; longer runs keep their pace.
    """

    ticks: int
    seed: int = 0
    max_decisions: int | None = None
    budget: int | None = None
    spread: int | None = None

    @classmethod
    def of(cls, held: RunFolder) -> Scenario:
        """The scenario of a run on disk; raises RunError for one of another version."""
        given = held.manifest["scenario"]
        known = {field.name for field in fields(cls)}
        newer = held.manifest.get("schema_version") != MANIFEST_VERSION
        if (
            newer
            or not isinstance(given, dict)
            or not given.keys() <= known
            or "ticks" not in given
        ):
            raise RunError(
                f"{held.path} was written by another version of daydream-motives",
                remedy="upgrade daydream-motives, or use the version in the run's manifest",
            )
        return cls(**given)


class Recorded:
    """Answers that a journal holds already; what was told must be what is told now.

    With `only`, a decision that is not recorded is an error, which names the run.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], *, only: str = "") -> None:
        self.left = {record["id"]: record for record in records}
        self.only = only

    def __call__(self, id: str, context: MotiveContext) -> RankedPurposes | None:
        record = self.left.pop(id, None)
        if record is None and self.only:
            raise RunError(
                f"{self.only} did not come that far", remedy="branch from an earlier tick"
            )
        if record is None:
            return None
        for field, told in context.fields.items():
            if told != record["context"][field]:
                raise RunError(
                    f"the record differs from what happens now, at {record['world_time']} for "
                    f"{record['character']}, in {field}: recorded {record['context'][field]!r}; "
                    f"now {told!r}",
                    remedy="resume with the version of daydream-motives that wrote the run, or "
                    "start anew from a checkpoint with --branch RUN@TICK",
                )
        ranked = as_decision(record).ranked  # without its receipt, which is the same as now
        return replace(ranked, provenance=replace(ranked.provenance, receipt=context.receipt))


@dataclass(frozen=True, slots=True)
class Point:
    """A simulation as it was at a checkpoint, and the record of what followed."""

    simulation: Simulation
    position: dict[str, int]
    records: list[dict[str, Any]]


def last_point(
    held: RunFolder, engine: MotiveEngine, scenario: Scenario, journal: Journal, until: int | None
) -> Point:
    """The last whole checkpoint before `until` that the journal reaches; else the very start."""
    reached = journal.position()
    for data in held.whole(until):
        position = data["journal"]
        if fits(position, reached):
            break
        log.warning("%s: the journal is shorter than a checkpoint; an earlier is used", held.path)
    else:
        if "branched_from" in held.manifest:
            raise RunError(
                f"{held.path} has no whole checkpoint left",
                remedy="branch it anew",
            )
        data, position = None, dict.fromkeys(reached, 0)
    tick = data["tick"] if data else 0
    namespace = held.manifest["namespace"]
    world = held.world_of(data) if data else held.world(-1)
    simulation = simulation_of(world, engine, scenario, journal, namespace)
    records = list(journal.records(after=position["decisions"]))
    if data:
        restore(simulation, data, lambda id: engine.reopen(as_decision(journal.record(id))),
                source=str(file_of(held.checkpoints, tick)))  # fmt: skip
    return Point(simulation, position, records)


def standing(
    path: str | Path, engine: MotiveEngine, *, seed: int = 0, tick: int | None = None
) -> Simulation:
    """A world at its start, or a run at its last checkpoint up to `tick`, to be looked at.

    A run is looked at with its own seed, unless another than 0 is given. Raises WorldError, or
    RunError where there is no such checkpoint.
    """
    if not any((Path(path) / name).exists() for name in ("journal.sqlite", ENSEMBLE)):
        if tick is not None:
            raise RunError(f"{path} is no run", remedy="--at is for the folder of a run")
        return Simulation(World.load(path), engine, seed=seed)
    held = RunFolder(path)
    data = next(held.whole(tick), None)
    if data is None:
        raise RunError(
            f"{path} has no whole checkpoint" + ("" if tick is None else f" up to tick {tick}"),
            remedy=f"those there are: {', '.join(map(str, held.ticks())) or 'none'}",
        )
    if tick is not None and data["tick"] != tick:
        log.warning("%s: no checkpoint at tick %d; this is tick %d", path, tick, data["tick"])
    scenario = Scenario.of(held)
    engine.seed, engine.budget = seed or scenario.seed, scenario.budget or engine.budget
    simulation = Simulation(held.world_of(data), engine, seed=engine.seed)
    with held.journal() as journal:
        restore(simulation, data, lambda id: as_decision(journal.record(id)))
    return simulation


def edits_left(held: RunFolder, simulation: Simulation) -> list[int]:
    """Ticks of edits that this simulation has not seen yet."""
    now = simulation.clock.tick
    seen = now in held.edits() and held.world(now).hash == simulation.world.hash
    return [edit for edit in held.edits() if edit >= now + seen]


def simulation_of(
    world: World, engine: MotiveEngine, scenario: Scenario, journal: Journal, namespace: str
) -> Simulation:
    engine.begin(
        seed=scenario.seed, namespace=namespace, recorder=journal,
        budget=scenario.budget or engine.budget,
    )  # fmt: skip
    return Simulation(
        world, engine, seed=scenario.seed, journal=journal, ticks=scenario.ticks,
        max_decisions=scenario.max_decisions, spread=scenario.spread,
    )  # fmt: skip


def same_model(held: RunFolder, engine: MotiveEngine, *, at: int | None = None) -> None:
    """What was decided with one model goes on with it alone, or the run would be of two minds."""
    backend, was = engine.backend, held.manifest["model"]
    now = backend.model_hash if backend else None
    adapter = backend.adapter_hash if backend else None
    if (now, adapter) != (was["hash"], was["adapter_hash"]):
        here = f"{backend.model} ({now})" if backend else "no model"
        name = f"{was['name']} ({was['hash']})" if was["hash"] else "no model, so instinct"
        remedy = f"--branch {held.path}@TICK goes on with another model"
        if at is not None:
            remedy = f"branch at {at}, where a checkpoint is, or with the same model"
        raise RunError(f"{held.path} was made with {name}; here is {here}", remedy=remedy)


def manifest_of(world: World, engine: MotiveEngine, scenario: Scenario) -> dict[str, Any]:
    """All that decides a run."""
    backend = engine.backend
    return {
        "schema_version": MANIFEST_VERSION,
        "world": {"name": world.name, "hash": world.hash},
        "model": {
            "name": backend.model if backend else None,
            "hash": backend.model_hash if backend else None,
            "adapter_hash": backend.adapter_hash if backend else None,
        },
        "scenario": asdict(scenario),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What a repetition of the run would need."""
    found = {"python": platform.python_version()}
    for package in ("daydream-motives", "llama-cpp-python", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
