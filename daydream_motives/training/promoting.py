"""Whether a candidate may take the incumbent's place, by what `compare` found of both.

It must be better beyond noise where it counts, and worse by more than a margin nowhere. Decides by
numbers alone: asks no model and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.training.judging.metrics import METRICS, Metric

MIN_SCENES = 10  # fewer, and an interval drawn by scene says nothing
# What a better model must be better at, beyond noise, in at least one: the rest could be had by
# saying little. The sign of a loss says whether it learnt, the others whether it understood.
DECIDING = ("loss", "mrr", "contrast")
# By how much the candidate's figure may be worse. Shares are of answers or purposes: two in a
# hundred is what a player would not notice; figures of meaning vary more between equal models.
MARGINS = {
    "loss": 0.05, "valid": 0.02, "unknown_names": 0.02, "words": 4.0, "distinct_2": 0.05,
    "self_bleu": 0.05, "twins": 0.02, "repeats": 0.05, "copied": 0.05, "within": 0.05,
    "hit_1": 0.03, "hit_3": 0.04, "mrr": 0.03, "contrast": 0.05, "rank_lift": 0.05,
}  # fmt: skip
_ALIKE = ("seed", "free")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both; `change` above 0 is better, `low` and `high` bound it where known."""

    metric: Metric
    incumbent: float | None
    candidate: float | None
    change: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the candidate is promoted, why, and the figures that say so."""

    promoted: bool
    why: str
    rows: tuple[Row, ...]
    questions: Mapping[str, Any]

    def as_markdown(self, candidate: str, incumbent: str) -> str:
        """As it goes into a model card."""
        asked = self.questions
        lines = [
            f"{'Fit to be promoted' if self.promoted else 'Refused'}: {self.why}.", "",
            f"{candidate} against {incumbent}, on {asked.get('count')} questions of "
            f"{asked.get('scenes')} scenes (SHA-256 {asked.get('sha256')}).", "",
            "| figure | incumbent | candidate | better by (95%) | margin | verdict |",
            "| --- | --: | --: | --: | --: | --- |",
        ]  # fmt: skip
        for row in self.rows:
            span = "–" if row.change is None else f"{row.change:+.4f}"
            if row.low is not None and row.high is not None:
                span += f" ({row.low:+.4f} to {row.high:+.4f})"
            figures = (
                "–" if value is None else f"{value:.4f}" for value in (row.incumbent, row.candidate)
            )
            margin = MARGINS[row.metric.key]
            lines.append(
                f"| {row.metric.title} | {' | '.join(figures)} | {span} | {margin} | "
                f"{row.verdict} |"
            )
        deciding = ", ".join(m.title for m in METRICS if m.key in DECIDING)
        lines += ["", f"Promoted is what is better beyond noise in one of {deciding}, and in no "
                  "figure worse by more than its margin. Figures that should be like those of the "
                  "right answers are judged by their distance to those."]  # fmt: skip
        return "\n".join(lines) + "\n"


def decide(compared: Mapping[str, Any], candidate: Mapping[str, Any], incumbent: str) -> Decision:
    """Judge two models of a comparison: the export's manifest, and the incumbent's SHA-256.

    Raises RunError where the comparison is not of these two, asked alike, or of too few scenes.
    """
    try:
        first, other = _pair(compared, candidate, incumbent)
        questions = dict(compared["questions"])
        scenes = int(questions["scenes"])
        gold = (compared.get("controls") or {}).get("gold") or {}
        rows = tuple(
            _row(metric, first["figures"], other["figures"], other["against_first"], gold)
            for metric in METRICS
            if metric.key in MARGINS
        )
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise RunError(
            f"this is no whole comparison: {type(exc).__name__}: {exc}", remedy="compare again"
        ) from exc
    if scenes < MIN_SCENES:
        raise RunError(
            f"the comparison has {scenes} scenes, which say nothing of noise",
            remedy=f"compare on at least {MIN_SCENES} scenes",
        )
    told = [row for row in rows if row.verdict != "not measured"]
    lost = [row for row in told if row.verdict.startswith(("worse", "lacking"))]
    won = [row for row in told if row.metric.key in DECIDING and row.verdict == "better"]
    if lost:
        why = "; ".join(f"{row.metric.title} {row.verdict}" for row in lost)
    elif won:
        why = f"better beyond noise in {', '.join(row.metric.title for row in won)}"
    else:
        why = "better beyond noise in nothing that decides"
    return Decision(bool(won) and not lost, why, tuple(told), questions)


def _pair(
    compared: Mapping[str, Any], candidate: Mapping[str, Any], incumbent: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    models = compared["models"]
    first = models[0]
    if first["model"].get("sha256") != incumbent:
        raise RunError(
            f"the comparison holds others against {first['model'].get('name')}, which is not the "
            "model that serves now",
            remedy="compare again with this machine's default first",
        )
    for other in models[1:]:
        if other["model"].get("sha256") == candidate["sha256"]:
            if (asked := other["model"]["temperature"]) != candidate["temperature"]:
                raise RunError(
                    f"the candidate was asked at a temperature of {asked}, and its export says "
                    f"{candidate['temperature']}",
                    remedy="compare again, and have it asked anew",
                )
            odd = [k for k in _ALIKE if first["model"].get(k) != other["model"].get(k)]
            if odd:
                raise RunError(
                    f"the two were not asked alike: {', '.join(odd)} differ",
                    remedy="compare again, and have both asked anew",
                )
            return first, other
    raise RunError(
        "the comparison has no answers of the candidate's file",
        remedy="compare the exported file, as it is now, with the default model",
    )


def _row(
    metric: Metric,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    differences: Mapping[str, Any],
    gold: Mapping[str, Any],
) -> Row:
    old, new = (_value(figures.get(metric.key)) for figures in (before, after))
    if old is None and new is None:
        return Row(metric, None, None, None, None, None, "not measured")
    if old is None or new is None:
        verdict = "lacking" if new is None else "not measured before"
        return Row(metric, old, new, None, None, None, verdict)
    low = high = None
    if metric.better == "gold":
        right = _value(gold.get(metric.key))
        if right is None:
            return Row(metric, old, new, None, None, None, "no right answer to hold it against")
        change = abs(old - right) - abs(new - right)
    else:
        sign = 1 if metric.better == "more" else -1
        change = sign * (new - old) + 0.0  # no minus before a zero
        if found := differences.get(metric.key):
            low, high = sorted(sign * float(found[end]) + 0.0 for end in ("low", "high"))
    if change < -MARGINS[metric.key]:
        verdict = f"worse by {-change:.4f}, more than {MARGINS[metric.key]}"
    elif low is not None and low > 0:
        verdict = "better"
    else:
        verdict = "level"
    return Row(metric, old, new, change, low, high, verdict)


def _value(figure: Mapping[str, Any] | None) -> float | None:
    """A figure's value; raises ValueError for one that is no number."""
    if figure is None:
        return None
    value = float(figure["value"])
    if not math.isfinite(value):
        raise ValueError(f"a figure of {value}")
    return value
