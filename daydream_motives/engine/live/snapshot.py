"""A character at the moment it asks: what the game changes later does not reach its decision.

Costs references, no copies of values: ties, memories and sheets are never changed in place.
Knows no threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING

from daydream_motives.characters.lore import Lore
from daydream_motives.characters.memory import Recalled
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.instinct import instinct
from daydream_motives.motives.purposes import RANKS
from daydream_motives.motives.situation import Entity, Situation

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character

_NEAREST = 6  # ties that instinct looks at


class _Ties(RelationshipGraph):
    """The relationships of one character as they were; whoever else it heard from is known too."""

    def __init__(self, character: Character) -> None:
        graph = character.relationships
        self._of = list(graph.of(character.id))
        heard = {one.source for one in character.memory if one.source}
        ids = heard.union(other for other, _ in self._of)
        self._people = {id: graph.person(id) for id in ids if id in graph}

    def of(self, a: str) -> Iterator[tuple[str, Relationship]]:  # noqa: ARG002 - it is of one
        return iter(self._of)

    def person(self, id: str) -> Person:
        return self._people[id]

    def __contains__(self, id: str) -> bool:
        return id in self._people


class Snapshot:
    """All that composing a context and acting on instinct need of one character.

    `asker` is the character itself, to be told what it wanted; nothing is read from it later.
    """

    __slots__ = (
        "asker", "count", "id", "lately", "lore", "memory", "mood", "needs", "relationships",
        "sheet", "situation",
    )  # fmt: skip

    def __init__(
        self, character: Character, situation: Situation | None, lore: Lore | None = None
    ) -> None:
        self.asker = character
        self.id = character.id
        self.sheet = character.sheet
        self.situation = situation or Situation(activity=character.activity)
        self.needs = dict(character.needs)
        self.mood = character.mood
        self.memory = character.memory.copy()
        self.relationships = _Ties(character)
        self.lately = tuple(character.lately)
        self.count = character.decisions
        self.lore = lore

    def recalled(
        self,
        now: datetime | None = None,
        *,
        about: str = "",
        people: AbstractSet[str] = frozenset(),
        place: str | None = None,
    ) -> list[Recalled]:
        """See Character.recalled."""
        name = self.sheet.name
        return self.memory.recall(now, about=about, ignoring=name, people=people, place=place)

    def in_haste(self) -> tuple[MotiveContext, list[str]]:
        """What instinct would answer, and the least context with it: for requests whose moment
        passed before anyone had the time to compose one."""
        situation = self.situation
        ties = self.relationships.who_matters(
            self.id,
            present=[entity.id for entity in situation.present],
            now=situation.time,
            limit=_NEAREST,
        )
        spare = instinct(self.sheet, situation, needs=self.needs, ties=ties, limit=RANKS)
        said = "\n".join(spare)
        around = [*situation.present, *situation.things, *situation.nearby]
        named = {entity.id: entity for entity in around if entity.name in said}
        for person in (tie.person for tie in ties):
            if person.id not in named and person.name in said:
                named[person.id] = Entity(id=person.id, name=person.name, kind="person")
        happened = " ".join(situation.happened)
        context = MotiveContext(
            self.sheet.name, "", happened, "", tuple(named.values()), situation.verbs
        )
        return context, spare
