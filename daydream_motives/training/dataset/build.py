"""From checked pairs to the files that training reads, and a manifest that says they are whole.

The same scenes give the same bytes. The manifest goes first when files are replaced, and comes
last: where there is one, everything it names is there.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daydream_motives.motives.prompt import KEYS
from daydream_motives.records import as_sharegpt
from daydream_motives.settings import shipped
from daydream_motives.training.dataset.book import folded
from daydream_motives.training.dataset.pairs import ContrastSet, Pair, contrast_sets
from daydream_motives.training.dataset.split import SPLITS, Unit, sizes, split
from daydream_motives.training.folder import described, lines, sha256, write_whole

SCHEMA_VERSION = 1


def default_target() -> Path:
    """Where the built files of the project are."""
    return shipped("training") / "data" / "motives"


def units_of(pairs: Sequence[Pair]) -> list[Unit]:
    """The scenes of the pairs as the split sees them."""
    counts = Counter(pair.scene.id for pair in pairs)
    scenes = {pair.scene.id: pair.scene for pair in pairs}
    return [
        Unit(
            id, scene.world, frozenset(map(folded, scene.people_names())), scene.family, counts[id]
        )
        for id, scene in scenes.items()
    ]


def record_of(pair: Pair) -> dict[str, Any]:
    """The pair as one ShareGPT record; its id follows from the scene's and the decision's."""
    texts = [{"text": text} for text in pair.record.purposes]
    return as_sharegpt({"id": pair.where, "purposes": texts, "context": pair.context.fields})


def id_of(pair: Pair) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, pair.where))


def preferences_of(pair: Pair) -> list[dict[str, Any]]:
    """The answer beside each that was rejected, and why it was."""
    record = record_of(pair)
    question, chosen = record["conversations"]
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{pair.where}#{number}")),
            "of": record["id"],
            "why": answer.why,
            "conversations": [question],
            "chosen": chosen,
            "rejected": {
                "from": "assistant",
                "value": json.dumps(
                    dict(zip(KEYS, answer.purposes, strict=True)), ensure_ascii=False
                ),
            },
        }
        for number, answer in enumerate(pair.record.rejected, 1)
    ]


def products(pairs: Sequence[Pair]) -> dict[str, str]:
    """Every file of the dataset by its name, in the order of the book; all but the manifest."""
    parts = split(units_of(pairs))
    files: dict[str, str] = {}
    for part in SPLITS:
        mine = [pair for pair in pairs if parts[pair.scene.id] == part]
        files[f"{part}.jsonl"] = lines(record_of(pair) for pair in mine)
        files[f"preferences-{part}.jsonl"] = lines(
            row for pair in mine for row in preferences_of(pair)
        )
    files["contrast.jsonl"] = lines(_set(one, parts) for one in contrast_sets(pairs))
    files["index.jsonl"] = lines(_entry(pair, parts) for pair in pairs)
    return files


def _set(one: ContrastSet, parts: Mapping[str, str]) -> dict[str, Any]:
    scene = one.pairs[0].scene
    kind = "people"
    if not one.of_people:
        variant = next(pair.record for pair in one.pairs if pair.record.changes)
        kind = "memory" if variant.remembers is not None else "tie"
    return {
        "set": one.label, "kind": kind, "world": scene.world, "split": parts[scene.id],
        "ids": [id_of(pair) for pair in one.pairs],
    }  # fmt: skip


def _entry(pair: Pair, parts: Mapping[str, str]) -> dict[str, Any]:
    scene, record = pair.scene, pair.record
    return {
        "id": id_of(pair), "scene": scene.id, "decision": record.key, "split": parts[scene.id],
        "world": scene.world, "rating": scene.rating, "contrast": record.contrast,
        "rejected": [answer.why for answer in record.rejected],
    }  # fmt: skip


def manifest_of(pairs: Sequence[Pair], files: Mapping[str, str]) -> dict[str, Any]:
    """What the files hold and what they were made from."""
    units = units_of(pairs)
    sources = sorted({pair.written.document.file for pair in pairs}, key=lambda f: Path(f).name)
    return {
        "schema_version": SCHEMA_VERSION,
        "counts": {
            "scenes": len(units),
            "pairs": len(pairs),
            **sizes(units, split(units)),
            "contrast_sets": files["contrast.jsonl"].count("\n"),
            "preferences": sum(
                text.count("\n") for name, text in files.items() if name.startswith("preferences")
            ),
        },
        "files": described(files),
        "sources": {Path(file).name: sha256(Path(file).read_bytes()) for file in sources},
    }  # fmt: skip


def write(pairs: Sequence[Pair], target: Path) -> dict[str, Any]:
    """Write every file and then the manifest, which is returned; raises RunError for a bad disk."""
    files = products(pairs)
    manifest = manifest_of(pairs, files)
    write_whole(target, files, manifest)
    return manifest
