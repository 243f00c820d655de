"""How a training went, by its manifest and its log: curves, losses, and use of the machine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from daydream_motives.errors import RunError
from daydream_motives.training.dataset.pictures import Curve, curves
from daydream_motives.training.folder import sha256
from daydream_motives.training.reporting.parts import PREFER, TRAIN, UNFINISHED, Part
from daydream_motives.training.tuning.log import FILE, USE, left

Row = Mapping[str, Any]
Rows = Sequence[Row]
_GIB = 2**30
_PAUSE = 60.0  # seconds without a word: it was stopped and gone on with
_NOT_DRAWN = (  # or elsewhere
    "kind", "step", "at", "epoch", "tokens", "seconds", "tokens_per_second", "cpu_percent",
    "memory",
)  # fmt: skip
NAMES = {TRAIN: "Training", PREFER: "Learning from pairs", UNFINISHED: "Training, unfinished"}
_TITLES = {
    "loss": ("Loss", "Nats a token: of each step, and of the validation part."),
    "preference_loss": ("Loss of pairs", "Of each step, and of the pairs held out."),
    "margin": ("Margin", "Of the chosen answer above the rejected one."),
    "accuracy": ("Pairs told apart", "The share in which the chosen answer is above."),
    "learning_rate": ("Learning rate", "Warm-up, then down in a line."),
    "gradient": ("Gradient", "Its norm, before it is clipped."),
}


def log_of(part: Part) -> Rows:
    """Every whole row; raises RunError where the log is not as the manifest says."""
    file = part.folder / FILE
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise RunError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    told = part.manifest.get("files", {}).get(FILE, {}).get("sha256")
    if part.stage != UNFINISHED and sha256(data) != told:
        raise RunError(f"{file} is not as it was written: its SHA-256 differs")
    rows = []
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # cut by a kill
            continue
        if isinstance(row, dict) and _number(row.get("step")) is not None:
            rows.append(row)
    return rows


def learning(part: Part, rows: Rows) -> dict[str, Any]:
    """Facts of a training, its losses by epoch, and its curves: (title, text, names, picture)."""
    judged = [row for row in rows if row.get("kind") == "evaluation"]
    steps = [row for row in rows if row.get("kind") not in ("evaluation", USE)]
    if part.stage == PREFER:  # of a step it is the loss of pairs, held out that of right answers
        steps = [{"preference_loss" if k == "loss" else k: v for k, v in s.items()} for s in steps]
    pictures = []
    for key in dict.fromkeys(key for row in (*steps, *judged) for key in row):
        every = [Curve("step", _points(steps, key)), Curve("held out", _points(judged, key), True)]
        every = [curve for curve in every if curve.points]
        if key in _NOT_DRAWN or not every:
            continue
        title, text = _TITLES.get(key, (key.replace("_", " ").capitalize(), ""))
        pictures.append(_drawn(part, key, title, text, every, "steps"))
    if speeds := _speeds(steps):
        text = "Real ones, without filling, in a second of a step."
        pictures.append(
            _drawn(part, "speed", "Tokens a second", text, [Curve("step", speeds)], "steps", True)
        )
    losses = part.manifest.get("losses") or [
        {key: value for key, value in row.items() if key not in ("kind", "at")} for row in judged
    ]
    return {
        "name": part.name,
        "title": NAMES[part.stage],
        "facts": facts(part.manifest) if part.manifest else _so_far(steps),
        "columns": list(dict.fromkeys(key for row in losses for key in row)),
        "losses": [{key: _written(value) for key, value in row.items()} for row in losses],
        "pictures": pictures,
    }


def facts(manifest: Row) -> list[tuple[str, str]]:
    """What is worth knowing of a training at a glance."""
    m, steps, best = manifest, manifest["steps"], manifest["best"]
    parts = {k: v for k, v in m["dataset"].items() if isinstance(v, int)}
    speed = m["tokens"] / m["seconds"] if m["seconds"] else math.nan
    return [
        ("Method", f"{m['method']} on {m['device']}, seed {m['seed']}"),
        ("Learnt from", ", ".join(f"{name} {n:,}" for name, n in parts.items())),
        ("Weights trained", f"{m['trained_parameters']:,}"),
        ("Steps", f"{steps['done']:,} of {steps['planned']:,}"),
        ("Best validation loss", f"{best['loss']:.4f} at step {best['step']:,}"),
        ("Tokens", f"{m['tokens']:,}, {speed:,.0f} a second"),
        ("Time", f"{left(m['seconds'])} of steps, {left(m['wall'])} in all"),
    ]


def _so_far(steps: Rows) -> list[tuple[str, str]]:
    return [("Steps", f"{steps[-1]['step']:,}, and no end of it yet")] if steps else []


def using(part: Part, rows: Rows) -> list[tuple[str, str, list[str], Markup]]:
    """Pictures of what was used over time; none where the log does not tell."""
    known = [row for row in rows if _number(row.get("memory")) and _number(row.get("at"))]
    if not known:
        return []
    minutes, pauses = [0.0], 0
    for before, after in pairwise(known):
        gone = max(0.0, after["at"] - before["at"])
        pauses += gone > _PAUSE
        minutes.append(minutes[-1] + (0.0 if gone > _PAUSE else gone / 60))

    def of(name: str, key: str, unit: float = 1.0) -> Curve:
        found = ((at, _number(row.get(key))) for at, row in zip(minutes, known, strict=True))
        return Curve(name, [(at, value / unit) for at, value in found if value is not None])

    cores = _number(known[-1].get("cores"))
    rest = f" Pauses of more than a minute are left out: {pauses}." if pauses else ""
    wanted = [
        ("cpu", "CPU", f"Percent of one core{f'; there are {cores:.0f}' if cores else ''}.{rest}",
         [of("this process", "cpu_percent")]),
        ("memory", "Memory", "GiB of this process.",
         [of("now", "memory", _GIB), of("peak", "memory_peak", _GIB)]),
        ("free", "Memory left", "GiB that the machine had free.",
         [of("free", "memory_free", _GIB)]),
        ("gpu", "GPU", "Percent of the time in which it computed.",
         [of("GPU", "gpu_percent")]),
        ("gpu-memory", "GPU memory", "GiB of this process.",
         [of("now", "gpu_memory", _GIB), of("peak", "gpu_peak", _GIB)]),
        ("gpu-free", "GPU memory left", "GiB that the GPU had free.",
         [of("free", "gpu_free", _GIB)]),
    ]  # fmt: skip
    return [
        _drawn(part, key, title, text, [c for c in every if c.points], "min", True)
        for key, title, text, every in wanted
        if any(curve.points for curve in every)
    ]


def peak(rows: Rows, *keys: str) -> float | None:
    """The most that was seen under any of these keys."""
    found = [_number(row.get(key)) for row in rows for key in keys]
    return max((value for value in found if value is not None), default=None)


def _drawn(
    part: Part, key: str, title: str, text: str, every: Sequence[Curve], along: str,
    zero: bool = False,
) -> tuple[str, str, list[str], Markup]:  # fmt: skip
    drawn = curves(
        every, key=f"{part.stage}-{key}", title=title, along=along, shown=_short, zero=zero
    )
    return title, text, [curve.name for curve in every] if len(every) > 1 else [], drawn


def _short(value: float) -> str:
    if 0 < abs(value) < 0.01:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _points(rows: Rows, key: str) -> list[tuple[float, float]]:
    return [(row["step"], y) for row in rows if (y := _number(row.get(key))) is not None]


def _speeds(steps: Rows) -> list[tuple[float, float]]:
    """Tokens a second of each step; both are summed up in the log."""
    sums = [(0.0, 0.0, 0.0)] + [
        (row["step"], tokens, seconds)
        for row in steps
        if (tokens := _number(row.get("tokens"))) and (seconds := _number(row.get("seconds")))
    ]
    return [
        (step, (tokens - earlier) / (seconds - before))
        for (_, earlier, before), (step, tokens, seconds) in pairwise(sums)
        if tokens > earlier and seconds > before
    ]


def _number(value: Any) -> float | None:
    """What can be drawn; not a truth, and not infinite."""
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return value if usable and math.isfinite(value) else None


def _written(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
