"""Who is what to whom, and how that changes. Knows nothing of models, places or runs.

An edge A → B is how A sees B: its kinds say what B is to A (`kinds: [parent]` on Ines → Karl reads
"Karl is Ines's parent"). Both directions are edges of their own, so love may go unanswered.

An event moves the axes of one edge by EVENT_RULES. A change away from zero is damped by the room
that is left (`delta * (1 - |x|)`), a change back towards zero acts in full: trust is hard to
perfect and easy to lose.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import networkx as nx
from pydantic import Field, ValidationError, field_validator

from daydream_motives.characters.files import problems_of, shown, validated
from daydream_motives.characters.kinds import AXES, EVENT_RULES, KINDS, ROMANTIC_KINDS
from daydream_motives.characters.person import Person, mentions
from daydream_motives.characters.sheet import (
    ADULT_AGE,
    Extensions,
    Identifier,
    Name,
    Strict,
    Text,
    is_minor,
)
from daydream_motives.errors import Problem, RelationshipError

SCHEMA_VERSION = 1
Axis = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_RECENT_HOURS = 48.0
_HISTORY = 24
NAMED = "named in what happens"


class RelationshipEvent(Strict):
    """One thing that changed an edge: what, when (in-world), and by how much."""

    kind: str
    text: Text = ""
    at: datetime | None = None
    changes: dict[str, float] = Field(default_factory=dict)


class Relationship(Strict):
    """How one character sees another; axes in [-1, 1], familiarity in [0, 1]."""

    kinds: tuple[str, ...] = ("acquaintance",)
    story: Text = ""
    trust: Axis = 0.0
    respect: Axis = 0.0
    affection: Axis = 0.0
    attraction: Axis = 0.0
    familiarity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.3
    history: tuple[RelationshipEvent, ...] = ()
    extensions: Extensions = Field(default_factory=dict)

    @field_validator("kinds", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        kinds = (value,) if isinstance(value, str) else value
        if isinstance(kinds, (list, tuple)) and not kinds:
            raise ValueError("at least one kind")
        return kinds

    @property
    def strength(self) -> float:
        """How much there is between the two, for good or ill; in [0, 1]."""
        felt = max(abs(self.trust), abs(self.respect), abs(self.affection), abs(self.attraction))
        close = 0.0 if set(self.kinds) <= {"acquaintance", "stranger", "neighbour"} else 0.25
        return min(1.0, 0.5 * felt + 0.25 * self.familiarity + close)

    @property
    def is_romantic(self) -> bool:
        return self.attraction != 0 or not ROMANTIC_KINDS.isdisjoint(self.kinds)


class _Node(Strict):
    """A node of node-link data."""

    id: Identifier
    name: Name
    age: Annotated[int | None, Field(ge=0, strict=True)] = None
    occupation: Text = ""
    aliases: tuple[Name, ...] = ()


class _Attributes(Strict):
    """What node-link data says of the whole graph."""

    extra_kinds: tuple[Identifier, ...] = ()


class _Graph(Strict):
    """Node-link data, as networkx writes it; foreign data is read by `exchange.nodelink`."""

    schema_version: Literal[1]
    directed: Literal[True] = True
    multigraph: Literal[False] = False
    graph: _Attributes = _Attributes()
    nodes: tuple[_Node, ...]
    edges: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Tie:
    """One relationship as it matters now: `weight` orders, `reasons` say why."""

    person: Person
    relationship: Relationship
    weight: float
    reasons: tuple[str, ...]


class RelationshipGraph:
    """A directed graph of characters; every look at one character costs its degree, not the world.

    `extra_kinds` are kinds a world adds to KINDS.
    """

    def __init__(self, extra_kinds: Iterable[str] = ()) -> None:
        self.extra_kinds = frozenset(extra_kinds)
        self._graph: nx.DiGraph[str] = nx.DiGraph()

    def add_person(self, person: Person) -> None:
        """Add or replace a node; raises RelationshipError for a bad id or a minor's romance."""
        validated(_Node, asdict(person), "graph", RelationshipError, shown(person.id))
        before = self._graph.nodes.get(person.id, {}).get("person")
        self._graph.add_node(person.id, person=person)
        problems = [
            problem
            for a, b, data in [
                *self._graph.out_edges(person.id, data=True),
                *self._graph.in_edges(person.id, data=True),
            ]
            for problem in self._age_problems(a, b, data["relationship"], "graph")
        ]
        if problems:
            self._graph.nodes[person.id]["person"] = before
            raise RelationshipError(problems)

    def remove(self, a: str, b: str) -> None:
        """Forget how `a` sees `b`; harmless where nothing was."""
        if self._graph.has_edge(a, b):
            self._graph.remove_edge(a, b)

    def copy(self) -> RelationshipGraph:
        """A graph of its own with the same people and relationships."""
        twin = RelationshipGraph(self.extra_kinds)
        twin._graph = self._graph.copy()
        return twin

    def __contains__(self, id: str) -> bool:
        return id in self._graph

    def __len__(self) -> int:
        """The number of relationships."""
        return int(self._graph.number_of_edges())

    def people(self) -> Iterator[Person]:
        return (data["person"] for _, data in self._graph.nodes(data=True))

    def person(self, id: str) -> Person:
        """The node `id`; raises RelationshipError where there is none."""
        if id not in self._graph:
            raise RelationshipError([Problem("graph", id, "no such person", "a known id")])
        person: Person = self._graph.nodes[id]["person"]
        return person

    def get(self, a: str, b: str) -> Relationship | None:
        """How `a` sees `b`, or None."""
        data = self._graph.get_edge_data(a, b)
        return data["relationship"] if data else None

    def edges(self) -> Iterator[tuple[str, str, Relationship]]:
        return ((a, b, data["relationship"]) for a, b, data in self._graph.edges(data=True))

    def of(self, a: str) -> Iterator[tuple[str, Relationship]]:
        """Everyone `a` has a relationship to."""
        if a in self._graph:
            for b, data in self._graph.adj[a].items():
                yield b, data["relationship"]

    def seen_by(self, b: str) -> Iterator[tuple[str, Relationship]]:
        """Everyone who has a relationship to `b`."""
        if b in self._graph:
            for a, data in self._graph.pred[b].items():
                yield a, data["relationship"]

    def problems(self, a: str, b: str, relationship: Relationship, source: str) -> list[Problem]:
        """Everything that speaks against this edge: unknown people or kinds, minors."""
        path = f"{a} -> {b}"
        found = [
            Problem(source, path, f"{id!r}, who does not exist", "a character's id")
            for id in dict.fromkeys((a, b))
            if id not in self._graph
        ]
        if a == b:
            found.append(Problem(source, path, "a relationship to oneself", "two people"))
        known = KINDS.keys() | self.extra_kinds
        for kind in relationship.kinds:
            if kind not in known:
                expected = "one of " + ", ".join(sorted(known))
                found.append(Problem(source, f"{path}.kinds", repr(kind), expected))
        return found or self._age_problems(a, b, relationship, source)

    def _age_problems(self, a: str, b: str, rel: Relationship, source: str) -> list[Problem]:
        if not rel.is_romantic:
            return []
        return [
            Problem(
                source,
                f"{a} -> {b}",
                f"attraction or romance with {id!r} (age {age if age is not None else 'unknown'})",
                f"none where either is under {ADULT_AGE} or of unknown age",
            )
            for id in (a, b)
            if is_minor(age := self.person(id).age)
        ]

    def set(self, a: str, b: str, relationship: Relationship, *, source: str = "graph") -> None:
        """Put the edge; raises RelationshipError with everything wrong about it."""
        if found := self.problems(a, b, relationship, source):
            raise RelationshipError(found)
        self._graph.add_edge(a, b, relationship=relationship)

    def record(
        self,
        a: str,
        b: str,
        kind: str,
        *,
        text: str = "",
        at: datetime | None = None,
        intensity: float = 1.0,
    ) -> RelationshipEvent:
        """Something of `kind` happened to `a` from `b`: move the axes, keep the history.

        `intensity` in [0, 3] scales the rule. An edge that is missing begins as an acquaintance.
        Raises RelationshipError for an unknown kind of event, or attraction where a minor is.
        """
        rule = EVENT_RULES.get(kind)
        where = f"{a} -> {b}"
        if rule is None:
            expected = f"one of {', '.join(EVENT_RULES)}"
            raise RelationshipError([Problem("event", where, repr(kind), expected)])
        if not 0 <= intensity <= 3:
            raise RelationshipError([Problem("event", where, f"intensity {intensity}", "0 to 3")])
        return self.change(
            a, b, {axis: delta * intensity for axis, delta in rule.items()},
            kind=kind, text=text, at=at,
        )  # fmt: skip

    def change(
        self,
        a: str,
        b: str,
        deltas: Mapping[str, float],
        *,
        kind: str = "changed",
        text: str = "",
        at: datetime | None = None,
    ) -> RelationshipEvent:
        """Move axes of the edge by `deltas` (damped as the module says) and keep the history."""
        if unknown := [axis for axis in deltas if axis not in AXES]:
            expected = f"axes among {', '.join(AXES)}"
            raise RelationshipError([Problem("event", f"{a} -> {b}", str(unknown), expected)])
        if wild := {axis: d for axis, d in deltas.items() if not math.isfinite(d)}:
            raise RelationshipError([Problem("event", f"{a} -> {b}", str(wild), "finite changes")])
        before = self.get(a, b) or Relationship(familiarity=0.0)
        after: dict[str, float] = {}
        for axis, delta in deltas.items():
            value = getattr(before, axis)
            outward = delta * value >= 0
            moved = value + (delta * (1 - abs(value)) if outward else delta)
            after[axis] = round(max(0.0 if axis == "familiarity" else -1.0, min(1.0, moved)), 6)
        changes = {k: round(v - getattr(before, k), 6) for k, v in after.items()}
        event = RelationshipEvent(
            kind=kind, text=text, at=at, changes={k: v for k, v in changes.items() if v}
        )
        history = _folded((*before.history, event))
        self.set(a, b, before.model_copy(update={**after, "history": history}))
        return event

    def who_matters(
        self,
        a: str,
        *,
        present: Collection[str] = (),
        now: datetime | None = None,
        text: str = "",
        limit: int | None = None,
    ) -> list[Tie]:
        """Everyone who matters to `a` now, most first.

        weight = 1.5 if present + 1.2 if named in `text` + strength (0–1) + recency (0–0.6, halving
        every 48 in-world hours since the edge last changed). Costs O(degree of `a`).
        """
        ties = []
        for b, rel in self.of(a):
            person = self.person(b)
            here = b in present
            named = bool(text) and any(mentions(text, name) for name in person.names)
            recent = _recency(rel, now)
            reasons = [
                reason
                for reason, true in (
                    ("present", here),
                    (NAMED, named),
                    ("strong", rel.strength >= 0.5),
                    ("recent", recent >= 0.3),
                )
                if true
            ]
            weight = 1.5 * here + 1.2 * named + rel.strength + recent
            ties.append(Tie(person, rel, round(weight, 6), tuple(reasons)))
        ties.sort(key=lambda tie: (-tie.weight, tie.person.id))
        return ties[:limit]

    def to_data(self) -> dict[str, Any]:
        """Node-link data (JSON) that `from_data` reads back without loss."""
        return {
            "schema_version": SCHEMA_VERSION,
            "directed": True,
            "multigraph": False,
            "graph": {"extra_kinds": sorted(self.extra_kinds)},
            "nodes": [
                {"id": p.id, "name": p.name, "age": p.age, "occupation": p.occupation,
                 "aliases": list(p.aliases)}
                for p in self.people()
            ],
            "edges": [
                {"source": a, "target": b, **rel.model_dump(mode="json")}
                for a, b, rel in self.edges()
            ],
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any, *, source: str = "graph") -> RelationshipGraph:
        """A graph from node-link data; raises RelationshipError listing all that is wrong."""
        parsed = validated(_Graph, data, source, RelationshipError)
        graph = cls(parsed.graph.extra_kinds)
        problems: list[Problem] = []
        for node in parsed.nodes:
            if node.id in graph:
                problems.append(Problem(source, node.id, "a second node of this id", "one"))
            graph.add_person(Person(node.id, node.name, node.age, node.occupation, node.aliases))
        for edge in parsed.edges:
            a, b = str(edge.get("source")), str(edge.get("target"))
            fields = {k: v for k, v in edge.items() if k not in ("source", "target")}
            try:
                relationship = Relationship.model_validate(fields)
            except ValidationError as exc:
                problems += problems_of(exc, source, f"{a} -> {b}")
                continue
            found = graph.problems(a, b, relationship, source)
            if graph.get(a, b) is not None:
                found.append(Problem(source, f"{a} -> {b}", "a second edge", "one per direction"))
            problems += found
            if not found:
                graph.set(a, b, relationship)
        if problems:
            raise RelationshipError(problems)
        return graph


def _folded(history: tuple[RelationshipEvent, ...]) -> tuple[RelationshipEvent, ...]:
    """The latest events; those before are one event, so that what they changed still adds up."""
    if len(history) <= _HISTORY:
        return history
    old, kept = history[: -_HISTORY // 2], history[-_HISTORY // 2 :]
    changes: dict[str, float] = {}
    for event in old:
        for axis, delta in event.changes.items():
            changes[axis] = round(changes.get(axis, 0.0) + delta, 6)
    first = RelationshipEvent(
        kind="earlier", at=old[-1].at, changes={k: v for k, v in changes.items() if v}
    )
    return (first, *kept)


def _recency(rel: Relationship, now: datetime | None) -> float:
    last = next((event.at for event in reversed(rel.history) if event.at), None)
    if last is None or now is None:
        return 0.0
    # In-world clocks: where one has a time zone and the other none, the hands are what counts.
    hours = max(0.0, (now.replace(tzinfo=None) - last.replace(tzinfo=None)).total_seconds() / 3600)
    return 0.6 * math.pow(0.5, hours / _RECENT_HOURS)
