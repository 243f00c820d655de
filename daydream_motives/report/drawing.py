"""Small pictures as inline SVG: a ring of people, a figure over time, a spark of one.

Each is drawn at the size it is read at on a phone, has a title and a description, takes its colours
from the page's style sheet, and escapes every text. Knows nothing of runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
from markupsafe import Markup

_BOX, _SIZE = 380, 11
_LABEL = 13  # characters of a name on the ring
_ROUNDS = 30
_CHART, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 116, 38, 18, 8
_HEAD = Markup(
    '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-labelledby="{}">'
    '<title id="{}-t">{}</title>{}'
)
_DESC = Markup('<desc id="{}-d">{}</desc>')
_TIE = Markup('<path class="{}" d="M{} {}Q{} {} {} {}" stroke-width="{}"><title>{}</title></path>')
_DOT = Markup('<circle class="dot" cx="{}" cy="{}" r="3.4"><title>{}</title></circle>')
_NAME = Markup(
    '<text x="{}" y="{}" font-size="{}" dy=".35em" text-anchor="{}" '
    'transform="rotate({} {} {})">{}</text>'
)
_RULE = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"><title>{}</title></line>')
_LINE = Markup('<polyline class="line" points="{}"/>')
_POINT = Markup('<circle class="point" cx="{}" cy="{}" r="2.6"><title>{}: {}</title></circle>')
_TEXT = Markup('<text x="{}" y="{}" dy="{}" text-anchor="{}">{}</text>')


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the ring: how one sees another; `tone` warm, cold or plain, `weight` in [0, 1]."""

    source: str
    target: str
    tone: str
    weight: float
    text: str
    moved: bool = False


def ring_order(people: Sequence[str], weights: Mapping[tuple[str, str], float]) -> list[str]:
    """An order on a ring in which those with strong ties sit near each other.

    Communities first, then swaps of two people while any makes the weighted lines shorter.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(sorted(people))
    for (a, b), weight in sorted(weights.items()):
        if a != b and a in graph and b in graph and weight > 0:
            known = graph.get_edge_data(a, b, {"weight": 0.0})["weight"]
            graph.add_edge(a, b, weight=known + weight)
    if not graph.number_of_edges():
        return sorted(people)
    groups = nx.community.greedy_modularity_communities(graph, weight="weight")
    order = [
        id for group in sorted(groups, key=lambda g: (-len(g), min(g))) for id in sorted(group)
    ]
    place = {id: index for index, id in enumerate(order)}
    size = len(order)

    def cost(id: str) -> float:
        total = 0.0
        for other, data in graph.adj[id].items():
            gap = abs(place[id] - place[other])
            total += data["weight"] * min(gap, size - gap)
        return total

    for _ in range(_ROUNDS):
        better = False
        for i, a in enumerate(order):
            for j in range(i + 1, size):
                b = order[j]
                before = cost(a) + cost(b)
                place[a], place[b] = place[b], place[a]
                if cost(a) + cost(b) < before - 1e-9:
                    order[i], order[j], better = b, a, True
                    a = b
                else:
                    place[a], place[b] = place[b], place[a]
        if not better:
            break
    return order


def ring(
    people: Sequence[tuple[str, str]], lines: Sequence[Line], *, key: str, title: str, desc: str
) -> Markup:
    """People (id, name) round a ring with a line for each tie, bent so that both ways are seen.

    `key` makes the ids of this picture its own.
    """
    middle, count = _BOX / 2, max(1, len(people))
    labels = [name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…" for _, name in people]
    radius = middle - 14 - 0.57 * _SIZE * max(map(len, labels), default=0)
    at = {id: index / count * math.tau - math.pi / 2 for index, (id, _) in enumerate(people)}
    parts = [_head(_BOX, _BOX, f"{key}-ring", "ring", title, desc)]
    for line in sorted(lines, key=lambda line: (line.moved, line.weight)):
        if line.source not in at or line.target not in at:
            continue
        x1, y1 = _on(middle, radius, at[line.source])
        x2, y2 = _on(middle, radius, at[line.target])
        # Both ways bend towards the middle, each to its own left.
        cx = (x1 + x2) / 2 * 0.45 + middle * 0.55 + (y2 - y1) * 0.07
        cy = (y1 + y2) / 2 * 0.45 + middle * 0.55 - (x2 - x1) * 0.07
        kind = f"tie {line.tone}{' moved' if line.moved else ''}"
        way = (_short(v) for v in (x1, y1, cx, cy, x2, y2))
        parts.append(_TIE.format(kind, *way, _short(0.6 + 3.4 * line.weight), line.text))
    for (id, name), label in zip(people, labels, strict=True):
        x, y = (_short(v) for v in _on(middle, radius, at[id]))
        tx, ty = (_short(v) for v in _on(middle, radius + 9, at[id]))
        flip = math.cos(at[id]) < -1e-9
        turn = _short(math.degrees(at[id]) + (180 if flip else 0))
        anchor = "end" if flip else "start"
        parts.append(_DOT.format(x, y, name))
        parts.append(_NAME.format(tx, ty, _SIZE, anchor, turn, tx, ty, label))
    return Markup("").join([*parts, Markup("</svg>")])


def chart(
    values: Sequence[float | None],
    labels: Sequence[str],
    *,
    key: str,
    title: str,
    desc: str,
    percent: bool,
    marks: Sequence[tuple[str, float]] = (),
) -> Markup:
    """A figure over time with its thresholds (name, value) as dashed lines; gaps where it is None.

    `labels` name the points; the first and the last are written below.
    """
    known = [v for v in values if v is not None]
    top = _ceiling(max([*known, *(v for _, v in marks), 1e-9]), percent)
    right, floor = _CHART - 8, _HEIGHT - _BOTTOM

    def x(index: int) -> str:
        return _short(_LEFT + (right - _LEFT) * (index + 0.5) / max(1, len(values)))

    def y(value: float) -> str:
        return _short(floor - (floor - _TOP) * value / top)

    def written(value: float) -> str:
        return f"{value:.0%}" if percent else f"{value:.2g}"

    parts = [_head(_CHART, _HEIGHT, f"{key}-chart", "chart", title, desc)]
    for level in (0.0, top):
        parts.append(_RULE.format("grid", _LEFT, right, y(level), y(level), ""))
        parts.append(_TEXT.format(_LEFT - 5, y(level), ".35em", "end", written(level)))
    for name, level in marks:
        told = f"{name}: {written(level)}"
        parts.append(_RULE.format(f"mark {name}", _LEFT, right, y(level), y(level), told))
    points = [None if v is None else (x(i), y(v)) for i, v in enumerate(values)]
    for run in _unbroken(points):
        parts.append(_LINE.format(" ".join(f"{px},{py}" for px, py in run)))
    for point, value, label in zip(points, values, labels, strict=True):
        if point is not None and value is not None:
            parts.append(_POINT.format(*point, label, written(value)))
    for where, anchor, text in [(_LEFT, "start", labels[:1]), (right, "end", labels[1:][-1:])]:
        if text:
            parts.append(_TEXT.format(where, _HEIGHT - 4, "0", anchor, text[0]))
    return Markup("").join([*parts, Markup("</svg>")])


def spark(values: Sequence[float], *, key: str, title: str) -> Markup:
    """A figure over time as large as a word: its own range, 0.4 at least, fills the height."""
    if len(values) < 2:
        return Markup("")
    width, height = 84, 22
    low, high = min(values), max(values)
    spare = max(0.0, 0.4 - (high - low)) / 2
    low, high = low - spare, high + spare

    def y(value: float) -> str:
        return _short(2 + (height - 4) * (high - value) / (high - low))

    points = " ".join(
        f"{_short(2 + (width - 4) * index / (len(values) - 1))},{y(value)}"
        for index, value in enumerate(values)
    )
    head = _head(width, height, f"{key}-spark", "spark", title, "")
    zero = _RULE.format("grid", 0, width, y(0), y(0), "zero") if low < 0 < high else Markup("")
    return head + zero + _LINE.format(points) + Markup("</svg>")


def _head(width: int, height: int, key: str, kind: str, title: str, desc: str) -> Markup:
    described = _DESC.format(key, desc) if desc else Markup("")
    ids = f"{key}-t {key}-d" if desc else f"{key}-t"
    return _HEAD.format(kind, width, height, ids, key, title, described)


def _on(middle: float, radius: float, angle: float) -> tuple[float, float]:
    return middle + radius * math.cos(angle), middle + radius * math.sin(angle)


def _short(value: float) -> str:
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _ceiling(value: float, percent: bool) -> float:
    """A round number at or above the value."""
    for top in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
        if value <= top + 1e-9:
            return top
    return 1.0 if percent else float(math.ceil(value))


def _unbroken(
    points: Sequence[tuple[str, str] | None],
) -> list[list[tuple[str, str]]]:
    runs: list[list[tuple[str, str]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]
