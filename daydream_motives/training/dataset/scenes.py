"""What writers write: a scene, its people, what ties them, what was asked and what is wanted.

The format is told in training/README.md. Knows no files and no rules about texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from daydream_motives.characters.relationships import Relationship
from daydream_motives.characters.sheet import (
    CharacterSheet,
    Fraction,
    Identifier,
    Name,
    Strict,
    Text,
)
from daydream_motives.motives.situation import Entity, Somewhere

WORLDS = """modern_city village farm court fantasy space post_collapse expedition war school crime
    sea frontier office hospital market politics sport theatre family monastery historical_africa
    historical_asia historical_europe historical_americas historical_oceania""".split()
RATINGS = ("everyone", "teen", "mature")
REASONS = ("generic", "out_of_character", "ignores_relationship", "invented_name", "wrong_motive")
_KEBAB = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_FAMILY = re.compile(r"(?:-(?:\d+|[a-z]))+$")


def _one_of(words: Sequence[str]) -> BeforeValidator:
    def known(value: object) -> object:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return value

    return BeforeValidator(known)


class ScenePerson(CharacterSheet):
    """A sheet, and the language that the name comes from."""

    tongue: Name


class SceneTie(Relationship):
    """How `giver` (written `from`) sees `to`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    giver: Annotated[Identifier, Field(alias="from")]
    to: Identifier

    @property
    def ends(self) -> tuple[str, str]:
        return self.giver, self.to

    @property
    def relationship(self) -> Relationship:
        """The same as an edge of a graph."""
        return Relationship.model_validate(self.model_dump(exclude={"giver", "to"}))


class SceneLore(Strict):
    """A thing that is known, to everyone or to some."""

    text: Text
    known_to: tuple[Identifier, ...] | None = None


class Rejected(Strict):
    """An answer that a good editor throws out, and why."""

    why: Annotated[str, _one_of(REASONS)]
    purposes: Annotated[tuple[str, ...], Field(min_length=3, max_length=3)]


class DecisionRecord(Strict):
    """One person asked, and the three purposes, most likely first.

    `key` tells the decisions of a scene apart. With `changes` everything that is not given here is
    as in the decision of that key.
    """

    who: Identifier
    as_: Annotated[Identifier | None, Field(alias="as")] = None
    changes: Identifier | None = None
    contrast: Name | None = None
    activity: Text | None = None
    mood: Text | None = None
    needs: dict[Identifier, Fraction] | None = None
    remembers: Annotated[tuple[Text, ...] | None, Field(max_length=4)] = None
    verbs: tuple[Name, ...] | None = None
    ties: tuple[SceneTie, ...] = ()
    purposes: Annotated[tuple[str, ...], Field(min_length=3, max_length=3)]
    rejected: tuple[Rejected, ...] = ()

    @property
    def key(self) -> str:
        return self.as_ or self.who


class _Place(Strict):
    """A place with names of its own."""

    id: Identifier
    name: Name
    aliases: tuple[Name, ...] = ()


def _as_place(value: object) -> object:
    if isinstance(value, dict):
        place = _Place.model_validate(value)
        return Entity(id=place.id, name=place.name, kind="place", aliases=place.aliases)
    return value


ScenePlace = Annotated[Somewhere, BeforeValidator(_as_place)]


class Scene(Strict):
    """One scene: who is there, what happened, and who decides what."""

    id: Annotated[str, Field(pattern=_KEBAB, max_length=80)]
    world: Annotated[str, _one_of(WORLDS)]
    rating: Literal["everyone", "teen", "mature"]
    when: datetime | None = None
    place: ScenePlace | None = None
    place_note: Text = ""
    nearby: tuple[ScenePlace, ...] = ()
    things: tuple[Name, ...] = ()
    happened: Annotated[tuple[Text, ...], Field(min_length=1, max_length=4)]
    budget: Annotated[int, Field(ge=200, le=800, strict=True)] | None = None
    people: Annotated[dict[Identifier, ScenePerson], Field(min_length=1)]
    present: tuple[Identifier, ...] | None = None
    ties: tuple[SceneTie, ...] = ()
    lore: tuple[SceneLore, ...] = ()
    decisions: Annotated[tuple[DecisionRecord, ...], Field(min_length=1)]

    @field_validator("lore", mode="before")
    @classmethod
    def _plain_lore(cls, value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [{"text": one} if isinstance(one, str) else one for one in value]
        return value

    @field_validator("happened", "nearby", "things", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @property
    def family(self) -> str:
        """The id without a number or letter at its end: scenes of one family belong together."""
        return _FAMILY.sub("", self.id) or self.id

    def decision(self, key: str) -> DecisionRecord | None:
        """The decision of this key."""
        return next((one for one in self.decisions if one.key == key), None)

    def full(self, decision: DecisionRecord) -> DecisionRecord:
        """The decision with everything that it has from those it starts from."""
        seen: set[str] = set()
        while decision.changes and decision.key not in seen:
            seen.add(decision.key)
            base = self.decision(decision.changes)
            if base is None:
                break
            given = {
                name: value
                for name in ("activity", "mood", "needs", "remembers", "verbs")
                if (value := getattr(decision, name)) is None
                and (value := getattr(base, name)) is not None
            }
            ties = {tie.ends: tie for tie in (*base.ties, *decision.ties)}
            decision = decision.model_copy(
                update={**given, "ties": tuple(ties.values()), "changes": base.changes}
            )
        return decision.model_copy(update={"changes": None})

    def people_names(self) -> tuple[str, ...]:
        return tuple(person.name for person in self.people.values())
