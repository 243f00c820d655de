"""A run in its folder: begun, gone on with after any end, branched. Knows nothing of terminals.

Between two checkpoints the journal is the record: a resumed run takes the last whole checkpoint,
lives the ticks after it again with the answers that the journal holds, and asks the model only
from where the record ends.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from daydream_motives.characters.files import write_atomic
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.records import as_decision
from daydream_motives.simulation.checkpoint import file_of, snapshot, ticks_in, write_packed
from daydream_motives.simulation.edit import adopt, note
from daydream_motives.simulation.folder import RunFolder, last_tick, locked
from daydream_motives.simulation.record import (
    Recorded,
    Scenario,
    edits_left,
    last_point,
    manifest_of,
    same_model,
    simulation_of,
)
from daydream_motives.simulation.runner import Happening, Simulation
from daydream_motives.simulation.summary import Summary, summarise
from daydream_motives.simulation.world import World

CHECKPOINT_MINUTES = 60
_RECENT = 3  # checkpoints kept besides the first and one a day
_KEPT = ("schema_version", "world", "model", "scenario", "versions", "branched_from")


class Run:
    """A run under way; `start`, `resume` and `branch` make one.

    `before_tick` is called between ticks: there the world may be edited. Use `steps` to its end, or
    call `close`.
    """

    def __init__(
        self,
        folder: Path,
        lock: FileLock,
        journal: Journal,
        simulation: Simulation,
        scenario: Scenario,
        *,
        edits: Sequence[int] = (),
        silent_until: int = -1,
    ) -> None:
        self.folder, self.journal = folder, journal
        self.simulation, self.scenario = simulation, scenario
        self.before_tick: Callable[[Run], None] | None = None
        self._edits = set(edits)  # of the record, to be made again
        self._edited = set(ticks_in(folder / "worlds"))  # one file a tick, so one edit
        self._silent_until = silent_until  # what was told before the end is not told again
        self._lock = lock
        self._summary: Summary | None = None
        described = journal.manifest()
        self.manifest: dict[str, Any] = {key: described[key] for key in _KEPT if key in described}
        self._every = simulation.clock.ticks(described["checkpoint_minutes"])

    def steps(self) -> Iterator[list[Happening]]:
        """What happened in each tick, until the scenario's end; then the manifest is written."""
        simulation = self.simulation
        try:
            while (tick := simulation.clock.tick) < self.scenario.ticks:
                if tick in self._edits:
                    note(simulation, adopt(simulation, RunFolder(self.folder).world(tick)))
                if self.before_tick and tick > self._silent_until and tick not in self._edited:
                    self.before_tick(self)
                told = simulation.step()
                if simulation.clock.tick % self._every == 0:
                    self.checkpoint()
                if tick >= self._silent_until:
                    yield told
            self._finish()
        finally:
            self.close()

    def edit(self, world: World) -> list[str]:
        """Go on in the edited world; returns what changed. Raises WorldError where that cannot be,
        and nothing changes then."""
        tick, world = self.simulation.clock.tick, World.from_data(world.to_data())
        if tick <= self._silent_until:
            raise RunError(
                f"tick {tick} is in the record already", remedy="edit in before_tick, or later"
            )
        if tick in self._edited and world.hash != self.simulation.world.hash:
            raise RunError(f"the world was edited at tick {tick} already", remedy="let a tick pass")
        if changes := adopt(self.simulation, world):
            self._edited.add(tick)
            write_packed(file_of(self.folder / "worlds", tick), world.to_data())
            note(self.simulation, changes)
        return changes

    def checkpoint(self) -> None:
        """Write the state as it is between two ticks; old checkpoints are thinned out."""
        folder, tick = self.folder / "checkpoints", self.simulation.clock.tick
        self.journal.settle()  # what the checkpoint counts on survives what it survives
        write_packed(file_of(folder, tick), snapshot(self.simulation, self.journal.position()))
        a_day = self.simulation.clock.ticks_per_day
        for old in ticks_in(folder)[1:-_RECENT]:
            if old % a_day:
                with suppress(OSError):  # where it is being read, the next time will do
                    file_of(folder, old).unlink(missing_ok=True)

    def _finish(self) -> None:
        self.checkpoint()
        self._summary = summarise(map(as_decision, self.journal.records()))
        self.manifest["summary"] = self._summary.as_data()
        self.manifest["finished"] = _now()
        self.journal.describe({"finished": self.manifest["finished"]})
        text = json.dumps(self.manifest, ensure_ascii=False, indent=2) + "\n"
        try:
            write_atomic(self.folder / "manifest.json", text)
        except OSError as exc:
            raise RunError(f"cannot write {self.folder}: {exc}", remedy="free space") from exc

    def close(self) -> None:
        """Let go of the folder; harmless when repeated."""
        self.simulation.engine.end(self.journal)
        self.journal.close()
        self._lock.release()

    def summary(self) -> Summary:
        """Figures of the decisions so far, also when the run is closed."""
        if self._summary:
            return self._summary
        with RunFolder(self.folder).journal() as journal:
            return summarise(map(as_decision, journal.records()))


def start(
    world: World,
    engine: MotiveEngine,
    scenario: Scenario,
    folder: str | Path,
    *,
    source: str | None = None,
    model: str | None = None,
    checkpoint_minutes: int = CHECKPOINT_MINUTES,
) -> Run:
    """Begin a run in a new folder; `source` and `model` say what the user named.

    Raises RunError where the folder already holds a run, or cannot be written.
    """
    path = Path(folder)
    lock = _claimed(path)
    scenario = replace(scenario, budget=scenario.budget or engine.budget)
    world = World.from_data(world.to_data())  # as it is read again, wherever it was made
    manifest = manifest_of(world, engine, scenario)
    write_packed(path / "world.json.gz", world.to_data())
    with _given_up(lock, Journal(path / "journal.sqlite"), engine) as journal:
        namespace = json.dumps(manifest, sort_keys=True)
        journal.describe(
            {**manifest, "namespace": namespace, "source": source, "model_given": model,
             "started": _now(), "checkpoint_minutes": checkpoint_minutes}
        )  # fmt: skip
        simulation = simulation_of(world, engine, scenario, journal, namespace)
        run = Run(path, lock, journal, simulation, scenario)
        run.checkpoint()
        return run


def resume(folder: str | Path, engine: MotiveEngine, *, ticks: int | None = None) -> Run:
    """Go on with a run whose process ended, at any moment, as if nothing had happened.

    A complete run goes on to `ticks` in all. Raises RunError for another model, a record that does
    not fit, or a folder in use.
    """
    path = RunFolder(folder).path
    lock = locked(path / "run.lock", path)
    with _given_up(lock, Journal(path / "journal.sqlite"), engine) as journal:
        held = RunFolder(path)  # as it is now that nobody else can change it
        for half in path.rglob(".*.part"):  # what a process that was killed was writing
            half.unlink(missing_ok=True)
        same_model(held, engine)
        scenario = _resumable(held, ticks)
        point = last_point(held, engine, scenario, journal, None)
        journal.rewind(point.position)
        engine.recorded = Recorded(point.records)
        if ticks and held.complete:
            scenario = replace(scenario, ticks=ticks, spread=scenario.spread or scenario.ticks)
            point.simulation.plan(ticks, scenario.max_decisions, scenario.spread)
            _unfinish(path)
            journal.describe({"scenario": asdict(scenario)})
        return Run(
            path, lock, journal, point.simulation, scenario,
            edits=edits_left(held, point.simulation),
            silent_until=last_tick(journal, point.simulation.clock),
        )  # fmt: skip


def _unfinish(path: Path) -> None:
    """The run is complete no more."""
    try:
        (path / "manifest.json").unlink()
    except OSError as exc:
        raise RunError(
            f"cannot remove {path / 'manifest.json'}: {exc.strerror or exc}",
            remedy="close whatever reads it and try again",
        ) from exc


def _resumable(held: RunFolder, ticks: int | None) -> Scenario:
    """The scenario to go on with; raises RunError where it cannot go on to so many ticks."""
    scenario = Scenario.of(held)
    if held.complete and (ticks or 0) <= scenario.ticks:
        raise RunError(
            f"{held.path} is complete: {scenario.ticks} ticks",
            remedy="give more --days or --ticks in all to go on, or --branch RUN@TICK",
        )
    if not held.complete and ticks not in (None, scenario.ticks):
        raise RunError(
            f"{held.path} is not complete; it can only go on to its {scenario.ticks} ticks",
            remedy="resume it without --days and --ticks; once complete it can go further",
        )
    return scenario


def branch(
    source: str | Path,
    tick: int,
    engine: MotiveEngine,
    folder: str | Path,
    *,
    world: World | None = None,
    seed: int | None = None,
    ticks: int | None = None,
    max_decisions: int | None = None,
    model: str | None = None,
) -> Run:
    """Begin a new run where another was before `tick`; the other stays as it is.

    An edited `world`, another seed or model, more ticks are taken up from there on. Raises RunError
    where the other did not come that far, and WorldError for a world that does not fit.
    """
    held = RunFolder(source)
    old = Scenario.of(held)
    scenario = replace(
        old, seed=old.seed if seed is None else seed, ticks=ticks or max(old.ticks, tick + 1),
        max_decisions=max_decisions or old.max_decisions,
        spread=None if max_decisions else old.spread or old.ticks,
    )  # fmt: skip
    if tick > (end := held.end()):
        raise RunError(f"{held.path} did not come that far: its record is whole up to tick {end}",
                       remedy=f"branch at {end} or before")  # fmt: skip
    if scenario.ticks <= tick:
        raise RunError(f"a branch at tick {tick} is over at tick {scenario.ticks}",
                       remedy="give more --days or --ticks: they count from the start")  # fmt: skip
    path = Path(folder)
    lock = _claimed(path)
    with held.journal() as original:
        copied = original.copy(path / "branch.sqlite")  # the journal, once it is all there
    with _given_up(lock, copied, engine, remove=True) as journal:
        point = last_point(held, engine, old, journal, tick)
        simulation = point.simulation
        if simulation.clock.tick < tick:
            same_model(held, engine, at=simulation.clock.tick)
        journal.cut(
            point.position, [a.decision.id for a in simulation.actors.values() if a.decision]
        )
        engine.recorded = Recorded(point.records, only=str(held.path))
        edits = edits_left(held, simulation)
        while simulation.clock.tick < tick:
            if simulation.clock.tick in edits:
                note(simulation, adopt(simulation, held.world(simulation.clock.tick)))
            simulation.step()
        engine.recorded = None
        manifest = {
            **manifest_of(world or simulation.world, engine, scenario),
            "branched_from": {"run": held.path.name, "tick": tick},
        }
        namespace = json.dumps([held.manifest["namespace"], manifest], sort_keys=True)
        engine.namespace, engine.seed = namespace, scenario.seed
        if scenario.seed != old.seed:
            simulation.rng = random.Random(f"world:{scenario.seed}:{tick}")
        simulation.plan(scenario.ticks, scenario.max_decisions, scenario.spread)
        write_packed(path / "world.json.gz", simulation.world.to_data())
        journal.forget_description()
        journal.describe(
            {**manifest, "namespace": namespace, "source": held.manifest.get("source"),
             "model_given": model or held.manifest.get("model_given"), "started": _now(),
             "checkpoint_minutes": held.manifest["checkpoint_minutes"]}
        )  # fmt: skip
        run = Run(path, lock, journal, simulation, scenario)
        if world is not None:
            run.edit(world)
        run.checkpoint()
        journal.close()
        journal.path.replace(path / "journal.sqlite")
        run.journal = simulation.journal = engine.recorder = Journal(path / "journal.sqlite")
        return run


def _claimed(path: Path) -> FileLock:
    """The lock of a folder that holds no run yet, or what is left of one killed as it began."""
    lock = locked(path / "run.lock", path)
    try:
        if _used(path):
            raise RunError(
                f"{path} already holds a run",
                remedy="choose another folder with --run DIR, or go on with --resume DIR",
            )
        for folder in (path / "checkpoints", path / "worlds"):
            for tick in ticks_in(folder):
                file_of(folder, tick).unlink()
    except BaseException:
        lock.release()
        raise
    return lock


def _used(path: Path) -> bool:
    file = path / "journal.sqlite"
    if not file.exists():
        return (path / "manifest.json").exists()
    with Journal(file) as journal:  # read only, one without its tables yet would be an error
        return bool(journal.manifest()) or any(journal.position().values())


@contextmanager
def _given_up(
    lock: FileLock, journal: Journal, engine: MotiveEngine, *, remove: bool = False
) -> Iterator[Journal]:
    """Lets go of the folder, and of a copied journal in it, where a run cannot begin."""
    try:
        yield journal
    except BaseException:
        engine.end(journal)
        journal.close()
        if remove:
            journal.path.unlink(missing_ok=True)
        lock.release()
        raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
