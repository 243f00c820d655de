"""From questions and answers to figures with intervals, and to differences. Asks no model.

Embeddings are a function passed in; without one, figures of meaning are left out. The same seed
gives the same pools and draws, so that figures of several models may be held side by side.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from daydream_motives.motives.purposes import RANKS
from daydream_motives.training.dataset.similarity import Embed
from daydream_motives.training.judging import retrieval, texts
from daydream_motives.training.judging.answers import Answers, gold
from daydream_motives.training.judging.intervals import Change, Draws, Figure, Values
from daydream_motives.training.judging.questions import Questions

SCHEMA_VERSION = 1
Table = dict[str, Values]
Figures = dict[str, Figure | None]


def _shape(key: str) -> Change | None:
    return np.exp if key == "perplexity" else None


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's answers, what was summed of each question, and the figures of it."""

    answers: Answers
    table: Mapping[str, Values]
    figures: Figures
    of_gold: Figure | None  # distinct-2 as a share of that of the right answers

    @property
    def name(self) -> str:
        return self.answers.name


class Judge:
    """Judges answers to some questions; the controls are made once for all models."""

    def __init__(self, questions: Questions, rng: random.Random, embed: Embed | None) -> None:
        self.questions = questions
        items = questions.items
        self.pools = retrieval.pools(items, rng)
        self.draws = Draws([question.scene for question in items], rng)
        self._meaning: retrieval.Meaning | None = None
        self.controls: dict[str, Table] = {"gold": self._of_texts(gold(questions))}
        self._whole = all(len(question.gold) == RANKS for question in items)
        if not self._whole:  # one text is no answer of three
            del self.controls["gold"]["valid"]
        if embed:
            mask = retrieval.Mask(items)
            self._meaning = retrieval.Meaning(embed, mask)
            self.controls["gold"] |= self._of_meaning(gold(questions).texts, placed=False)
            echoes = [retrieval.echo(question) for question in items]
            self.controls["echo"] = self._placed(self._meaning.scores(echoes))
            self.controls["overlap"] = self._placed(retrieval.overlap(items, mask))
            self.controls["chance"] = self._placed(retrieval.nothing)
            pooled = [(0.0, float(pool is not None)) for pool in self.pools]
            self.controls["chance"]["rank_lift"] = Values.of(pooled)
        self.beside = {name: self._figures(table) for name, table in self.controls.items()}

    def judge(self, answers: Answers) -> Judged:
        """All figures of a model's answers, which are in the order of the questions."""
        table = self._of_texts(answers)
        if self._meaning:
            table |= self._of_meaning(answers.texts)
        known = self.controls["gold"]["distinct_2"]
        ratio = self.draws.ratio(table["distinct_2"], known) if self._whole else None
        return Judged(answers, table, self._figures(table), ratio)

    def differences(self, mine: Judged, others: Judged) -> Figures:
        """How much each figure of `mine` is above the other's, paired by scene."""
        return {
            key: self.draws.difference(values, others.table[key], _shape(key))
            for key, values in mine.table.items()
            if key in others.table
        }

    def data(self, judged: Judged) -> dict[str, Any]:
        """Everything found of a model, as plain data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": {"name": judged.name, **judged.answers.about},
            "questions": self.questions.summary,
            "figures": plain(judged.figures),
            "distinct_2_of_gold": _row(judged.of_gold),
            "controls": {name: plain(figures) for name, figures in self.beside.items()},
            "faults": faults(judged.answers),
        }

    def _figures(self, table: Table) -> Figures:
        return {key: self.draws.figure(values, _shape(key)) for key, values in table.items()}

    def _of_texts(self, answers: Answers) -> Table:
        items, said = self.questions.items, answers.texts
        valid = [(float(texts.is_valid(a.purposes, a.fault)), 1.0) for a in answers.items]
        losses = [answer.loss or (0.0, 0) for answer in answers.items]
        rows: dict[str, Sequence[tuple[float, float]]] = {
            "loss": losses,
            "perplexity": losses,
            "valid": valid,
            "unknown_names": texts.unknown(items, said),
            "words": texts.lengths(said),
            "distinct_2": texts.distinct_2(said),
            "self_bleu": texts.self_bleu(said),
            "twins": texts.twins(said),
            "repeats": texts.repeats(items, said),
            "copied": texts.copied(items, said),
        }
        return {key: Values.of(some) for key, some in rows.items()}

    def _of_meaning(self, said: Sequence[Sequence[str]], *, placed: bool = True) -> Table:
        assert self._meaning  # noqa: S101 - only asked where there is one
        table = {"within": Values.of(self._meaning.within(said))}
        if placed:
            table |= self._placed(self._meaning.scores(said))
            table["rank_lift"] = Values.of(retrieval.lift(self.pools, said, self._meaning))
        return table

    def _placed(self, scores: retrieval.Scores) -> Table:
        found = retrieval.places(self.pools, scores)
        rows = {f"hit_{most}": retrieval.hits(found, most) for most in retrieval.HITS}
        rows["mrr"] = retrieval.reciprocals(found)
        questions = self.questions
        rows["contrast"] = retrieval.contrasts(questions.items, questions.sets, scores)
        return {key: Values.of(some) for key, some in rows.items()}


def faults(answers: Answers) -> list[dict[str, Any]]:
    """Why answers have fewer than three purposes or are none, the most frequent first."""
    counts: dict[str, int] = {}
    for answer in answers.items:
        if answer.fault:
            counts[answer.fault] = counts.get(answer.fault, 0) + 1
    return [
        {"fault": fault, "answers": n}
        for fault, n in sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    ]


def plain(figures: Figures) -> dict[str, Any]:
    """Figures as plain data; None where nothing counts."""
    return {key: _row(figure) for key, figure in figures.items()}


def _row(figure: Figure | None) -> dict[str, Any] | None:
    return asdict(figure) if figure else None
