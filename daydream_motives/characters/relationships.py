"""Who is what to whom, and how that changes. Knows nothing of models, places or runs.

An edge A → B is how A sees B: its kinds say what B is to A (`kinds: [parent]` on Ines → Karl reads
"Karl is Ines's parent"). Both directions are edges of their own, so love may go unanswered.

An event moves the axes of one edge by EVENT_RULES. A change away from zero is damped by the room
that is left (`delta * (1 - |x|)`), a change back towards zero acts in full: trust is hard to
perfect and easy to lose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import networkx as nx
from pydantic import Field, field_validator

from daydream_motives.characters.files import validated
from daydream_motives.characters.sheet import ADULT_AGE, CharacterSheet, Strict, Text
from daydream_motives.errors import Problem, RelationshipError

SCHEMA_VERSION = 1
AXES = ("trust", "respect", "affection", "attraction", "familiarity")

# kind -> what A is to B where B is this to A; None where nothing follows.
KINDS: dict[str, str | None] = {
    "parent": "child", "child": "parent", "sibling": "sibling",
    "grandparent": "grandchild", "grandchild": "grandparent",
    "aunt_or_uncle": "niece_or_nephew", "niece_or_nephew": "aunt_or_uncle",
    "cousin": "cousin", "in_law": "in_law", "step_parent": "step_child",
    "step_child": "step_parent", "guardian": "ward", "ward": "guardian", "relative": "relative",
    "spouse": "spouse", "ex_spouse": "ex_spouse", "fiance": "fiance", "partner": "partner",
    "ex_partner": "ex_partner", "lover": "lover", "crush": None,
    "friend": "friend", "best_friend": "best_friend", "old_friend": "old_friend",
    "confidant": None, "acquaintance": "acquaintance", "neighbour": "neighbour",
    "stranger": "stranger", "housemate": "housemate", "host": "guest", "guest": "host",
    "colleague": "colleague", "employer": "employee", "employee": "employer",
    "business_partner": "business_partner", "supplier": "customer", "customer": "supplier",
    "landlord": "tenant", "tenant": "landlord", "creditor": "debtor", "debtor": "creditor",
    "mentor": "apprentice", "apprentice": "mentor", "teacher": "student", "student": "teacher",
    "classmate": "classmate", "teammate": "teammate", "leader": "follower",
    "follower": "leader", "commander": "subordinate", "subordinate": "commander",
    "doctor": "patient", "patient": "doctor", "ally": "ally", "rival": "rival",
    "enemy": "enemy", "hero": None, "suspect": None, "victim": "wrongdoer",
    "wrongdoer": "victim", "protector": "protected", "protected": "protector",
}  # fmt: skip
ROMANTIC_KINDS = frozenset(
    {"spouse", "ex_spouse", "fiance", "partner", "ex_partner", "lover", "crush"}
)

# What happened -> how the one it happened to moves towards the one who did it.
EVENT_RULES: dict[str, dict[str, float]] = {
    "met": {"familiarity": 0.05},
    "talked": {"familiarity": 0.04, "affection": 0.02, "trust": 0.01},
    "helped": {"familiarity": 0.04, "trust": 0.08, "affection": 0.06, "respect": 0.05},
    "was_helped": {"familiarity": 0.04, "trust": 0.10, "affection": 0.08, "respect": 0.06},
    "gave": {"familiarity": 0.02, "affection": 0.04},
    "received": {"familiarity": 0.03, "affection": 0.08, "trust": 0.04},
    "worked_together": {"familiarity": 0.05, "respect": 0.03, "trust": 0.02},
    "shared_fun": {"familiarity": 0.05, "affection": 0.06},
    "confided": {"familiarity": 0.08, "trust": 0.08, "affection": 0.05},
    "comforted": {"familiarity": 0.05, "trust": 0.06, "affection": 0.09},
    "apologised": {"trust": 0.05, "affection": 0.05, "respect": 0.03},
    "traded": {"familiarity": 0.03, "trust": 0.02},
    "flirted": {"familiarity": 0.04, "attraction": 0.05, "affection": 0.03},
    "argued": {"familiarity": 0.02, "affection": -0.08, "trust": -0.05, "respect": -0.03},
    "insulted": {"affection": -0.14, "respect": -0.08, "trust": -0.06},
    "threatened": {"trust": -0.20, "affection": -0.16, "respect": -0.04},
    "refused": {"affection": -0.05, "trust": -0.03},
    "avoided": {"familiarity": -0.01, "affection": -0.03},
    "betrayed": {"trust": -0.45, "affection": -0.25, "respect": -0.2},
    "lied_to": {"trust": -0.3, "respect": -0.12, "affection": -0.08},
    "stole_from": {"trust": -0.4, "respect": -0.2, "affection": -0.2},
    "hurt": {"trust": -0.35, "affection": -0.35, "respect": -0.1},
}

Axis = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_RECENT_HOURS = 48.0


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


@dataclass(frozen=True, slots=True)
class Person:
    """What anyone may know of a character: what the graph's nodes hold."""

    id: str
    name: str
    age: int | None = None
    occupation: str = ""
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, id: str, sheet: CharacterSheet) -> Person:
        return cls(id, sheet.name, sheet.age, sheet.occupation, sheet.aliases)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything the person may be called: name, its first word, aliases."""
        first = self.name.split(" ")[0]
        return tuple(dict.fromkeys((self.name, first, *self.aliases)))


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
        """Add or replace a node; raises RelationshipError where it makes a romance with a minor."""
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
            raise RelationshipError(problems)

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
            if (age := self.person(id).age) is None or age < ADULT_AGE
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
        if rule is None or not 0 <= intensity <= 3:
            expected = f"one of {', '.join(EVENT_RULES)}; intensity within [0, 3]"
            raise RelationshipError([Problem("event", f"{a} -> {b}", repr(kind), expected)])
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
        history = (*before.history, event)
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
        words = text.casefold()
        ties = []
        for b, rel in self.of(a):
            person = self.person(b)
            here = b in present
            named = any(mentions(words, name) for name in person.names)
            recent = _recency(rel, now)
            reasons = [
                reason
                for reason, true in (
                    ("present", here),
                    ("named in what happens", named),
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
        shape = "node-link data: 'nodes' and 'edges' as lists, 'schema_version' 1"
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            raise RelationshipError([Problem(source, "", type(data).__name__, shape)])
        graph = cls(data.get("graph", {}).get("extra_kinds", ()))
        problems: list[Problem] = []
        try:
            for node in data["nodes"]:
                person = Person(
                    node["id"], node["name"], node.get("age"), node.get("occupation", ""),
                    tuple(node.get("aliases", ())),
                )  # fmt: skip
                graph.add_person(person)
            for edge in data["edges"]:
                fields = {k: v for k, v in edge.items() if k not in ("source", "target")}
                a, b = edge["source"], edge["target"]
                rel = validated(Relationship, fields, source, RelationshipError, f"{a} -> {b}")
                found = graph.problems(a, b, rel, source)
                problems += found
                if not found:
                    graph.set(a, b, rel)
        except (KeyError, TypeError, AttributeError) as exc:
            raise RelationshipError([Problem(source, "", f"missing {exc}", shape)]) from exc
        if problems:
            raise RelationshipError(problems)
        return graph


def mentions(text: str, name: str) -> bool:
    """Whether `text` holds `name` as whole words; both compared without case."""
    folded = name.casefold()
    if not folded or folded not in (lowered := text.casefold()):
        return False
    return re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", lowered) is not None


def _recency(rel: Relationship, now: datetime | None) -> float:
    last = next((event.at for event in reversed(rel.history) if event.at), None)
    if last is None or now is None:
        return 0.0
    hours = max(0.0, (now - last).total_seconds() / 3600)
    return 0.6 * math.pow(0.5, hours / _RECENT_HOURS)
