"""Exported models that are tiny and random, and their promotion over whatever serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny import write_gguf

from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.promotion import promote, promoted
from daydream_motives.modelstore.store import ModelStore


def export(folder: Path, seed: int = 1) -> dict[str, Any]:
    """What `export` leaves behind, of a random model; returns its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    file = write_gguf(folder / "q8_0.gguf", seed=seed)
    row = {
        "format": "Q8_0", "stored": "", "size": 1, "bits_per_weight": 8.5, "kl": 0.001,
        "top1": 0.99, "prefill": 1.0, "decode": {}, "verdict": "chosen",
    }  # fmt: skip
    manifest = {
        "schema_version": 1, "stage": "export", "file": file.name, "sha256": sha256_of(file),
        "size": file.stat().st_size, "style": "plain", "temperature": 0.3, "method": "lora",
        "bounds": {"max_kl": 0.03, "min_top1": 0.92}, "measured": [row], "dataset": {},
        "base": {"name": "tiny", "sha256": "ab" * 32}, "plan": {},
        "files": {file.name: {"sha256": sha256_of(file), "bytes": file.stat().st_size}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return manifest


def put(folder: Path, name: str, seed: int = 1, **changes: Any) -> str:
    """Promote a random model over whatever serves."""
    models = ModelStore().folder
    told: dict[str, Any] = {
        "name": name, "title": "Tiny, tuned", "licence": "MIT", "why": "better", "card": "# Card\n",
        "expected": promoted(models), **changes,
    }  # fmt: skip
    return promote(models, folder, export(folder, seed), **told)
