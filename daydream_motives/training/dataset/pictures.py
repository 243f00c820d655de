"""Bars, curves and cells as inline SVG, in the style of the report of runs.

Every text is escaped. Knows nothing of what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 132, 34, 20, 8
_LABELS = 10  # as many fit below
_POINTS = 240  # more cannot be told apart
_NAMES, _HEAD, _ROW, _LETTERS = 128, 34, 15, 18  # of a table of cells
_SVG = Markup(
    '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">'
    '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
)
_BAR = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>')
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
_LINE = Markup('<polyline class="line c{}" points="{}"/>')
_POINT = Markup('<circle class="point c{}" cx="{}" cy="{}" r="2.6"><title>{}</title></circle>')
_UPRIGHT = Markup('<text x="{0}" y="{1}" transform="rotate(-90 {0} {1})">{2}</text>')
_CELL = Markup(
    '<rect class="cell" x="{}" y="{}" width="{}" height="{}" style="opacity:{}">'
    "<title>{}, {}: {}</title></rect>"
)
_RULE = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')


def bars(rows: Sequence[tuple[str, int]], *, key: str, title: str, unit: str) -> Markup:
    """A bar for each row (label, how many), all from zero; the highest count stands at the left.

    `key` makes the ids of this picture its own; `unit` names what is counted.
    """
    top = max((n for _, n in rows), default=0) or 1
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - 4
    step = (right - _LEFT) / max(1, len(rows))
    parts = [
        _RULE.format(_LEFT, right, floor, floor),
        _TEXT.format(_LEFT - 5, _TOP + 8, "end", top),
    ]
    parts.append(_TEXT.format(_LEFT - 5, floor, "end", 0))
    every = -(-len(rows) // _LABELS)
    for index, (label, n) in enumerate(rows):
        height, x = (floor - _TOP) * n / top, _LEFT + step * index
        box = (x + step * 0.1, floor - height, step * 0.8, height)
        parts.append(_BAR.format(*(f"{value:.1f}" for value in box), label, f"{n:,} {unit}"))
        if index % every == 0:
            parts.append(_TEXT.format(f"{x + step / 2:.1f}", _HEIGHT - 5, "middle", label))
    most = max(rows, key=lambda row: row[1], default=("", 0))
    desc = f"{len(rows)} bars; the highest is {most[0]} with {most[1]:,} {unit}."
    return _SVG.format(_WIDTH, _HEIGHT, key, key, key, title, key, desc, Markup("").join(parts))


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) by x; `dots` marks each of them. What is no number is left out."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False

    @property
    def known(self) -> list[tuple[float, float]]:
        """The points that can be drawn: where they are too many, both ends and means between."""
        found = [(x, y) for x, y in self.points if math.isfinite(x) and math.isfinite(y)]
        size = 1 if self.dots else -(-len(found) // _POINTS) or 1
        if size == 1:
            return found
        groups = [found[at : at + size] for at in range(1, len(found) - 1, size)]
        means = [(fmean(x for x, _ in some), fmean(y for _, y in some)) for some in groups]
        return [found[0], *means, found[-1]]


def curves(
    every: Sequence[Curve], *, key: str, title: str, along: str, shown: Callable[[float], str],
    zero: bool = False,
) -> Markup:  # fmt: skip
    """Curves on one pair of axes; `shown` writes a value, `along` is the unit of x.

    The height is that of what is drawn, from 0 with `zero`. Curves have the classes c0, c1 …
    """
    drawn = [(number, curve.name, curve.known, curve.dots) for number, curve in enumerate(every)]
    xs, ys = ([point[i] for _, _, known, _ in drawn for point in known] or [0.0] for i in (0, 1))
    left, right = min(xs), max(xs)
    low, high = (min(0.0, *ys) if zero else min(ys)), max(ys)
    wide, tall, floor = right - left or 1.0, high - low or 1.0, _HEIGHT - _BOTTOM

    def at(x: float, y: float) -> tuple[str, str]:
        return (
            f"{_LEFT + 6 + (_WIDTH - _LEFT - 14) * (x - left) / wide:.1f}",
            f"{floor - (floor - _TOP) * (y - low) / tall:.1f}",
        )

    parts = []
    for value in dict.fromkeys((low, high)):
        level = at(left, value)[1]
        parts.append(_RULE.format(_LEFT, _WIDTH - 4, level, level))
        parts.append(_TEXT.format(_LEFT - 3, float(level) + 4, "end", shown(value)))
    told = []
    for number, name, known, dots in drawn:
        parts.append(_LINE.format(number, " ".join(",".join(at(*point)) for point in known)))
        for x, y in known if dots or len(known) == 1 else ():
            place = f"{name}, {_written(x)} {along}"
            parts.append(_POINT.format(number, *at(x, y), f"{place}: {shown(y)}"))
        if known:
            told.append(f"{name}: from {shown(known[0][1])} to {shown(known[-1][1])}, least "
                        f"{shown(min(y for _, y in known))}.")  # fmt: skip
    for x, anchor in {right: "end", left: "start"}.items():
        text = f"{_written(x)} {along}" if x == right else _written(x)
        parts.append(_TEXT.format(at(x, low)[0], _HEIGHT - 5, anchor, text))
    desc = " ".join(told) or "Nothing."
    return _SVG.format(_WIDTH, _HEIGHT, key, key, key, title, key, desc, Markup("").join(parts))


def _written(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 or x == int(x) else f"{x:.3g}"


def cells(
    rows: Sequence[str], columns: Sequence[str], found: Mapping[tuple[str, str], int],
    *, key: str, title: str, unit: str,
) -> Markup:  # fmt: skip
    """How many of each row and column, the darker the more."""
    top = max(found.values(), default=0) or 1
    wide = (_WIDTH - _NAMES) / max(1, len(columns))
    parts = [
        _UPRIGHT.format(f"{_NAMES + wide * (index + 0.5) + 4:.1f}", _HEAD - 3, name)
        for index, name in enumerate(columns)
    ]
    for down, row in enumerate(rows):
        y = _HEAD + _ROW * down
        name = row if len(row) <= _LETTERS else f"{row[: _LETTERS - 1]}…"
        parts.append(_TEXT.format(_NAMES - 6, y + 11, "end", name))
        for index, column in enumerate(columns):
            n = found.get((row, column), 0)
            box = (_NAMES + wide * index, y, wide - 1, _ROW - 1, 0.06 + 0.94 * n / top)
            parts.append(
                _CELL.format(*(f"{value:.2f}" for value in box), row, column, f"{n:,} {unit}")
            )
    desc = f"{len(rows)} rows by {len(columns)} columns; the darkest cell holds {top:,} {unit}."
    height = _HEAD + _ROW * len(rows) + 2
    return _SVG.format(_WIDTH, height, key, key, key, title, key, desc, Markup("").join(parts))
