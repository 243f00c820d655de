"""Townspeople of the generative-agents kind: personas, what they know of the map, what they hear.

A folder with `personas/<name>/scratch.json` and, where there is more, `spatial_memory.json` beside
it, `meta.json`, and `agent_history_init_*.csv`: statements to each person, apart by semicolons.
Format: github.com/joonspk-research/generative_agents.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from daydream_motives.characters.sheet import clean_text
from daydream_motives.errors import Problem
from daydream_motives.exchange.draft import Draft, Imported
from daydream_motives.exchange.foreign import Record, Source, storable
from daydream_motives.exchange.names import Names
from daydream_motives.exchange.report import Report
from daydream_motives.exchange.routines import day_plan, lifestyle
from daydream_motives.exchange.statements import Reader, Reading
from daydream_motives.exchange.voice import retold

_TO_SECTOR, _TO_ARENA = 4, 1  # walking minutes: the files give none
_RESTORES: tuple[tuple[str, dict[str, float]], ...] = (
    (r"\bbed\b", {"rest": 0.12}),
    (r"refrigerator|cooking area|toaster", {"food": 0.4}),
    (r"customer seating", {"food": 0.3, "company": 0.2}),
    (r"pool table|piano|guitar|microphone|game|harp|easel|garden", {"fun": 0.15}),
    (r"sofa|common room table", {"company": 0.1, "rest": 0.05}),
)
# Not what somebody is out to do.
_STATES = r"(?!liv|look|stud|shar|enjoy|curious|also)"
_DOING = re.compile(
    rf"\b(?:is|are) (?:also |mostly |currently )?({_STATES}[a-z]+ing\b[^.]*?)"
    r"(?=,? and (?:is|are|lives|visits)\b|\.|$)",
    re.I,
)
_PLAIN_FORM = {"having": "have", "running": "run", "going": "go", "writing": "write"}


@dataclass(slots=True)
class _Map:
    """Places by their address (world:sector:arena), and what is called how."""

    draft: Draft
    ids: dict[tuple[str, ...], str] = field(default_factory=dict)
    rooms: dict[tuple[str, str], dict[str, list[str]]] = field(default_factory=dict)

    def hear(self, memory: Record) -> None:
        """Take in what one person knows of the map."""
        for world in memory:
            sectors = memory.record(world)
            for sector in sectors:
                arenas = sectors.record(sector)
                known = self.rooms.setdefault((_text(world), _text(sector)), {})
                for arena in arenas:
                    things = known.setdefault(_text(arena), [])
                    things += [t for t in arenas.texts(arena) if t not in things]

    def address(self, text: str) -> tuple[str, ...]:
        """The parts of "world:sector:arena", known from now on."""
        parts = tuple(part for part in map(_text, text.split(":")) if part)[:3]
        if len(parts) > 1:
            arenas = self.rooms.setdefault((parts[0], parts[1]), {})
            if len(parts) > 2:
                arenas.setdefault(parts[2], [])
        return parts

    def build(self, source: str) -> None:
        """Make the places: a town, its sectors around it, their rooms inside."""
        names = [arena for arenas in self.rooms.values() for arena in arenas]
        for (world, sector), arenas in sorted(self.rooms.items()):
            if (world,) not in self.ids:
                self.ids[world,] = self.draft.place(world or "the town", source,
                                                    restores={"company": 0.1})  # fmt: skip
            alone = next(iter(arenas)) if len(arenas) == 1 else None
            things = arenas[alone] if alone is not None else []
            id = self._place(sector, things, source)
            self.draft.connect(self.ids[world,], id, _TO_SECTOR)
            self.ids[world, sector] = id
            for arena, inside in sorted(arenas.items()):
                if arena == alone:
                    self.ids[world, sector, arena] = id
                    continue
                name = arena if names.count(arena) == 1 else f"{sector}, {arena}"
                room = self._place(name, inside, source)
                self.draft.connect(id, room, _TO_ARENA)
                self.ids[world, sector, arena] = room

    def _place(self, name: str, things: list[str], source: str) -> str:
        restores: dict[str, float] = {}
        for pattern, gains in _RESTORES:
            if any(re.search(pattern, thing) for thing in things):
                restores.update({n: max(g, restores.get(n, 0)) for n, g in gains.items()})
        return self.draft.place(name, source, things=[t[:120] for t in things], restores=restores)


@dataclass(slots=True)
class _Persona:
    scratch: Record
    memory: Record
    folder: str
    home: tuple[str, ...] = ()
    statements: list[str] = field(default_factory=list)


def read(path: str | Path) -> Imported:
    """The world in a Smallville folder; raises WorldError where there is none in it."""
    what = "a folder with personas/<name>/scratch.json"
    source = Source(path, what)
    report = Report("smallville", str(path))
    draft = Draft(report)
    if not source.is_folder:
        raise source.wrong("a file", "give the folder that holds 'personas'")
    files = source.files("personas/*/scratch.json")
    if not files:
        raise source.wrong("no personas in it", "give the folder that holds 'personas'")
    places = _Map(draft)
    personas = list(_personas(source, files, report))
    for persona in personas:
        places.hear(persona.memory)
        persona.home = places.address(persona.scratch.text("living_area"))
    places.build("spatial_memory.json")
    if not draft.places:
        draft.place("the town", "spatial_memory.json", restores={"company": 0.1, "food": 0.1})
    report.note("walking minutes and what places restore are made up: the files give none")
    people = {}
    for persona in personas:
        if id := _person(draft, places, persona):
            people[id] = persona
    names = Names({id: draft.sheets[id].name for id in people})
    meta = _meta(source, report)
    _statements(source, draft, names, people)
    for id, persona in people.items():
        kept = {
            "folder": persona.folder,
            "scratch": persona.scratch.data,
            "spatial_memory": persona.memory.data,
            "statements": persona.statements,
        }
        draft.revise(id, extensions={"smallville": storable(kept)})
    draft.extensions["meta"] = meta.data
    town = next((key[0] for key in places.ids if len(key) == 1), "") or meta.text("maze_name")
    return draft.finish(town or "Smallville", clock=_clock(meta))


def _personas(source: Source, files: list[Path], report: Report) -> Iterator[_Persona]:
    for file in files:
        data = source.document(file, report)
        if data is None:
            continue
        name = source.name_of(file)
        if not isinstance(data, dict):
            report.refused.append(Problem(name, "", type(data).__name__, "a mapping with 'name'"))
            continue
        beside = file.with_name("spatial_memory.json")
        memory = source.document(beside, report) if beside.exists() else None
        yield _Persona(
            Record(data, report, name),
            Record(memory, report, source.name_of(beside)),
            file.parent.name,
        )


def _person(draft: Draft, places: _Map, persona: _Persona) -> str | None:
    scratch = persona.scratch
    name = scratch.text("name") or persona.folder
    if not scratch.text("name"):
        draft.report.note("people without a name are called as their folder is")
    learned, now = scratch.text("learned"), scratch.text("currently")
    short = name.split(" ")[0]
    pronoun = re.search(r"\b(he|she)\b", f"{learned} {now}", re.I) or re.search(
        r"\b(they) are\b", f"{learned} {now}", re.I
    )
    subject = pronoun[1].lower() if pronoun else "they"
    draft.report.note("pronouns are those the descriptions use")
    told = " ".join(
        retold(text, short, subject, named=True) or f'In their own words: "{text}"'
        for text in re.split(r"(?<=[.!?])\s+", f"{learned} {now}".strip())
    )
    home = places.ids.get(persona.home)
    if home is None and (area := scratch.text("living_area")):
        scratch.misread("living_area", area, "world:sector:arena was expected here")
    routine, left = lifestyle(scratch.text("lifestyle"), name, home)
    plan = scratch.text("daily_plan_req")
    routine += day_plan(plan, name, home, {id: p.name for id, p in draft.places.items()})
    return draft.person(
        name, scratch.source, {},
        age=scratch.age(),
        pronouns={"he": "he/him", "she": "she/her"}.get(subject, "they/them") if pronoun else None,
        traits=[t.lower() for t in re.split(r"\s*,\s*", scratch.text("innate")) if t],
        occupation=_occupation(learned, name),
        description=told,
        wants=_wants(now),
        habits=[*left, *([plan] if plan else [])],
        routine=routine,
        home=home,
    )  # fmt: skip


def _occupation(learned: str, name: str) -> str:
    """ "Ana Sol is a baker who …" -> "baker"."""
    match = re.match(
        rf"{re.escape(name)} is (?:an? )([^.,]{{3,80}}?)(?= who\b| studying\b| with\b|[.,]|$)",
        learned, re.I,
    )  # fmt: skip
    return match[1] if match else ""


def _wants(now: str) -> list[str]:
    """What somebody is at just now, as something to go on with."""
    match = _DOING.search(now)
    if not match:
        return []
    doing = match[1].strip()
    if planned := re.match(r"planning (?:on|to) (\w+)(.*)", doing):
        verb = _PLAIN_FORM.get(planned[1], planned[1])
        if not verb.endswith("ing"):
            return [f"to {verb}{planned[2]}"]
    return [f"to get on with {doing}"]


def _meta(source: Source, report: Report) -> Record:
    file = source.path / "meta.json"
    data = source.document(file, report) if file.exists() else None
    return Record(data, report, "meta.json")


def _clock(meta: Record) -> dict[str, Any] | None:
    """The day the story begins, in the morning."""
    text = meta.text("start_date")
    if not text:
        return None
    for form in ("%B %d, %Y", "%Y-%m-%d"):
        try:
            day = datetime.strptime(text, form)
        except ValueError:
            continue
        if 2 <= day.year <= 9000:
            return {"start": day.replace(hour=6).isoformat()}
    meta.misread("start_date", text, "a date such as 'February 13, 2023' was expected here")
    return None


def _statements(source: Source, draft: Draft, names: Names, people: dict[str, _Persona]) -> None:
    report, reader = draft.report, Reader(names, _not_people(draft))
    unclaimed: list[dict[str, str]] = []
    for file in source.files("agent_history_init_*.csv"):
        for line, name, statement in _rows(source, file, report):
            report.counts["statements"] += 1
            where = f"line {line}, {name}"
            id = names.match(name)
            if not statement or id is None:
                why = "the name is nobody's here" if statement else "an empty statement"
                report.remark(source.name_of(file), where, statement or "nothing", why)
                report.counts["statements not understood"] += 1
                unclaimed.append({"name": name, "statement": statement})
                continue
            people[id].statements.append(statement)
            subject = draft.sheets[id].subject
            reading = reader.read(statement, id, draft.sheets[id].short_name, subject)
            use = _use(draft, id, reading, source.name_of(file), where, statement)
            report.counts[f"statements {use}"] += 1
    if unclaimed:
        draft.extensions["statements"] = unclaimed


def _rows(source: Source, file: Path, report: Report) -> Iterator[tuple[int, str, str]]:
    """(line, name, statement) for each statement of a CSV file."""
    text = source.text(file, report)
    if text is None:
        return
    name = source.name_of(file)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if not {"Name", "Whisper"} <= set(rows.fieldnames or ()):
            found = f"the columns {', '.join(map(str, rows.fieldnames or ())) or 'none'}"
            report.refused.append(Problem(name, "line 1", found, "columns 'Name' and 'Whisper'"))
            return
        for row in rows:
            for statement in (row["Whisper"] or "").split(";"):
                yield rows.line_num, _text(row["Name"] or ""), _text(statement)
    except csv.Error as exc:
        found = f"line {rows.line_num}"
        report.refused.append(Problem(name, found, str(exc), "comma-separated values"))


def _use(draft: Draft, id: str, reading: Reading, source: str, where: str, said: str) -> str:
    """Put a statement where it belongs; what became of it, for the count."""
    sheet = draft.sheets[id]
    if reading.use == "relationship":
        tied = [draft.tie(id, other, source, where, **tie) for other, tie in reading.ties.items()]
        return "as relationships" if any(tied) else "not understood"
    if reading.use == "habit":
        draft.revise(id, habits=(*sheet.habits, reading.text))
        return "as habits"
    if reading.use == "want":
        draft.revise(id, wants=(*sheet.wants, reading.text))
        return "as wants"
    if reading.use == "description":
        draft.revise(id, description=f"{sheet.description} {reading.text}".strip())
        return "as description"
    keys = [draft.sheets[other].name for other in reading.about]
    draft.know(reading.text, known_to=[id], keys=keys)
    if reading.use == "knowledge":
        return "as knowledge"
    draft.report.remark(source, where, said, reading.why)
    return "not understood"


def _not_people(draft: Draft) -> list[str]:
    """Names of places, which hold no people; and families, which are not one person."""
    names = [place.name for place in draft.places.values()]
    last = {sheet.name.split(" ")[-1] for sheet in draft.sheets.values()}
    return [*names, *(f"{name} family" for name in sorted(last))]


def _text(value: str) -> str:
    return str(clean_text(value))
