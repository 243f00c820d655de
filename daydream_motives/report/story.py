"""What happened in a run, told: the timeline, who did what, who is tied to whom, rumours.

Bounded: the most active people, the weightiest events, the strongest ties, and how many there were
in all. Knows no files and no page.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.report.choices import Choice, plain
from daydream_motives.report.drawing import Line, ring_order
from daydream_motives.report.drift import Windows
from daydream_motives.report.evidence import Event, Evidence

TOLD = 40  # entries of the timeline
TURNS = 10  # of them at most so many turns in relationships
RUMOURS = 40
RING_PEOPLE = 32
RING_LINES = 80
COLOURS = 8  # verbs with a colour of their own
_LEAST_TURN = 0.15
_TONE = 0.1  # affection from here on is warm, or cold
_MOVED = 0.1
_NO_VERB = "no verb"


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry of the timeline."""

    time: datetime | None
    kind: str
    text: str
    where: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class PersonStory:
    """One person: the commonest verb of each window, what they did most and with whom."""

    id: str
    name: str
    occupation: str
    decisions: int
    cells: tuple[tuple[str, int], ...]
    verbs: tuple[tuple[str, int], ...]
    company: tuple[tuple[str, int], ...]
    outcomes: dict[str, int]
    last: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Rumour:
    """Who told whom what; `truth` is what it had been, where it was passed on wrong."""

    time: datetime | None
    teller: str
    listener: str
    text: str
    truth: str


@dataclass(frozen=True, slots=True)
class Ring:
    """The same people in the same order, and their ties at the start and at the end."""

    people: tuple[tuple[str, str], ...]
    start: tuple[Line, ...]
    end: tuple[Line, ...]
    ties: int
    all_people: int


def people_of(
    evidence: Evidence, windows: Windows, *, most: int, last: int
) -> tuple[PersonStory, ...]:
    """The people who decided most, at most so many, with their last decisions."""
    counts = Counter(choice.character for choice in evidence.choices)
    shown = [id for id, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]]
    cells: dict[str, list[Counter[str]]] = {id: [Counter() for _ in range(windows.count)]
                                            for id in shown}  # fmt: skip
    recent: dict[str, deque[Choice]] = {id: deque(maxlen=last) for id in shown}
    company: dict[str, Counter[str]] = defaultdict(Counter)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for number, choice in enumerate(evidence.choices):
        if (id := choice.character) not in recent:
            continue
        cells[id][windows.of(number, choice.time)][choice.acted.verb or _NO_VERB] += 1
        recent[id].append(choice)
        outcomes[id][choice.status] += 1
        company[id].update(t for t in choice.acted.targets if t in evidence.people and t != id)
    return tuple(
        PersonStory(
            id=id,
            name=evidence.name_of(id),
            occupation=evidence.occupations.get(id, ""),
            decisions=counts[id],
            cells=tuple((_most(cell, 1) or (("", 0),))[0] for cell in cells[id]),
            verbs=_most(sum(cells[id], Counter()), 3),
            company=tuple((evidence.name_of(o), n) for o, n in _most(company[id], 3)),
            outcomes=dict(_most(outcomes[id], 5)),
            last=tuple(recent[id]),
        )
        for id in shown
    )


def _most(counts: Counter[str], limit: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit])


def coloured_verbs(people: Sequence[PersonStory]) -> list[str]:
    """The verbs seen most in the people's cells, which get a colour each."""
    counts = Counter(verb for person in people for verb, n in person.cells if n)
    return [verb for verb, _ in _most(counts, COLOURS)]


def timeline(evidence: Evidence) -> tuple[tuple[Moment, ...], int]:
    """The most important moments in order, and how many there were to choose from.

    Events of the world, one that returns told once, spread over the run where there are too many;
    and the sharpest turns in relationships.
    """
    returns = Counter(event.text for event in evidence.events if event.kind != "gossip")
    events: dict[str, Moment] = {}
    for event in evidence.events:
        if event.kind != "gossip" and event.text not in events:
            times = returns[event.text]
            note = f"and {times - 1} more time{'s' if times > 2 else ''}" if times > 1 else ""
            events[event.text] = Moment(
                event.time, event.kind, event.text, evidence.name_of(event.place), note
            )
    turns = _turns(evidence)
    kept = [*_spread(list(events.values()), TOLD - len(turns[:TURNS])), *turns[:TURNS]]
    kept.sort(key=lambda moment: (moment.time or datetime.min, moment.kind, moment.text))
    return tuple(kept), len(events) + len(turns)


def _spread(moments: Sequence[Moment], most: int) -> list[Moment]:
    """All of them, or so many from the first to the last at even distances."""
    if len(moments) <= most:
        return list(moments)
    return [moments[index * (len(moments) - 1) // (most - 1)] for index in range(most)]


def _turns(evidence: Evidence) -> list[Moment]:
    """What moved someone's view of another most, the sharpest first; one entry for both sides."""
    if evidence.end is None:
        return []
    begin = evidence.span[0] if evidence.span else datetime.min
    found: dict[tuple[datetime, str], tuple[float, Moment]] = {}
    for a, b, rel in evidence.end.edges():
        for event in rel.history:
            at = event.at.replace(tzinfo=None) if event.at else None
            felt = {axis: d for axis, d in event.changes.items() if axis != "familiarity"}
            size = sum(abs(change) for change in felt.values())
            if at is None or at < begin or size < _LEAST_TURN:
                continue
            text = plain(event.text or event.kind)
            if size <= found.get((at, text), (0.0, None))[0]:
                continue
            axis = max(sorted(felt), key=lambda name: abs(felt[name]))
            note = f"{evidence.name_of(a)} → {evidence.name_of(b)}: {axis} {felt[axis]:+.2f}"
            found[at, text] = (size, Moment(at, "turn", text, "", note))
    order = sorted(found.items(), key=lambda item: (-round(item[1][0], 6), item[0]))
    return [moment for _, (_, moment) in order]


def rumours(evidence: Evidence) -> tuple[tuple[Rumour, ...], int]:
    """The last tales told, and how many there were."""
    told = [event for event in evidence.events if event.kind == "gossip"]
    return tuple(_rumour(evidence, event) for event in told[-RUMOURS:]), len(told)


def _rumour(evidence: Evidence, event: Event) -> Rumour:
    text, _, truth = event.text.partition(" [wrong: it was ")
    who = [evidence.name_of(id) for id in (*event.who, "?", "?")]
    return Rumour(event.time, who[0], who[1], text, truth.removesuffix("]"))


def ring_of(evidence: Evidence, start: RelationshipGraph, end: RelationshipGraph) -> Ring:
    """The neighbourhood with the strongest and most moved ties, laid out once for both pictures."""
    weights: dict[tuple[str, str], float] = {}
    for graph in (start, end):
        for a, b, rel in graph.edges():
            weights[a, b] = max(weights.get((a, b), 0.0), rel.strength)
    for a, b in weights:
        weights[a, b] += _shift(start.get(a, b), end.get(a, b))
    everyone = sorted({p.id for g in (start, end) for p in g.people()})
    people = _neighbourhood(everyone, weights)
    among = {edge: w for edge, w in weights.items() if edge[0] in people and edge[1] in people}
    strongest = sorted(among, key=lambda edge: (-round(among[edge], 6), edge))[:RING_LINES]
    order = ring_order(sorted(people), {edge: among[edge] for edge in strongest})
    first = Counter(evidence.name_of(id).split(" ")[0] for id in order)

    def short(id: str) -> str:
        name = evidence.name_of(id)
        head = name.split(" ")[0]
        return head if first[head] == 1 else name

    lines = tuple(
        tuple(
            _line(evidence, a, b, tie, start.get(a, b), end.get(a, b))
            for a, b in strongest
            if (tie := graph.get(a, b)) is not None
        )
        for graph in (start, end)
    )
    names = tuple((id, short(id)) for id in order)
    return Ring(names, lines[0], lines[1], len(weights), len(everyone))


def _shift(before: Relationship | None, after: Relationship | None) -> float:
    """How far the furthest-moved feeling went."""
    none = (0.0, 0.0, 0.0, 0.0)
    x = (before.trust, before.respect, before.affection, before.attraction) if before else none
    y = (after.trust, after.respect, after.affection, after.attraction) if after else none
    return max(abs(old - new) for old, new in zip(x, y, strict=True))


def _line(
    evidence: Evidence,
    a: str,
    b: str,
    rel: Relationship,
    before: Relationship | None,
    after: Relationship | None,
) -> Line:
    tone = "warm" if rel.affection >= _TONE else "cold" if rel.affection <= -_TONE else "plain"
    kinds = ", ".join(plain(kind).replace("_", " ") for kind in rel.kinds)
    text = (
        f"{evidence.name_of(a)} → {evidence.name_of(b)} ({kinds}): "
        f"affection {rel.affection:+.2f}, trust {rel.trust:+.2f}, respect {rel.respect:+.2f}"
    )
    return Line(a, b, tone, rel.strength, text, _shift(before, after) >= _MOVED)


def _neighbourhood(people: Sequence[str], weights: dict[tuple[str, str], float]) -> set[str]:
    """RING_PEOPLE at most: from the most tied person outwards, always along the strongest tie."""
    if len(people) <= RING_PEOPLE:
        return set(people)
    near: dict[str, dict[str, float]] = defaultdict(dict)
    for (a, b), weight in weights.items():
        near[a][b] = max(near[a].get(b, 0.0), weight)
        near[b][a] = max(near[b].get(a, 0.0), weight)
    centres = iter(sorted(near, key=lambda id: (-round(sum(near[id].values()), 6), id)))
    chosen: set[str] = set()
    heap: list[tuple[float, str]] = []
    while len(chosen) < RING_PEOPLE:
        if heap:
            id = heapq.heappop(heap)[1]
        elif (id := next(centres, "")) == "":
            break
        if id not in chosen:
            chosen.add(id)
            for other, weight in near[id].items():
                heapq.heappush(heap, (-round(weight, 6), other))
    return chosen
