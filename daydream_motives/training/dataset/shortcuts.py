"""Can whoever merely matches words tell whose answer is whose? A test of the data, not of a model.

TF-IDF (scikit-learn; words, sublinear counts, fitted on every context and answer of the book), and
the answer whose three purposes are closest to the context by cosine is chosen. Equal answers share
the choice. Good data leaves this near chance within contrast sets, names masked.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
Vectors = NDArray[np.float64]


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
    """A contrast set that word overlap solves: what share of it, by how much, by which words."""

    label: str
    place: str
    solved: float
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
        self._cosines: Vectors = (self._told @ self._wanted.T).toarray()
        self._at = {id(pair): index for index, pair in enumerate(pairs)}

    def scores(self, asked: Sequence[Pair], answers: Sequence[Pair]) -> Vectors:
        """The cosine of each pair's context (rows) to each answer (columns)."""
        rows, columns = ([self._at[id(pair)] for pair in some] for some in (asked, answers))
        return self._cosines[np.ix_(rows, columns)]

    def words(self, pair: Pair, rivals: Sequence[Pair], most: int = 5) -> tuple[str, ...]:
        """What speaks most for the pair's own answer against those of its rivals."""
        mine = self._wanted[self._at[id(pair)]].toarray()[0]
        others = self._wanted[[self._at[id(rival)] for rival in rivals]].toarray().max(axis=0)
        gain = (mine - others) * self._told[self._at[id(pair)]].toarray()[0]
        best = np.argsort(-gain, kind="stable")[:most]
        return tuple(str(self._words[i]) for i in best if gain[i] > 0)


def in_sets(overlap: Overlap, name: str, sets: Sequence[ContrastSet]) -> Accuracy:
    """Accuracy among the siblings of each set."""
    rows = []
    for one in sets:
        scores = overlap.scores(one.pairs, one.pairs)
        rows.append([(_share(row, i), 1 / len(one.pairs)) for i, row in enumerate(scores)])
    return _accuracy(name, rows)


def against_others(overlap: Overlap, pairs: Sequence[Pair], *, seed: int = 0) -> Accuracy:
    """Accuracy of each pair's answer among five of other scenes of the same world."""
    rng, worlds = random.Random(seed), defaultdict[str, list[Pair]](list)
    for pair in pairs:
        worlds[pair.scene.world].append(pair)
    rows = []
    for pair in pairs:
        others = [p for p in worlds[pair.scene.world] if p.scene.id != pair.scene.id]
        if len(others) >= OTHERS:
            answers = [pair, *rng.sample(others, OTHERS)]
            rows.append([(_share(overlap.scores([pair], answers)[0], 0), 1 / len(answers))])
    return _accuracy(f"against {OTHERS} answers of the same world, names masked", rows)


def shortcuts(pairs: Sequence[Pair]) -> list[Accuracy]:
    """Every line of the shortcut test; the first is the one that counts. None without pairs."""
    if not pairs:
        return []
    sets = contrast_sets(pairs)
    overlaps = [(name, Overlap(pairs, mask)) for name, mask in MASKS]
    found = [in_sets(overlap, f"all sets, {name}", sets) for name, overlap in overlaps]
    masked = overlaps[0][1]
    for kind, wanted in (("people", True), ("one thing changed", False)):
        some = [one for one in sets if one.of_people is wanted]
        found.append(in_sets(masked, f"sets of {kind}, names masked", some))
    return [*found, against_others(masked, pairs)]


def giveaways(overlap: Overlap, sets: Sequence[ContrastSet]) -> list[Giveaway]:
    """Sets that overlap does better in than chance, which gets one of each right; worst first."""
    found = []
    for one in sets:
        scores = overlap.scores(one.pairs, one.pairs)
        own = scores.diagonal().copy()
        np.fill_diagonal(scores, -1)
        margins = own - scores.max(axis=1)
        solved = [pair for pair, margin in zip(one.pairs, margins, strict=True) if margin > 0]
        if len(solved) > 1:
            first = solved[0].written
            line = first.document.line_of(first.steps_of(solved[0].index))
            words = tuple(
                (pair.record.key, overlap.words(pair, [p for p in one.pairs if p is not pair]))
                for pair in solved
            )
            share, gain = len(solved) / len(one.pairs), float(margins[margins > 0].sum())
            place = f"{first.document.file}:{line}"
            found.append(Giveaway(one.label, place, share, gain, words))
    return sorted(found, key=lambda giveaway: (-giveaway.margin, giveaway.label))


def _share(scores: Vectors, right: int) -> float:
    """1 where the right one is best alone, its share where several are."""
    winners = np.flatnonzero(scores >= scores.max() - 1e-12)
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
