"""`daydream simulate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from daydream_motives.cli.common import (
    engine_of,
    json_option,
    model_option,
    seed_option,
    threads_option,
)


@click.command()
@click.argument("world", type=click.Path())
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="In-world days.")
@click.option("--ticks", type=click.IntRange(min=1), help="Ticks, instead of days.")
@click.option("--max-decisions", type=click.IntRange(min=1), help="Spread this many over the run.")
@click.option("--run", "folder", type=click.Path(), help="Where to write; default: a new folder.")
@seed_option
@model_option
@threads_option
@json_option
def simulate(
    world: str, days: float | None, ticks: int | None, max_decisions: int | None,
    folder: str | None, seed: int, model: str | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Let a WORLD live and keep a journal of every decision."""
    from daydream_motives.simulation.run import Run, Scenario
    from daydream_motives.simulation.world import World

    if days and ticks:
        raise click.UsageError("give --days or --ticks, not both")
    if days and not 0 < days <= 36_500:
        raise click.UsageError("--days is a number up to 36500")
    loaded = World.load(world)
    per_day = 1440 / loaded.clock.minutes_per_tick
    scenario = Scenario(ticks or max(1, round((days or 1) * per_day)), seed, max_decisions)
    target = Path(folder) if folder else _new_folder(Path(world).resolve().stem, seed)
    with engine_of(model, threads, seed) as engine:
        run = Run(loaded, engine, scenario, target)
        with telling(scenario.ticks, quiet=as_json) as tell:
            for happenings in run.steps():
                tell(run.simulation.clock.now, happenings)
    if as_json:
        click.echo(json.dumps({**run.manifest, "run": str(target)}, ensure_ascii=False))
    else:
        click.echo(_summary_text(run.summary().as_data()))
        click.echo(f"The run is in {target}; `daydream journal show {target}` tells it again.")


def _new_folder(name: str, seed: int) -> Path:
    number = 1
    while (path := Path("runs") / f"{name}-{seed}-{number}").exists():
        number += 1
    return path


@contextmanager
def telling(ticks: int, *, quiet: bool) -> Iterator[Any]:
    """Shows a run as it goes: coloured, with progress, on a terminal; plain lines elsewhere."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet) if quiet else Console(highlight=False)
    styles = {"decision": "", "event": "bold yellow", "failed": "red"}
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]} decisions"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(
        *columns, console=console, disable=quiet or not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("", total=ticks, count=0)
        count = 0

        def tell(now: Any, happenings: Any) -> None:
            nonlocal count
            for happening in happenings:
                count += happening.kind == "decision"
                if happening.kind in styles and not quiet:
                    source = ""
                    if happening.decision and happening.decision.provenance.source == "instinct":
                        source = " (instinct)"
                    line = f"{happening.time:%a %H:%M}  {happening.text}{source}"
                    style = styles[happening.kind]
                    bar.console.print(f"[{style}]{escape(line)}[/]" if style else escape(line),
                                      soft_wrap=True)  # fmt: skip
            bar.update(task, advance=1, count=count, description=f"{now:%a %H:%M}")

        yield tell


def _summary_text(data: dict[str, Any]) -> str:
    percent = {k: f"{data[k]:.0%}" for k in data if isinstance(data[k], float) and data[k] <= 1}
    outcomes = ", ".join(f"{count} {status}" for status, count in data["outcomes"].items())
    return (
        f"\n{data['decisions']} decisions by {data['characters']} people: "
        f"{percent['from_model']} from the model, {percent['valid']} valid triples, "
        f"{percent['filled']} with a rank filled by instinct\n"
        f"unknown names in {percent['unknown_names']}, near-duplicates in "
        f"{percent['near_duplicates']}, distinct-2 {data['distinct_2']:.2f}, "
        f"someone or something named in {percent['with_targets']}\n"
        f"tokens a decision: {data['tokens_in']:.0f} in, {data['tokens_out']:.0f} out; "
        f"outcomes: {outcomes}"
    )
