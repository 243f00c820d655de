"""Models made from a base and an adapter that ships with this package. Needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from daydream_motives.errors import ModelCorrupt, ModelMissing
from daydream_motives.modelstore.catalogue import Catalogue, Entry, ShippedAdapter
from daydream_motives.modelstore.download import Progress, check_space, fetch, forget, sha256_of
from daydream_motives.modelstore.merge import merge
from daydream_motives.settings import shipped

_BYTES = 2.2  # of disk for each weight: in 16 bits, and room


def make(
    catalogue: Catalogue,
    adapter: ShippedAdapter,
    models: Path,
    target: Path,
    cache: Path,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Write the base with the adapter merged in to `target`; the base is fetched where this
    machine has not got it.

    Raises ModelMissing or ModelCorrupt where what ships is not there, and StoreError.
    """
    file = shipped("models") / adapter.file
    if not file.is_file():
        raise ModelMissing(f"{file} is not there", remedy="reinstall daydream-motives")
    if (digest := sha256_of(file)) != adapter.sha256:
        raise ModelCorrupt(
            f"{file} has SHA-256 {digest}, not {adapter.sha256}",
            remedy="reinstall daydream-motives",
        )
    entry = catalogue.entry(adapter.base)
    check_space(target.parent, int(_BYTES * entry.parameters))
    base, fetched = _base(entry, models / adapter.base, target.parent, cache, progress)
    say(f"merging the adapter into {adapter.base}")
    try:
        where = file if file.suffix == ".gguf" else file.parent
        merge(base, where, target, base_sha256=entry.sha256 or "")
    finally:
        if fetched:
            base.unlink(missing_ok=True)
    if fetched:
        forget(entry, cache)


def _base(
    entry: Entry, there: Path, folder: Path, cache: Path, progress: Progress
) -> tuple[Path, bool]:
    """The base's file as it was fetched, and whether that was now."""
    kept = there / "shipped.gguf"
    if entry.sha256 and kept.is_file() and sha256_of(kept) == entry.sha256:
        return kept, False
    base = folder / "base.gguf"
    fetch(entry, base, cache, progress)
    return base, True


def keep_card(entry: Entry, folder: Path) -> None:
    """Put the adapter's model card beside the model, where there is one."""
    if entry.adapter:
        card = (shipped("models") / entry.adapter.file).with_name("README.md")
        if card.is_file():
            shutil.copyfile(card, folder / "README.md")
