"""`daydream ask` and `daydream decide`: decisions outside a run."""

from __future__ import annotations

import json
from typing import IO

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
@click.argument("character")
@click.option("--situation", help="What just happened, in one sentence.")
@seed_option
@model_option
@threads_option
@json_option
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
    with engine_of(model, threads, seed) as engine:
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


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
@seed_option
@model_option
@threads_option
def decide(file: IO[str], seed: int, model: str | None, threads: int | None) -> None:
    """Decide for each line of a JSON Lines FILE ('-' is standard input).

    A line holds the four fields, or a sheet and a situation; and an optional id. Each gives one
    line of output, in order; a bad line gives one with 'error' and the rest goes on.
    """
    from daydream_motives.decide import decide_lines

    with engine_of(model, threads, seed) as engine:
        for result in decide_lines(file, engine):
            line = json.dumps(result, ensure_ascii=False)  # an id may hold half a character
            click.echo(line.encode("utf-8", errors="replace").decode())
