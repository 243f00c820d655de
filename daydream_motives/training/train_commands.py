"""`python -m daydream_motives.training train`: a recipe and a dataset make an adapter."""

from __future__ import annotations

from pathlib import Path

import click

from daydream_motives.training.options import of_learning


@click.command()
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the adapter.")
@of_learning
@click.option("--fresh", is_flag=True, help="Begin again; drops what the folder holds of training.")
def train(
    recipe: str,
    output: Path | None,
    data: str | None,
    base: str | None,
    device: str | None,
    seed: int | None,
    fresh: bool,
) -> None:
    """Train by RECIPE, a name of training/recipes or a .toml file; goes on where it was stopped."""
    from daydream_motives.training.process import settle
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    file = find_recipe(recipe)
    told = read_recipe(file).changed(device=device, seed=seed)
    try:
        settle()

        from daydream_motives.training.base import open_base
        from daydream_motives.training.tuning.corpus import read_corpus
        from daydream_motives.training.tuning.run import run_training
    except ImportError as exc:
        raise missing(exc) from exc
    corpus = read_corpus(data or told.data.folder)
    found = open_base(base or told.base.model)
    target = output or Path("runs") / "tuned" / f"{file.stem}-{told.train.seed}"
    try:
        manifest = run_training(told, found, corpus, target, fresh=fresh, say=_say)
    except KeyboardInterrupt:
        _say(f"the same command goes on in {target} from the last checkpoint, without --fresh")
        raise
    best, speed = manifest["best"], manifest["tokens"] / max(manifest["seconds"], 0.1)
    click.echo(
        f"validation loss {manifest['losses'][0]['loss']:.4f} -> {best['loss']:.4f} at step "
        f"{best['step']}; {manifest['tokens']} tokens in {manifest['seconds']:.0f} s "
        f"({speed:.0f} a second)\nWhat was learnt is in {target}"
    )


def _say(text: str) -> None:
    click.echo(text, err=True)
