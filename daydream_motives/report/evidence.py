"""What a report is made from: runs as they lie on disk, read once, cut down to what is needed.

A run's folder tells all; a journal by itself, or its JSON Lines, tells decisions only, and what is
missing is noted rather than made up. Knows no figures and no page.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.errors import ContentError, RunError
from daydream_motives.journal import Journal
from daydream_motives.records import read_jsonl
from daydream_motives.report.choices import MAX_NAME, STATUSES, Choice, plain
from daydream_motives.simulation.folder import ENSEMBLE, RunFolder, members
from daydream_motives.simulation.world import World

_SQLITE = b"SQLite format 3"
_DECISIONS_ONLY = (
    "This is a journal by itself: it tells decisions, and neither people's occupations nor "
    "relationships at the start and end."
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the world, other than the end of an action."""

    time: datetime | None
    kind: str
    text: str
    who: tuple[str, ...]
    place: str


@dataclass(slots=True)
class Evidence:
    """One run. `start` and `end` are its relationships, `until` the moment `end` was kept at.

    `people` and `places` give names by id; `notes` say what could not be had.
    """

    name: str
    manifest: dict[str, Any] = field(default_factory=dict)
    complete: bool = True
    choices: list[Choice] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    people: dict[str, str] = field(default_factory=dict)
    occupations: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    span: tuple[datetime, datetime] | None = None
    start: RelationshipGraph | None = None
    end: RelationshipGraph | None = None
    until: datetime | None = None
    notes: list[str] = field(default_factory=list)

    def name_of(self, id: str) -> str:
        """What someone or somewhere is called; the id where nobody says."""
        return self.people.get(id) or self.places.get(id) or plain(id, MAX_NAME)


def runs_in(paths: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """(name, path) of every run, ensembles opened, each once; names are their folders'."""
    found: dict[Path, str] = {}
    for given in paths:
        path = Path(given)
        for member in members(path) if (path / ENSEMBLE).is_file() else [path]:
            found.setdefault(member, plain(member.resolve().name, MAX_NAME))
    names = list(found.values())
    return [
        (f"{path.resolve().parent.name}/{name}" if names.count(name) > 1 else name, path)
        for path, name in found.items()
    ]


def read(name: str, path: Path) -> Evidence:
    """Everything a report needs of one run; raises RunError where it holds none, or is damaged."""
    if path.is_file():
        evidence = Evidence(name, notes=[_DECISIONS_ONLY])
        if _begins(path).startswith(_SQLITE):
            with Journal(path, read_only=True) as journal:
                evidence.manifest = journal.manifest()
                evidence.complete = "finished" in evidence.manifest
                _take(evidence, journal.records(), journal.events())
        else:
            _take(evidence, _lines(path), ())
    elif not path.exists():
        raise RunError(f"there is nothing at {path}", remedy="give the folder of a run")
    else:
        evidence = _folder(name, path)
    if not evidence.choices:
        raise RunError(
            f"the run in {path} made no decision: there is nothing to report",
            remedy="give a run with decisions: one with more ticks, or without --max-decisions",
        )
    return evidence


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE))
    except OSError as exc:
        raise RunError(f"{path} cannot be read: {exc}", remedy="give the folder of a run") from exc


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        yield from read_jsonl(path)
    except ContentError as exc:
        raise RunError(
            f"{path} is no JSON Lines journal: {exc.problems[0]}",
            remedy=f"see what is wrong with it: daydream journal check {path}",
        ) from exc


def _folder(name: str, path: Path) -> Evidence:
    folder = RunFolder(path)
    evidence = Evidence(name, manifest=dict(folder.manifest), complete=folder.complete)
    with folder.journal() as journal:
        _take(evidence, journal.records(), journal.events())
    try:
        world, ticks = folder.world(), folder.ticks()
        evidence.start, evidence.end = folder.graph_at(0), folder.graph_at()
    except (ContentError, RunError) as exc:
        reason = exc.message.replace(str(path), name)  # the page does not tell where it was made
        evidence.notes.append(f"Its world and its relationships cannot be read: {plain(reason)}.")
        return evidence
    _know(evidence, world)
    evidence.until = _start(world) + _tick(world) * (ticks[-1] if ticks else 0)
    if evidence.span and evidence.until + _tick(world) < evidence.span[1]:
        evidence.notes.append(f"Relationships are known until {evidence.until:%a %d %b, %H:%M}.")
    return evidence


def _start(world: World) -> datetime:
    return world.clock.start.replace(tzinfo=None)


def _tick(world: World) -> timedelta:
    return timedelta(minutes=world.clock.minutes_per_tick)


def _know(evidence: Evidence, world: World) -> None:
    """Names from the world, and the run's span: its ticks, or as far as it came."""
    for id, sheet in world.sheets.items():
        evidence.people[id] = plain(sheet.name, MAX_NAME)
        evidence.occupations[id] = plain(sheet.occupation or "", MAX_NAME)
    for person in evidence.end.people() if evidence.end else ():
        evidence.people.setdefault(person.id, plain(person.name, MAX_NAME))  # who came later
    evidence.places |= {id: plain(place.name, MAX_NAME) for id, place in world.places.items()}
    start, ticks = _start(world), evidence.manifest.get("scenario", {}).get("ticks")
    times = [c.time for c in evidence.choices if c.time] + [
        e.time for e in evidence.events if e.time
    ]
    end = max(times, default=start) + _tick(world)
    if evidence.complete and isinstance(ticks, int):
        end = max(end, start + _tick(world) * ticks)
    evidence.span = (start, end)


def _take(
    evidence: Evidence, records: Iterable[dict[str, Any]], events: Iterable[dict[str, Any]]
) -> None:
    with ExitStack() as stack:
        for source in (records, events):  # closed before their journal is, whatever comes
            if isinstance(source, Generator):
                stack.callback(source.close)
        try:
            for record in records:
                _take_decision(evidence, record)
            evidence.events += [_event(e) for e in events if e["kind"] not in STATUSES]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise RunError(
                f"the journal of {evidence.name} is damaged: {exc!r}",
                remedy="make the report from another run",
            ) from exc


def _take_decision(evidence: Evidence, record: dict[str, Any]) -> None:
    choice = Choice.of(record)
    evidence.choices.append(choice)
    evidence.people[choice.character] = choice.name
    evidence.people |= {id: n for id, n in choice.present if id not in evidence.people}
    if choice.place:
        evidence.places.setdefault(choice.place, choice.place_name)
    verbs = (record.get("situation") or {}).get("verbs") or ()
    evidence.offered.update(plain(verb["name"], MAX_NAME) for verb in verbs)


def _event(event: dict[str, Any]) -> Event:
    when = event["world_time"]
    return Event(
        datetime.fromisoformat(when).replace(tzinfo=None) if when else None,
        plain(event["kind"], MAX_NAME),
        plain(event["text"]),
        tuple(plain(id, MAX_NAME) for id in event["who"]),
        plain(event["place"] or "", MAX_NAME),
    )
