"""A figure over time as a verdict in words. Knows nothing of runs.

A level comes from two stated thresholds; a trend from least squares, and is only told where it is
clear. Where there is too little to say anything, that is what is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

MIN_POINTS = 5
CLEAR_FIT = 0.5
Level = Literal["fine", "watch", "drifting", "too short"]
LEVELS: tuple[Level, ...] = ("drifting", "watch", "fine", "too short")


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line by least squares: `slope` for each unit of time, `change` from the first
    point to the last, `fit` is r squared, in [0, 1].
    """

    slope: float
    change: float
    fit: float
    points: int

    def is_clear(self, least: float) -> bool:
        """Whether it changes by at least so much and the line explains half of what varies."""
        return abs(self.change) >= least and self.fit >= CLEAR_FIT


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure means and where it becomes worrying.

    `says` is a sentence with `{value}`; `method` says how it is computed. It is worse upwards where
    `drift` lies above `watch`, else downwards. `least` is the smallest change that counts.
    """

    key: str
    title: str
    says: str
    method: str
    watch: float
    drift: float
    percent: bool = True
    least: float = 0.05

    @property
    def worse_up(self) -> bool:
        return self.drift > self.watch

    @property
    def threshold(self) -> str:
        side = "or more" if self.worse_up else "or less"
        return f"watch at {self.show(self.watch)} {side}, drifting at {self.show(self.drift)}"

    def show(self, value: float | None) -> str:
        """The value as it is written: a whole percentage, or two decimals."""
        if value is None:
            return "–"
        if not self.percent:
            return f"{value:.2f}"
        return "under 1%" if 0 < value < 0.005 else f"{value:.0%}"

    def level(self, value: float | None) -> Level:
        if value is None:
            return "too short"
        sign = 1 if self.worse_up else -1
        if sign * value >= sign * self.drift:
            return "drifting"
        return "watch" if sign * value >= sign * self.watch else "fine"

    def amount(self, value: float) -> str:
        """A change of the figure, to one significant digit."""
        size = about(abs(value) * (100 if self.percent else 1))
        return f"{size} point{'' if size == '1' else 's'}" if self.percent else size


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a figure says of a run, in one sentence, with the threshold it was held against."""

    key: str
    title: str
    value: float | None
    shown: str
    level: Level
    sentence: str
    threshold: str
    method: str
    trend: Trend | None = None

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def trend_of(points: Sequence[tuple[float, float | None]]) -> Trend | None:
    """The line through (time, value), missing values left out; None for fewer than MIN_POINTS."""
    kept = [(x, y) for x, y in points if y is not None]
    if len(kept) < MIN_POINTS:
        return None
    mean_x, mean_y = fmean(x for x, _ in kept), fmean(y for _, y in kept)
    xx = sum((x - mean_x) ** 2 for x, _ in kept)
    yy = sum((y - mean_y) ** 2 for _, y in kept)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in kept)
    if xx == 0:
        return None
    slope = xy / xx
    fit = min(1.0, slope * xy / yy) if yy > 1e-18 else 0.0
    return Trend(slope, slope * (kept[-1][0] - kept[0][0]), fit, len(kept))


def judge(
    measure: Measure,
    value: float | None,
    points: Sequence[tuple[float, float | None]] | None,
    unit: str,
    *,
    aside: str = "",
    missing: str = "there is too little to say",
) -> Verdict:
    """The verdict on a run's `value` and its course; `unit` is what time is counted in.

    Without `points` the figure is of the whole run, and has no course. A clear trend for the worse
    makes a fine figure one to watch. `aside` is a further clause.
    """
    trend = trend_of(points or ())
    level = measure.level(value)
    if value is None:
        sentence = f"{missing[0].upper()}{missing[1:]}."
    else:
        worse = trend and trend.is_clear(measure.least) and (trend.slope > 0) == measure.worse_up
        if worse and level == "fine":
            level = "watch"
        said = measure.says.format(value=measure.show(value))
        sentence = f"{said[0].upper()}{said[1:]}{aside}"
        if points is not None:
            known = [y for _, y in points if y is not None]
            sentence += f"; {_course(measure, trend, known, unit)}"
        sentence += "."
    return Verdict(
        measure.key, measure.title, value, measure.show(value), level, sentence,
        measure.threshold, measure.method, trend,
    )  # fmt: skip


def _course(measure: Measure, trend: Trend | None, known: Sequence[float], unit: str) -> str:
    if trend is None:
        return f"too short for a trend ({len(known)} of the {MIN_POINTS} points it takes)"
    if min(known) == max(known):
        return "the same all along"
    if not trend.is_clear(measure.least):
        return "no clear trend"
    way = "rises" if trend.slope > 0 else "falls"
    return f"it {way} by about {measure.amount(trend.slope)} a {unit}"


def about(value: float) -> str:
    """A positive number to one significant digit, without an exponent."""
    rounded = float(f"{value:.1g}")
    return f"{rounded:.0f}" if rounded >= 1 else f"{rounded:.6f}".rstrip("0").rstrip(".")
