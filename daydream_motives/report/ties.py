"""Whether relationships run away: how the axes move over a run, who is left out.

Every edge keeps the events that changed it, so its course lies between the graph at the start and
the graph at the end. What no kept event accounts for is taken to have happened evenly. Means are
over the ties that were there at the start (over all, where there were none): new ones begin near
zero and would hide how the old ones move. Pure figures; knows no files and no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.characters.kinds import AXES
from daydream_motives.characters.relationships import (
    Relationship,
    RelationshipEvent,
    RelationshipGraph,
)
from daydream_motives.report.choices import Choice, plain
from daydream_motives.report.drift import Windows
from daydream_motives.report.trend import Measure, Verdict, about, judge

AT_LIMIT = 0.95
CHANGED = 20  # how many of the most changed relationships are told
_FELT = AXES.index("affection")
_NEW = Relationship(familiarity=0.0)  # what an edge begins as when an event makes it
Values = NDArray[np.float64]

LIMIT = Measure(
    "at_limit", "Ties at their limit",
    "{value} of ties have an axis at its limit at the end of the run",
    f"Share of the ties there at the start, each direction one, with any axis at {AT_LIMIT} or "
    "beyond, on either side of zero.",
    0.15, 0.35,
)  # fmt: skip
MOVEMENT = Measure(
    "strength", "Feelings running away",
    "feelings have a mean strength of {value}",
    "Mean over the ties there at the start of the strongest of |trust|, |respect|, |affection| and "
    "|attraction|; new ties, which begin near zero, would hide how these move. The pace takes each "
    f"tie's fastest axis on in a straight line to {AT_LIMIT}; in truth changes grow smaller there.",
    0.75, 0.9, percent=False, least=0.02,
)  # fmt: skip
GAP = Measure(
    "gap", "One-sided affection",
    "the two sides of a tie differ in affection by {value}",
    "Mean |affection of A for B − affection of B for A| over pairs with ties both ways at the "
    "start.",
    0.3, 0.5, percent=False, least=0.02,
)  # fmt: skip
ALONE = Measure(
    "isolated", "Left out",
    "{value} of people met nobody",
    "Share of people with no event in the run on any tie from or to them.",
    0.15, 0.35,
)  # fmt: skip
TIE_MEASURES = (MOVEMENT, LIMIT, GAP, ALONE)
_RACING_DAYS, _FAST_DAYS = 14.0, 60.0


@dataclass(frozen=True, slots=True)
class TieFigures:
    """Ties at one moment: how many there are, and, of those there at the start, means by axis.

    `mean` is signed, `size` of |x|; `strength` is the mean of each tie's strongest feeling.
    """

    label: str
    ties: int
    mean: dict[str, float]
    size: dict[str, float]
    strength: float
    highest: float
    at_limit: float
    gap: float | None


@dataclass(frozen=True, slots=True)
class TieChange:
    """One relationship that moved: its axis that moved most, and the events (kind -> count)."""

    source: str
    target: str
    kinds: tuple[str, ...]
    axis: str
    before: float
    after: float
    events: dict[str, int]
    course: tuple[float, ...]
    new: bool


@dataclass(frozen=True, slots=True)
class Ties:
    """The relationships of a run; `figures` at the start and at each window's end."""

    figures: tuple[TieFigures, ...]
    changed: tuple[TieChange, ...]
    isolated: tuple[str, ...]
    people: int
    new: int
    ended: int
    moved: int
    half_at_limit_days: float | None
    verdicts: tuple[Verdict, ...]

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def ties_of(
    start: RelationshipGraph, end: RelationshipGraph, windows: Windows, *, until: int | None = None
) -> Ties:
    """How the ties came from `start` to `end`; `until` windows are behind when `end` was kept."""
    count = windows.count if until is None else max(1, min(until, windows.count))
    edges = [(a, b, rel) for a, b, rel in end.edges()]
    before = [start.get(a, b) for a, b, _ in edges]
    fresh = [_since(old, rel) for old, (_, _, rel) in zip(before, edges, strict=True)]
    course, born = _course(before, [rel for _, _, rel in edges], fresh, windows, count)
    first = [i for i, old in enumerate(before) if old] or list(range(len(edges)))
    back = _ways_back([edges[i] for i in first])
    figures = tuple(
        _at(windows.begins(k), int((born <= k).sum()), course[k][first], back)
        for k in range(count + 1)
    )
    met = {id for (a, b, _), events in zip(edges, fresh, strict=True) if events for id in (a, b)}
    ids = [person.id for person in end.people()]
    isolated = tuple(sorted(id for id in ids if id not in met))
    changed = _changed(edges, before, fresh, course)
    half = _half_at_limit(course[:, first], windows) if edges else None
    verdicts = _verdicts(figures, windows, len(isolated) / len(ids) if ids else None, half)
    return Ties(
        figures=figures, changed=changed, isolated=isolated, people=len(ids),
        new=sum(old is None for old in before),
        ended=sum(end.get(a, b) is None for a, b, _ in start.edges()),
        moved=int((np.abs(course[-1] - course[0]) > 1e-9).any(axis=1).sum()) if edges else 0,
        half_at_limit_days=half, verdicts=verdicts,
    )  # fmt: skip


def _since(old: Relationship | None, new: Relationship) -> tuple[RelationshipEvent, ...]:
    """The events of the run: what the history holds beyond what it held at the start."""
    if old is None or not old.history:
        return new.history
    known = len(old.history)
    if new.history[:known] == old.history:
        return new.history[known:]
    seen = Counter(map(str, old.history))  # the oldest may have been let go
    return tuple(event for event in new.history if not seen[str(event)])


def _vector(rel: Relationship) -> list[float]:
    return [getattr(rel, axis) for axis in AXES]


def _course(
    before: Sequence[Relationship | None],
    after: Sequence[Relationship],
    fresh: Sequence[Sequence[RelationshipEvent]],
    windows: Windows,
    count: int,
) -> tuple[Values, NDArray[np.int64]]:
    """Axes of every edge at the start and each window's end: (count + 1, edges, axes); and the
    first moment at which each edge exists.
    """
    first = np.array([_vector(old or _NEW) for old in before]).reshape(-1, len(AXES))
    last = np.array([_vector(rel) for rel in after]).reshape(-1, len(AXES))
    steps = np.zeros((count + 1, len(after), len(AXES)))
    born = np.array([0 if old else 1 for old in before], dtype=np.int64)
    for edge, events in enumerate(fresh):
        moments = []
        for event in events:
            if event.at is None or windows.start is None:
                continue
            moments.append(min(windows.of(0, event.at.replace(tzinfo=None)) + 1, count))
            for axis, change in event.changes.items():
                if axis in AXES:
                    steps[moments[-1], edge, AXES.index(axis)] += change
        if before[edge] is None and moments:
            born[edge] = min(moments)
    course = first + steps.cumsum(axis=0)
    left = last - course[-1]
    return course + left * (np.arange(count + 1) / count)[:, None, None], born


def _ways_back(edges: Sequence[tuple[str, str, Relationship]]) -> NDArray[np.int64]:
    """(pairs, 2): the numbers of an edge and of the one that runs the other way."""
    number = {(a, b): index for index, (a, b, _) in enumerate(edges)}
    pairs = [(i, number[b, a]) for (a, b), i in number.items() if a < b and (b, a) in number]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _at(label: str, ties: int, values: Values, back: NDArray[np.int64]) -> TieFigures:
    size, felt, none = np.abs(values), values[:, _FELT], not len(values)

    def by_axis(matrix: Values) -> dict[str, float]:
        return {axis: 0.0 if none else _round(matrix[:, i].mean()) for i, axis in enumerate(AXES)}

    gap = np.abs(felt[back[:, 0]] - felt[back[:, 1]]).mean() if len(back) else None
    return TieFigures(
        label=label,
        ties=ties,
        mean=by_axis(values),
        size=by_axis(size),
        strength=0.0 if none else _round(size[:, :-1].max(axis=1).mean()),
        highest=0.0 if none else _round(size.max()),
        at_limit=0.0 if none else _round((size >= AT_LIMIT - 1e-9).any(axis=1).mean()),
        gap=None if gap is None else _round(gap),
    )


def _round(value: Any) -> float:
    return round(float(value), 6)


def _changed(
    edges: Sequence[tuple[str, str, Relationship]],
    before: Sequence[Relationship | None],
    fresh: Sequence[Sequence[RelationshipEvent]],
    course: Values,
) -> tuple[TieChange, ...]:
    if not edges:
        return ()
    # Familiarity grows with every meeting: it tells who met, not what came of it.
    moves = np.abs(course[-1] - course[0])[:, :-1]
    most = moves.max(axis=1)
    order = sorted(range(len(edges)), key=lambda i: (-round(most[i], 6), edges[i][:2]))
    return tuple(
        TieChange(
            source=edges[i][0], target=edges[i][1], kinds=edges[i][2].kinds,
            axis=AXES[(axis := int(moves[i].argmax()))],
            before=_round(course[0, i, axis]), after=_round(course[-1, i, axis]),
            events=dict(sorted(Counter(plain(e.kind) for e in fresh[i]).items(),
                               key=lambda pair: (-pair[1], pair[0]))),
            course=tuple(_round(v) for v in course[:, i, axis]), new=before[i] is None,
        )
        for i in order[:CHANGED] if most[i] > 1e-9
    )  # fmt: skip


def _half_at_limit(course: Values, windows: Windows) -> float | None:
    """Days from the end until half of the ties have an axis at its limit, at the run's pace.

    Each tie's fastest axis goes on in a straight line; None where half of them never get there.
    """
    days = (len(course) - 1) * windows.size / 24
    if windows.start is None or days <= 0:
        return None
    pace = (course[-1] - course[0]) / days
    room = np.where(pace >= 0, AT_LIMIT - course[-1], AT_LIMIT + course[-1])
    moving = np.abs(pace) > 1e-9
    times = np.full(course[-1].shape, np.inf)
    times[moving] = np.maximum(room, 0)[moving] / np.abs(pace)[moving]
    times[np.abs(course[-1]) >= AT_LIMIT - 1e-9] = 0.0
    soonest = np.sort(times.min(axis=1))
    middle = float(soonest[(len(soonest) - 1) // 2])
    return None if np.isinf(middle) else round(middle, 3)


def _verdicts(
    figures: Sequence[TieFigures], windows: Windows, isolated: float | None, half: float | None
) -> tuple[Verdict, ...]:
    if not figures[-1].ties:
        return ()

    def course(key: str) -> list[tuple[float, float | None]]:
        return [(windows.middle(k - 0.5), getattr(f, key)) for k, f in enumerate(figures)]

    first, last = figures[0], figures[-1]
    came_from = f" ({LIMIT.show(first.at_limit)} at the start)"
    limit = judge(LIMIT, last.at_limit, course("at_limit"), windows.unit, aside=came_from)
    gap = judge(GAP, last.gap, course("gap"), windows.unit,
                missing="no two people have ties to each other")  # fmt: skip
    limit = _if_grown(LIMIT, limit, first.at_limit, last.at_limit)
    if first.gap is not None and last.gap is not None:
        gap = _if_grown(GAP, gap, first.gap, last.gap)
    alone = judge(ALONE, isolated, None, windows.unit)
    return (_pace(figures, course("strength"), windows, half), limit, gap, alone)


def _if_grown(measure: Measure, verdict: Verdict, first: float, last: float) -> Verdict:
    """The verdict where the figure grew: what the world's author wrote is no drift."""
    grown = last - first >= measure.least
    threshold = f"{verdict.threshold}, where it grew by {measure.amount(measure.least)} in the run"
    return replace(verdict, level=verdict.level if grown else "fine", threshold=threshold)


def _pace(
    figures: Sequence[TieFigures],
    course: Sequence[tuple[float, float | None]],
    windows: Windows,
    half: float | None,
) -> Verdict:
    """The verdict on strength, with the axis that moves most and when half are at their limit."""
    first, last = figures[0], figures[-1]
    verdict = judge(MOVEMENT, last.strength, course, windows.unit,
                    aside=f" ({MOVEMENT.show(first.strength)} at the start)")  # fmt: skip
    verdict = _if_grown(MOVEMENT, verdict, first.strength, last.strength)
    sentence, level = verdict.sentence, verdict.level
    axis = max(AXES, key=lambda a: abs(last.mean[a] - first.mean[a]))
    move = last.mean[axis] - first.mean[axis]
    days = (len(figures) - 1) * windows.size / 24
    if windows.start is not None and days >= 1 and abs(move) / days >= 0.005:
        sentence += (f" Mean {axis} {'rises' if move > 0 else 'falls'} by about "
                     f"{about(abs(move) / days)} a day.")  # fmt: skip
    if half == 0:
        sentence += f" Half of the ties have an axis at {AT_LIMIT} or beyond."
    elif half is not None and days >= 1:
        sentence += (f" At this pace half of them have an axis at its limit in about "
                     f"{about(half)} days.")  # fmt: skip
        if half <= _RACING_DAYS:
            level = "drifting"
        elif half <= _FAST_DAYS and level == "fine":
            level = "watch"
    elif days < 1:
        sentence += " Less than a day is too short to tell a pace."
    also = (
        f"; or half of the ties at their limit within {_FAST_DAYS:.0f} or {_RACING_DAYS:.0f} days"
    )
    return replace(verdict, sentence=sentence, level=level, threshold=verdict.threshold + also)


def reported_moves(choices: Sequence[Choice]) -> tuple[TieChange, ...]:
    """The most changed relationships where only the game's own reports are known, not the graphs.

    Values are sums of reported changes, from 0.
    """
    sums: dict[tuple[str, str], Counter[str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for choice in choices:
        for to, changes in choice.moved:
            edge = (choice.character, to)
            counts[edge] += 1
            total = sums.setdefault(edge, Counter())
            for axis, change in changes.items():
                total[plain(axis, 40)] += change  # type: ignore[assignment]  # counts in fractions
    found = []
    for (a, b), total in sums.items():
        if total:
            axis = max(sorted(total), key=lambda name: abs(total[name]))
            found.append(TieChange(a, b, (), axis, 0.0, _round(total[axis]),
                                   {"reported": counts[a, b]}, (), False))  # fmt: skip
    found.sort(key=lambda c: (-abs(c.after), c.source, c.target))
    return tuple(found[:CHANGED])
