"""A comparison as a folder: page, document, figures, each model's answers, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daydream_motives.training.folder import described, lines, pretty, write_whole
from daydream_motives.training.judging.answers import Answers
from daydream_motives.training.judging.page import page
from daydream_motives.training.judging.telling import markdown

STAGE = "compare"
PAGES = ("page.html", "page.md", "figures.json")


def write_comparison(compared: Mapping[str, Any], every: Sequence[Answers], target: Path) -> None:
    """Write what `compare` found of these answers; raises RunError for a bad disk."""
    told = page(compared), markdown(compared), pretty(compared)
    files = dict(zip(PAGES, told, strict=True))
    for number, answers in enumerate(every, 1):
        rows = lines(answer.row for answer in answers.items)
        files[f"answers-{number}-{file_name(answers.name)}.jsonl"] = rows
    manifest = {
        "schema_version": 1, "stage": STAGE, "questions": compared["questions"],
        "models": [model["model"] for model in compared["models"]], "files": described(files),
    }  # fmt: skip
    write_whole(target, files, manifest)


def file_name(text: str) -> str:
    """A name that every file system takes."""
    kept = "".join(char if char.isalnum() or char in "-._" else "-" for char in text)
    return kept.strip("-.")[-60:] or "model"
