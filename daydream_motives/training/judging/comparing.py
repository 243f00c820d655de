"""Any number of models' answers to the same questions, side by side, as plain data.

The first is what the others are held against. The page, the table and the report read this alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.training.dataset.similarity import Embed
from daydream_motives.training.judging.answers import Answers
from daydream_motives.training.judging.judge import Judge, plain
from daydream_motives.training.judging.metrics import METRICS, Metric
from daydream_motives.training.judging.questions import Questions

SHOWN = 20


def compare(
    questions: Questions,
    every: Sequence[Answers],
    rng: random.Random,
    embed: Embed | None,
    *,
    shown: int = SHOWN,
) -> dict[str, Any]:
    """Figures of each, differences to the first, and some questions with all their answers.

    Raises RunError where two have one name.
    """
    names = [answers.name for answers in every]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RunError(f"two of these are called {', '.join(twice)}", remedy="name them: NAME=WHAT")
    judge = Judge(questions, rng, embed)
    judged = [judge.judge(answers) for answers in every]
    models = []
    for one in judged:
        data = judge.data(one)
        data["against_first"] = (
            plain(judge.differences(one, judged[0])) if one is not judged[0] else {}
        )
        models.append(data)
    chosen = rng.sample(range(len(questions.items)), min(shown, len(questions.items)))
    return {
        "questions": questions.summary,
        "controls": models[0]["controls"] if models else {},
        "models": models,
        "embedded": embed is not None,
        "examples": [_example(questions, every, index) for index in sorted(chosen)],
    }


def _example(questions: Questions, every: Sequence[Answers], index: int) -> dict[str, Any]:
    question = questions.items[index]
    return {
        "id": question.id,
        "scene": question.scene,
        "fields": dict(question.fields),
        "gold": list(question.gold),
        "answers": [
            {"name": a.name, "purposes": list(one.purposes), "fault": one.fault}
            for a in every
            for one in [a.items[index]]
        ],
    }  # fmt: skip


def rows(compared: dict[str, Any]) -> list[Metric]:
    """The metrics of which at least one model has a figure."""
    return [
        metric
        for metric in METRICS
        if any(model["figures"].get(metric.key) for model in compared["models"])
    ]


def verdict(metric: Metric, difference: dict[str, Any] | None) -> str:
    """`up` where a difference is an improvement beyond noise, `down` where it is a loss."""
    if not difference or metric.better == "gold":
        return ""
    good = difference["low"] > 0 if metric.better == "more" else difference["high"] < 0
    bad = difference["high"] < 0 if metric.better == "more" else difference["low"] > 0
    return "up" if good else "down" if bad else ""


def number(metric: Metric, value: float, *, sign: bool = False) -> str:
    """A figure as it is read; with `sign`, a difference, which of shares is in points."""
    mark = "+" if sign else ""
    if metric.percent:
        text = f"{100 * value:{mark}.1f}{'' if sign else '%'}"
    else:
        text = f"{value:{mark}.{1 if metric.key == 'words' else 3}f}"
    return text.replace("-", "−")


def span(metric: Metric, figure: dict[str, Any], *, sign: bool = False) -> str:
    """The interval of a figure."""
    return (
        f"{number(metric, figure['low'], sign=sign)} to {number(metric, figure['high'], sign=sign)}"
    )
