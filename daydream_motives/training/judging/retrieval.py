"""Is an answer closer to its own right answer than to those of others? Asked of embeddings.

Each question has a pool: its right answer, those of other decisions of its scene (siblings), and
others, of the same world for choice, until there are ten; or the candidates that its file gives. An
answer is the mean of its purposes' vectors. Names are masked everywhere, for a name alone tells
whose answer it is. Equal scores share a place. Knows no models but the function passed in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import DaydreamError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.names import (
    ANYWHERE,
    STARTERS,
    WORD,
    begins_sentence,
    capital_words,
)
from daydream_motives.motives.purposes import RANKS
from daydream_motives.training.dataset.similarity import Embed
from daydream_motives.training.judging.questions import Question, positions

POOL = 10
HITS = (1, 3)
Row = tuple[float, float]
Array = NDArray[np.float64]
Scores = Callable[[int, "Pool"], Array]  # of a question (by position) with each answer of a pool
_SOMEONE = "someone"
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_OWN = re.compile(r"['’]s$")
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Pool:
    """Answers to choose from, each as its texts; the right one is at `right`."""

    answers: tuple[tuple[str, ...], ...]
    right: int = 0

    @property
    def firsts(self) -> Pool:
        """The same of each answer's first purpose alone."""
        return Pool(tuple(answer[:1] for answer in self.answers), self.right)


def pools(questions: Sequence[Question], rng: random.Random, most: int = POOL) -> list[Pool | None]:
    """The pool of each question; None where there is nothing to choose from."""
    together = positions(questions)
    found: list[Pool | None] = []
    for index, question in enumerate(questions):
        if question.candidates:
            answers = tuple((text,) for text in question.candidates)
            found.append(Pool(answers, question.right))
            continue
        gold = dict.fromkeys([question.gold])
        same = [questions[i].gold for i in together[question.scene] if i != index]
        others = [q for q in questions if q.scene != question.scene]
        near = [q.gold for q in others if q.world == question.world]
        far = [q.gold for q in others if q.world != question.world]
        for some in (same, near, far):
            new = [answer for answer in dict.fromkeys(some) if answer not in gold]
            room = max(0, most - len(gold))
            gold |= dict.fromkeys(rng.sample(new, min(room, len(new))))
        found.append(Pool(tuple(gold)) if len(gold) > 1 else None)
    return found


class Mask:
    """Takes names out of texts: words with a capital inside a sentence, and all of characters."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.names: set[str] = set()
        for question in questions:
            self.names.update(capital_words(question.fields[FIELDS[0]]))
            for text in (*question.fields.values(), *question.gold, *question.candidates):
                self.names |= _inside(text)
        self.names = {_OWN.sub("", name) for name in self.names} - ANYWHERE - STARTERS

    def __call__(self, text: str, instead: str = _SOMEONE) -> str:
        """The text with `instead` for each name, or for each run of them."""
        names = self.names | _inside(text)

        def masked(match: re.Match[str]) -> str:
            word = match.group()
            stem = _OWN.sub("", word)
            known = stem in names and stem not in ANYWHERE and stem not in STARTERS
            return instead + word[len(stem) :] if known else word

        text = WORD.sub(masked, text)
        return re.sub(rf"\b{instead}(?: {instead}\b)+", instead, text) if instead else text


def _inside(text: str) -> set[str]:
    """Words with a capital that do not begin a sentence."""
    return {
        _OWN.sub("", match.group())
        for match in WORD.finditer(text)
        if match.group()[0].isupper()
        and not begins_sentence(text[: match.start()])
        and not re.match(r"I(?:['’]\w+)?$", match.group())
    }


class Meaning:
    """Vectors of texts with names masked, each text embedded once."""

    def __init__(self, embed: Embed, mask: Mask) -> None:
        self._embed, self._mask = embed, mask
        self._known: dict[str, Array] = {}

    def learn(self, texts: Sequence[str]) -> None:
        """Embed these together, which is faster than one by one."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = self._embed([self._mask(text) for text in new]).astype(np.float64)
            self._known |= dict(zip(new, vectors, strict=True))

    def each(self, texts: Sequence[str]) -> Array:
        """A unit vector for each text, shape (texts, dimensions)."""
        self.learn(texts)
        return np.stack([self._known[text] for text in texts])

    def of(self, texts: Sequence[str]) -> Array | None:
        """The mean of the vectors, of length 1; None of nothing."""
        said = [text for text in texts if text.strip()]
        if not said:
            return None
        mean = self.each(said).mean(axis=0)
        length = float(np.linalg.norm(mean))
        return mean / length if length else None

    def scores(self, answers: Sequence[Sequence[str]]) -> Scores:
        """The cosine of each question's answer with those of its pool; all the same without one."""
        self.learn([text for answer in answers for text in answer if text.strip()])

        def score(index: int, pool: Pool) -> Array:
            mine = self.of(answers[index])
            if mine is None:
                return np.zeros(len(pool.answers))
            theirs = [self.of(answer) for answer in pool.answers]
            return np.array([0.0 if other is None else float(mine @ other) for other in theirs])

        return score

    def within(self, answers: Sequence[Sequence[str]]) -> list[Row]:
        """Cosines of the purposes of one answer, two by two."""
        self.learn([text for answer in answers for text in answer if text.strip()])
        rows = []
        for answer in answers:
            said = [text for text in answer if text.strip()]
            twos = [float(a @ b) for a, b in combinations(self.each(said), 2)] if said else []
            rows.append((sum(twos), float(len(twos))))
        return rows


def echo(question: Question) -> list[str]:
    """The prompt's own sentences."""
    told = [question.fields[field] for field in FIELDS[1:]]
    return [sentence for text in told for sentence in _SENTENCE.split(text) if sentence.strip()]


def overlap(questions: Sequence[Question], mask: Mask) -> Scores:
    """How many words a prompt shares with each answer: cosines of TF-IDF, names left out.

    Raises DaydreamError without scikit-learn.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise DaydreamError(
            "the word-overlap control needs scikit-learn",
            remedy="pip install 'daydream-motives[training]', or leave it out (--no-embeddings)",
        ) from None

    def written(texts: Sequence[str]) -> str:
        return mask(" ".join(texts), "")

    told = [written(list(question.fields.values())) for question in questions]
    answers = [written(a) for q in questions for a in (q.gold, *((c,) for c in q.candidates))]
    words: Any = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106
    words.fit([*told, *answers])
    prompts: Any = words.transform(told)

    def score(index: int, pool: Pool) -> Array:
        theirs: Any = words.transform([written(answer) for answer in pool.answers])
        return np.asarray((prompts[index] @ theirs.T).toarray()[0], dtype=np.float64)

    return score


def nothing(_index: int, pool: Pool) -> Array:
    """Mere chance."""
    return np.zeros(len(pool.answers))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the right answer comes: behind `better`, together with `level` others."""

    better: int
    level: int

    @staticmethod
    def of(scores: Array, right: int) -> Place:
        above = scores > scores[right] + _SAME
        level = np.abs(scores - scores[right]) <= _SAME
        return Place(int(above.sum()), int(level.sum()) - 1)

    def hit(self, most: int) -> float:
        """The chance to be among the first `most`."""
        return min(max(most - self.better, 0), self.level + 1) / (self.level + 1)

    @property
    def reciprocal(self) -> float:
        """One by the rank, on average over the places shared."""
        ranks = range(self.better + 1, self.better + self.level + 2)
        return sum(1 / rank for rank in ranks) / len(ranks)


def places(every: Sequence[Pool | None], scores: Scores) -> list[Place | None]:
    """The place of each right answer."""
    return [
        Place.of(scores(index, pool), pool.right) if pool else None
        for index, pool in enumerate(every)
    ]


def hits(found: Sequence[Place | None], most: int) -> list[Row]:
    return [(place.hit(most), 1.0) if place else (0.0, 0.0) for place in found]


def reciprocals(found: Sequence[Place | None]) -> list[Row]:
    return [(place.reciprocal, 1.0) if place else (0.0, 0.0) for place in found]


def lift(
    every: Sequence[Pool | None], answers: Sequence[Sequence[str]], meaning: Meaning
) -> list[Row]:
    """How much better the first purpose finds the right answer's first one than the last does."""
    whole = [len(answer) == RANKS and all(t.strip() for t in answer) for answer in answers]
    firsts = [pool.firsts if pool and w else None for pool, w in zip(every, whole, strict=True)]
    first, last = (
        places(firsts, meaning.scores([answer[at : at + 1] for answer in answers]))
        for at in (0, RANKS - 1)
    )
    return [
        (a.reciprocal - c.reciprocal, 1.0) if a and c else (0.0, 0.0)
        for a, c in zip(first, last, strict=True)
    ]


def contrasts(
    questions: Sequence[Question], sets: Sequence[Sequence[int]], scores: Scores
) -> list[Row]:
    """Of the members of contrast sets, those whose answer is closest to their own right one."""
    rows: list[Row] = [(0.0, 0.0)] * len(questions)
    for one in sets:
        answers = tuple(questions[index].gold for index in one)
        for at, index in enumerate(one):
            place = Place.of(scores(index, Pool(answers, at)), at)
            rows[index] = (place.hit(1), 1.0)
    return rows
