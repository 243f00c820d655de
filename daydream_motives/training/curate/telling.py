"""What was chosen for a dataset and why, as data and in lines. Knows no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from daydream_motives.training.curate.assemble import REASONS, Curated
from daydream_motives.training.dataset.split import SPLITS

_MOST = 12


def report_of(found: Curated, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is told of a dataset, as plain data."""
    kept = [sample for part in SPLITS for sample in found.kept[part]]
    kinds = Counter(sample.row.kind for one in found.harvests for sample in one.samples)
    cells = Counter(sample.cell for sample in kept)
    train = manifest["counts"]["train"]
    return {
        "hash": manifest["hash"],
        "version": manifest["version"],
        "earlier": manifest["earlier"],
        "counts": manifest["counts"],
        "settings": manifest["settings"],
        "samples": {"teach": kinds["teach"], "reject": kinds["reject"]},
        "kept": {
            "train": len(found.kept["train"]),
            "test": len(found.kept["test"]),
            "frozen_before": len(found.frozen),
            "pairs": {part: len(found.pairs[part]) for part in SPLITS},
            "reasons": dict(Counter(sample.row.reason for sample in kept).most_common()),
        },
        "dropped": dict(Counter(one.reason for one in found.dropped).most_common()),
        "meaning": {one.reason: REASONS[one.reason] for one in found.dropped},
        "shipped_share_of_train": round(len(found.shipped.records["train"]) / train, 4)
        if train
        else None,
        "held_out_characters": len({sample.name for sample in found.kept["test"]}),
        "by_type": dict(Counter(cell[1] for cell in cells.elements()).most_common()),
        "by_world": dict(Counter(cell[2] for cell in cells.elements()).most_common()),
        "cells": [
            {"occupation": work, "type": kind, "world": world, "samples": n}
            for (work, kind, world), n in sorted(cells.items(), key=lambda c: (-c[1], c[0]))
        ],
        "harvests": [
            {
                "folder": str(one.folder),
                "samples": len(one.samples),
                "broken": sum(dropped.reason == "broken" for dropped in one.dropped),
            }
            for one in found.harvests
        ],
        "broken": [str(finding) for finding in found.findings],
    }


def told(report: Mapping[str, Any]) -> str:
    """The report in lines."""
    return "\n".join(_lines(report))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    counts, kept, samples = report["counts"], report["kept"], report["samples"]
    for one in report["harvests"]:
        yield f"{one['folder']}: {one['samples']} samples, {one['broken']} broken"
    yield f"samples: {samples['teach']} teach, {samples['reject']} rejected"
    yield (
        f"kept: {kept['train']} in train, {kept['test']} held out for the frozen questions "
        f"({report['held_out_characters']} characters), {sum(kept['pairs'].values())} pairs"
    )
    if kept["frozen_before"]:
        yield f"frozen questions of the earlier dataset: {kept['frozen_before']}"
    yield f"dropped: {sum(report['dropped'].values())}"
    for reason, n in report["dropped"].items():
        yield f"  {n:6} {reason}: {report['meaning'][reason]}"
    yield "most of one occupation, type and world:" if report["cells"] else "nothing was kept"
    for cell in report["cells"][:_MOST]:
        yield f"  {cell['samples']:6} {cell['occupation']}, {cell['type']}, {cell['world']}"
    share = report["shipped_share_of_train"]
    yield (
        f"dataset: train {counts['train']}" + (f" ({share:.1%} shipped)" if share else "")
        + f", validation {counts['validation']}, test {counts['test']}, "
        f"preferences {counts['preferences']}"
    )  # fmt: skip
    yield f"version {report['version']}, {report['hash']}"
    yield from report["broken"][:_MOST]
    if (more := len(report["broken"]) - _MOST) > 0:
        yield f"… and {more} more problems, in report.json"
