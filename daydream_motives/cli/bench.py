"""`daydream bench`: measurements on this machine, as ratios within one run."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from daydream_motives.cli.bench_deadlines import bench_deadlines
from daydream_motives.cli.bench_engine import COMMANDS
from daydream_motives.cli.common import json_option, seed_option


@click.group()
def bench() -> None:
    """Measure this machine."""


for command in COMMANDS:
    bench.add_command(command)
bench.add_command(bench_deadlines)


@bench.command("scale")
@click.option("--characters", type=click.IntRange(20, 1_000_000), default=10_000, show_default=True)
@click.option("--contexts", type=click.IntRange(10, 100_000), default=1_000, show_default=True)
@seed_option
@json_option
def bench_scale(characters: int, contexts: int, seed: int, as_json: bool) -> None:
    """Contexts in a generated world and in one a tenth as big: does the cost grow with the world?

    Everyone has ten relationships and a hundred memories. Tokens are counted roughly, so that what
    is measured is our own work.
    """
    from daydream_motives.bench.scale import measure

    sizes = (max(2, characters // 10), characters)
    found = {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in measure(sizes, contexts=contexts, seed=seed)
    }
    click.echo(json.dumps(found) if as_json else _text(found))


def _text(found: dict[str, Any]) -> str:
    head = (
        f"{'people':>8} {'ties':>8} {'memories':>9} {'context ms':>11} {'p95':>7} "
        f"{'situation ms':>13} {'checkpoint':>16} {'read':>7}"
    )
    rows = [
        f"{s['characters']:8} {s['relationships']:8} {s['memories']:9} {s['context_ms']:11.2f} "
        f"{s['context_p95_ms']:7.2f} {s['situation_ms']:13.3f} "
        f"{s['checkpoint_s']:6.1f} s {s['checkpoint_bytes'] / 1e6:4.0f} MB "
        f"{s['load_checkpoint_s']:5.1f} s"
        for s in (found["small"], found["big"])
    ]
    journal, peak = found["journal"], found["peak_bytes"]
    return "\n".join(
        [
            head, *rows,
            f"a context in the big world takes {found['growth']:.2f} times that in the small one",
            f"journal: {journal['decisions_per_s']:.0f} decisions a second, "
            f"{journal['ratio']:.2f} times bare JSON Lines",
            f"peak memory: {peak / 1e9:.2f} GB" if peak else "peak memory: not known here",
        ]
    )  # fmt: skip
