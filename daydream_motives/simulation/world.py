"""A world as its writers left it: places, people, ties, lore, events. Knows no running clock.

A world is one YAML or JSON file, or a folder with `world.yaml` and, beside it, any of
`characters/<id>.yaml`, `relationships.yaml`, `lore.yaml`, `events.yaml`, `places.yaml`. Every
mistake in it is found at once and named with its file and path.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from daydream_motives.characters.files import (
    dump_yaml,
    exists,
    problems_of,
    read_document,
    shown,
    write_atomic,
)
from daydream_motives.characters.kinds import KINDS
from daydream_motives.characters.lore import Lore, Note
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import (
    CharacterSheet,
    Identifier,
)
from daydream_motives.errors import ContentError, Problem, WorldError
from daydream_motives.simulation.schema import (
    ClockSettings,
    LoreNote,
    Place,
    RelationshipEntry,
    WorldEvent,
    WorldFile,
)

SCHEMA_VERSION = 1
ItemT = TypeVar("ItemT")


_NO_CLOCK = WorldFile(name="unnamed")
_ON_DISK = object()
_SECTIONS = ("places", "characters", "relationships", "lore", "events")


@dataclass(frozen=True)
class World:
    """A validated world; its `hash` is the SHA-256 of its meaning, whatever files it came from."""

    name: str
    description: str
    clock: ClockSettings
    places: dict[str, Place]
    sheets: dict[str, CharacterSheet]
    relationships: RelationshipGraph
    lore: tuple[LoreNote, ...]
    events: tuple[WorldEvent, ...]
    extensions: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> World:
        """Read a world's folder or file; raises WorldError with every problem in it."""
        return _Reader(Path(path)).world()

    @classmethod
    def from_data(cls, data: Any, *, source: str = "world") -> World:
        """A world from the parsed content of a world's file; raises WorldError."""
        return _Reader(Path(source), data).world()

    @cached_property
    def hash(self) -> str:
        text = json.dumps(self.to_data(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_data(self) -> dict[str, Any]:
        """Plain data, as in a world's file, that `from_data` reads back to an equal world."""
        top = WorldFile(
            name=self.name, description=self.description, clock=self.clock,
            relationship_kinds=tuple(sorted(self.relationships.extra_kinds)),
            extensions=self.extensions,
        )  # fmt: skip

        def plain(item: BaseModel) -> dict[str, Any]:
            return item.model_dump(mode="json", exclude_defaults=True)

        return {
            "schema_version": SCHEMA_VERSION,
            **plain(top),
            "places": {id: plain(place) for id, place in self.places.items()},
            "characters": {id: sheet.to_data() for id, sheet in self.sheets.items()},
            "relationships": [
                {"from": a, "to": b, **plain(rel)} for a, b, rel in self.relationships.edges()
            ],
            "lore": [plain(note) for note in self.lore],
            "events": [plain(event) for event in self.events],
        }

    def save(self, path: str | Path) -> None:
        """Write a folder of YAML files, one for each character, or one file where `path` ends in
        .json, .yaml or .yml. A folder has to be new or empty; raises WorldError where it is not.
        """
        target, data = Path(path), self.to_data()
        suffix = target.suffix.lower()
        if suffix in (".json", ".yaml", ".yml"):
            as_json = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
            write_atomic(target, as_json if suffix == ".json" else dump_yaml(data))
            return
        if exists(target) and (not target.is_dir() or any(target.iterdir())):
            found = "something there already"
            raise WorldError([Problem(str(target), "", found, "a new or empty folder")])
        for id, sheet in data.pop("characters").items():
            write_atomic(target / "characters" / f"{id}.yaml", dump_yaml(sheet))
        for section in ("places", "relationships", "lore", "events"):
            write_atomic(target / f"{section}.yaml", dump_yaml(data.pop(section)))
        write_atomic(target / "world.yaml", dump_yaml(data))

    def walk(self, start: str, goal: str) -> tuple[list[str], int]:
        """The shortest way (place ids after `start`, minutes); ([], 0) where there is none."""
        return self.nearest(start, {goal})

    def nearest(self, start: str, goals: AbstractSet[str]) -> tuple[list[str], int]:
        """The shortest way to any of the goals, as `walk`; ([], 0) also where one is here."""
        queue: list[tuple[int, str, tuple[str, ...]]] = [(0, start, ())]
        seen: set[str] = set()
        while queue and goals:
            minutes, here, way = heapq.heappop(queue)
            if here in goals:
                return list(way), minutes
            if here in seen:
                continue
            seen.add(here)
            for there, cost in self.places[here].connects.items():
                if there not in seen:
                    heapq.heappush(queue, (minutes + cost, there, (*way, there)))
        return [], 0


class _Reader:
    """Collects every problem of a world before it gives up."""

    def __init__(self, path: Path, data: Any = _ON_DISK) -> None:
        self.path = path
        self.data = data
        self.problems: list[Problem] = []
        self.sources: dict[str, str] = {}

    def world(self) -> World:
        parts = self._parts()
        root = str(self.path / "world.yaml") if self.path.is_dir() else str(self.path)
        top = self._one(WorldFile, {k: v for k, v in parts.items() if k not in _SECTIONS}, root)
        places = self._mapping(Place, parts.get("places"), "places")
        sheets = self._sheets(parts.get("characters"))
        entries = self._list(RelationshipEntry, parts.get("relationships"), "relationships")
        lore = self._list(LoreNote, parts.get("lore"), "lore")
        events = self._list(WorldEvent, parts.get("events"), "events")
        self._check_places(places)
        self._check_sheets(sheets, places)
        graph = RelationshipGraph(top.relationship_kinds if top else ())
        for id, sheet in sheets.items():
            graph.add_person(Person.of(id, sheet))
        self._connect(graph, entries)
        self._check_lore(lore, sheets)
        self._check_events(events, places, sheets, (top or _NO_CLOCK).clock.start)
        if not places:
            self._say(self._source("places"), "places", "none", "at least one place")
        if not sheets:
            self._say(self._source("characters"), "characters", "none", "at least one character")
        if self.problems or top is None:
            raise WorldError(self.problems)
        return World(
            name=top.name, description=top.description, clock=top.clock,
            places=_both_ways(places), sheets=sheets, relationships=graph, lore=tuple(lore),
            events=tuple(events), extensions=top.extensions,
        )  # fmt: skip

    def _say(self, source: str, path: str, found: str, expected: str) -> None:
        self.problems.append(Problem(source, path, found, expected))

    def _source(self, section: str) -> str:
        return self.sources.get(section, str(self.path))

    def _read(self, file: Path) -> Any:
        try:
            return read_document(file, WorldError)
        except ContentError as exc:
            self.problems += exc.problems
            return None

    def _parts(self) -> dict[str, Any]:
        """The raw sections of the world, from one file or a folder of them."""
        if self.data is not _ON_DISK:
            return self._mapped(self.path, self.data)
        if not exists(self.path):
            raise WorldError(
                [Problem(str(self.path), "", "nothing there", "a world's folder or file")],
                remedy="give the path of a world, such as sim_examples/harbour_town",
            )
        file = self.path / "world.yaml" if self.path.is_dir() else self.path
        parts = self._mapped(file, self._read(file))
        if not self.path.is_dir():
            return parts
        for section in _SECTIONS:
            beside = self.path / f"{section}.yaml"
            folder = self.path / section
            if beside.exists() or (section == "characters" and folder.is_dir()):
                if section in parts:
                    self._say(str(file), section, "written here and beside it", "one of the two")
                self.sources[section] = str(beside if beside.exists() else folder)
                parts[section] = self._read(beside) if beside.exists() else {}
            if section == "characters" and folder.is_dir() and isinstance(parts[section], dict):
                for sheet in sorted(folder.iterdir()):
                    if sheet.suffix.lower() in (".yaml", ".yml", ".json"):
                        self.sources[f"characters.{sheet.stem}"] = str(sheet)
                        if sheet.stem in parts[section]:
                            self._say(str(sheet), "", "a second sheet of this id", "one")
                        problems = len(self.problems)
                        content = self._read(sheet)
                        if len(self.problems) == problems:
                            parts[section][sheet.stem] = content
        return parts

    def _mapped(self, source: Path, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self._say(str(source), "", shown(data), "a mapping with 'name' and 'places'")
            raise WorldError(self.problems)
        return dict(data)

    def _one(self, kind: type[ItemT], data: Any, source: str, prefix: str = "") -> ItemT | None:
        try:
            return TypeAdapter(kind).validate_python(data)
        except ValidationError as exc:
            self.problems += problems_of(exc, source, prefix)
            return None

    def _mapping(self, kind: type[ItemT], data: Any, section: str) -> dict[str, ItemT]:
        if data is None:
            return {}
        if not isinstance(data, dict):
            self._say(self._source(section), section, shown(data), "a mapping of ids")
            return {}
        found: dict[str, ItemT] = {}
        for id, item in data.items():
            path = f"{section}.{id}"
            if self._one(Identifier, id, self._source(section), path) is None:
                continue
            if (value := self._one(kind, item, self._source(section), path)) is not None:
                found[id] = value
        return found

    def _list(self, kind: type[ItemT], data: Any, section: str) -> list[ItemT]:
        if data is None:
            return []
        if not isinstance(data, list):
            self._say(self._source(section), section, shown(data), "a list")
            return []
        found = []
        for index, item in enumerate(data):
            value = self._one(kind, item, self._source(section), f"{section}[{index}]")
            if value is not None:
                found.append(value)
        return found

    def _sheets(self, data: Any) -> dict[str, CharacterSheet]:
        if not isinstance(data, dict):
            if data is not None:
                self._say(self._source("characters"), "characters", shown(data), "a mapping of ids")
            return {}
        sheets = {}
        for id, item in sorted(data.items(), key=lambda pair: str(pair[0])):
            own_file = self.sources.get(f"characters.{id}")
            source = own_file or self._source("characters")
            prefix = "" if own_file else f"characters.{id}"
            if self._one(Identifier, id, source, prefix) is None:
                continue
            try:
                sheets[id] = CharacterSheet.from_data(item, source=source, prefix=prefix)
            except ContentError as exc:
                self.problems += exc.problems
        return sheets

    def _known(self, id: str, among: Iterable[str], what: str, source: str, path: str) -> None:
        if id not in among:
            self._say(source, path, f"{id!r}, which does not exist", f"the id of a {what}")

    def _check_places(self, places: dict[str, Place]) -> None:
        source = self._source("places")
        for id, place in places.items():
            for other in place.connects:
                self._known(other, places, "place", source, f"places.{id}.connects")

    def _check_sheets(self, sheets: dict[str, CharacterSheet], places: dict[str, Place]) -> None:
        for id, sheet in sheets.items():
            own_file = self.sources.get(f"characters.{id}")
            source, prefix = (
                own_file or self._source("characters"),
                "" if own_file else f"characters.{id}.",
            )
            if sheet.home is not None:
                self._known(sheet.home, places, "place", source, f"{prefix}home")
            for index, entry in enumerate(sheet.routine):
                if entry.place is not None:
                    path = f"{prefix}routine[{index}].place"
                    self._known(entry.place, places, "place", source, path)

    def _connect(self, graph: RelationshipGraph, entries: list[RelationshipEntry]) -> None:
        source = self._source("relationships")
        for index, entry in enumerate(entries):
            plain = Relationship.model_validate(entry.model_dump(exclude={"from_", "to", "mutual"}))
            directions = [(entry.from_, entry.to, plain)]
            if entry.mutual:
                back = tuple(inv for k in plain.kinds if (inv := KINDS.get(k)) is not None)
                directions.append(
                    (entry.to, entry.from_, plain.model_copy(update={"kinds": back or plain.kinds}))
                )
            for a, b, relationship in directions:
                found = graph.problems(a, b, relationship, source)
                if not found and graph.get(a, b) is not None:
                    found = [Problem(source, f"{a} -> {b}", "a second entry", "one per direction")]
                if found:
                    self.problems += [
                        Problem(p.source, f"relationships[{index}] {p.path}", p.found, p.expected)
                        for p in found
                    ]
                else:
                    graph.set(a, b, relationship)

    def _check_lore(self, lore: list[LoreNote], sheets: dict[str, CharacterSheet]) -> None:
        source = self._source("lore")
        self._unique([note.id for note in lore], "lore", source)
        scopes = {*sheets, *(faction for sheet in sheets.values() for faction in sheet.factions)}
        for index, note in enumerate(lore):
            if note.known_to != "everyone":
                for id in note.known_to:
                    path = f"lore[{index}].known_to"
                    self._known(id, scopes, "character, or a faction of one", source, path)

    def _check_events(
        self,
        events: list[WorldEvent],
        places: dict[str, Place],
        sheets: dict[str, CharacterSheet],
        start: datetime,
    ) -> None:
        source = self._source("events")
        self._unique([event.id for event in events], "events", source)
        for index, event in enumerate(events):
            if event.at is not None and (event.at.tzinfo is None) != (start.tzinfo is None):
                expected = "a time zone in both clock.start and events, or in neither"
                self._say(source, f"events[{index}].at", event.at.isoformat(), expected)
            if event.place is not None:
                self._known(event.place, places, "place", source, f"events[{index}].place")
            for id in event.who:
                self._known(id, sheets, "character", source, f"events[{index}].who")

    def _unique(self, ids: list[str], section: str, source: str) -> None:
        for id in sorted({id for id in ids if ids.count(id) > 1}):
            self._say(source, section, f"the id {id!r} more than once", "ids of their own")


def _both_ways(places: dict[str, Place]) -> dict[str, Place]:
    ways = {id: dict(place.connects) for id, place in places.items()}
    for id, place in places.items():
        for other, minutes in place.connects.items():
            ways[other].setdefault(id, minutes)
    return {
        id: place.model_copy(update={"connects": dict(sorted(ways[id].items()))})
        for id, place in places.items()
    }


def lore_of(world: World) -> Lore:
    """The world's notes, with who knows which."""
    notes = (
        Note(note.id, note.text, note.keys, note.priority,
             None if note.known_to == "everyone" else note.known_to)
        for note in world.lore
    )  # fmt: skip
    return Lore(notes)


def timetable(world: World) -> list[WorldEvent]:
    """The events that happen once, by their time."""
    dated = [(event.at, event.id, event) for event in world.events if event.at is not None]
    return [event for _, _, event in sorted(dated, key=lambda item: item[:2])]
