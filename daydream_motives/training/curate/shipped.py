"""A dataset as `data build` or an earlier `curate` wrote it, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.training.dataset.build import SCHEMA_VERSION
from daydream_motives.training.dataset.sharegpt import Record, read_records
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import read_whole, sha256

DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files of a dataset by name, and its records by part."""

    folder: Path
    manifest: Mapping[str, Any]
    files: Mapping[str, str]
    records: Mapping[str, list[Record]]

    @property
    def hash(self) -> str:
        return hash_of(self.manifest["files"])

    def rows(self, name: str) -> list[dict[str, Any]]:
        """One of its files of JSON Lines."""
        return [json.loads(line) for line in self.files[name].split("\n") if line]


def hash_of(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 for all data of a dataset: its files of JSON Lines, without the dropped."""
    names = sorted(name for name in files if name.endswith(".jsonl") and name != "dropped.jsonl")
    return sha256("".join(f"{name} {files[name]['sha256']}\n" for name in names).encode())


def data_files() -> list[str]:
    """What every dataset has."""
    parts = [f"{prefix}{part}.jsonl" for part in SPLITS for prefix in ("", "preferences-")]
    return [*parts, "contrast.jsonl", "index.jsonl"]


def read_dataset(folder: Path) -> Dataset:
    """A whole dataset; raises RunError where it is not, and where a record of it is broken."""
    manifest, files = read_whole(folder, DATASET, SCHEMA_VERSION)
    if missing := [name for name in data_files() if name not in files]:
        raise RunError(
            f"{folder} is no dataset: it has no {', '.join(missing)}",
            remedy="make one with `data build` or `curate`",
        )
    records: dict[str, list[Record]] = {}
    seen: dict[str, str] = {}
    for part in SPLITS:
        records[part], findings = read_records(folder / f"{part}.jsonl", seen)
        if findings:
            raise RunError(
                f"{len(findings)} problems in {folder}, the first: {findings[0]}",
                remedy="build the dataset again",
            )
    return Dataset(folder, manifest, files, records)
