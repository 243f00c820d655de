"""A world in the making: gathers places, people, relationships and lore, and checks each at once.

A field that does not fit is left out and reported; the rest of its item stays. Knows no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from daydream_motives.characters.files import shown
from daydream_motives.characters.kinds import AXES
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import CharacterSheet, Identifier, clean_text, slug
from daydream_motives.errors import Problem, WorldError
from daydream_motives.exchange.foreign import storable
from daydream_motives.exchange.report import Report
from daydream_motives.simulation.schema import LoreNote, Place
from daydream_motives.simulation.world import SCHEMA_VERSION, World

ModelT = TypeVar("ModelT", bound=BaseModel)
_ID_LENGTH = 48  # an id names a file, and a character of it may take four bytes
_NAME_LENGTH = 120
_MOST = 0.9  # what statements add up to on an axis, at most
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_VAGUE = ("acquaintance", "stranger")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import gives: a valid world, and the report of how it came about."""

    world: World
    report: Report


def fitting(kind: type[ModelT], fields: Mapping[str, Any], report: Report, source: str,
            path: str = "") -> ModelT | None:  # fmt: skip
    """`fields` as a `kind` without those that do not fit, each reported; None if nothing helps."""
    left = dict(fields)
    while True:
        try:
            return kind.model_validate(left)
        except ValidationError as exc:
            bad: set[str] = set()
            for item in exc.errors(include_url=False):
                where = ".".join(str(part) for part in (path, *item["loc"]) if part != "")
                if item["loc"] and item["loc"][0] in left:
                    bad.add(str(item["loc"][0]))
                    why = item["msg"].removeprefix("Value error, ")
                    report.remark(source, where, shown(item["input"]), why)
            if not bad:
                return None
            for key in bad:
                del left[key]


class Draft:
    """Collects the parts of a world; `finish` gives the world and the report."""

    def __init__(self, report: Report, kinds: Iterable[str] = ()) -> None:
        self.report = report
        self.places: dict[str, Place] = {}
        self.sheets: dict[str, CharacterSheet] = {}
        self.graph = RelationshipGraph(kinds)
        self.lore: list[LoreNote] = []
        self.extensions: dict[str, Any] = {}
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._numbers: dict[str, int] = {}  # how often an id or a name was asked for

    def place(self, name: str, source: str, foreign: Any = None, **fields: Any) -> str:
        """Add a place and return its id; a name that was there already is numbered."""
        id, called = self._called(name or "somewhere", source)
        place = fitting(Place, {"name": called, **fields, **self._kept(foreign)},
                        self.report, source, id)  # fmt: skip
        self.places[id] = place or Place(name=called)
        return id

    def connect(self, a: str, b: str, minutes: int) -> None:
        """A way between two places, unless there is a shorter one."""
        if a == b:
            return
        known = self.places[a].connects
        ways = {**known, b: min(minutes, known.get(b, minutes))}
        self.places[a] = self.places[a].model_copy(update={"connects": ways})

    def person(
        self, name: str, source: str, foreign: Any = None, *, like: str = "", **fields: Any
    ) -> str | None:
        """Add a person and return the id; None, and a problem in the report, without a name.

        The id is `like`, where that can be one and is free, or made from the name.
        """
        if not clean_text(name):
            self.report.refused.append(Problem(source, "name", repr(name), "a name"))
            return None
        id, called = self._called(name, source, like)
        given = {k: v for k, v in fields.items() if v not in (None, "", [], (), {})}
        sheet = fitting(CharacterSheet, {"name": called, **given, **self._kept(foreign)},
                        self.report, source)  # fmt: skip
        self.sheets[id] = sheet or CharacterSheet(name=called)
        self.graph.add_person(Person.of(id, self.sheets[id]))
        return id

    def revise(self, id: str, **fields: Any) -> None:
        """Change fields of a sheet that is here; they are known to fit."""
        self.sheets[id] = self.sheets[id].model_copy(update=fields)

    def tie(self, a: str, b: str, source: str, path: str = "", **fields: Any) -> bool:
        """Add to how `a` sees `b`; False, and a remark, where the graph refuses it."""
        new = Relationship.model_validate(fields)
        old = self.graph.get(a, b)
        merged = _merged(old, new) if old else new
        if found := self.graph.problems(a, b, merged, source):
            self.report.remark(source, path or f"{a} -> {b}", new.story or "/".join(new.kinds),
                               f"{found[0].found}; expected {found[0].expected}")  # fmt: skip
            return False
        self.graph.set(a, b, merged)
        return True

    def know(self, text: str, *, known_to: Iterable[str] = (), keys: Iterable[str] = (),
             priority: int = 5) -> None:  # fmt: skip
        """A note of lore for some people, or for everyone."""
        scope = tuple(known_to) or "everyone"
        first = scope if isinstance(scope, str) else scope[0]
        note = LoreNote(
            id=f"{first[:_ID_LENGTH]}.{len(self.lore) + 1}", text=text, known_to=scope,
            keys=tuple(keys), priority=priority,
        )  # fmt: skip
        self.lore.append(note)

    def finish(self, name: str, description: str = "", clock: Any = None) -> Imported:
        """The world, checked whole; raises WorldError where there is nobody in it."""
        report = self.report
        if not self.sheets:
            problems = report.refused or [
                Problem(report.source, "", "nobody", "at least one character")
            ]
            raise WorldError(problems, remedy="nothing was written; mend these files and try again")
        data = {
            "schema_version": SCHEMA_VERSION,
            "name": _cut(clean_text(name)) or report.format,
            "description": description,
            "clock": clock or {},
            "relationship_kinds": sorted(self.graph.extra_kinds),
            "extensions": {report.format: storable(self.extensions)} if self.extensions else {},
            "places": {id: _plain(place) for id, place in self.places.items()},
            "characters": {id: sheet.to_data() for id, sheet in self.sheets.items()},
            "relationships": [
                {"from": a, "to": b, **_plain(edge)} for a, b, edge in self.graph.edges()
            ],
            "lore": [_plain(note) for note in self.lore],
        }
        world = World.from_data(data, source=report.source)
        counted = {
            "people": len(world.sheets), "places": len(world.places),
            "relationships": len(world.relationships), "notes of lore": len(world.lore),
        }  # fmt: skip
        for noun, count in report.counts.items():
            counted[noun] = count
        report.counts.clear()
        report.counts.update(counted)
        return Imported(world, report)

    def _called(self, name: str, source: str, like: str = "") -> tuple[str, str]:
        """An id of its own and a name of its own for something called `name`."""
        whole = str(clean_text(name))
        called = _cut(whole)
        if called != whole:
            self.report.note(f"names are cut to {_NAME_LENGTH} characters")
            self.report.remark(source, "name", shown(whole), "the name was too long and is cut")
        base = slug(called)[:_ID_LENGTH].rstrip("_")
        if _may_be_an_id(like):
            base = like
        id = base
        while id in self._ids:
            id = f"{base}_{self._next(base)}"
        self._ids.add(id)
        stem = called[: _NAME_LENGTH - 8]
        if called.casefold() in self._names:
            while called.casefold() in self._names:
                called = f"{stem} ({self._next(f'{stem} ()')})"
            self.report.note(f"a second of the same name has a number: {called}")
        self._names.add(called.casefold())
        return id, called

    def _next(self, base: str) -> int:
        self._numbers[base] = self._numbers.get(base, 1) + 1
        return self._numbers[base]

    def _kept(self, foreign: Any) -> dict[str, Any]:
        return {} if foreign is None else {"extensions": {self.report.format: storable(foreign)}}


def _may_be_an_id(text: str) -> bool:
    if len(text.encode(errors="replace")) > 4 * _ID_LENGTH:
        return False
    try:
        _IDENTIFIER.validate_python(text)
    except ValidationError:
        return False
    return True


def _plain(item: BaseModel) -> dict[str, Any]:
    return item.model_dump(mode="json", exclude_defaults=True)


def _cut(name: str) -> str:
    return name[:_NAME_LENGTH].rstrip()


def _merged(old: Relationship, new: Relationship) -> Relationship:
    """Both together: all kinds, both stories, feelings added up, the greater familiarity."""
    kinds = tuple(dict.fromkeys((*old.kinds, *new.kinds)))
    kinds = tuple(kind for kind in kinds if kind not in _VAGUE) or kinds[:1]
    if old.story and new.story and new.story not in old.story:
        story = f"{old.story} {new.story}"
    else:
        story = old.story or new.story
    felt = {
        axis: round(max(-_MOST, min(_MOST, getattr(old, axis) + getattr(new, axis))), 3)
        for axis in AXES
        if axis != "familiarity"
    }
    return old.model_copy(update={
        "kinds": kinds, "story": story, **felt,
        "familiarity": max(old.familiarity, new.familiarity),
        "extensions": {**old.extensions, **new.extensions},
    })  # fmt: skip
