"""Who is where, and what each of them faces: the situations of one moment. Knows no engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from daydream_motives.characters.character import Character
from daydream_motives.characters.sheet import CharacterSheet, RoutineEntry, slug
from daydream_motives.motives.purposes import Decision
from daydream_motives.motives.situation import Entity, Situation, Verb
from daydream_motives.simulation.rules import Action
from daydream_motives.simulation.world import World

# What calls for a thought, and how much: a waiting thought gains 1 an hour.
URGENCY = {"interrupted": 4.0, "woke up": 3.5, "need": 3.0, "finished": 2.0, "arrived": 1.5}
CROWD = 16  # how many of those present are told of
_SLEEP = ("sleep", "sleeping", "asleep")


@dataclass(slots=True)
class Actor:
    """A character in the running world, and why it should think (if it should)."""

    character: Character
    asleep: bool = True
    action: Action | None = None
    decision: Decision | None = None
    calls: dict[str, str] = field(default_factory=dict)  # reason -> what happened
    called: int = 0  # tick of the oldest call
    thought: int = -1000  # tick of the last decision
    way: tuple[str, int] | None = None  # where the routine leads, and the tick of arrival

    def call(self, reason: str, text: str, tick: int) -> None:
        """Something calls for a thought."""
        if not self.calls:
            self.called = tick
        self.calls[reason] = text


class Scene:
    """One moment of a world; looking at one person costs what is around them, not the world."""

    def __init__(self, world: World, actors: Mapping[str, Actor]) -> None:
        self.world, self.actors = world, actors
        self._here: dict[str, list[str]] = defaultdict(list)
        for id, actor in actors.items():
            if not actor.asleep:
                self._here[actor.character.place or ""].append(id)

    def situation(self, actor: Actor, now: datetime, verbs: Sequence[Verb]) -> Situation:
        """What the actor faces, as the rules of the world let it be seen."""
        character, places = actor.character, self.world.places
        here = character.place or next(iter(places))
        order = sorted(actor.calls, key=lambda reason: (-URGENCY[reason], reason))
        return Situation(
            time=now,
            place=self._place(here),
            place_note=places[here].description,
            present=self._present(character, here),
            things=tuple(
                Entity(id=f"{here}.{slug(thing)}", name=thing) for thing in places[here].things
            ),
            nearby=tuple(self._place(id) for id in places[here].connects),
            happened=tuple(actor.calls[reason] for reason in order),
            activity=character.activity,
            verbs=tuple(verbs),
        )

    def _present(self, character: Character, place: str) -> tuple[Entity, ...]:
        """The others who are there; in a crowd those the character has the strongest ties to."""
        others = [id for id in self._here.get(place, ()) if id != character.id]
        if len(others) > CROWD:
            ties = {id: character.relationships.get(character.id, id) for id in others}
            others.sort(key=lambda id: (-tie.strength if (tie := ties[id]) else 0.0, id))
        sheets = {id: self.actors[id].character.sheet for id in others[:CROWD]}
        return tuple(
            Entity(id=id, name=sheet.name, kind="person", aliases=sheet.aliases)
            for id, sheet in sheets.items()
        )

    def _place(self, id: str) -> Entity:
        place = self.world.places[id]
        return Entity(id=id, name=place.name, kind="place", aliases=place.aliases)


def should_sleep(sheet: CharacterSheet, now: datetime) -> bool:
    entry = sheet.routine_at(now)
    return entry is not None and is_sleep(entry)


def is_sleep(entry: RoutineEntry) -> bool:
    """Whether this part of a routine is sleep."""
    return entry.activity.casefold().split(" ")[0] in _SLEEP
