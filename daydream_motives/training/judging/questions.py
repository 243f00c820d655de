"""Questions with right answers: the test split, ShareGPT records, or texts to choose from.

Three shapes are read: a dataset's folder; records as in `dataset/sharegpt.py`; and JSON Lines of
characters with one right text among `candidates` (id, name, description; persona, context, world
and others_present where there are any; gold is an index). Knows no models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import shown
from daydream_motives.errors import ContentError, RunError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.prose import joined
from daydream_motives.motives.told import from_fields
from daydream_motives.training.curate.shipped import read_dataset
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.sharegpt import MOST_BYTES, Record, read_records, values
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import sha256

_TEXTS = ("id", "name", "description")
_MORE = ("persona", "context", "world")


@dataclass(frozen=True, slots=True)
class Question:
    """What a character is told, and the right answer's texts: three purposes, or one text.

    Where the file gives `candidates`, the one at `right` is the right one.
    """

    id: str
    scene: str
    world: str
    fields: Mapping[str, str]
    gold: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    right: int = 0

    @property
    def told(self) -> str:
        """All that is told, as one text."""
        return "\n".join(self.fields.values())


@dataclass(frozen=True)
class Questions:
    """Questions in order; `sets` are contrast sets, as positions of their members."""

    name: str
    items: tuple[Question, ...]
    sets: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def sha256(self) -> str:
        """The hash of what is asked and what is right, whatever file it came from."""
        rows = [[q.id, q.fields, q.gold, q.candidates, q.right] for q in self.items]
        return sha256(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode())

    @property
    def summary(self) -> dict[str, Any]:
        """What a manifest says of them."""
        scenes = len({question.scene for question in self.items})
        return {
            "name": self.name, "sha256": self.sha256, "count": len(self.items), "scenes": scenes,
            "contrast_sets": len(self.sets),
        }  # fmt: skip

    def some(self, most: int) -> Questions:
        """Whole scenes by the hash of their names, until there are `most` questions or more."""
        kept: list[int] = []
        scenes = sorted({q.scene for q in self.items}, key=lambda s: sha256(s.encode()))
        for scene in scenes:
            if len(kept) >= most:
                break
            kept += [i for i, q in enumerate(self.items) if q.scene == scene]
        places = {index: place for place, index in enumerate(sorted(kept))}
        sets = [one for one in self.sets if all(i in places for i in one)]
        return Questions(
            self.name,
            tuple(self.items[i] for i in places),
            tuple(tuple(places[i] for i in one) for one in sets),
        )


def of_dataset(folder: Path, part: str = "test") -> Questions:
    """One part of a dataset; raises RunError where it is not whole, or has nothing in that part."""
    if part not in SPLITS:
        raise RunError(f"a dataset has no part {part!r}", remedy=f"use {', '.join(SPLITS)}")
    dataset = read_dataset(folder)
    index = {row["id"]: row for row in dataset.rows("index.jsonl")}
    items = tuple(
        _of_record(record, str(row.get("scene") or record.id), str(row.get("world") or ""))
        for record in dataset.records[part]
        for row in [index.get(record.id, {})]
    )
    if not items:
        raise RunError(f"{folder} has nothing in {part}", remedy="use another part, or more scenes")
    places = {question.id: place for place, question in enumerate(items)}
    sets = tuple(
        tuple(places[id] for id in row["ids"])
        for row in dataset.rows("contrast.jsonl")
        if all(id in places for id in row["ids"])
    )
    return Questions(f"{part} of {folder.name}", items, sets)


def of_file(path: Path) -> tuple[Questions, list[Finding]]:
    """The questions of a file, perhaps none, and everything wrong with those left out."""
    first = next((data for _, data, problem in values(path) if not problem), None)
    chosen = isinstance(first, dict) and "candidates" in first
    items, findings = _choices(path) if chosen else _records(path)
    return Questions(path.name, tuple(items)), findings


def _of_record(record: Record, scene: str, world: str) -> Question:
    return Question(record.id, scene, world, dict(record.fields), record.purposes)


def _records(path: Path) -> tuple[list[Question], list[Finding]]:
    """Each record as a scene of its own: nothing says which belong together."""
    records, findings = read_records(path)
    items: dict[str, Question] = {}
    for record in records:
        items.setdefault(record.id, _of_record(record, record.id, ""))
    return list(items.values()), findings


def _choices(path: Path) -> tuple[list[Question], list[Finding]]:
    items: dict[str, Question] = {}
    findings: list[Finding] = []
    for line, data, problem in values(path):
        wrong = [problem] if problem else list(_wrong(data))
        id = str(data.get("id") or "") if isinstance(data, dict) else ""
        if not wrong and id in items:
            wrong = [("the id of another question", "give each its own")]
        if not wrong:
            question = _choice(data)
            wrong = list(_unasked(question))
            if not wrong:
                items[id] = question
        findings += [Finding(str(path), line, id, *one) for one in wrong]
    return list(items.values()), findings


def _wrong(data: Any) -> Iterator[tuple[str, str]]:
    """What keeps a question with candidates from being asked: what, remedy."""
    if not isinstance(data, dict):
        yield f"a question that is a {type(data).__name__}", "write a JSON object"
        return
    for key in _TEXTS:
        if not isinstance(data.get(key), str) or not data[key].strip():
            yield f"{key} is {shown(data.get(key))}", "write text"
    for key in _MORE:
        if not isinstance(data.get(key, ""), str):
            yield f"{key} is {shown(data[key])}", "write text, or leave it out"
    others = data.get("others_present", [])
    if not _are_texts(others):
        yield f"others_present is {shown(others)}", "give a list of names"
    texts, right = data.get("candidates"), data.get("gold")
    if not _are_texts(texts) or not isinstance(texts, list) or len(set(texts)) < 2:
        yield f"candidates is {shown(texts)}", "give two different texts or more"
        return
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(texts):
        yield f"gold is {shown(right)}", f"give the place of the right one, 0 to {len(texts) - 1}"
    elif data.get("gold_text", texts[right]) != texts[right]:
        yield "gold_text is another text than candidates[gold]", "let both be the same"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value)


def _choice(data: Mapping[str, Any]) -> Question:
    here = joined(data.get("others_present", []))
    told = (
        data["name"],
        f"{data['description']} {data.get('persona', '')}".strip(),
        f"{data.get('context', '')} {f'With them: {here}.' if here else ''}".strip(),
        "",
    )
    texts = tuple(data["candidates"])
    return Question(
        data["id"], data["id"], data.get("world", ""), dict(zip(FIELDS, told, strict=True)),
        (texts[data["gold"]],), texts, data["gold"],
    )  # fmt: skip


def _unasked(question: Question) -> Iterator[tuple[str, str]]:
    """What keeps the engine from asking it."""
    if (size := len(json.dumps(dict(question.fields)).encode())) > MOST_BYTES:
        yield f"a context of {size} bytes", f"keep it below {MOST_BYTES}"
    try:
        from_fields(question.fields)
    except ContentError as exc:
        yield str(exc.problems[0]), "name the character"


def positions(questions: Sequence[Question]) -> dict[str, list[int]]:
    """The positions of the questions of each scene."""
    found: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        found.setdefault(question.scene, []).append(index)
    return found
