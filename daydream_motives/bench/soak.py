"""Twenty minutes at full load: does anything grow, get stuck or slow down?

Everyone of a crowd always has a request open, with no deadline, so that nothing hides behind
instinct. Knows no frames and no drawing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from daydream_motives.bench.figures import machine, percentile, ratio, table
from daydream_motives.bench.town import Cast
from daydream_motives.bench.working import memory_of, own_memory, working
from daydream_motives.engine.live.ticket import Ticket

_TICK_S = 1 / 30
_SAMPLE_S = 1.0
_STUCK_ROUNDS = 4.0  # times the middle latency, and at least:
_STUCK_S = 30.0
_SAY_S = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: when it came, in seconds from the beginning, and how long after it was asked."""

    at: float
    latency: float
    source: str


def tenths(
    answers: Sequence[Answered], start: float, seconds: float
) -> dict[str, dict[str, float]]:
    """Latencies (ms) of the first and the last tenth of the time from `start` on; of what a model
    answered."""
    tenth = (seconds - start) / 10
    by_model = [a for a in answers if a.source == "model" and a.at >= start]
    parts = {
        "first": [a.latency for a in by_model if a.at < start + tenth],
        "last": [a.latency for a in by_model if a.at >= seconds - tenth],
    }
    return {
        name: {"answers": len(found)}
        | {f"p{p}": percentile(found, p / 100) * 1000 for p in (50, 95, 99)}
        for name, found in parts.items()
    }


def growth(samples: Sequence[tuple[float, int]]) -> dict[str, float | None]:
    """Memory in the second and the last tenth of the time (the first one warms up), in bytes, and
    the ratio of the last to the second."""
    if not samples:
        return {"early": None, "late": None, "peak": None, "ratio": None}
    end = samples[-1][0]
    early = [size for at, size in samples if end * 0.1 <= at <= end * 0.2]
    late = [size for at, size in samples if at >= end * 0.9]
    first, last = (median(part or [samples[-1][1]]) for part in (early, late))
    return {
        "early": first, "late": last, "peak": max(size for _, size in samples),
        "ratio": ratio(last, first),
    }  # fmt: skip


def measure(
    model: str | None = None,
    *,
    minutes: float = 20.0,
    characters: int = 200,
    threads: int = 1,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Memory, latencies and stuck requests; raises as `working` does."""
    seconds = minutes * 60
    answers: list[Answered] = []
    sizes: dict[str, list[tuple[float, int]]] = {"game": [], "worker": []}
    stuck: list[float] = []
    with working(model, threads, seed) as (engine, watch, after):
        cast = Cast(engine, characters, seed=seed)
        open: dict[int, tuple[Ticket, float]] = {}
        began = time.monotonic()
        sampled, said = 0.0, 0.0
        new, start = set(range(characters)), seconds  # whoever waits in the first crowd is no rule
        while (now := time.monotonic() - began) < seconds:
            for index in range(characters):
                if index not in open:
                    ticket = engine.submit(cast.people[index], cast.situation(index))
                    open[index] = (ticket, now)
            engine.pump(5.0)
            now = time.monotonic() - began
            for index, (ticket, asked) in list(open.items()):
                decision = ticket.poll()
                if decision is not None:
                    answers.append(Answered(now, now - asked, decision.provenance.source))
                    del open[index]
                    new.discard(index)
                    start = min(start, now) if not new else start
            if now - sampled >= _SAMPLE_S:
                sampled = now
                for name, size in (("game", own_memory()), ("worker", memory_of(watch.look()))):
                    if size:
                        sizes[name].append((now, size))
            if now - said >= _SAY_S:
                said = now
                say(f"{now / 60:.0f} min: {len(answers)} answers")
            time.sleep(_TICK_S)
        usual = median([a.latency for a in answers] or [0.0])
        limit = max(_STUCK_S, _STUCK_ROUNDS * usual)
        stuck = [now - asked for _, asked in open.values() if now - asked > limit]
        longest = max([a.latency for a in answers] + [now - asked for _, asked in open.values()])
        stats = engine.stats
    return {
        "about": {**machine(), "model": watch.worker.model, "threads": threads,
                  "characters": characters, "minutes": minutes},
        "answers": len(answers), "answered": stats.answered,
        "decisions_per_s": len(answers) / seconds,
        "latency_ms": tenths(answers, start, seconds),
        "stuck": len(stuck), "stuck_is_more_than_s": limit, "longest_s": longest,
        "memory": {name: growth(found) for name, found in sizes.items()}, **after,
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    """The figures as text."""
    about = found["about"]
    rows = [["latency ms", "answers", "p50", "p95", "p99"]] + [
        [f"{name} tenth", *(f"{part[key]:.0f}" for key in ("answers", "p50", "p95", "p99"))]
        for name, part in found["latency_ms"].items()
    ]
    lines = [
        f"{about['characters']} characters, {about['minutes']:g} minutes at full load, "
        f"{about['model']} on {about['threads']} thread(s)",
        f"{found['answers']} answers, {found['decisions_per_s']:.2f}/s; stuck: {found['stuck']} "
        f"(more than {found['stuck_is_more_than_s']:.0f} s), the longest took "
        f"{found['longest_s']:.1f} s",
        "", table(rows), "",
    ]  # fmt: skip
    for name, memory in found["memory"].items():
        if memory["ratio"]:
            lines.append(
                f"memory of the {name}: {memory['early'] / 1e6:.1f} MB early, "
                f"{memory['late'] / 1e6:.1f} MB late ({memory['ratio']:.3f} times), "
                f"at most {memory['peak'] / 1e6:.1f} MB"
            )
    lines.append(f"workers: {found['workers']}, orphans: {len(found['orphans'])}")
    return "\n".join(lines)
