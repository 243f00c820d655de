"""`promote` and `rollback`: which model this machine uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from daydream_motives.modelstore.store import ModelStore
    from daydream_motives.training.promoting import Decision

_path = click.Path(path_type=Path)
_HEADING = "## Promotion"


@click.command()
@click.argument("export", type=_path)
@click.argument("comparison", type=_path)
@click.option("--name", help="What to call the model. Default: the base's name and its hash.")
@click.option("--dry-run", is_flag=True, help="Decide and tell, and change nothing.")
def promote(export: Path, comparison: Path, name: str | None, dry_run: bool) -> None:
    """Make the model in EXPORT this machine's default, if COMPARISON says it is better.

    COMPARISON is a folder of `compare` with the default model first and the exported file after.
    Running games that follow the default swap to it. Exits with 4 where it is refused.
    """
    from daydream_motives.errors import StoreError
    from daydream_motives.modelstore.promotion import promote as make_default
    from daydream_motives.modelstore.promotion import promoted
    from daydream_motives.modelstore.store import ModelStore
    from daydream_motives.training.exporting.stage import CARD
    from daydream_motives.training.promoting import decide

    store = ModelStore()
    manifest = _export(export)
    before = promoted(store.folder)
    incumbent = before or store.catalogue.default
    called = name or f"{_plain(manifest['base']['name'])}-{manifest['sha256'][:8]}"
    if called == before and store.installed(called).sha256 == manifest["sha256"]:
        click.echo(f"{called} is the default already")
        return
    decision = decide(_compared(comparison), manifest["sha256"], store.installed(incumbent).sha256)
    text = decision.as_markdown(called, incumbent)
    click.echo(text)
    if dry_run:
        return
    card = _told(export / CARD, text)
    if not decision.promoted:
        raise StoreError(
            f"{called} does not take the place of {incumbent}: {decision.why}",
            remedy="train on more or better data; the incumbent goes on serving",
        )
    _make(store, make_default, export, manifest, called, before, decision, card)
    click.echo(f"{called} is this machine's default; `rollback` goes back to {incumbent}")


@click.command()
@click.option("--why", default="", help="Kept beside the decision.")
def rollback(why: str) -> None:
    """Go back to the model that was this machine's default before."""
    from daydream_motives.modelstore.promotion import rollback as go_back
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    left, now = go_back(store.folder, why=why)
    default = f"the catalogue's {store.catalogue.default}"
    click.echo(f"{now or default} is this machine's default again, in place of {left or default}")


def _export(folder: Path) -> dict[str, Any]:
    """The manifest of a whole export; raises RunError."""
    from daydream_motives.errors import RunError
    from daydream_motives.training.folder import read_manifest

    manifest = read_manifest(folder)
    if manifest.get("stage") != "export" or manifest.get("file") not in manifest["files"]:
        raise RunError(f"{folder} is no export", remedy="give a folder that `export` has written")
    return manifest


def _compared(folder: Path) -> dict[str, Any]:
    """What `compare` found; raises RunError."""
    from daydream_motives.characters.files import parse_json
    from daydream_motives.errors import RunError
    from daydream_motives.training.folder import read_whole

    _, files = read_whole(folder, "compare", 1)
    try:
        return dict(parse_json(files["figures.json"]))
    except (KeyError, ValueError, TypeError, RecursionError) as exc:
        raise RunError(f"{folder} holds no figures: {exc}", remedy="compare again") from exc


def _told(file: Path, decision: str) -> str:
    """The model card with this decision in place of an earlier one; written back."""
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.errors import RunError

    try:
        card = file.read_text(encoding="utf-8") if file.exists() else "# A tuned model\n"
        card = f"{card.partition(_HEADING)[0].rstrip()}\n\n{_HEADING}\n\n{decision}"
        write_atomic(file, card)
    except (OSError, UnicodeDecodeError) as exc:
        raise RunError(f"the model card {file} cannot be written: {exc}") from exc
    return card


def _make(
    store: ModelStore, make_default: Any, export: Path, manifest: dict[str, Any], name: str,
    before: str | None, decision: Decision, card: str,
) -> None:  # fmt: skip
    entry = store.catalogue.models.get(manifest["base"]["name"])
    make_default(
        store.folder, export, manifest, name=name, expected=before, why=decision.why, card=card,
        title=f"{entry.title if entry else manifest['base']['name']}, tuned here",
        licence=entry.licence if entry else "that of its base",
    )  # fmt: skip


def _plain(name: str) -> str:
    """A name of letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-")[:40] or "model"
