"""`export-llamafactory`: a recipe and a dataset as a folder for LLaMA-Factory."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export-llamafactory")
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--data", help="The dataset's folder, instead of the recipe's.")
@click.option("--base", help="Another base: a catalogue's name or a GGUF file.")
def export_llamafactory(
    recipe: str, output: Path | None, data: str | None, base: str | None
) -> None:
    """Write what RECIPE trains, and how, as LLaMA-Factory reads it."""
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    file = find_recipe(recipe)
    told = read_recipe(file)
    try:
        from daydream_motives.training.base import open_base
        from daydream_motives.training.llamafactory_folder import run_llamafactory
        from daydream_motives.training.tuning.corpus import read_corpus
    except ImportError as exc:
        raise missing(exc) from exc
    corpus = read_corpus(data or told.data.folder)
    target = output or Path("runs") / "llamafactory" / file.stem
    manifest = run_llamafactory(told, open_base(base or told.base.model), corpus, target)
    counts = ", ".join(
        f"{entry['records']} of {name.removesuffix('.jsonl')}"
        for name, entry in manifest["files"].items()
        if name.endswith(".jsonl")
    )
    click.echo(f"{counts}\n{target}/README.md says how to train")
