"""`python -m daydream_motives.training prefer`: an adapter goes on to learn from pairs."""

from __future__ import annotations

from pathlib import Path

import click

from daydream_motives.training.options import of_learning

_path = click.Path(path_type=Path)


@click.command()
@click.argument("recipe")
@click.option("--from", "start", type=_path, required=True, help="The folder that `train` wrote.")
@click.option("-o", "--output", type=_path, help="The folder of the adapter; default: FROM-prefer.")
@of_learning
@click.option("--fresh", is_flag=True, help="Begin again; drops what the folder holds of this.")
def prefer(
    recipe: str,
    start: Path,
    output: Path | None,
    data: str | None,
    base: str | None,
    device: str | None,
    seed: int | None,
    fresh: bool,
) -> None:
    """Learn to prefer chosen answers to rejected ones, by RECIPE; goes on where it was stopped.

    Exits with 3 where the dataset has no pairs.
    """
    from daydream_motives.training.process import settle
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    told = read_recipe(find_recipe(recipe)).changed(device=device, seed=seed)
    try:
        settle()

        from daydream_motives.training.base import open_base
        from daydream_motives.training.preferring.pairs import read_pairs
        from daydream_motives.training.preferring.run import open_tuned, run_preference
        from daydream_motives.training.tuning.corpus import read_corpus
    except ImportError as exc:
        raise missing(exc) from exc
    tuned = open_tuned(start)
    corpus = read_corpus(data or told.data.folder)
    pairs = read_pairs(corpus.folder)
    found = open_base(base or told.base.model)
    target = output or start.parent / f"{start.resolve().name}-prefer"
    try:
        manifest = run_preference(
            told, found, corpus, pairs, tuned, target, fresh=fresh, say=_say
        )  # fmt: skip
    except KeyboardInterrupt:
        _say("the same command goes on from the last checkpoint")
        raise
    before, best = manifest["losses"][0], manifest["best"]
    click.echo(
        f"accuracy on validation pairs {before['accuracy']:.3f} -> {best['accuracy']:.3f}, margin "
        f"{best['margin']:.3f}, validation loss {before['loss']:.4f} -> {best['loss']:.4f} at step "
        f"{best['step']}"
    )
    if not best["step"]:
        click.echo("Nothing was better than the beginning, which is kept as it was")
    click.echo(f"What was learnt is in {target}")


def _say(text: str) -> None:
    click.echo(text, err=True)
