"""The shapes of a world's files. Checks each item by itself, not what it refers to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from daydream_motives.characters.relationships import Relationship
from daydream_motives.characters.sheet import (
    ClockTime,
    Extensions,
    Fraction,
    Identifier,
    Name,
    Strict,
    Text,
)


class ClockSettings(Strict):
    """When the story begins and how long a tick is."""

    start: datetime = datetime(2024, 6, 14, 6, 0)
    minutes_per_tick: Annotated[int, Field(ge=1, le=1440)] = 15

    @field_validator("start")
    @classmethod
    def _leaves_room(cls, value: datetime) -> datetime:
        if not 2 <= value.year <= 9000:
            raise ValueError("a year from 2 to 9000")
        return value


class Place(Strict):
    """Somewhere to be. `connects` gives walking minutes, and counts in both directions."""

    name: Name
    aliases: tuple[Name, ...] = ()
    description: Text = ""
    connects: dict[Identifier, Annotated[int, Field(ge=1, le=1440)]] = Field(default_factory=dict)
    restores: Annotated[
        dict[Identifier, Fraction], Field(description="need -> regained per hour spent here")
    ] = Field(default_factory=dict)
    things: Annotated[tuple[Name, ...], Field(description="what can be used or named here")] = ()
    open: Annotated[
        tuple[ClockTime, ClockTime] | None, Field(description="from, until; always if absent")
    ] = None
    extensions: Extensions = Field(default_factory=dict)


class LoreNote(Strict):
    """Something true of the world, told to those in scope when one of its keys comes up."""

    id: Identifier
    text: Annotated[Text, Field(min_length=1)]
    keys: tuple[Text, ...] = ()
    known_to: Annotated[
        Literal["everyone"] | tuple[Identifier, ...],
        Field(description="everyone, or ids of people and factions"),
    ] = "everyone"
    priority: Annotated[int, Field(ge=0, le=10)] = 5


class WorldEvent(Strict):
    """Something that happens: once `at` a time, or at random with `chance_per_day`."""

    id: Identifier
    text: Annotated[Text, Field(min_length=1, description="one sentence, as witnesses see it")]
    place: Annotated[Identifier | None, Field(description="where; everywhere if absent")] = None
    who: Annotated[tuple[Identifier, ...], Field(description="whom it concerns in person")] = ()
    at: datetime | None = None
    chance_per_day: Annotated[float | None, Field(gt=0, le=24)] = None
    between: tuple[ClockTime, ClockTime] = ("08:00", "20:00")
    interrupts: Annotated[bool, Field(description="witnesses stop and think again")] = True
    needs: Annotated[
        dict[Identifier, Annotated[float, Field(ge=-1, le=1)]],
        Field(description="need -> change for those concerned"),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _once_or_random(self) -> WorldEvent:
        if (self.at is None) == (self.chance_per_day is None):
            raise ValueError("either 'at' (once) or 'chance_per_day' (at random)")
        return self


class RelationshipEntry(Relationship):
    """One line of relationships.yaml; `mutual` adds the way back with the inverse kinds."""

    from_: Annotated[Identifier, Field(alias="from")]
    to: Identifier
    mutual: bool = False


class WorldFile(Strict):
    schema_version: Literal[1] = 1
    name: Name
    description: Text = ""
    clock: ClockSettings = ClockSettings()
    relationship_kinds: tuple[Identifier, ...] = ()
    extensions: Extensions = Field(default_factory=dict)
