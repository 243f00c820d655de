"""A run told again from its record, and computed again to see whether the same comes out.

Telling needs no model. Knows nothing of terminals.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.records import WALL_CLOCK_FIELDS
from daydream_motives.simulation.edit import adopt, note
from daydream_motives.simulation.folder import RunFolder, journal_of
from daydream_motives.simulation.record import (
    Scenario,
    edits_left,
    last_point,
    same_model,
)

_ORDER = {"edited": 0, "event": 1, "decision": 3}  # within one moment; all else is 2


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened; `record` is the journal's own, of a decision or an event."""

    time: datetime | None
    kind: str
    text: str
    who: tuple[str, ...]
    record: Mapping[str, Any]


def retell(
    folder: str | Path,
    *,
    who: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Told]:
    """Everything in a run or a journal, in order; of one person, or between two in-world times.

    A time that lies before the one told last (a clock set back) keeps its place in the record, and
    a line of kind `clock` says so.
    """
    with (
        Journal(journal_of(folder), read_only=True) as journal,
        closing(journal.records()) as decisions,  # whoever stops listening leaves nothing open
        closing(journal.events()) as events,
    ):
        told = heapq.merge(
            _in_time(decisions, _decision), _in_time(events, _event), key=lambda item: item[0]
        )
        last: datetime | None = None
        for _, one in told:
            if one.time and last and one.time < last:
                text = f"the clock goes back from {last} to {one.time}"
                yield Told(one.time, "clock", text, (), {})
            last = one.time or last
            if who is not None and who not in one.who:
                continue
            if one.time and ((since and one.time < since) or (until and one.time > until)):
                continue
            yield one


def _in_time(
    rows: Iterator[dict[str, Any]], make: Callable[[dict[str, Any]], Told]
) -> Iterator[tuple[tuple[str, int, int], Told]]:
    """With keys to merge by; a clock set back keeps to the latest time told, so that each stream
    stays in its own order."""
    latest = ""
    for number, row in enumerate(rows):
        one = make(row)
        latest = max(latest, row["world_time"] or "")
        yield (latest, _ORDER.get(one.kind, 2), number), one


def _decision(record: dict[str, Any]) -> Told:
    text = record["purposes"][(record["chosen"] or 1) - 1]["text"]
    return Told(_time(record), "decision", text, (record["character"],), record)


def _event(event: dict[str, Any]) -> Told:
    return Told(_time(event), event["kind"], event["text"], tuple(event["who"]), event)


def _time(row: Mapping[str, Any]) -> datetime | None:
    """In-world, by the hands of the clock; None where a game wrote something else."""
    try:
        return datetime.fromisoformat(row["world_time"] or "").replace(tzinfo=None)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came out otherwise: where, what was recorded, what is computed."""

    where: str
    field: str
    recorded: Any
    computed: Any

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.field}\n  recorded: {_short(self.recorded)}\n"
            f"  computed: {_short(self.computed)}"
        )


def verify(
    folder: str | Path,
    engine: MotiveEngine,
    *,
    from_tick: int = 0,
    tell: Callable[[int, int], None] | None = None,
) -> Difference | None:
    """Compute a run again, from the checkpoint at or before `from_tick`, and compare it with its
    record, decision by decision and event by event; None where all is the same.

    What only a clock on the wall decides is not compared. Raises RunError for another model.
    """
    held = RunFolder(folder)
    same_model(held, engine)
    scenario = Scenario.of(held)
    first = held.manifest.get("branched_from", {"tick": 0})["tick"]
    if from_tick > (end := held.end()):
        raise RunError(f"{held.path} ends at tick {end}", remedy="begin at an earlier tick")
    with (
        tempfile.TemporaryDirectory() as scratch,
        held.journal() as recorded,
        recorded.copy(Path(scratch) / "journal.sqlite") as computed,
    ):
        try:
            point = last_point(held, engine, scenario, computed, max(first, from_tick))
            simulation, position = point.simulation, point.position
            actors = simulation.actors.values()
            computed.cut(position, [a.decision.id for a in actors if a.decision])
            edits = set(edits_left(held, simulation))
            while (tick := simulation.clock.tick) < end:
                if tick in edits:
                    note(simulation, adopt(simulation, held.world(tick)))
                simulation.step()
                if tell:
                    tell(tick + 1, end)
                if found := _first(recorded, computed, position, whole=False):
                    return found
                position = computed.position()
            start = dict.fromkeys(position, 0)
            return _first(recorded, computed, start, whole=held.complete, outcomes=True)
        finally:
            engine.end(computed)


def _first(
    recorded: Journal,
    computed: Journal,
    position: Mapping[str, int],
    *,
    whole: bool,
    outcomes: bool = False,
) -> Difference | None:
    """The first difference after a position, with `outcomes` also in what became of decisions;
    what was not computed counts only when the record is `whole`."""
    for table in ("decisions", "events"):
        after = position[table]
        old, new = (
            j.records(after=after) if table == "decisions" else j.events(after=after)
            for j in (recorded, computed)
        )
        for was, now in zip_longest(old, new):
            if now is None and not whole:
                break
            where = _where(table, was or now)
            if was is None or now is None:
                return Difference(where, table, was and "there", now and "there")
            later: tuple[str, ...] = () if outcomes else ("chosen", "outcome")
            if outcomes and not whole and now.get("outcome") is None:
                later = ("outcome",)
            if found := _apart(_timeless(was, later), _timeless(now, later)):
                return Difference(where, *found)
    return None


def _where(table: str, row: Mapping[str, Any]) -> str:
    who = row["character"] if table == "decisions" else ", ".join(row["who"]) or "the world"
    return f"{table[:-1]} at {row['world_time']} of {who}"


def _timeless(row: Mapping[str, Any], later: tuple[str, ...]) -> dict[str, Any]:
    """A row without what the clock on the wall decides."""
    return {
        key: {k: v for k, v in value.items() if k not in WALL_CLOCK_FIELDS}
        if key == "provenance" else value
        for key, value in row.items()
        if key not in (*WALL_CLOCK_FIELDS, *later)
    }  # fmt: skip


def _apart(was: Any, now: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Where two pieces of plain data differ first: path and both values."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*was, *now)):
            if found := _apart(was.get(key), now.get(key), f"{path}.{key}".lstrip(".")):
                return found
        return None
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return next((f for i, (a, b) in pairs if (f := _apart(a, b, f"{path}[{i}]"))), None)
    return None if was == now else (path, was, now)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 400 else text[:399] + "…"


def refused(difference: Difference, folder: str | Path) -> RunError:
    """The difference as an error, for a command's exit code."""
    return RunError(
        f"{folder} does not come out the same.\n{difference}",
        remedy="compare the versions in its manifest with what is installed: another version, "
        "processor or number of threads may change what a model samples",
    )
