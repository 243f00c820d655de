"""`daydream bench deadlines`: are answers there by their deadline, and what does asking cost?"""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import click

from daydream_motives.cli.common import json_option, seed_option


@click.command("deadlines")
@click.option("--requests", type=click.IntRange(20, 100_000), default=1_000, show_default=True)
@click.option("--deadline", type=click.FloatRange(1, 10_000), default=50.0, show_default=True,
              help="Milliseconds.")  # fmt: skip
@click.option("--frames", type=click.IntRange(10, 100_000), default=300, show_default=True)
@seed_option
@json_option
def bench_deadlines(requests: int, deadline: float, frames: int, seed: int, as_json: bool) -> None:
    """Deadlines of an overloaded engine against a bare timer thread in the same run.

    The model is a fake that is far too slow, so that instinct answers nearly always. Then what
    composing contexts costs the game's thread, done in three ways.
    """
    from daydream_motives.bench.deadlines import measure

    measured = measure(requests=requests, deadline_ms=deadline, frames=frames, seed=seed)
    found = {name: _plain(value) for name, value in measured}
    click.echo(json.dumps(found) if as_json else _text(found))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _text(found: dict[str, Any]) -> str:
    lines = [f"{'late by, ms':14} {'p50':>8} {'p99':>8} {'p99.9':>8} {'most':>8}"]
    for name in ("engine", "timer"):
        late = found[name]
        lines.append(
            f"{name:14} {late['p50_ms']:8.2f} {late['p99_ms']:8.2f} {late['p999_ms']:8.2f} "
            f"{late['max_ms']:8.2f}"
        )
    ends = ", ".join(f"{count} {end}" for end, count in sorted(found["ends"].items()))
    lines += [f"answered: {ends}", "", f"{'one call, us':14} {'p50':>8} {'p99':>8} {'most':>8}"]
    rows = {**found["calls"], **{f"by {w}": one["call"] for w, one in found["composing"].items()}}
    lines += [
        f"{name:14} {call['p50_us']:8.1f} {call['p99_us']:8.1f} {call['max_us']:8.1f}"
        for name, call in rows.items()
    ]
    lines += ["", f"{'frame, ms':14} {'p50':>8} {'p99':>8}   the game's own work, composing by"]
    lines += [
        f"{way:14} {one['frame_p50_ms']:8.2f} {one['frame_p99_ms']:8.2f}"
        for way, one in found["composing"].items()
    ]
    return "\n".join(lines)
