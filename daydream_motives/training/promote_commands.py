"""`promote` and `rollback`: which model this machine uses."""

from __future__ import annotations

from pathlib import Path

import click

_path = click.Path(path_type=Path)


@click.command()
@click.argument("export", type=_path)
@click.argument("comparison", type=_path)
@click.option("--name", help="What to call the model. Default: the base's name and its hash.")
@click.option("--dry-run", is_flag=True, help="Decide and tell, and change nothing.")
def promote(export: Path, comparison: Path, name: str | None, dry_run: bool) -> None:
    """Make the model in EXPORT this machine's default, if COMPARISON says it is better.

    COMPARISON is a folder of `compare` with the default model first and the exported file after.
    Running games that follow the default swap to it. Exits with 7 where it is refused.
    """
    from daydream_motives.errors import Refused
    from daydream_motives.modelstore.promotion import is_same, promoted
    from daydream_motives.modelstore.store import ModelStore
    from daydream_motives.training.exporting.stage import CARD
    from daydream_motives.training.placing import (
        name_of,
        place,
        read_comparison,
        read_export,
        written_into_card,
    )
    from daydream_motives.training.promoting import decide

    store = ModelStore()
    manifest = read_export(export)
    before = promoted(store.folder)
    incumbent = before or store.catalogue.default
    called = name or name_of(manifest)
    if called == before and is_same(store.folder / called, manifest):
        click.echo(f"{called} is the default already")
        return
    compared = read_comparison(comparison)
    decision = decide(compared, manifest, store.installed(incumbent).sha256)
    text = decision.as_markdown(called, incumbent)
    click.echo(text)
    if dry_run:
        return
    card = written_into_card(export / CARD, text)
    if not decision.promoted:
        raise Refused(
            f"{called} does not take the place of {incumbent}: {decision.why}",
            remedy="train on more or better data; the incumbent goes on serving",
        )
    place(store, export, manifest, called, before=before, why=decision.why, card=card)
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
