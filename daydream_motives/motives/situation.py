"""When, where, who is there and what just happened. Knows nothing of how it is told to a model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from daydream_motives.characters.files import validated
from daydream_motives.characters.sheet import Identifier, Name, Strict, Text, slug
from daydream_motives.errors import Problem, SituationError


class Entity(Strict):
    """A person, place or thing that can be named; `note` is what anyone can see of it."""

    id: Identifier
    name: Name
    kind: Literal["person", "place", "thing"] = "thing"
    aliases: tuple[Name, ...] = ()
    note: Text = ""


class Verb(Strict):
    """Something the game lets the character do now; `words` are other words for it."""

    name: Name
    words: tuple[Name, ...] = ()


def _entity_of(kind: str) -> BeforeValidator:
    def coerce(value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            return {"id": slug(value), "name": value, "kind": kind}
        return value

    return BeforeValidator(coerce)


def _listed(value: Any) -> Any:
    """One item where a list is wanted: a convenience for games."""
    return (value,) if isinstance(value, (str, dict, Entity, Verb)) else value


Seen = Annotated[Entity, _entity_of("person")]
Somewhere = Annotated[Entity, _entity_of("place")]
Something = Annotated[Entity, _entity_of("thing")]
Doable = Annotated[
    Verb, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
]


class Situation(Strict):
    """What a character faces now; every field is optional, and plain strings do for entities.

    `time` is in-world. `nearby` are places the character can name. `happened` is what calls for a
    decision, most important first. `verbs` are what the game allows now, if it limits that.
    """

    time: datetime | None = None
    place: Somewhere | None = None
    place_note: Text = ""
    present: tuple[Seen, ...] = ()
    things: tuple[Something, ...] = ()
    nearby: tuple[Somewhere, ...] = ()
    happened: tuple[Text, ...] = ()
    activity: Text = ""
    verbs: Annotated[tuple[Doable, ...], Field(max_length=64)] = ()

    @field_validator("present", "things", "nearby", "happened", "verbs", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return _listed(value)

    @classmethod
    def from_data(cls, data: Any, *, source: str = "situation") -> Situation:
        """A situation from parsed JSON, or from one sentence; raises SituationError."""
        if isinstance(data, str):
            data = {"happened": data}
        if not isinstance(data, dict):
            expected = "one sentence, or a mapping of time, place, present, happened …"
            raise SituationError([Problem(source, "", type(data).__name__, expected)])
        return validated(cls, data, source, SituationError)


def in_order(entities: Iterable[Entity]) -> list[Entity]:
    """Entities by id, each once: so that the order they came in does not matter."""
    found: dict[str, Entity] = {}
    for entity in sorted(entities, key=lambda e: (e.id, e.name, e.note, e.aliases), reverse=True):
        found[entity.id] = entity
    return [found[id] for id in sorted(found)]
