"""A run's folder, to be read.

    journal.sqlite            every decision, outcome and event
    world.json.gz             the world as it was at the start
    worlds/<tick>.json.gz     the world as edited while the run went on
    checkpoints/<tick>.json.gz
    run.lock                  held by the process that writes
    manifest.json             written last, for "complete"

Knows nothing of engines and terminals.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.errors import ContentError, RunError
from daydream_motives.journal import Journal
from daydream_motives.simulation.checkpoint import (
    file_of,
    read_checkpoint,
    read_packed,
    ticks_in,
)
from daydream_motives.simulation.clock import Clock
from daydream_motives.simulation.world import World

log = logging.getLogger("daydream_motives")
ENSEMBLE = "ensemble.json"


class RunFolder:
    """A run on disk; raises RunError where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if (self.path / ENSEMBLE).exists():
            raise RunError(
                f"{self.path} holds several runs: {', '.join(map(str, members(self.path)))}",
                remedy="name one of them",
            )
        with self.journal() as journal:
            self.manifest = journal.manifest()
        if "scenario" not in self.manifest:
            raise RunError(
                f"{self.path} holds a journal, but no run of `daydream simulate`",
                remedy="give the folder that --run named",
            )

    def journal(self) -> Journal:
        """The journal, to be read."""
        return Journal(self.path / "journal.sqlite", read_only=True)

    @property
    def model(self) -> str:
        """What `--model` opens the run's model: what the user named, or its name."""
        return self.manifest.get("model_given") or self.manifest["model"]["name"] or "instinct"

    @property
    def complete(self) -> bool:
        return (self.path / "manifest.json").exists()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def worlds(self) -> Path:
        return self.path / "worlds"

    def edits(self) -> list[int]:
        """The ticks before which the world was edited, ascending."""
        return ticks_in(self.worlds)

    def world(self, tick: int = 0) -> World:
        """The world as it was at this tick; raises RunError."""
        edits = [edit for edit in self.edits() if edit <= tick]
        file = file_of(self.worlds, edits[-1]) if edits else self.path / "world.json.gz"
        try:
            return World.from_data(read_packed(file), source=str(file))
        except ContentError as exc:
            raise RunError(exc.message, remedy="use the version that wrote this run") from exc
        except RunError as exc:
            remedy = "put it back as the run wrote it: without its world a run cannot go on"
            raise RunError(exc.message, remedy=remedy) from exc

    def world_of(self, checkpoint: dict[str, Any]) -> World:
        """The world in which a checkpoint was made; raises RunError where it is not here."""
        tick = checkpoint["tick"]
        for before in (tick, tick - 1):  # an edit of that tick may have come before or after it
            if (world := self.world(before)).hash == checkpoint["world"]:
                return world
        raise RunError(
            f"the world in {self.path} is not the one its checkpoint at tick {tick} was made in",
            remedy="put back world.json.gz and worlds/ as the run wrote them; to change a world "
            "use --branch RUN@TICK WORLD, or --watch while it runs",
        )

    def clock(self) -> Clock:
        """The run's clock, at its beginning."""
        settings = self.world().clock
        return Clock(settings.start, settings.minutes_per_tick)

    def end(self) -> int:
        """The tick to which the record is whole: of an incomplete run the last may be cut off."""
        if self.complete:
            return int(self.manifest["scenario"]["ticks"])
        with self.journal() as journal:
            reached, last = journal.position(), last_tick(journal, self.clock())
        whole = (data["tick"] for data in self.whole() if fits(data["journal"], reached))
        return max(last, next(whole, 0))

    def whole(self, until: int | None = None) -> Iterator[dict[str, Any]]:
        """Checkpoints up to a tick, latest first; damaged ones are skipped with a word."""
        for tick in reversed(ticks_in(self.checkpoints)):
            if until is not None and tick > until:
                continue
            try:
                yield read_checkpoint(file_of(self.checkpoints, tick))
            except RunError as exc:
                log.warning("%s; an earlier checkpoint is used", exc.message)

    def ticks(self) -> list[int]:
        """Ticks of the checkpoints, ascending; whether they are whole shows when they are read."""
        return ticks_in(self.checkpoints)

    def graph_at(self, tick: int | None = None) -> RelationshipGraph:
        """How people saw each other at the last checkpoint up to a tick, or the last of all."""
        data = next(self.whole(tick), None)
        return self.graph_of(data) if data else self.world().relationships

    def graph_of(self, checkpoint: dict[str, Any]) -> RelationshipGraph:
        """How people saw each other at a checkpoint."""
        return RelationshipGraph.from_data(checkpoint["relationships"], source=str(self.path))


def fits(position: Mapping[str, int], reached: Mapping[str, int]) -> bool:
    """Whether a checkpoint's position lies within what a journal holds."""
    return all(position[name] <= reached[name] for name in reached)


def last_tick(journal: Journal, clock: Clock) -> int:
    """The tick of the last thing in the journal, -1 where there is nothing."""
    last = journal.last_time()
    if last is None:
        return -1
    return int(
        (datetime.fromisoformat(last) - clock.start) / timedelta(minutes=clock.minutes_per_tick)
    )


def members(ensemble: Path) -> list[Path]:
    """The runs of an ensemble's folder; raises RunError where its list is damaged."""
    file = ensemble / ENSEMBLE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return [ensemble / f"seed-{int(seed)}" for seed in data["seeds"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RunError(f"{file} cannot be read: {exc}", remedy="name the runs one by one") from exc


def model_of(path: str | Path) -> str | None:
    """The model of a run, as `--model` names it; None where `path` is no run."""
    return RunFolder(path).model if (Path(path) / "journal.sqlite").exists() else None


def locked(file: Path, folder: Path) -> FileLock:
    """The lock of a folder, held; raises RunError while another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        lock.acquire(timeout=0)
        return lock
    except Timeout:
        raise RunError(
            f"another process is writing {folder}",
            remedy="wait until it is done, or end it; the lock goes with the process",
        ) from None
    except OSError as exc:
        raise RunError(
            f"cannot write {folder}: {exc.strerror or exc}",
            remedy="choose a folder you may write with --run DIR",
        ) from exc


@contextmanager
def held(file: Path, folder: Path) -> Iterator[None]:
    """The folder is this process's own for as long as it lasts."""
    lock = locked(file, folder)
    try:
        yield
    finally:
        lock.release()


def journal_of(path: str | Path) -> Path:
    """The journal of a run's folder, or the file itself."""
    given = Path(path)
    return given / "journal.sqlite" if given.is_dir() else given
