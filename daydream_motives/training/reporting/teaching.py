"""What a dataset holds, counted from its own files, of whatever origin its records are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from daydream_motives.characters.files import parse_json
from daydream_motives.characters.sheet import MBTI_TYPES
from daydream_motives.motives.budget import rough_count
from daydream_motives.training.curate.samples import UNKNOWN, work_and_type
from daydream_motives.training.dataset.build import SCHEMA_VERSION
from daydream_motives.training.dataset.figures import histogram, tallied
from daydream_motives.training.dataset.pictures import bars, cells
from daydream_motives.training.dataset.sharegpt import read_records
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import read_whole
from daydream_motives.training.reporting.parts import Part

_WORKS = 16
_AGE = re.compile(r"\b(\d{1,3})-year-old\b")


def teaching(part: Part) -> dict[str, Any]:
    """Counts, tallies and pictures of a dataset; raises RunError where it is not as written."""
    _, files = read_whole(part.folder, "dataset", SCHEMA_VERSION)
    records, findings = [], []
    for split in SPLITS:
        some, wrong = read_records(part.folder / f"{split}.jsonl")
        records += some
        findings += wrong
    index = _rows(files.get("index.jsonl", ""))
    pairs = [row for s in SPLITS for row in _rows(files.get(f"preferences-{s}.jsonl", ""))]
    found = Counter(map(work_and_type, records))
    works = tallied(work for work, _ in found.elements() if work != UNKNOWN)
    types = [kind for kind in sorted(MBTI_TYPES) if any(k == kind for _, k in found)]
    words = [len(text.split()) for record in records for text in record.purposes]
    tokens = [sum(map(rough_count, record.fields.values())) for record in records]
    ages = [
        int(match[1])
        for record in records
        if (match := _AGE.search(record.fields["Character_description"]))
    ]
    most = [work for work, _ in works[:_WORKS]]
    pictures = [
        ("Occupations × MBTI", f"The {len(most)} most frequent of {len(works)} occupations.",
         cells(most, types, found, key="works", title="Occupations by MBTI type", unit="records")),
        ("Length", "Words of a purpose.", _bars("words", histogram(words, 1), "purposes")),
        ("Context", "Tokens of what is told, counted roughly (three bytes each).",
         _bars("tokens", histogram(tokens, 25), "records")),
        ("Ages", "By decade of life.", _bars("ages", histogram(ages, 10), "records")),
    ]  # fmt: skip
    if not types:
        del pictures[0]
    return {
        "records": len(records),
        "counts": [(s, files[f"{s}.jsonl"].count("\n")) for s in SPLITS],
        "pairs": len(pairs),
        "from_journals": sum(row.get("origin") == "journal" for row in index),
        "pictures": pictures,
        "mbti": tallied(kind for _, kind in found.elements()),
        "worlds": tallied(str(row.get("world") or UNKNOWN) for row in index),
        "rejected": tallied(str(row.get("why") or UNKNOWN) for row in pairs),
        "findings": [str(one) for one in findings],
        "curated": files.get("report.txt", ""),
    }


def _bars(key: str, rows: list[tuple[float, int]], unit: str) -> Any:
    shown = [(f"{edge:g}", n) for edge, n in rows]
    return bars(shown, key=key, title=f"{key.capitalize()} of {unit}", unit=unit)


def _rows(text: str) -> list[dict[str, Any]]:
    return [parse_json(line) for line in text.split("\n") if line.strip()]
