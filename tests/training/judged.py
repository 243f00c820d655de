"""Questions, answers and an embedding small enough to be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from daydream_motives.characters.words import words_of
from daydream_motives.motives.budget import FIELDS
from daydream_motives.training.dataset.similarity import Vectors
from daydream_motives.training.judging.answers import Answer, Answers
from daydream_motives.training.judging.questions import Question, Questions

DIMENSIONS = 4096


def by_words(texts: Sequence[str]) -> Vectors:
    """Embeddings for when no model is there: how often each word comes."""
    rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in words_of(text):
            row[crc32(word.encode()) % DIMENSIONS] += 1
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows


def question(
    id: str, *gold: str, scene: str = "", world: str = "sea", name: str = "Ada", told: str = "",
    candidates: tuple[str, ...] = (), right: int = 0,
) -> Question:  # fmt: skip
    fields = dict(zip(FIELDS, (name, f"{name} is a baker.", told, ""), strict=True))
    return Question(id, scene or id, world, fields, gold, candidates, right)


def asked(*items: Question, sets: tuple[tuple[int, ...], ...] = ()) -> Questions:
    return Questions("by hand", items, sets)


def said(name: str, *answers: Sequence[str], faults: dict[int, str] | None = None) -> Answers:
    """Answers to q0, q1 …"""
    items = [
        Answer(f"q{i}", tuple(a), (faults or {}).get(i, "")) for i, a in enumerate(answers)
    ]  # fmt: skip
    return Answers(name, tuple(items))


# Two scenes; the two people of the first are a contrast set.
BREAD = ("Ada bakes dark bread.", "Ada counts her flour.", "Ada sleeps beside the oven.")
NETS = ("Bo mends torn nets.", "Bo rows past the reef.", "Bo sings for herring.")
WOOD = ("Cy saws long planks.", "Cy sharpens an axe.", "Cy stacks dry timber.")
TOLD = "The storm is over. Dark bread is wanted."


def three() -> Questions:
    return asked(
        question("q0", *BREAD, scene="quay", told=TOLD),
        question("q1", *NETS, scene="quay", name="Bo", told=TOLD),
        question("q2", *WOOD, scene="mill", name="Cy", told="The mill stands still."),
        sets=((0, 1),),
    )


def record(id: str, purposes: Sequence[str], name: str = "Ada", told: str = TOLD) -> dict[str, Any]:
    """A question as ShareGPT."""
    fields = dict(zip(FIELDS, (name, f"{name} is a baker.", told, ""), strict=True))
    answer = dict(zip(("purpose_a", "purpose_b", "purpose_c"), purposes, strict=True))
    return {
        "id": id,
        "conversations": [
            {"from": "user", "value": json.dumps(fields)},
            {"from": "assistant", "value": json.dumps(answer)},
        ],
    }


def choice(**changes: Any) -> dict[str, Any]:
    """A character with candidates."""
    return {
        "id": "c0", "world": "isle", "name": "Ada", "description": "Ada is tall.",
        "persona": "I bake.", "context": "Bakery: it is warm.", "others_present": ["Bo", "Cy"],
        "gold_text": "To bake bread.", "candidates": ["To mend nets.", "To bake bread."],
        "gold": 1, **changes,
    }  # fmt: skip


def save_rows(path: Path, *rows: Any) -> Path:
    """JSON Lines; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
