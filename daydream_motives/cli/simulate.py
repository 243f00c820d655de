"""`daydream simulate`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daydream_motives.cli.common import (
    engine_of,
    json_option,
    model_option,
    threads_option,
)
from daydream_motives.errors import ContentError
from daydream_motives.settings import threads_of_a_command

if TYPE_CHECKING:
    from daydream_motives.engine.following import Follower
    from daydream_motives.simulation.run import Run
    from daydream_motives.simulation.watch import Watch


@click.command()
@click.argument("world", type=click.Path(), required=False)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="In-world days.")
@click.option("--ticks", type=click.IntRange(min=1), help="Ticks, instead of days.")
@click.option("--max-decisions", type=click.IntRange(min=1), help="Spread this many over the run.")
@click.option("--run", "folder", type=click.Path(), help="Where to write; default: a new folder.")
@click.option("--seed", type=int, help="Default: 0.")
@click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with a run that ended.")
@click.option("--branch", metavar="RUN@TICK", help="Begin a new run where another was.")
@click.option("--seeds", help="Many runs: 1..8, or 1,5,9.")
@click.option("--jobs", type=click.IntRange(1, 512), help="Of --seeds at a time; default: 1.")
@click.option("--watch", is_flag=True, help="Take in edits of WORLD's files between ticks.")
@click.option("--follow", is_flag=True, help="Go over to a newly promoted model between ticks.")
@click.option(
    "--checkpoint-minutes",
    type=click.IntRange(1, 1_000_000),
    help="In-world minutes between checkpoints; default: 60.",
)
@model_option
@threads_option
@json_option
def simulate(
    world: str | None, days: float | None, ticks: int | None, max_decisions: int | None,
    folder: str | None, seed: int | None, resume: str | None, branch: str | None,
    seeds: str | None, jobs: int | None, watch: bool, follow: bool,
    checkpoint_minutes: int | None, model: str | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Let a WORLD live and keep a journal of every decision.

    A run whose process ended, however it did, goes on with --resume RUN; a complete one goes on
    with more --days in all. --branch RUN@TICK begins a new run there, with another --seed or
    --model or an edited WORLD if you like. With --seeds each seed is a run of its own.
    """
    from daydream_motives.engine.following import Follower
    from daydream_motives.simulation import run as runs
    from daydream_motives.simulation.folder import ENSEMBLE, RunFolder
    from daydream_motives.simulation.record import Scenario
    from daydream_motives.simulation.watch import Watch
    from daydream_motives.simulation.world import World

    if sum(map(bool, (resume, branch, seeds))) > 1:
        raise click.UsageError("give one of --resume, --branch and --seeds")
    if "" in (resume, branch, seeds):
        raise click.UsageError("--resume, --branch and --seeds cannot be empty")
    if checkpoint_minutes and (resume or branch):
        raise click.UsageError("--checkpoint-minutes is settled when a run begins")
    if jobs and not (seeds or (resume and (Path(resume) / ENSEMBLE).exists())):
        raise click.UsageError("--jobs is for --seeds")
    if days and ticks:
        raise click.UsageError("give --days or --ticks, not both")
    if days and not 0 < days <= 36_500:
        raise click.UsageError("--days is a number up to 36500")
    if world is None and (not (resume or branch) or watch):
        raise click.UsageError("name a WORLD, such as sim_examples/harbour_town")
    if resume and (seed is not None or folder or max_decisions or (world and not watch)):
        raise click.UsageError("--resume goes on with what the run was begun with; see --branch")
    if follow and (model or seeds):
        raise click.UsageError("--follow is for one run with this machine's default model")
    if resume and (Path(resume) / ENSEMBLE).exists():
        if days or ticks or model or watch or follow:
            raise click.UsageError("several runs go on with what they were begun with")
        return _many(Path(resume), jobs or 1, threads, as_json)
    if seeds:
        if watch or seed is not None:
            raise click.UsageError("--seeds cannot be combined with --seed or --watch")
        target = _planned(world or "", seeds, folder, model, days, ticks, max_decisions,
                          checkpoint_minutes)  # fmt: skip
        return _many(target, jobs or 1, threads, as_json)

    def ticks_of(of: World, whole_days: float | None = days) -> int | None:
        per_day = 1440 / of.clock.minutes_per_tick
        return max(1, round(whole_days * per_day)) if whole_days else ticks

    # A run that is resumed may have missed edits: there the first look is already one.
    watching = Watch(world, known=not resume) if watch and world else None
    if resume:
        held = RunFolder(resume)
        with engine_of(model or held.model, threads, 0) as engine:
            run = runs.resume(resume, engine, ticks=ticks_of(held.world()))
            return _live(run, watching, as_json, Follower(engine) if follow else None)
    if branch:
        name, _, tick = branch.rpartition("@")
        if not name or not tick.isdecimal() or len(tick) > 8:
            raise click.UsageError("--branch takes RUN@TICK, such as runs/harbour_town-0-1@96")
        held = RunFolder(name)
        edited = World.load(world) if world else None
        target = Path(folder) if folder else _new_folder(f"{held.path.name}-at-{tick}", seed or 0)
        with engine_of(model or held.model, threads, 0) as engine:
            run = runs.branch(
                name, int(tick), engine, target, world=edited, seed=seed,
                ticks=ticks_of(edited or held.world()), max_decisions=max_decisions, model=model,
            )  # fmt: skip
            return _live(run, watching, as_json, Follower(engine) if follow else None)
    loaded = World.load(world or "")
    scenario = Scenario(
        ticks_of(loaded, days or (None if ticks else 1)) or 1, seed or 0, max_decisions
    )
    target = Path(folder) if folder else _new_folder(Path(world or "").resolve().stem, seed or 0)
    with engine_of(model, threads, seed or 0) as engine:
        run = runs.start(
            loaded, engine, scenario, target, source=str(Path(world or "").resolve()),
            model=model, checkpoint_minutes=checkpoint_minutes or 60,
        )  # fmt: skip
        return _live(run, watching, as_json, Follower(engine) if follow else None)


def _live(run: Run, watch: Watch | None, as_json: bool, follower: Follower | None) -> None:
    """Let a run come to its end, telling what happens, and sum it up."""
    with telling(run.scenario.ticks, run.simulation.clock.tick, quiet=as_json) as tell:
        if watch or follower:

            def before_tick(run: Run) -> None:
                if watch:
                    _take_in(run, watch)
                if follower:
                    _follow(run, follower)

            run.before_tick = before_tick
        for happenings in run.steps():
            tell(run.simulation.clock.now, happenings)
    if as_json:
        click.echo(json.dumps({**run.manifest, "run": str(run.folder)}, ensure_ascii=False))
    else:
        click.echo(_summary_text(run.summary().as_data()))
        click.echo(f"The run is in {run.folder}; `daydream replay {run.folder}` tells it again.")


def _take_in(run: Run, watch: Watch) -> None:
    """Take in what the writer edited since the last tick, or say why not and go on as before."""
    try:
        edited = watch.edited()
        changes = run.edit(edited) if edited else []
    except ContentError as exc:
        click.echo(f"daydream: the edit is refused, the run goes on as it was: {exc}", err=True)
        return
    for change in changes:
        click.echo(f"daydream: {run.simulation.clock.now:%a %H:%M}  {change}", err=True)


def _follow(run: Run, follower: Follower) -> None:
    """Wait for a newly promoted model: this tick's decisions are the first of it."""
    if begun := follower.look():
        told = "another model serves" if begun.result() else "the new model cannot be had"
        click.echo(f"daydream: {run.simulation.clock.now:%a %H:%M}  {told}", err=True)


def _planned(
    world: str, seeds: str, folder: str | None, model: str | None, days: float | None,
    ticks: int | None, max_decisions: int | None, checkpoint_minutes: int | None,
) -> Path:  # fmt: skip
    """The folder of an ensemble, with a copy of the world, so that all runs live in the same."""
    from daydream_motives.simulation.ensemble import WORLD, plan, refuse_used, seeds_of
    from daydream_motives.simulation.world import World

    loaded = World.load(world)
    target = Path(folder) if folder else _new_folder(Path(world).resolve().stem, "seeds")
    options = {
        "model": model, "days": days, "ticks": ticks,
        "max-decisions": max_decisions, "checkpoint-minutes": checkpoint_minutes,
    }  # fmt: skip
    listed = seeds_of(seeds)
    refuse_used(target)
    loaded.save(target / WORLD)  # before the plan: what is planned can be run
    plan(target, listed, options)
    return target


def _many(folder: Path, jobs: int, threads: int | None, as_json: bool) -> None:
    """Run an ensemble, or what is left of it."""
    from daydream_motives.errors import RunError
    from daydream_motives.simulation.ensemble import Ended, run_all

    def tell(end: Ended) -> None:
        text = f"stopped with exit code {end.code}: {end.error}" if end.code else "complete"
        click.echo(f"seed {end.seed}: {text} ({end.folder})", err=True)

    # Whoever ends this process in an orderly way ends its runs too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    each = threads or max(1, threads_of_a_command() // jobs)
    failed = [end for end in run_all(folder, jobs=jobs, threads=each, tell=tell) if end.code]
    if failed:
        raise RunError(
            f"{len(failed)} of the runs in {folder} did not come to their end",
            remedy=f"mend what they say, then daydream simulate --resume {folder}",
        )
    if as_json:
        click.echo((folder / "manifest.json").read_text(encoding="utf-8"))
    else:
        click.echo(f"The runs are in {folder}; `daydream report {folder}` compares them.")


def _new_folder(name: str, seed: int | str) -> Path:
    number = 1
    while (path := Path("runs") / f"{name}-{seed}-{number}").exists():
        number += 1
    return path


@contextmanager
def telling(ticks: int, begun: int, *, quiet: bool) -> Iterator[Any]:
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
        task = bar.add_task("", total=ticks, completed=begun, count=0)
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
