"""`python -m daydream_motives.training preflight`: what would go wrong, before it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from daydream_motives.training.tuning.preflight import Preflight

_MARKS = {"ok": ("ok", "green"), "mind": ("mind", "yellow"), "refused": ("refused", "red")}
_GIB = 2**30


@click.command()
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where it would be written.")
@click.option("--data", help="The dataset's folder, instead of the recipe's.")
@click.option("--base", help="Another base: a catalogue's name or a GGUF file.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--samples", type=click.IntRange(0, 100), default=2, help="Samples to show.")
def preflight(
    recipe: str,
    output: Path | None,
    data: str | None,
    base: str | None,
    device: str | None,
    samples: int,
) -> None:
    """Look at RECIPE, its base and its data; exits with 7 where training is refused, and why."""
    from daydream_motives.errors import Refused
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    told = read_recipe(find_recipe(recipe)).changed(device=device)
    try:
        from daydream_motives.training.base import open_base
        from daydream_motives.training.tuning.corpus import read_corpus
        from daydream_motives.training.tuning.preflight import coloured, look
    except ImportError as exc:
        raise missing(exc) from exc
    corpus = read_corpus(data or told.data.folder)
    found = open_base(base or told.base.model)
    seen = look(told, found, corpus, output or Path("runs") / "training", samples)
    words = found.file_words()
    for sample in seen.samples:
        learnt = sum(sample.supervised)
        click.echo(f"{sample.id}: {len(sample)} tokens, {learnt} learnt")
        click.echo(f"{coloured(sample, words)}\n")
    for finding in seen.findings:
        mark, colour = _MARKS[finding.level]
        click.echo(f"{click.style(f'{mark:>7}', fg=colour)}  {finding.what}")
        if finding.remedy:
            click.echo(f"         -> {finding.remedy}")
    _show_figures(seen)
    if seen.refused:
        click.echo(f"refused for {len(seen.refused)} reason{'s' * (len(seen.refused) > 1)}")
        raise SystemExit(Refused.exit_code)


def _show_figures(seen: Preflight) -> None:
    """The table of memory, parameters and time."""
    from daydream_motives.training.tuning.log import left

    if not seen.memory:
        return
    names = ("process", "weights", "trained", "gradients", "optimizer", "activations", "logits",
             "total")  # fmt: skip
    click.echo(f"\nGiB      {''.join(f'{name:>12}' for name in names)}")
    for method, memory in seen.memory.items():
        row = "".join(f"{getattr(memory, name) / _GIB:12.2f}" for name in names)
        click.echo(f"{method:9}{row}{'  <- this recipe' if method == seen.method else ''}")
    share = seen.trained / seen.parameters
    click.echo(f"trains {seen.trained:,} of {seen.parameters:,} parameters ({share:.2%})")
    click.echo(
        f"{seen.tokens:,} tokens by {seen.method} on {seen.device}: roughly {left(seen.seconds)}"
    )
