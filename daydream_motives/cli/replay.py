"""`daydream replay`: a run told again, and computed again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from daydream_motives.characters.sheet import clean_text
from daydream_motives.cli.common import engine_of, json_option, model_option, threads_option


@click.command()
@click.argument("run", type=click.Path())
@click.option("--who", help="Only what this person (an id) had part in.")
@click.option("--since", type=click.DateTime(), help="From this in-world time on.")
@click.option("--until", type=click.DateTime(), help="Up to this in-world time.")
@click.option("--all-ranks", is_flag=True, help="All three purposes, not only the one acted on.")
@click.option("--verify", "again", is_flag=True, help="Compute it again and compare.")
@click.option("--from-tick", type=click.IntRange(min=0), default=0, help="Where --verify begins.")
@model_option
@threads_option
@json_option
def replay(
    run: str, who: str | None, since: datetime | None, until: datetime | None, all_ranks: bool,
    again: bool, from_tick: int, model: str | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Tell a RUN again from its record; no model is needed.

    With --verify it is computed again with the model it was made with, and the first difference,
    if there is one, is named (exit code 6).
    """
    from daydream_motives.simulation.replay import retell

    if again:
        return _verify(run, from_tick, model, threads, as_json)
    count = 0
    for count, told in enumerate(retell(run, who=who, since=since, until=until), 1):  # noqa: B007 - counted
        if as_json:
            kind = told.kind
            click.echo(json.dumps({**told.record, "kind": kind, "text": told.text}))
            continue
        when = f"{told.time:%a %d %H:%M}" if told.time else " " * 12
        click.echo(f"{when}  {_line(told.kind, told.text, told.who, told.record)}")
        if all_ranks and told.kind == "decision":
            for purpose in told.record["purposes"]:
                mark = "*" if purpose["rank"] == (told.record["chosen"] or 1) else " "
                click.echo(
                    f"    {mark} {purpose['rank']}. ({purpose['score']:.2f}) "
                    f"{clean_text(purpose['text'])}"
                )
    if not count:
        click.echo(f"daydream: nothing of {run} fits these options", err=True)
    return None


def _line(kind: str, text: str, who: tuple[str, ...], record: Any) -> str:
    text = clean_text(text)  # a journal may come from anywhere
    if kind == "decision":
        outcome = (record["outcome"] or {}).get("status", "open")
        source = " (instinct)" if record["provenance"]["source"] == "instinct" else ""
        return f"{text} [{outcome}]{source}"
    if kind == "gossip" and len(who) == 2:
        return f"{who[0]} tells {who[1]}: {text}"
    return {"event": f"* {text}", "clock": f"! {text}"}.get(kind, f"{kind}: {text}")


def _verify(
    run: str, from_tick: int, model: str | None, threads: int | None, as_json: bool
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from daydream_motives.settings import is_terminal
    from daydream_motives.simulation.folder import RunFolder
    from daydream_motives.simulation.replay import refused, verify

    name = model or RunFolder(run).model
    with (
        engine_of(name, threads, 0) as engine,
        Progress(console=Console(stderr=True), disable=not is_terminal(), transient=True) as bar,
    ):
        task = bar.add_task("computing it again", total=None)

        def tell(tick: int, ticks: int) -> None:
            bar.update(task, completed=tick, total=ticks)

        found = verify(run, engine, from_tick=from_tick, tell=tell)
    if as_json:
        difference = found and {
            "where": found.where, "field": found.field, "recorded": found.recorded,
            "computed": found.computed,
        }  # fmt: skip
        click.echo(json.dumps({"same": found is None, "difference": difference}))
    if found:
        raise refused(found, run)
    if not as_json:
        click.echo(f"{run} comes out the same, record for record")
