"""Bars as inline SVG, in the style of the report of runs. Knows nothing of what they count."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 132, 34, 20, 8
_LABELS = 10  # as many fit below
_SVG = Markup(
    '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">'
    '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
)
_BAR = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>')
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
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
