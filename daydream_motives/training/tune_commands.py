"""`python -m daydream_motives.training tune`: a recipe and its ranges make a better recipe."""

from __future__ import annotations

from pathlib import Path

import click

from daydream_motives.training.options import of_learning


@click.command()
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the search.")
@of_learning
@click.option("--trials", type=click.IntRange(1), help="How many, instead of the recipe's.")
@click.option("--fresh", is_flag=True, help="Begin again; drops what the folder holds of a search.")
def tune(
    recipe: str,
    output: Path | None,
    data: str | None,
    base: str | None,
    device: str | None,
    trials: int | None,
    seed: int | None,
    fresh: bool,
) -> None:
    """Search the ranges of RECIPE for the lowest validation loss; goes on where it was stopped.

    The best recipe is best.toml in the folder, for `train`. More trials than a search had go on
    with it.
    """
    from daydream_motives.training.process import settle
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    file = find_recipe(recipe)
    told = read_recipe(file).changed(device=device, seed=seed)
    told = told.with_values({"tune.trials": trials} if trials else {})
    try:
        settle()

        from daydream_motives.training.base import open_base
        from daydream_motives.training.searching.search import BEST, TABLE, run_search
        from daydream_motives.training.tuning.corpus import read_corpus
    except ImportError as exc:
        raise missing(exc) from exc
    found = open_base(base or told.base.model)
    folder, model = data or told.data.folder, base or told.base.model
    if model != found.name:  # a file: as `train` shall find it from anywhere
        model = str(Path(model).expanduser().resolve())
    named = {"data.folder": str(Path(folder).expanduser().resolve())} if folder else {}
    told = told.with_values({"base.model": model, **named})
    corpus = read_corpus(told.data.folder)
    target = output or Path("runs") / "tuning" / f"{file.stem}-{told.train.seed}"
    try:
        manifest = run_search(told, found, corpus, target, fresh=fresh, say=_say)
    except KeyboardInterrupt:
        _say("the same command goes on with the same trial")
        raise
    best = manifest["best"]
    values = ", ".join(f"{key} = {value:.4g}" for key, value in best["params"].items())
    click.echo(
        f"trial {best['trial'] + 1} is the best, with a validation loss of {best['loss']:.4f}: "
        f"{values}\nTrain by {target / BEST}; every trial is in {target / TABLE}"
    )


def _say(text: str) -> None:
    click.echo(text, err=True)
