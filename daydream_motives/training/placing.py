"""An exported model in the incumbent's place, its card saying why. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import parse_json, write_atomic
from daydream_motives.errors import RunError
from daydream_motives.modelstore.promotion import promote
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.folder import read_manifest, read_whole

_HEADING = "## Promotion"


def read_export(folder: Path) -> dict[str, Any]:
    """The manifest of a whole export; raises RunError."""
    manifest = read_manifest(folder)
    if manifest.get("stage") != "export" or manifest.get("file") not in manifest["files"]:
        raise RunError(f"{folder} is no export", remedy="give a folder that `export` has written")
    return manifest


def read_comparison(folder: Path) -> dict[str, Any]:
    """What `compare` found; raises RunError."""
    _, files = read_whole(folder, "compare", 1)
    try:
        return dict(parse_json(files["figures.json"]))
    except (KeyError, ValueError, TypeError, RecursionError) as exc:
        raise RunError(f"{folder} holds no figures: {exc}", remedy="compare again") from exc


def name_of(manifest: Mapping[str, Any]) -> str:
    """What an exported model is called by default: its base's name and its own hash."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", manifest["base"]["name"]).strip(".-")[:40]
    return f"{plain or 'model'}-{manifest['sha256'][:8]}"


def written_into_card(file: Path, decision: str) -> str:
    """The model card with this decision in place of an earlier one; written back."""
    try:
        card = file.read_text(encoding="utf-8") if file.exists() else "# A tuned model\n"
        card = f"{card.partition(_HEADING)[0].rstrip()}\n\n{_HEADING}\n\n{decision}"
        write_atomic(file, card)
    except (OSError, UnicodeDecodeError) as exc:
        raise RunError(f"the model card {file} cannot be written: {exc}") from exc
    return card


def place(
    store: ModelStore, export: Path, manifest: Mapping[str, Any], name: str, *,
    before: str | None, why: str, card: str,
) -> None:  # fmt: skip
    """Make the export this machine's default, in place of the promoted model `before`.

    Doing it twice is doing it once. Raises StoreError, also where another serves by now.
    """
    base = manifest["base"]["name"]
    entry = store.catalogue.models.get(base)
    promote(
        store.folder, export, manifest, name=name, expected=before, why=why, card=card,
        title=f"{entry.title if entry else base}, tuned here",
        licence=entry.licence if entry else "that of its base",
    )  # fmt: skip
