"""Runs that end early and go on: what the tests of a world that lasts share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small import small

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.journal import Journal
from daydream_motives.records import WALL_CLOCK_FIELDS
from daydream_motives.simulation.checkpoint import file_of, read_checkpoint, ticks_in
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.run import Run, start
from daydream_motives.simulation.world import World

HARBOUR = Path(__file__).parents[1] / "sim_examples" / "harbour_town"
TICK, HOUR, NEVER = 30, 60, 1_000_000  # in-world minutes between checkpoints of the small world


class Killed(BaseException):
    """The end of a process, from within."""


def engine() -> MotiveEngine:
    return MotiveEngine("scripted")


def world(**changes: Any) -> World:
    """The small world, in which rain falls often."""
    return World.from_data(small(**changes))


def lived(
    folder: Path,
    ticks: int = 20,
    *,
    of: World | None = None,
    until: int | None = None,
    minutes: int = HOUR,
    **scenario: Any,
) -> Path:
    """The folder of a run that was lived to its end, or `until` a tick and then broken off."""
    with engine() as mind:
        run = start(of or world(), mind, Scenario(ticks, **scenario), folder,
                    checkpoint_minutes=minutes)  # fmt: skip
        go(run, until)
    return folder


def go(run: Run, until: int | None = None) -> Run:
    """Live a run to its end, or until a tick."""
    steps = run.steps()
    while until is None or run.simulation.clock.tick < until:
        if next(steps, None) is None:
            break
    steps.close()  # type: ignore[attr-defined]
    run.close()
    return run


def rows(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Decisions and events, without what only the clock on the wall decides."""
    with Journal(folder / "journal.sqlite", read_only=True) as journal:
        decisions, events = list(journal.records()), list(journal.events())
    for record in decisions:
        for field in WALL_CLOCK_FIELDS:
            record.pop(field, None)
            record["provenance"].pop(field, None)
    return decisions, events


def content(folder: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on how often it was broken off."""
    decisions, events = rows(folder)
    last = ticks_in(folder / "checkpoints")[-1]
    return {
        "decisions": decisions,
        "events": events,
        "checkpoint": read_checkpoint(file_of(folder / "checkpoints", last)),
        "complete": (folder / "manifest.json").exists(),
    }


def story(folder: Path) -> list[tuple[str, ...]]:
    """What happened, without the ids of a run."""
    decisions, events = rows(folder)
    return [(d["world_time"], d["character"], d["purposes"][0]["text"]) for d in decisions] + [
        (e["world_time"], e["kind"], e["text"]) for e in events
    ]


@contextmanager
def killed_at(write: int) -> Iterator[None]:
    """Whatever runs inside ends at its `write`-th write to a journal, before it is done."""
    real, count = Journal._write, 0

    def counted(self: Journal, sql: str, values: Any) -> int:
        nonlocal count
        count += 1
        if count >= write:
            raise Killed
        return real(self, sql, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "_write", counted)
        try:
            yield
        except Killed:
            return
