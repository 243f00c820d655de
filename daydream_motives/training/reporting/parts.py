"""What lies beneath the folders of a run, each part known by the stage in its manifest.

Where several parts of a stage are there, the one that the others name by its hash is taken. What
is broken is told with its file, and the rest goes on. Reads; changes and judges nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.training.dataset.build import default_target
from daydream_motives.training.folder import MANIFEST, read_manifest, sha256
from daydream_motives.training.tuning.corpus import hash_of
from daydream_motives.training.tuning.log import FILE as LOG

DATASET, TRAIN, PREFER, EXPORT, COMPARE, EVALUATE, PROMOTION = (
    "dataset", "train", "prefer", "export", "compare", "evaluate", "promotion",
)  # fmt: skip
UNFINISHED = "unfinished"  # of a training without a manifest
_NEWEST = 1  # of every stage
_DEEP, _MOST = 6, 1000  # folders below one that is given, manifests read


@dataclass(frozen=True)
class Part:
    """What one stage left behind; `name` is its folder as seen from the one that was given."""

    stage: str
    folder: Path
    name: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def sha256(self) -> str:
        """Of the manifest."""
        return sha256(self.text.encode())

    @cached_property
    def marks(self) -> set[str]:
        """The hashes that another part may know this one by."""
        known = {self.sha256, self.manifest.get("sha256"), self.manifest.get("hash")}
        if self.stage == DATASET:
            known.add(hash_of(self.manifest))
        return {mark for mark in known if isinstance(mark, str) and len(mark) == 64}

    def tied_to(self, other: Part) -> bool:
        """Whether one of the two names the other."""
        return any(m in b.text for a, b in ((self, other), (other, self)) for m in a.marks)


@dataclass
class Found:
    """The parts of one model, by stage; `broken` are lines that name a file."""

    parts: dict[str, Part] = field(default_factory=dict)
    judged: list[Part] = field(default_factory=list)
    others: list[Part] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def learnt(self) -> list[Part]:
        """Every training, in the order of the stages."""
        return [self.parts[s] for s in (TRAIN, PREFER, UNFINISHED) if s in self.parts]

    @property
    def tuned(self) -> Part | None:
        """The training that was exported; where nothing tells, the last whole one."""
        whole = [self.parts[stage] for stage in (PREFER, TRAIN) if stage in self.parts]
        export = self.parts.get(EXPORT)
        named = [part for part in whole if export and part.sha256 in export.text]
        return next(iter(named or whole), None)


def find(folders: Sequence[Path]) -> Found:
    """Everything beneath these folders; raises RunError where there is nothing to tell."""
    found = Found()
    every: list[Part] = []
    seen: set[Path] = set()
    for root in folders:
        if not root.is_dir():
            raise RunError(f"{root} is no folder", remedy="give the folder of a run")
        for folder, files in _below(root):
            name = str(Path(root.resolve().name) / folder.relative_to(root))
            if (real := folder.resolve()) in seen:
                continue
            seen.add(real)
            if MANIFEST in files:
                try:
                    every.append(_part(folder, name))
                except RunError as exc:
                    found.broken.append(exc.message)
            elif LOG in files:
                every.append(Part(UNFINISHED, folder, name))
    if not (every or found.broken):
        given = ", ".join(map(str, folders))
        raise RunError(
            f"there is nothing of training beneath {given}",
            remedy="give the folder of a run of `retrain`, or those of its stages",
        )
    _choose(every, found)
    return found


def _below(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with its files, in order; those that are hidden or deep are left out."""
    seen = 0
    for at, folders, files in os.walk(root):
        folder = Path(at)
        deep = len(folder.relative_to(root).parts) >= _DEEP
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        seen += MANIFEST in files
        if seen > _MOST:
            raise RunError(f"there are more than {_MOST} manifests beneath {root}",
                           remedy="give the folder of one run")  # fmt: skip
        yield folder, files


def _part(folder: Path, name: str) -> Part:
    manifest = read_manifest(folder)
    stage = manifest.get("stage") or (DATASET if "train.jsonl" in manifest["files"] else "")
    version = manifest.get("schema_version")
    if not isinstance(stage, str) or not stage:
        raise RunError(f"{folder / MANIFEST} is of no stage of training")
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= _NEWEST:
        raise RunError(f"{folder / MANIFEST} has schema {version}; this version knows {_NEWEST}")
    return Part(stage, folder, name, manifest, (folder / MANIFEST).read_text(encoding="utf-8"))


def _choose(every: list[Part], found: Found) -> None:
    """One part of each stage: tied to those chosen before, then the one nearest to the top."""
    for stage in (PROMOTION, EXPORT, COMPARE, PREFER, TRAIN, DATASET, UNFINISHED):
        some = [part for part in every if part.stage == stage]
        if stage == DATASET and not any(map(_taught(found), some)):
            some += filter(_taught(found), _elsewhere(found))
        chosen = list(found.parts.values())
        some.sort(key=lambda part: (len(part.folder.parts), str(part.folder)))
        tied = [part for part in some if any(map(part.tied_to, chosen))]
        if some and not (stage == UNFINISHED and found.learnt):
            found.parts[stage] = (tied or some)[0]
    found.judged = [part for part in every if part.stage == EVALUATE]
    known = [id(part) for part in (*found.parts.values(), *found.judged)]
    found.others = [part for part in every if id(part) not in known]


def _taught(found: Found) -> Callable[[Part], bool]:
    """Whether the training learnt from a dataset; of any, where nothing says so."""
    tuned = found.tuned
    told = tuned.manifest.get("dataset") if tuned else None
    wanted = told.get("sha256") if isinstance(told, dict) else None
    return lambda part: wanted in (None, hash_of(part.manifest))


def _elsewhere(found: Found) -> Iterator[Part]:
    """The dataset of the recipe, and the project's."""
    recipe = found.tuned.manifest.get("recipe") if found.tuned else None
    if not isinstance(recipe, dict):
        return
    data = recipe.get("data")
    told = data.get("folder") if isinstance(data, dict) else None
    for folder in (Path(str(told or default_target())).expanduser(), default_target()):
        try:
            yield _part(folder, folder.name)
        except (OSError, RunError):
            continue
