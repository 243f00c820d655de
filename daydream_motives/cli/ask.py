"""`daydream ask` and `daydream decide`: decisions outside a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import click

from daydream_motives.cli.common import (
    engine_of,
    json_option,
    model_option,
    seed_option,
    threads_option,
)

if TYPE_CHECKING:
    from daydream_motives.engine.explain import Explanation, Without
    from daydream_motives.motives.purposes import Decision


@click.command()
@click.argument("world", type=click.Path(), metavar="WORLD_OR_RUN")
@click.argument("character")
@click.option("--situation", help="What just happened, in one sentence.")
@click.option("--at", type=click.IntRange(min=0), help="Of a run: the tick to look at.")
@click.option("--explain", is_flag=True, help="Show what the character was told, and what not.")
@click.option(
    "--without",
    "people",
    multiple=True,
    metavar="PERSON",
    help="Ask again without the ties to PERSON (an id); may be repeated.",
)
@seed_option
@model_option
@threads_option
@json_option
def ask(
    world: str, character: str, situation: str | None, at: int | None, explain: bool,
    people: tuple[str, ...], seed: int, model: str | None, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Ask what a CHARACTER wants to do next, at the start of a world or where a run stands."""
    from daydream_motives.engine.explain import explain as explained
    from daydream_motives.errors import Problem, WorldError
    from daydream_motives.motives.situation import Situation
    from daydream_motives.simulation.folder import model_of
    from daydream_motives.simulation.record import standing

    with engine_of(model or model_of(world), threads, seed) as engine:
        simulation = standing(world, engine, seed=seed, tick=at)
        for id, option in ((character, "character"), *((p, "--without") for p in people)):
            if id not in simulation.actors:
                expected = "one of " + ", ".join(sorted(simulation.actors))
                raise WorldError([Problem(world, option, repr(id), expected)])
        asked = simulation.situation_of(character)
        if situation:
            checked = Situation.from_data({"happened": situation})
            asked = asked.model_copy(update={"happened": checked.happened})
        found = explained(engine, simulation.character(character), asked, people)
    decision = found.decision
    if as_json:
        click.echo(json.dumps(_data(character, found, whole=explain), ensure_ascii=False))
        return
    for line in _purposes(decision):
        click.echo(line)
    if explain:
        for line in _receipt(found):
            click.echo(line)
    for one in found.without:
        for line in _without(one, simulation.world.sheets[one.person].name):
            click.echo(line)
    p = decision.provenance
    click.echo(f"-- {p.source} {p.model} {p.reason}".rstrip(), err=True)


def _purposes(decision: Decision) -> list[str]:
    return [
        f"{p.rank}. ({p.score:.2f}) {p.text}" + (f"  [{', '.join(p.targets)}]" if p.targets else "")
        for p in decision
    ]


def _receipt(found: Explanation) -> list[str]:
    """What was told, field by field as the model read it, and what was left out and why."""
    context = found.decision.context
    lines = ["", f"Told, in {context.tokens} tokens:"]
    for field, text in context.fields.items():
        lines.append(f"  {field}: {text}")
    kinds = [entry.kind for entry in context.receipt]
    lines += [
        "",
        f"{kinds.count('memory')} of {found.memories} memories came to mind, and "
        f"{kinds.count('lore')} of {found.lore} known pieces of lore came up.",
        "",
        f"  {'field':22} {'piece':34} {'tokens':>6}  what became of it",
    ]
    for entry in context.receipt:
        what = entry.status + (f": {entry.reason}" if entry.reason else "")
        key = entry.key if len(entry.key) <= 34 else f"{entry.key[:33]}…"
        lines.append(f"  {entry.field:22} {key:34} {entry.tokens:6}  {what}")
    return lines


def _without(one: Without, name: str) -> list[str]:
    """The answer without a tie beside the answer with it."""
    lines = ["", f"Without the ties to {name}:", *_purposes(one.decision)]
    back = [
        f"{rank} " + (f"comes back as {then}" if then else "does not come back")
        for rank, then in enumerate(one.ranks, 1)
    ]
    lines.append(f"Of the purposes above, {'; '.join(back)}.")
    if one.liking and one.liking_then:
        told = ", ".join(
            f"{rank}: {was:.2f} -> {now:.2f}"
            for rank, was, now in zip((1, 2, 3), one.liking, one.liking_then, strict=True)
        )
        before, after = (
            " ".join(map(str, one.order(liking))) for liking in (one.liking, one.liking_then)
        )
        lines.append(
            f"How much the model would have them first (log-probability a token): {told}; "
            f"in order {before}, without the ties {after}."
        )
    return lines


def _data(character: str, found: Explanation, *, whole: bool) -> dict[str, Any]:
    decision = found.decision
    data = {
        "character": character, "context": decision.context.fields, **decision.ranked.as_data(),
    }  # fmt: skip
    if whole:
        data["receipt"] = [asdict(entry) for entry in decision.context.receipt]
        data["memories"], data["lore"] = found.memories, found.lore
    if found.without:
        data["without"] = [
            {
                "person": one.person, "ranks": one.ranks, "same_first": one.same_first,
                "liking": one.liking, "liking_then": one.liking_then,
                "context": one.context.fields, **one.decision.ranked.as_data(),
            }
            for one in found.without
        ]  # fmt: skip
    return data


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
