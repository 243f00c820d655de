"""One decision ready to be learnt, and what belongs together: pairs, contrast sets. Pure values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.motives.context import MotiveContext
from daydream_motives.training.dataset.book import Written
from daydream_motives.training.dataset.scenes import DecisionRecord, Scene


@dataclass(frozen=True, slots=True)
class Pair:
    """What one decider was told, and what is wanted, most likely first."""

    written: Written
    index: int
    context: MotiveContext

    @property
    def scene(self) -> Scene:
        return self.written.scene

    @property
    def record(self) -> DecisionRecord:
        return self.scene.decisions[self.index]

    @property
    def sheet(self) -> CharacterSheet:
        return self.scene.people[self.record.who]

    @property
    def where(self) -> str:
        return f"{self.scene.id}/{self.record.key}"


@dataclass(frozen=True, slots=True)
class ContrastSet:
    """Decisions whose answers are each right for one of them alone."""

    label: str
    pairs: tuple[Pair, ...]

    @property
    def of_people(self) -> bool:
        """Whether several people are asked, or one with something changed."""
        return len({pair.record.who for pair in self.pairs}) > 1


def contrast_sets(pairs: Iterable[Pair]) -> list[ContrastSet]:
    """Every set of two or more, in the order of the book."""
    found: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.record.contrast:
            found[pair.scene.id, pair.record.contrast].append(pair)
    return [
        ContrastSet(f"{scene}/{label}", tuple(members))
        for (scene, label), members in found.items()
        if len(members) > 1
    ]
