"""The bench of scale on tiny worlds: what it says, and that a context costs what is near."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from daydream_motives.bench import scale
from daydream_motives.bench.scale import A_PLACE, TIES, Scale, Town, generate, measure, remember
from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.motives.budget import rough_count
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World


@pytest.mark.parametrize("characters", [2, 3, 20, 100])
def test_a_generated_world_is_a_valid_one(characters: int) -> None:
    world = generate(characters, random.Random(1))
    assert len(World.from_data(world.to_data()).relationships) == len(world.relationships)
    assert len(world.sheets) == characters
    degrees = [len(list(world.relationships.of(id))) for id in world.sheets]
    assert max(degrees) <= TIES
    assert min(degrees) >= min(TIES // 2, characters - 1)
    homes = Counter(sheet.home for sheet in world.sheets.values())
    assert max(homes.values()) <= A_PLACE + 1


def test_the_same_seed_generates_the_same_world() -> None:
    hashes = {generate(30, random.Random(seed)).hash for seed in (1, 1, 2)}
    assert len(hashes) == 2


def test_everyone_remembers() -> None:
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(generate(20, random.Random(0)), engine)
        total = remember(simulation, random.Random(0), each=5)
    kept = [len(actor.character.memory) for actor in simulation.actors.values()]
    assert sum(kept) == total
    assert min(kept) > 2


def test_the_figures_are_there_and_make_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "MEMORIES", 10)
    rates = scale.journal_rates
    monkeypatch.setattr(scale, "journal_rates", lambda _, seed: rates(40, seed))
    found: dict[str, Any] = dict(measure((20, 200), contexts=10, seed=3))
    assert list(found) == ["small", "big", "growth", "peak_bytes", "journal"]
    small, big = found["small"], found["big"]
    assert isinstance(small, Scale)
    assert (small.characters, big.characters) == (20, 200)
    assert (small.lore, big.lore) == (2, 20)
    assert big.relationships > 5 * small.relationships
    assert big.memories > 5 * small.memories
    assert big.checkpoint_bytes > small.checkpoint_bytes > 1000
    for one in (small, big):
        assert 0 < one.context_ms <= one.context_p95_ms
        assert min(one.situation_ms, one.checkpoint_s, one.load_checkpoint_s) > 0
    assert found["growth"] == big.context_ms / small.context_ms
    assert found["peak_bytes"] is None or found["peak_bytes"] > 1e6
    journal = found["journal"]
    assert journal["ratio"] == journal["decisions_per_s"] / journal["jsonl_per_s"]


class Looks:
    """Counts at how many people and ties one context looks, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.people = self.ties = 0
        person, of, get = (getattr(RelationshipGraph, n) for n in ("person", "of", "get"))

        def counted_of(graph: RelationshipGraph, a: str) -> Any:
            for pair in of(graph, a):
                self.ties += 1
                yield pair

        def counted_person(graph: RelationshipGraph, id: str) -> Any:
            self.people += 1
            return person(graph, id)

        def counted_get(graph: RelationshipGraph, a: str, b: str) -> Any:
            self.ties += 1
            return get(graph, a, b)

        def whole(graph: RelationshipGraph) -> Any:
            raise AssertionError("a context looks at everybody")

        monkeypatch.setattr(RelationshipGraph, "person", counted_person)
        monkeypatch.setattr(RelationshipGraph, "of", counted_of)
        monkeypatch.setattr(RelationshipGraph, "get", counted_get)
        monkeypatch.setattr(RelationshipGraph, "people", whole)
        monkeypatch.setattr(RelationshipGraph, "edges", whole)


@pytest.mark.parametrize("characters", [40, 400])
def test_a_context_looks_at_those_near_and_known_alone(
    characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "MEMORIES", 10)
    town = Town(characters, 1, rough_count)
    looks = Looks(monkeypatch)
    most_people = most_ties = 0
    for index in range(30):
        looks.people = looks.ties = 0
        town.context(index)
        most_people, most_ties = max(most_people, looks.people), max(most_ties, looks.ties)
    town.engine.close()
    assert 0 < most_people <= 3 * (TIES + A_PLACE)
    assert 0 < most_ties <= 3 * (TIES + A_PLACE)
    assert len(town.composing) == len(town.seeing) == 30
