"""Answers as they are kept: JSON Lines, alone or in a folder with a manifest. Knows no models.

A line has `id` (the question's) and `purposes` (up to three texts, most likely first); `fault` says
why there are fewer or why they are no answer, `loss` is [nats, tokens] of the right answer as the
model would have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import parse_json, shown
from daydream_motives.errors import ContentError, Problem, RunError
from daydream_motives.motives.purposes import RANKS
from daydream_motives.training.dataset.sharegpt import values
from daydream_motives.training.folder import described, lines, pretty, read_whole, write_whole
from daydream_motives.training.judging.questions import Questions

SCHEMA_VERSION = 1
STAGE = "evaluate"
FILE, FIGURES = "answers.jsonl", "figures.json"
_KEYS = {"id", "purposes", "fault", "loss"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one question; `loss` are nats and supervised tokens of the gold."""

    id: str
    purposes: tuple[str, ...]
    fault: str = ""
    loss: tuple[float, int] | None = None

    @property
    def row(self) -> dict[str, Any]:
        """As a line of the file."""
        data: dict[str, Any] = {"id": self.id, "purposes": list(self.purposes)}
        if self.fault:
            data["fault"] = self.fault
        if self.loss:
            data["loss"] = list(self.loss)
        return data


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers to questions, in their order; `about` is what is known of the model."""

    name: str
    items: tuple[Answer, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[tuple[str, ...]]:
        return [answer.purposes for answer in self.items]


def gold(questions: Questions) -> Answers:
    """The right answers, as if a model had given them."""
    return Answers("gold", tuple(Answer(q.id, q.gold) for q in questions.items))


def read_answers(path: Path, questions: Questions, name: str = "") -> Answers:
    """The answers of a file, or of a folder that `evaluate` wrote, to these questions.

    Raises RunError for a folder that is not whole or was asked other questions, and for a question
    without an answer; ContentError for lines that are none. Answers to more questions are left out.
    """
    about: dict[str, Any] = {}
    file = path
    if path.is_dir():
        manifest, _ = read_whole(path, STAGE, SCHEMA_VERSION)
        about, file = dict(manifest.get("model", {})), path / FILE
        asked = manifest.get("questions", {}).get("sha256")
        if asked != questions.sha256:
            raise RunError(
                f"{path} answers other questions than these ({questions.name})",
                remedy="give the questions it was asked (--questions, --part, --limit), "
                "or ask again",
            )
    found, problems = read_rows(file)
    if problems:
        raise ContentError(problems, remedy="mend these lines, or ask the model again")
    missing = [q.id for q in questions.items if q.id not in found]
    if missing:
        raise RunError(
            f"{file} has no answer to {len(missing)} of {len(questions.items)} questions, "
            f"the first {missing[0]}",
            remedy="give the questions it was asked, or ask the model again",
        )
    called = name or about.get("name") or path.stem
    return Answers(str(called), tuple(found[q.id] for q in questions.items), about)


def read_rows(path: Path) -> tuple[dict[str, Answer], list[Problem]]:
    """Each answer by its question's id, and what is wrong with other lines."""
    found: dict[str, Answer] = {}
    problems: list[Problem] = []
    for line, data, wrong in values(path):
        where = f"{path}:{line}"
        if wrong:
            problems.append(Problem(where, "", *wrong))
            continue
        mine = list(_wrong(where, data))
        if not mine and data["id"] in found:
            mine = [Problem(where, "id", f"{data['id']!r} twice", "one answer to each question")]
        problems += mine
        if not mine:
            loss = data.get("loss")
            found[data["id"]] = Answer(
                data["id"], tuple(data["purposes"]), data.get("fault", ""),
                (float(loss[0]), loss[1]) if loss else None,
            )  # fmt: skip
    return found, problems


def _wrong(where: str, data: Any) -> list[Problem]:
    if not isinstance(data, dict):
        return [Problem(where, "", type(data).__name__, "an object with id and purposes")]
    problems = [
        Problem(where, str(key), "an unknown key", ", ".join(sorted(_KEYS)))
        for key in data
        if key not in _KEYS
    ]

    def check(key: str, holds: bool, expected: str) -> None:
        if not holds:
            problems.append(Problem(where, key, shown(data.get(key)), expected))

    purposes, loss = data.get("purposes"), data.get("loss")
    check("id", isinstance(data.get("id"), str) and bool(data["id"]), "the question's id")
    check("purposes", _are_texts(purposes), f"a list of at most {RANKS} texts")
    check("fault", isinstance(data.get("fault", ""), str), "text")
    check("loss", loss is None or _is_loss(loss), "[nats, tokens]")
    return problems


def _are_texts(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) <= RANKS and all(isinstance(v, str) for v in value)
    )


def _is_loss(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    nats, tokens = value
    numbers = not any(isinstance(v, bool) or not isinstance(v, int | float) for v in value)
    return numbers and isinstance(tokens, int) and tokens > 0 and 0 <= nats < math.inf


def write_answers(
    answers: Answers, questions: Questions, figures: Mapping[str, Any], target: Path
) -> None:
    """Write answers, figures and then the manifest; raises RunError for a bad disk."""
    files = {
        FILE: lines(answer.row for answer in answers.items),
        FIGURES: pretty(figures),
    }
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": STAGE,
        "model": {"name": answers.name, **answers.about},
        "questions": questions.summary,
        "files": described(files),
    }
    write_whole(target, files, manifest)


class Partial:
    """Answers kept as they come, so that an end of the process loses no more than one batch.

    What stands there already serves, if the same was asked of the same model.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path, self._head = path, dict(head)
        self.found: dict[str, Answer] = {}
        try:
            rows = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last one may be cut
            if rows and parse_json(rows[0]) == self._head:
                self.found = {a.id: a for a in map(_answer, rows[1:]) if a}
        except (OSError, ValueError, RecursionError):
            pass
        self._put([self._head, *(answer.row for answer in self.found.values())], "w")

    def keep(self, answers: Sequence[Answer]) -> None:
        """Add these; raises RunError for a bad disk."""
        self.found |= {answer.id: answer for answer in answers}
        self._put([answer.row for answer in answers], "a")

    def _put(self, rows: Sequence[Mapping[str, Any]], mode: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.write(lines(rows))
        except OSError as exc:
            raise RunError(
                f"cannot write {self.path}: {exc.strerror or exc}",
                remedy="free some space or choose another folder with -o",
            ) from exc


def _answer(row: str) -> Answer | None:
    data = parse_json(row)
    if _wrong("", data):
        return None
    loss = data.get("loss")
    kept = (float(loss[0]), loss[1]) if loss else None
    return Answer(data["id"], tuple(data["purposes"]), data.get("fault", ""), kept)
