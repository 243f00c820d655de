"""`python -m daydream_motives.training harvest`: journals to samples."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("journals", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("harvest"), show_default=True,
    help="The folder of the samples.",
)  # fmt: skip
@click.option(
    "--names", type=click.Path(path_type=Path),
    help="Names to take out, one a line; NAME = STAND-IN puts another in its place.",
)  # fmt: skip
@click.option(
    "--least", type=float, default=0.05, show_default=True,
    help="What teaches moved needs and feelings by this much in all.",
)  # fmt: skip
@click.option("--game-version", default="", help="For journals that do not say it.")
@click.option("--world", default="", help="For journals that do not say it.")
@click.option("--json", "as_json", is_flag=True, help="The manifest on stdout.")
def harvest(
    journals: tuple[Path, ...],
    output: Path,
    names: Path | None,
    least: float,
    game_version: str,
    world: str,
    as_json: bool,
) -> None:
    """Take from JOURNALS what teaches and what to avoid, by what followed each decision.

    A journal is a run's folder, a folder of runs, a journal.sqlite, or JSON Lines of any game.
    Mail addresses and the numbers of phones and cards are always taken out.
    """
    from daydream_motives.training.harvest import gather
    from daydream_motives.training.harvest.redaction import Redaction, read_names
    from daydream_motives.training.harvest.telling import told

    found = gather.harvest(
        journals, redaction=Redaction(read_names(names) if names else ()), least=least,
        game_version=game_version, world=world,
    )  # fmt: skip
    manifest = gather.write(found, output)
    if as_json:
        click.echo(json.dumps(manifest, ensure_ascii=False))
        return
    click.echo(told(found))
    click.echo(f"The samples are in {output}")
