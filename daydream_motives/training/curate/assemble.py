"""Harvests and the shipped data to one dataset, in the shape that `data build` gives.

Shipped records stay as they are. What journals teach joins `train`; the samples of some characters
are held out and join the frozen questions of `test`, for good. Writes nothing but what `write` is
asked to.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daydream_motives.errors import SettingsError
from daydream_motives.training.curate.choosing import (
    apart,
    hashed,
    held_out,
    in_order,
    in_ratio,
    once,
    within_quota,
)
from daydream_motives.training.curate.samples import Dropped, Harvested, Sample, read_harvest
from daydream_motives.training.curate.shipped import Dataset, data_files, hash_of, read_dataset
from daydream_motives.training.dataset.build import SCHEMA_VERSION, default_target
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import described, lines, pretty, write_whole
from daydream_motives.training.harvest.verdicts import bare

REPLAY, QUOTA, HOLD_OUT = 0.8, 8, 0.1
ORIGIN = "journal"  # of an entry of the index that no book holds
REASONS = {
    "broken": "it is no record that could be learnt from",
    "unfit": "its answer breaks a rule, or names somebody whom its question does not tell",
    "exact": "the same, or an answer to the same question, is there",
    "shipped": "its question is one of the shipped data or of the frozen questions",
    "near": "it says nearly what another record says",
    "quota": "there are enough of its occupation, type and world",
    "ratio": "the shipped data would have less than its share",
    "unpaired": "rejected, and nothing better is known for its question",
    "orphaned": "rejected, and what was better was dropped",
    "same": "rejected, and nearly what was better",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """`replay` is the least share of shipped records in training, `quota` the most samples of one
    occupation, type and world, `hold_out` the share of samples whose characters are held out.

    Raises SettingsError for a number out of its range.
    """

    replay: float = REPLAY
    quota: int = QUOTA
    hold_out: float = HOLD_OUT

    def __post_init__(self) -> None:
        for name, value, good, wanted in (
            ("replay", self.replay, 0 <= self.replay <= 1, "from 0 to 1"),
            ("quota", self.quota, self.quota >= 1, "1 or more"),
            ("hold-out", self.hold_out, 0 <= self.hold_out < 1, "from 0 to below 1"),
        ):
            if not good:
                raise SettingsError(f"--{name} is {value}", remedy=f"give a number {wanted}")


@dataclass(slots=True)
class Curated:
    """A dataset to be written, and how it came about."""

    shipped: Dataset
    harvests: list[Harvested]
    settings: Settings
    earlier: Dataset | None
    kept: dict[str, list[Sample]] = field(default_factory=lambda: {p: [] for p in SPLITS})
    pairs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {p: [] for p in SPLITS})
    frozen: list[dict[str, Any]] = field(default_factory=list)  # the earlier index's held out
    held_out: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        return [finding for one in self.harvests for finding in one.findings]

    @property
    def version(self) -> int:
        return int(self.earlier.manifest.get("version", 1)) + 1 if self.earlier else 1


def curate(
    harvests: Iterable[Path],
    *,
    shipped: Path | None = None,
    earlier: Path | None = None,
    settings: Settings | None = None,
) -> Curated:
    """Choose from the harvests what joins the shipped data (default: the project's).

    With `earlier`, a dataset curated before, whoever was held out there stays so, and its frozen
    questions stay. Raises RunError for a folder that is not whole.
    """
    settings = settings or Settings()
    base = read_dataset(shipped or default_target())
    before = read_dataset(earlier) if earlier else None
    read = [read_harvest(folder) for folder in harvests]
    found = Curated(base, read, settings, before)
    samples = in_order(sample for one in read for sample in one.samples)
    found.dropped = [dropped for one in read for dropped in one.dropped]

    questions = {tuple(r.fields.values()): part for part in SPLITS for r in base.records[part]}
    words = {r.id: [bare(t) for t in r.purposes] for part in SPLITS for r in base.records[part]}
    if before:
        found.frozen = [row for row in before.rows("index.jsonl") if _is_frozen(row)]
        ids = {row["id"] for row in found.frozen}
        old = [record for record in before.records["test"] if record.id in ids]
        questions |= {tuple(record.fields.values()): "test" for record in old}
        words |= {record.id: [bare(text) for text in record.purposes] for record in old}

    teaching = [sample for sample in samples if sample.teaches]
    teaching = _kept(found, once(teaching, questions))
    teaching = _kept(found, apart(teaching, words))
    teaching = _kept(found, within_quota(teaching, settings.quota))
    names = before.manifest.get("held_out", []) if before else []
    out = held_out(teaching, settings.hold_out, names)
    found.held_out = sorted({*names, *map(hashed, out)})
    found.kept["test"] = [sample for sample in teaching if sample.name in out]
    rest = [sample for sample in teaching if sample.name not in out]
    found.kept["train"] = _kept(found, in_ratio(rest, len(base.records["train"]), settings.replay))
    _pair(found, [sample for sample in samples if not sample.teaches])
    return found


def _kept(found: Curated, choice: tuple[list[Sample], list[Dropped]]) -> list[Sample]:
    found.dropped += choice[1]
    return choice[0]


def _is_frozen(row: Mapping[str, Any]) -> bool:
    return row.get("origin") == ORIGIN and row.get("split") == "test"


def _pair(found: Curated, rejects: Sequence[Sample]) -> None:
    """Put each rejected answer beside the one that was better, where that one was kept."""
    parts = {sample.id: (part, sample) for part in SPLITS for sample in found.kept[part]}
    most = found.settings.replay
    shipped = found.shipped.files["preferences-train.jsonl"].count("\n")
    room = int(shipped * (1 - most) / most + 1e-9) if most else len(rejects)
    seen: set[str] = set()
    for sample in rejects:
        better = sample.row.instead_of
        part, good = parts.get(better or "", ("", None))
        if sample.id in seen:
            found.dropped.append(Dropped(sample.id, "exact", "the same sample of another harvest"))
        elif not better:
            found.dropped.append(Dropped(sample.id, "unpaired"))
        elif good is None:
            found.dropped.append(Dropped(sample.id, "orphaned", better))
        elif good.record.purposes == sample.record.purposes:
            found.dropped.append(Dropped(sample.id, "same", better))
        elif part == "train" and len(found.pairs[part]) >= room:
            detail = f"{shipped} shipped pairs leave room for {room}"
            found.dropped.append(Dropped(sample.id, "ratio", detail))
        else:
            found.pairs[part].append(_preference(sample, good))
        seen.add(sample.id)


def _preference(bad: Sample, good: Sample) -> dict[str, Any]:
    question, chosen = good.turns
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{good.id}#{bad.id}")),
        "of": good.id,
        "why": bad.row.reason or bad.row.why,
        "conversations": [question],
        "chosen": chosen,
        "rejected": bad.turns[1],
        "lineage": bad.row.lineage.model_dump(),
    }


def products(found: Curated) -> dict[str, str]:
    """Every file of the dataset by its name; all but the manifest."""
    files = {name: found.shipped.files[name] for name in data_files()}
    if found.earlier and found.frozen:
        ids = {row["id"] for row in found.frozen}
        rows = (row for row in found.earlier.rows("test.jsonl") if row["id"] in ids)
        files["test.jsonl"] += lines(rows)
        pairs = found.earlier.rows("preferences-test.jsonl")
        files["preferences-test.jsonl"] += lines(row for row in pairs if row["of"] in ids)
        files["index.jsonl"] += lines(found.frozen)
    why: dict[str, list[str]] = {}
    for row in (row for part in SPLITS for row in found.pairs[part]):
        why.setdefault(row["of"], []).append(row["why"])
    for part in SPLITS:
        files[f"{part}.jsonl"] += lines(
            {"id": sample.id, "conversations": sample.turns} for sample in found.kept[part]
        )
        files[f"preferences-{part}.jsonl"] += lines(found.pairs[part])
        files["index.jsonl"] += lines(
            _entry(sample, part, why.get(sample.id, [])) for sample in found.kept[part]
        )
    return files


def _entry(sample: Sample, part: str, rejected: list[str]) -> dict[str, Any]:
    row = sample.row
    return {
        "id": sample.id, "scene": row.lineage.run, "decision": row.lineage.decision, "split": part,
        "world": row.world, "rating": None, "contrast": None, "rejected": rejected,
        "origin": ORIGIN, "character": row.character, "grade": row.grade, "why": row.why,
        "lineage": row.lineage.model_dump(),
    }  # fmt: skip


def write(found: Curated, target: Path) -> dict[str, Any]:
    """Write the dataset, what was dropped and the report; then the manifest, which is returned."""
    from daydream_motives.training.curate.telling import report_of, told

    files = products(found)
    index = _index(files)
    shipped = [row for row in index if row.get("origin") != ORIGIN]
    scenes = {row["scene"] for row in shipped if "scene" in row}
    counts = {part: files[f"{part}.jsonl"].count("\n") for part in SPLITS}
    journals = {j["sha256"]: j for one in found.harvests for j in one.manifest.get("journals", [])}
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "stage": "dataset",
        "version": found.version,
        "hash": hash_of(described(files)),
        "earlier": found.earlier.hash if found.earlier else None,
        "counts": {
            "scenes": len(scenes),
            "pairs": sum(counts.values()),
            **counts,
            "contrast_sets": files["contrast.jsonl"].count("\n"),
            "preferences": sum(files[f"preferences-{part}.jsonl"].count("\n") for part in SPLITS),
            "from_journals": Counter(row["split"] for row in index if row.get("origin") == ORIGIN),
        },
        "settings": {
            "replay": found.settings.replay, "quota": found.settings.quota,
            "hold_out": found.settings.hold_out,
        },
        "held_out": found.held_out,
        "sources": {
            "shipped": found.shipped.hash,
            "journals": sorted(journals),
        },
    }  # fmt: skip
    report = report_of(found, manifest)
    files["dropped.jsonl"] = lines(
        {"id": one.id, "reason": one.reason, "detail": one.detail} for one in found.dropped
    )
    files["report.json"] = pretty(report)
    files["report.txt"] = told(report) + "\n"
    manifest["files"] = described(files)
    write_whole(target, files, manifest)
    return report


def _index(files: Mapping[str, str]) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in files["index.jsonl"].split("\n") if line]
