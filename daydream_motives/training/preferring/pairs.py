"""A dataset's pairs of a chosen and a rejected answer, read and put in tokens. Knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.errors import ContentError, Problem, RunError
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.sharegpt import Record, read_record, values
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import read_manifest
from daydream_motives.training.tokens import Rendered, Rendering

Pairs = list[tuple[Record, Record]]


class NoPairs(ContentError):
    """There is nothing to prefer: a pipeline may go on without this stage."""

    code = "no-pairs"
    noun = "dataset"


@dataclass(frozen=True, slots=True)
class Question(Rendered):
    """A question's tokens, and behind them those of its chosen answer and of rejected ones.

    `starts` says where each answer begins, the chosen one first: the question is read once for all.
    """

    starts: tuple[int, ...]


def read_pairs(folder: Path) -> dict[str, Pairs]:
    """Chosen and rejected answers of the parts to learn from and to validate on.

    `folder` is a whole dataset. Raises NoPairs where a part has none, RunError for broken ones.
    """
    known, pairs = read_manifest(folder)["files"], dict[str, Pairs]()
    for part in SPLITS[:2]:
        path = folder / f"preferences-{part}.jsonl"
        pairs[part], findings = _read(path) if path.name in known else ([], [])
        if findings:
            several = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
            raise RunError(
                f"{findings[0]}{several}", remedy="build it again with `data build` or `curate`"
            )
        if not pairs[part]:
            expected = "rejected answers beside chosen ones"
            raise NoPairs(
                [Problem(str(path), "", "no preference pairs", expected)],
                remedy="leave `prefer` out: what `train` made is whole without it",
            )
    return pairs


def _read(path: Path) -> tuple[Pairs, list[Finding]]:
    pairs: Pairs = []
    findings: list[Finding] = []
    for line, data, problem in values(path):
        if problem:
            findings.append(Finding(str(path), line, "", *problem))
            continue
        chosen, wrong = _answer(path, line, data, "chosen")
        rejected, unreadable = _answer(path, line, data, "rejected")
        findings += wrong
        if not rejected:  # what else is wrong with it may be why it was rejected
            findings += unreadable
        elif chosen and chosen.purposes == rejected.purposes:
            what = "the chosen answer rejected"
            findings.append(Finding(str(path), line, chosen.id, what, "give a worse one"))
        elif chosen:
            pairs.append((chosen, rejected))
    return pairs, findings


def _answer(path: Path, line: int, data: Any, side: str) -> tuple[Record | None, list[Finding]]:
    """One side of a pair as a record of its own."""
    if isinstance(data, dict):
        asked = data.get("conversations")
        turns = [*asked, data.get(side)] if isinstance(asked, list) else asked
        data = {"id": f"{data.get('id')}/{side}", "conversations": turns}
    return read_record(str(path), line, data)


def questions_of(
    rendering: Rendering, pairs: Pairs, longest: int, room: int
) -> tuple[list[Question], int]:
    """The tokens of pairs, those of one question and chosen answer together; and how many are left
    out: a record takes at most `longest` tokens, a question with its answers at most `room`."""
    groups: dict[object, list[Record]] = {}
    for chosen, rejected in pairs:
        key = (*chosen.fields.values(), *chosen.purposes)
        groups.setdefault(key, [chosen]).append(rejected)
    questions = []
    for records in groups.values():
        start = len(rendering.prompt(records[0].fields))
        first, *others = (rendering.record(record) for record in records)
        fitting = [
            other
            for other in others
            if max(len(first), len(other)) <= longest and len(first) + len(other) - start <= room
        ]
        questions += [_joined(first, some, start) for some in _parts(first, fitting, start, room)]
    return questions, len(pairs) - sum(len(one.starts) - 1 for one in questions)


def _parts(
    first: Rendered, others: Sequence[Rendered], start: int, room: int
) -> Iterator[list[Rendered]]:
    """Rejected answers in groups that fit behind the chosen one."""
    part: list[Rendered] = []
    size = len(first)
    for other in others:
        if part and size + len(other) - start > room:
            yield part
            part, size = [], len(first)
        part.append(other)
        size += len(other) - start
    if part:
        yield part


def _joined(first: Rendered, others: Sequence[Rendered], start: int) -> Question:
    ids, supervised, starts = first.ids, first.supervised, [start]
    for other in others:
        starts.append(len(ids))
        ids += other.ids[start:]
        supervised += other.supervised[start:]
    return Question(first.id, ids, supervised, tuple(starts))
