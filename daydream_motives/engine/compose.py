"""From a live character and a situation to the request of one decision. Knows no threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from daydream_motives.characters.lore import Lore
from daydream_motives.characters.relationships import NAMED, Tie
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
_RESERVE_MS = 5.0  # of a deadline, for putting the answer together


def compose(
    character: Character,
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
    character: Character, situation: Situation, ties: Sequence[Tie], about: str
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
        self._counted: tuple[Backend, CountTokens] | None = None

    def __call__(self, backend: Backend | None) -> CountTokens:
        """The counting function of this backend."""
        if backend is None:
            return rough_count
        if self._counted is None or self._counted[0] is not backend:

            def count(text: str) -> int:
                try:
                    return backend.count_tokens(text)
                except DaydreamError:  # closed while a context was being composed
                    return rough_count(text)

            self._counted = (backend, lru_cache(maxsize=8192)(count))
        return self._counted[1]


class Asked:
    """Tells decisions apart that were asked with the same count; holds one entry a character."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}  # id -> its last count, how often it fell
        self._others = 0

    def again(self, id: str, number: int | None, *, count: bool) -> int:
        """How often the character was set back: a game that loads an old save asks again what it
        asked before, and that is another decision. Without a `number` every question is new."""
        if number is None:
            self._others += count
            return self._others
        last, fell = self._last.get(id, (-1, 0))
        if count:
            fell += number <= last
            self._last[id] = (number, fell)
        return fell


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decision under way: its id, what was asked, and what instinct would answer."""

    id: str
    character: str
    situation: Situation
    request: Request
    spare: Sequence[str]
    model: tuple[str, str, str]
    asker: Character | None


def left(start: float, deadline_ms: float | None) -> float | None:
    """Seconds left to wait, at least 0, so that the answer is there by then; None: no limit."""
    if deadline_ms is None:
        return None
    return max(0.0, (deadline_ms - _RESERVE_MS) / 1000 - (time.perf_counter() - start))
