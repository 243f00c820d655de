"""A dataset's folder as tokens. Knows no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.training.dataset.build import SCHEMA_VERSION, default_target
from daydream_motives.training.dataset.sharegpt import Record, read_records
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import read_whole
from daydream_motives.training.tokens import Rendered, Rendering


@dataclass(frozen=True, slots=True)
class Corpus:
    """The records of each part, and a hash of all the dataset's files."""

    folder: Path
    hash: str
    parts: Mapping[str, list[Record]]


def read_corpus(folder: str = "") -> Corpus:
    """A dataset as `data build` and `curate` write it; raises RunError with what is wrong."""
    path = Path(folder).expanduser() if folder else default_target()
    manifest, _ = read_whole(path, "dataset", SCHEMA_VERSION)
    names = {part: f"{part}.jsonl" for part in SPLITS}
    if lacking := [name for name in names.values() if name not in manifest["files"]]:
        raise RunError(
            f"{path} has no {', '.join(lacking)}", remedy="build it with `data build` or `curate`"
        )
    parts, seen = {}, dict[str, str]()
    for part, name in names.items():
        records, findings = read_records(path / name, seen)
        if findings:
            several = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
            raise RunError(
                f"{findings[0]}{several}", remedy=f"`data check {path / name}` tells everything"
            )
        parts[part] = records
    for part in SPLITS[:2]:
        if not parts[part]:
            raise RunError(
                f"{path / names[part]} holds no records",
                remedy="training needs records in train and in validation; give it more scenes",
            )
    return Corpus(path, hash_of(manifest), parts)


def hash_of(manifest: Mapping[str, Any]) -> str:
    """What a training calls a dataset, by the dataset's manifest: a hash of all its files."""
    told = {name: entry["sha256"] for name, entry in sorted(manifest["files"].items())}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def render_all(rendering: Rendering, records: list[Record], longest: int) -> list[Rendered]:
    """The tokens of each record that has at most `longest`; none is ever cut."""
    rendered = (rendering.record(record) for record in records)
    return [one for one in rendered if len(one) <= longest]
