"""Can whoever merely matches words tell whose answer is whose? A test of the data, not of a model.

TF-IDF (scikit-learn; words, sublinear counts, fitted on every context and answer of the book), and
the answer whose three purposes are closest to the context by cosine is chosen. Equal answers share
the choice. Good data leaves this near chance within contrast sets, names masked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daydream_motives.characters.person import Person
from daydream_motives.errors import DaydreamError
from daydream_motives.training.dataset.pairs import ContrastSet, Pair, contrast_sets

OTHERS = 5
_DRAWS = 2_000
_WORD = re.compile(r"[^\W\d_]+")
_PRONOUNS = frozenset(
    "she her hers herself he him his himself they them their theirs themselves it its".split()
)
Mask = Callable[[Pair, str], str]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the right answer was chosen, with the middle 95% of a bootstrap by set."""

    name: str
    sets: int
    pairs: int
    accuracy: float
    chance: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether chance lies in the interval, or above it."""
        return self.low <= self.chance


@dataclass(frozen=True, slots=True)
class Giveaway:
    """A contrast set that word overlap solves: by how much, and the words that do it."""

    label: str
    place: str
    margin: float
    words: tuple[tuple[str, tuple[str, ...]], ...]


def unmasked(pair: Pair, text: str) -> str:  # noqa: ARG001 - one of the masks
    """The text as it is."""
    return text


def without_names(pair: Pair, text: str) -> str:
    """The text without any word of any name of the scene's people."""
    gone = {
        word.casefold()
        for id, person in pair.scene.people.items()
        for name in Person.of(id, person).names
        for word in _WORD.findall(name)
    }
    return " ".join(word for word in _WORD.findall(text) if word.casefold() not in gone)


def without_pronouns(pair: Pair, text: str) -> str:
    """The text without names and without words that only tell a woman from a man."""
    words = without_names(pair, text).split()
    return " ".join(word for word in words if word.casefold() not in _PRONOUNS)


MASKS: tuple[tuple[str, Mask], ...] = (
    ("names masked", without_names),
    ("names and pronouns masked", without_pronouns),
    ("nothing masked", unmasked),
)


class Overlap:
    """Similarities of contexts to answers over the whole book, under one mask."""

    def __init__(self, pairs: Sequence[Pair], mask: Mask) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError:
            raise DaydreamError(
                "the shortcut test needs scikit-learn",
                remedy="pip install 'daydream-motives[training]'",
            ) from None
        told = [mask(pair, pair.context.text) for pair in pairs]
        wanted = [mask(pair, " ".join(pair.record.purposes)) for pair in pairs]
        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106
        vectorizer.fit([*told, *wanted])
        self._words: Any = vectorizer.get_feature_names_out()
        self._told: Any = vectorizer.transform(told)
        self._wanted: Any = vectorizer.transform(wanted)
        self._at = {id(pair): index for index, pair in enumerate(pairs)}

    def scores(self, pair: Pair, answers: Sequence[Pair]) -> list[float]:
        """The cosine of the pair's context to each answer."""
        row = self._told[self._at[id(pair)]]
        rows = self._wanted[[self._at[id(answer)] for answer in answers]]
        return [float(score) for score in (rows @ row.T).toarray()[:, 0]]

    def words(self, pair: Pair, rivals: Sequence[Pair], most: int = 5) -> tuple[str, ...]:
        """What speaks most for the pair's own answer against those of its rivals."""
        mine = self._wanted[self._at[id(pair)]].toarray()[0]
        others = self._wanted[[self._at[id(rival)] for rival in rivals]].toarray().max(axis=0)
        gain = (mine - others) * self._told[self._at[id(pair)]].toarray()[0]
        best = np.argsort(-gain, kind="stable")[:most]
        return tuple(str(self._words[i]) for i in best if gain[i] > 0)


def in_sets(pairs: Sequence[Pair], name: str, mask: Mask, sets: Sequence[ContrastSet]) -> Accuracy:
    """Accuracy among the siblings of each set."""
    overlap = Overlap(pairs, mask)
    rows = [
        [
            (_share(overlap.scores(pair, one.pairs), one.pairs.index(pair)), 1 / len(one.pairs))
            for pair in one.pairs
        ]
        for one in sets
    ]
    return _accuracy(name, rows)


def against_others(pairs: Sequence[Pair], mask: Mask, *, seed: int = 0) -> Accuracy:
    """Accuracy of each pair's answer among five of other scenes of the same world."""
    overlap, rng = Overlap(pairs, mask), random.Random(seed)
    rows = []
    for pair in pairs:
        others = [
            p for p in pairs if p.scene.world == pair.scene.world and p.scene.id != pair.scene.id
        ]
        if len(others) >= OTHERS:
            answers = [pair, *rng.sample(others, OTHERS)]
            rows.append([(_share(overlap.scores(pair, answers), 0), 1 / len(answers))])
    return _accuracy(f"against {OTHERS} answers of the same world, names masked", rows)


def shortcuts(pairs: Sequence[Pair]) -> list[Accuracy]:
    """Every line of the shortcut test."""
    sets = contrast_sets(pairs)
    of_people = [one for one in sets if one.of_people]
    changed = [one for one in sets if not one.of_people]
    found = [in_sets(pairs, f"all sets, {name}", mask, sets) for name, mask in MASKS]
    for kind, some in (("people", of_people), ("one thing changed", changed)):
        found.append(in_sets(pairs, f"sets of {kind}, names masked", without_names, some))
    return [*found, against_others(pairs, without_names)]


def giveaways(pairs: Sequence[Pair], mask: Mask = without_names) -> list[Giveaway]:
    """Sets where overlap chooses right for all, by the mean margin over the best sibling."""
    overlap = Overlap(pairs, mask)
    found = []
    for one in contrast_sets(pairs):
        margins, words = [], []
        for index, pair in enumerate(one.pairs):
            scores = overlap.scores(pair, one.pairs)
            rivals = [other for other in one.pairs if other is not pair]
            margins.append(scores[index] - max(s for i, s in enumerate(scores) if i != index))
            words.append((pair.record.key, overlap.words(pair, rivals)))
        if min(margins) > 0:
            first = one.pairs[0].written
            line = first.document.line_of(first.steps_of(one.pairs[0].index))
            place = f"{first.document.file}:{line}"
            found.append(Giveaway(one.label, place, sum(margins) / len(margins), tuple(words)))
    return sorted(found, key=lambda giveaway: (-giveaway.margin, giveaway.label))


def _share(scores: Sequence[float], right: int) -> float:
    """1 where the right one is best alone, its share where several are."""
    best = max(scores)
    winners = [index for index, score in enumerate(scores) if score >= best - 1e-12]
    return 1 / len(winners) if right in winners else 0.0


def _accuracy(name: str, rows: Sequence[Sequence[tuple[float, float]]]) -> Accuracy:
    """Means over pairs; the interval draws whole sets anew, with a seed of its own."""
    if not rows:
        return Accuracy(name, 0, 0, 0.0, 0.0, 0.0, 0.0)
    sums = np.array([sum(right for right, _ in row) for row in rows])
    sizes = np.array([len(row) for row in rows])
    draws = np.random.default_rng(20261121).integers(0, len(rows), (_DRAWS, len(rows)))
    drawn = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    chance = sum(c for row in rows for _, c in row) / int(sizes.sum())
    accuracy = float(sums.sum() / sizes.sum())
    return Accuracy(name, len(rows), int(sizes.sum()), accuracy, chance, float(low), float(high))
