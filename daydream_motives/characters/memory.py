"""What a character lived through or was told, and what of it comes to mind. Knows no models.

Recall: score = recency * importance * relevance, each in [0, 1].
- recency halves every 1 + 13 * importance² in-world days (one day for trifles, a fortnight for what
  matters most), and slower for what happened often;
- relevance joins hints (noisy or): BM25 of the words (Robertson and Zaragoza, 2009) against what
  goes on, as s / (s + 4), smoothed by ten memories without the word; 0.5 where someone who was
  part of it is here or is spoken of; 0.15 more for the same place, which alone brings nothing up.
  What is younger than three hours is on the mind anyway (0.5).
What scores under 0.05 does not come to mind.

Forgetting: what comes again in the same words, but for numbers, at the same place with the same
people is one memory that counts its times. A memory holds 128; one more, and the sixteen faintest
(importance * recency) are let go. Only hearsay may be wrong: see `misheard`.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from pydantic import Field, TypeAdapter

from daydream_motives.characters.person import mentions
from daydream_motives.characters.sheet import Fraction, Strict, Text, clean_text
from daydream_motives.characters.words import UNSPACED, words_of

CAPACITY = 128
LIMIT = 8
FAINT = 0.05
_LET_GO = 16
_LONGEST = 500  # characters of one memory
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_FRESH = 3 * _HOUR
_NO_TIME = timedelta(0)
_K1, _B = 1.2, 0.75
_SMOOTHING = 10
_NEWS = 0.55  # what matters less is not told on
_HEARSAY = 0.85  # what is told matters this much of what was lived through
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Lived:
    """One thing lived through or heard of; `importance` in [0, 1], `at` in-world.

    `place` and `who` (the others in it) are ids. `source` is the id of whoever told it, empty for
    what was lived through; `tellings` counts the mouths it went through; `altered` says that it
    was changed on the way, which the character does not know. `origin` is the same for every
    telling of one thing.
    """

    text: str
    at: datetime | None = None
    importance: float = 0.5
    place: str | None = None
    who: tuple[str, ...] = ()
    times: int = 1
    source: str = ""
    tellings: int = 0
    altered: bool = False
    origin: int = 0
    pattern: int = field(default=0, compare=False)
    words: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.who, str) or not isinstance(self.at, datetime | None):
            raise TypeError("'who' is a tuple of ids, and 'at' an in-world datetime or None")
        text = clean_text(self.text)[:_LONGEST].rstrip()
        words = tuple(map(sys.intern, words_of(text)))
        who = sorted(self.who)
        plain = f"{_NUMBER.sub('', text).casefold()}|{self.place}|{who}|{self.source}"
        for name, value in (
            ("text", text), ("importance", min(1.0, max(0.0, self.importance))),
            ("times", max(1, self.times)), ("words", words), ("pattern", _fingerprint(plain)),
            ("origin", self.origin or _fingerprint(f"{text}|{self.at}")),
        ):  # fmt: skip
            object.__setattr__(self, name, value)


class _Saved(Strict):
    """A memory as a save holds it."""

    text: Text
    at: datetime | None = None
    importance: Fraction = 0.5
    place: Text | None = None
    who: tuple[Text, ...] = ()
    times: int = Field(default=1, ge=1)
    source: Text = ""
    tellings: int = Field(default=0, ge=0)
    altered: bool = False
    origin: int = 0


SavedMemories = tuple[_Saved, ...]
_TIME: TypeAdapter[datetime | None] = TypeAdapter(datetime | None)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Something that comes to mind: how strongly, in [0, 1], and why."""

    lived: Lived
    score: float
    reasons: tuple[str, ...] = ()


class Memory:
    """What one character remembers, oldest first; bounded, see the module."""

    def __init__(self, lived: Iterable[Lived] = (), *, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"a memory cannot hold {capacity}")
        self.capacity = capacity
        self._lived: list[Lived] = []
        for one in lived:
            self.add(one)

    def __len__(self) -> int:
        return len(self._lived)

    def __iter__(self) -> Iterator[Lived]:
        return iter(self._lived)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and self._lived == other._lived

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> Memory:
        """A memory of its own of the same things; costs references."""
        twin = Memory(capacity=self.capacity)
        twin._lived = list(self._lived)
        return twin

    def add(self, lived: Lived) -> None:
        """Keep it; what happened so before is counted on, and the faintest may be let go."""
        for index, old in enumerate(self._lived):
            if old.pattern == lived.pattern and old.altered == lived.altered:
                del self._lived[index]
                lived = replace(
                    lived, times=old.times + lived.times, origin=old.origin,
                    importance=max(old.importance, lived.importance),
                )  # fmt: skip
                break
        self._lived.append(lived)
        if len(self._lived) > self.capacity:
            self._forget()

    def _forget(self) -> None:
        """Let the faintest go, but never what came last."""
        *old, last = self._lived
        # By the latest time reached: after a clock set back, what comes now is not old by that.
        hands = (_hands(one.at) if one.at else datetime.min for one in self._lived)
        *reached, now = accumulate(hands, max)
        ages = [now - time if one.at else _NO_TIME for one, time in zip(old, reached, strict=True)]
        faintest = sorted(
            range(len(old)), key=lambda i: (old[i].importance * _recency(old[i], ages[i]), i)
        )
        too_many = len(self._lived) - self.capacity
        gone = set(faintest[: max(too_many, min(_LET_GO, self.capacity // 8))])
        self._lived = [one for i, one in enumerate(old) if i not in gone] + [last]

    def recall(
        self,
        now: datetime | None = None,
        *,
        about: str = "",
        ignoring: str = "",
        people: AbstractSet[str] = frozenset(),
        place: str | None = None,
        limit: int = LIMIT,
    ) -> list[Recalled]:
        """What comes to mind, strongest first.

        `about` is what goes on; the words of `ignoring` (the character's own name) do not count.
        `people` are ids of those present or spoken of. Without a time nothing fades; a time before
        a memory's own (a clock set back) counts as the same moment.
        """
        matches = self._bm25(frozenset(words_of(about)) - frozenset(words_of(ignoring)))
        hands = _hands(now) if now else None
        found = []
        for index, (lived, match) in enumerate(zip(self._lived, matches, strict=True)):
            touched = match / (match + 4)
            age = max(_NO_TIME, hands - _hands(lived.at)) if hands and lived.at else _NO_TIME
            known = lived.source in people or not people.isdisjoint(lived.who)
            fresh = hands is not None and lived.at is not None and age <= _FRESH
            if not (touched >= 0.2 or known or fresh):
                continue
            hints, reasons = [touched], []
            if touched >= 0.2:
                reasons.append("the words touch it")
            if known:
                hints.append(0.5)
                reasons.append("someone in it is here or spoken of")
            if place is not None and lived.place == place:
                hints.append(0.15)
            if fresh:
                hints.append(0.5)
                reasons.append("fresh")
            relevance = 1 - math.prod(1 - hint for hint in hints)
            score = _recency(lived, age) * lived.importance * relevance
            if score >= FAINT:
                found.append((-score, -index, Recalled(lived, round(score, 6), tuple(reasons))))
        found.sort(key=lambda item: item[:2])
        return [recalled for _, _, recalled in found[:limit]]

    def _bm25(self, query: frozenset[str]) -> list[float]:
        """BM25 of each memory against the query, this memory being the collection."""
        count = len(self._lived)
        if not query or not count:
            return [0.0] * count
        average = sum(len(one.words) for one in self._lived) / count or 1.0
        found = [
            () if query.isdisjoint(one.words) else [word for word in one.words if word in query]
            for one in self._lived
        ]
        holding = Counter(word for words in found for word in set(words))
        rarity = {
            w: math.log(1 + (count + _SMOOTHING - n + 0.5) / (n + 0.5)) for w, n in holding.items()
        }
        scores = []
        for one, words in zip(self._lived, found, strict=True):
            if not words:
                scores.append(0.0)
                continue
            norm = _K1 * (1 - _B + _B * len(one.words) / average)
            often = [(w, words.count(w)) for w in dict.fromkeys(words)]
            scores.append(sum(rarity[w] * n * (_K1 + 1) / (n + norm) for w, n in often))
        return scores

    def worth_telling(
        self, listener: Memory, listener_id: str, now: datetime | None
    ) -> Lived | None:
        """The weightiest thing that the listener neither knows nor was part of, if any."""
        known = {one.origin for one in listener}
        tellable = [
            (one.importance * _recency(one, _age(one, now)), -index, one)
            for index, one in enumerate(self._lived)
            if one.importance >= _NEWS
            and one.origin not in known
            and listener_id not in one.who
            and one.source != listener_id
        ]
        best = max(tellable, key=lambda item: item[:2], default=None)
        return best[2] if best and best[0] >= FAINT else None

    def hear(self, told: Lived, teller: str, *, at: datetime | None) -> Lived:
        """Keep what `teller` tells: it matters less than what is lived through."""
        # Whoever lived through it is in it: it need not be told to them again.
        who = told.who if told.tellings or teller in told.who else (*told.who, teller)
        heard = replace(
            told, at=at, importance=round(told.importance * _HEARSAY, 6), who=who, times=1,
            source=teller, tellings=told.tellings + 1,
        )  # fmt: skip
        self.add(heard)
        return heard

    def to_data(self) -> list[dict[str, Any]]:
        """Plain data for a save; defaults are left out."""
        return [_data(one) for one in self._lived]

    @classmethod
    def from_saved(cls, saved: SavedMemories, *, capacity: int = CAPACITY) -> Memory:
        """The memory of a checked save, in the same order, the faintest gone if it is too long."""
        memory = cls(capacity=capacity)
        memory._lived = [
            Lived(
                one.text, one.at, one.importance, one.place, one.who, one.times, one.source,
                one.tellings, one.altered, one.origin,
            )
            for one in saved
        ]  # fmt: skip
        if len(memory._lived) > memory.capacity:
            memory._forget()
        return memory


def misheard(
    told: Lived,
    people: Sequence[tuple[str, tuple[str, ...]]],
    rng: random.Random,
    *,
    chance: float = 0.1,
) -> Lived:
    """The story, by `chance` with one person taken for another of `people` (id, names)."""
    rng = random.Random(rng.random())  # one number each: one story does not shift another
    if rng.random() >= chance:
        return told
    named = [any(mentions(told.text, name) for name in names) for _, names in people]
    inside = [one for one, there in zip(people, named, strict=True) if there]
    others = [one for one, there in zip(people, named, strict=True) if not there]
    if not inside or not others:
        return told
    (wrong, names), (right, others_names) = rng.choice(inside), rng.choice(others)
    called = "|".join(map(_as_words, sorted(names, key=len, reverse=True)))
    text = re.sub(called, lambda _: others_names[0], told.text, flags=re.IGNORECASE)
    who = tuple(dict.fromkeys(right if id == wrong else id for id in told.who))
    return replace(told, text=text, who=who, altered=True)


def _as_words(name: str) -> str:
    """A pattern for the name where it stands as words, as `mentions` finds it."""
    spaced = not UNSPACED.search(name)
    return rf"(?<!\w){re.escape(name)}(?!\w)" if spaced else re.escape(name)


def _fingerprint(text: str) -> int:
    """The same number for the same text on any machine; 48 bits, which JSON readers keep exact."""
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=6).digest()
    return int.from_bytes(digest, "big")


def _data(one: Lived) -> dict[str, Any]:
    """One memory as a save holds it; written out, for a big world has millions."""
    data: dict[str, Any] = {"text": one.text, "importance": one.importance, "origin": one.origin}
    if one.at:  # zones in whole minutes, as they are read again
        zoned = one.at.tzinfo is not None
        data["at"] = _TIME.dump_python(one.at, mode="json") if zoned else one.at.isoformat()
    if one.place is not None:
        data["place"] = one.place
    if one.who:
        data["who"] = list(one.who)
    if one.times > 1:
        data["times"] = one.times
    if one.source:
        data["source"] = one.source
    if one.tellings:
        data["tellings"] = one.tellings
    if one.altered:
        data["altered"] = True
    return data


def _hands(time: datetime) -> datetime:
    """In-world times are compared by their hands, with or without a zone."""
    return time.replace(tzinfo=None) if time.tzinfo else time


def _age(lived: Lived, now: datetime | None) -> timedelta:
    """Nothing where no time is known, and where the clock was set back since."""
    if now is None or lived.at is None:
        return _NO_TIME
    return max(_NO_TIME, _hands(now) - _hands(lived.at))


def _recency(lived: Lived, age: timedelta) -> float:
    """In [0, 1]; 1 for what is of this moment."""
    half_life = (1 + 13 * lived.importance**2) * (1 + math.log2(lived.times)) * _DAY
    return float(0.5 ** (age / half_life))
