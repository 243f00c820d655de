"""Which scenes are for training, which for validation, which for the test. Knows no texts.

Scenes that share a person's full name, or an id but for a number at its end, are one company and
go one way. Companies are put in an order that only their ids decide (SHA-256), world by world, and
the first of each world are the test's, the next validation's. So the same book is always split the
same way, each world has its share of each part, and a new scene moves few of the others.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
TEST, VALIDATION = (
    0.15,
    0.09,
)  # shares of each world; what is begun is finished, so it is a bit more
LEAST = {"test": 250, "validation": 150}


@dataclass(frozen=True, slots=True)
class Unit:
    """One scene as the split sees it: `names` and `family` are what ties it to others."""

    id: str
    world: str
    names: frozenset[str]
    family: str
    pairs: int


def split(units: Sequence[Unit]) -> dict[str, str]:
    """The part of each scene, by its id."""
    worlds: defaultdict[str, list[list[Unit]]] = defaultdict(list)
    for company in companies(units):
        worlds[company[0].world].append(company)
    parts: dict[str, str] = {}
    for _, found in sorted(worlds.items()):
        whole = sum(unit.pairs for company in found for unit in company)
        taken = 0
        for company in sorted(found, key=lambda company: _order(company[0].id)):
            part = (
                "test" if taken < TEST * whole
                else "validation" if taken < (TEST + VALIDATION) * whole
                else "train"
            )  # fmt: skip
            parts |= {unit.id: part for unit in company}
            taken += sum(unit.pairs for unit in company)
    return parts


def companies(units: Sequence[Unit]) -> list[list[Unit]]:
    """Scenes that belong together; first of each stands the one whose id comes first by hash."""
    leader = list(range(len(units)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    holders: dict[tuple[str, str], int] = {}
    for index, unit in enumerate(units):
        for key in [("family", unit.family), *(("name", name) for name in sorted(unit.names))]:
            leader[find(index)] = find(holders.setdefault(key, index))
    groups: defaultdict[int, list[Unit]] = defaultdict(list)
    for index, unit in enumerate(units):
        groups[find(index)].append(unit)
    return [sorted(group, key=lambda unit: _order(unit.id)) for group in groups.values()]


def sizes(units: Sequence[Unit], parts: Mapping[str, str]) -> dict[str, int]:
    """Pairs in each part."""
    return {part: sum(unit.pairs for unit in units if parts[unit.id] == part) for part in SPLITS}


def _order(id: str) -> str:
    return hashlib.sha256(f"motives:{id}".encode()).hexdigest()
