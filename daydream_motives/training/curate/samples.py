"""Samples as harvests wrote them, each checked; what is broken is told, and the rest goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daydream_motives.characters.files import parse_json
from daydream_motives.characters.sheet import MBTI_TYPES
from daydream_motives.errors import RunError
from daydream_motives.motives.prompt import KEYS
from daydream_motives.training.dataset.book import folded
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.sharegpt import Record, read_record
from daydream_motives.training.folder import read_whole
from daydream_motives.training.harvest.gather import SCHEMA_VERSION, STAGE
from daydream_motives.training.harvest.verdicts import bare

UNKNOWN = "?"
_MBTI = re.compile(rf"\b(?:{'|'.join(sorted(MBTI_TYPES))})\b")
# As the context begins: "Ines is a 34-year-old harbour master."
_OCCUPATION = re.compile(r" is (?:an? )(?:\d+-year-old )?([^.;:]{2,80})[.;:]")


class Lineage(BaseModel):
    """Where a sample comes from; hashes are SHA-256, `at` is a time in UTC."""

    model_config = ConfigDict(frozen=True, extra="allow")
    journal: str = Field(min_length=1)
    run: str
    decision: str = Field(min_length=1)
    game_version: str
    prompt_hash: str
    model: str
    model_hash: str
    at: str | None


class _Row(BaseModel):
    """What a sample says beside its conversation."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: Literal["teach", "reject"]
    grade: float = Field(ge=-1, le=1, allow_inf_nan=False)
    why: str
    reason: str = ""
    lineage: Lineage
    character: str = Field(min_length=1)
    world: str
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample that can be learnt from, or held up as what not to say."""

    record: Record
    row: _Row

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def teaches(self) -> bool:
        return self.row.kind == "teach"

    @property
    def name(self) -> str:
        """What the character is called, to know it again by."""
        return folded(self.record.fields["Character_name"])

    @property
    def question(self) -> tuple[str, ...]:
        return tuple(self.record.fields.values())

    @property
    def words(self) -> list[frozenset[str]]:
        """What its purposes are compared by."""
        return [bare(text) for text in self.record.purposes]

    @property
    def cell(self) -> tuple[str, str, str]:
        """Occupation, MBTI type and world, as far as the context tells them."""
        return (*work_and_type(self.record), self.row.world or UNKNOWN)

    @property
    def turns(self) -> list[dict[str, str]]:
        """The conversation, written as everywhere in a dataset."""
        answer = dict(zip(KEYS, self.record.purposes, strict=True))
        return [
            {"from": "user", "value": json.dumps(dict(self.record.fields), ensure_ascii=False)},
            {"from": "assistant", "value": json.dumps(answer, ensure_ascii=False)},
        ]


def work_and_type(record: Record) -> tuple[str, str]:
    """Occupation and MBTI type, as far as the description tells them."""
    told = record.fields["Character_description"]
    work, kind = _OCCUPATION.search(told), _MBTI.search(told)
    return folded(work[1]) if work else UNKNOWN, kind[0] if kind else UNKNOWN


@dataclass(frozen=True, slots=True)
class Dropped:
    """One sample that is not in the dataset: a key of REASONS, and what is known."""

    id: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Harvested:
    """One harvest as it was read."""

    folder: Path
    manifest: Mapping[str, Any]
    samples: list[Sample]
    dropped: list[Dropped]
    findings: list[Finding]


def read_harvest(folder: Path) -> Harvested:
    """Every sample of a harvest that holds; raises RunError for a folder that is not whole."""
    manifest, files = read_whole(folder, STAGE, SCHEMA_VERSION)
    names = [name for name in files if name.startswith("samples-")]
    if not names:
        raise RunError(f"{folder} names no samples", remedy="harvest again")
    found = Harvested(folder, manifest, [], [], [])
    for name in names:
        _read(folder / name, files[name], found)
    return found


def _read(file: Path, text: str, found: Harvested) -> None:
    """Add one file's samples, and what is wrong with the others."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row, record, reasons = _sample(str(file), number, line)
        # A rejected answer may be wrong in any way, if it is an answer.
        if row and record and (row.kind == "reject" or not reasons):
            found.samples.append(Sample(record, row))
            continue
        readable = record is not None and row is not None
        if not readable:
            found.findings.extend(reasons)
        id, first = record.id if record else f"{file.name}:{number}", reasons[0]
        where = first.where.removeprefix(f"{id}.")
        detail = f"{where}: {first.what}" if where else first.what
        found.dropped.append(Dropped(id, "unfit" if readable else "broken", detail))


def _sample(file: str, number: int, line: str) -> tuple[_Row | None, Record | None, list[Finding]]:
    """One line's two halves, each if it can be read, and everything wrong with it."""
    try:
        data = parse_json(line)
        json.dumps(data, ensure_ascii=False).encode()  # no half characters, escaped or not
    except (ValueError, RecursionError) as exc:
        return None, None, [Finding(file, number, "", f"broken JSON: {exc}", "harvest again")]
    record, wrong = read_record(file, number, data)
    try:
        return _Row.model_validate(data), record, wrong
    except ValidationError as exc:
        return None, record, [*_findings(file, number, exc), *wrong]


def _findings(file: str, number: int, exc: ValidationError) -> Iterator[Finding]:
    for item in exc.errors(include_url=False):
        where = ".".join(map(str, item["loc"]))
        what = "is missing" if item["type"] == "missing" else f"found {item['input']!r}"[:90]
        yield Finding(file, number, where, what, f"expected: {item['msg']}")
