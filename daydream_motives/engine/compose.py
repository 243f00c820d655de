"""From a character, or a snapshot of one, and a situation to the request of one decision.

Knows no threads and no clock.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from daydream_motives.characters.lore import Lore
from daydream_motives.characters.memory import Recalled
from daydream_motives.characters.relationships import NAMED, RelationshipGraph, Tie
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.engine.backend import Backend, Request
from daydream_motives.errors import DaydreamError
from daydream_motives.motives.budget import CountTokens, rough_count
from daydream_motives.motives.context import MotiveContext, Recollection, build_context, touched
from daydream_motives.motives.instinct import instinct
from daydream_motives.motives.prose import recollection
from daydream_motives.motives.situation import Situation

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character

TIES = 12
Identity = tuple[str, str, str]
NOBODY: Identity = ("", "", "")
Question = tuple[object, ...]


class Told(Protocol):
    """Whoever is told something before a decision: a Character, or a Snapshot of one."""

    @property
    def id(self) -> str: ...
    @property
    def sheet(self) -> CharacterSheet: ...
    @property
    def needs(self) -> Mapping[str, float]: ...
    @property
    def mood(self) -> str: ...
    @property
    def relationships(self) -> RelationshipGraph: ...
    def recalled(
        self,
        now: datetime | None = None,
        *,
        about: str = "",
        people: AbstractSet[str] = frozenset(),
        place: str | None = None,
    ) -> list[Recalled]: ...


def compose(
    character: Told,
    situation: Situation,
    *,
    count_tokens: CountTokens,
    budget: int,
    lore: Lore | None = None,
) -> tuple[MotiveContext, list[str]]:
    """What the character is told, and what instinct would answer.

    Costs what the character itself holds (its ties, its memory) and what is around it, whatever
    the size of the world.
    """
    ties = character.relationships.who_matters(
        character.id,
        present=[entity.id for entity in situation.present],
        now=situation.time,
        text=" ".join((*situation.happened, situation.activity)),
        limit=TIES,
    )
    needs, about = dict(character.needs), touched(situation, ties)
    context = build_context(
        character.sheet,
        situation,
        count_tokens=count_tokens,
        budget=budget,
        needs=needs,
        mood=character.mood,
        ties=ties,
        recollections=_recollections(character, situation, ties, about),
        lore=lore.recall(character.id, about, factions=character.sheet.factions) if lore else (),
    )
    return context, instinct(character.sheet, situation, needs=needs, ties=ties)


def _recollections(
    character: Told, situation: Situation, ties: Sequence[Tie], about: str
) -> list[Recollection]:
    """What comes to the character's mind, in words."""
    here = {entity.id for entity in situation.present}
    recalled = character.recalled(
        situation.time,
        about=about,
        people=here.union(tie.person.id for tie in ties if NAMED in tie.reasons),
        place=situation.place.id if situation.place else None,
    )
    found = []
    for one in recalled:
        lived, source = one.lived, one.lived.source
        if source and source in character.relationships:
            source = character.relationships.person(source).name
        text = recollection(
            lived.text, at=lived.at, now=situation.time, times=lived.times, source=source,
            tellings=lived.tellings,
        )  # fmt: skip
        found.append(Recollection(text, min(1.0, one.score**0.5), ", ".join(one.reasons)))
    return found


class TokenCounter:
    """Counts tokens, each piece of text once; a rough guess while there is no tokenizer."""

    def __init__(self) -> None:
        self._counted: tuple[Backend, Identity, CountTokens] | None = None

    def __call__(self, backend: Backend | None) -> CountTokens:
        """The counting function of this backend."""
        if backend is None:
            return rough_count
        counted, model = self._counted, identity(backend)  # it may have changed its model
        if counted is None or counted[0] is not backend or counted[1] != model:
            exact = lru_cache(maxsize=8192)(backend.count_tokens)

            def count(text: str) -> int:
                try:
                    return exact(text)
                except DaydreamError:  # closed while a context was being composed
                    return rough_count(text)

            self._counted = counted = (backend, model, count)
        return counted[2]


class Asked:
    """Tells decisions apart that were asked with the same count; holds one entry a character."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}  # id -> its last count, how often it fell
        self._others = 0
        self._fallen = 0  # more than anyone's that is forgotten: no id comes twice

    def again(self, id: str, number: int | None, *, count: bool) -> int:
        """How often the character was set back: a game that loads an old save asks again what it
        asked before, and that is another decision. Without a `number` every question is new."""
        if number is None:
            self._others += count
            return self._others
        last, fell = self._last.get(id, (-1, self._fallen))
        if count:
            fell += number <= last
            self._last[id] = (number, fell)
        return fell

    def forget(self, id: str) -> None:
        """Keep nothing of this character."""
        if found := self._last.pop(id, None):
            self._fallen = max(self._fallen, found[1] + 1)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decision under way: its id, what was asked, and what instinct would answer."""

    id: str
    character: str
    situation: Situation
    request: Request
    spare: Sequence[str]
    model: Identity
    asker: Character | None

    @property
    def question(self) -> Question:
        """Everything that the answer depends on, but for the model and chance."""
        request, context = self.request, self.request.context
        return (
            context.name, context.description, context.context, context.background,
            request.short_name, request.subject, request.lately,
            tuple((e.id, e.kind, e.name, e.aliases) for e in context.entities),
            tuple((v.name, v.words) for v in context.verbs),
        )  # fmt: skip


def identity(backend: Backend | None) -> Identity:
    """Name, hash and adapter hash of the model that a backend runs."""
    return (backend.model, backend.model_hash, backend.adapter_hash) if backend else NOBODY


def seed_of(key: str) -> int:
    """The seed of all chance in a decision, by its key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def id_of(namespace: str, key: str, again: int) -> str:
    """The id of a decision; `again` tells apart what was asked with the same key."""
    name = f"{namespace}:{key}" + (f":{again}" if again else "")
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
