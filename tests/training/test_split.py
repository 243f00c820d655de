"""The split: the same people never on two sides, the same book always the same way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.training.dataset.split import (
    LEAST,
    SPLITS,
    TEST,
    VALIDATION,
    Unit,
    companies,
    sizes,
    split,
)

units = st.lists(
    st.builds(
        Unit,
        id=st.text("abcdef", min_size=3, max_size=6),
        world=st.sampled_from(["sea", "farm", "war"]),
        names=st.frozensets(st.sampled_from([f"name {i}" for i in range(40)]), max_size=3),
        family=st.text("xyz", min_size=2, max_size=4),
        pairs=st.integers(1, 5),
    ),
    max_size=30,
    unique_by=lambda unit: unit.id,
)


@given(units)
def test_what_belongs_together_is_never_divided(book: list[Unit]) -> None:
    parts = split(book)
    assert set(parts) == {unit.id for unit in book}
    for a in book:
        for b in book:
            if a.family == b.family or a.names & b.names:
                assert parts[a.id] == parts[b.id]


@given(units, st.randoms(use_true_random=False))
def test_the_order_of_the_scenes_does_not_matter(book: list[Unit], rng: object) -> None:
    mixed = list(book)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert split(mixed) == split(book)
    together = {frozenset(u.id for u in company) for company in companies(book)}
    assert {frozenset(u.id for u in company) for company in companies(mixed)} == together


def alone(number: int, world: str = "sea", pairs: int = 3) -> Unit:
    id = f"scene number {number}"
    return Unit(id, world, frozenset([f"person {number}"]), id, pairs)


@given(st.integers(1000, 100_000), st.integers(1, 4))
def test_a_new_scene_moves_few_of_the_others(number: int, pairs: int) -> None:
    book = [alone(n, world) for n in range(60) for world in [("sea", "farm")[n % 2]]]
    before, after = split(book), split([*book, alone(number, "sea", pairs)])
    moved = [id for id in before if before[id] != after[id]]
    assert len(moved) <= 2
    assert all(int(id.split()[-1]) % 2 == 0 for id in moved)  # the farm does not care


def test_each_world_has_its_share_of_each_part() -> None:
    book = [alone(n, f"world {n % 20}", 2 + n % 3) for n in range(600)]
    parts = split(book)
    for world in {unit.world for unit in book}:
        counts = Counter[str]()
        for unit in book:
            if unit.world == world:
                counts[parts[unit.id]] += unit.pairs
        whole = counts.total()
        assert TEST <= counts["test"] / whole < TEST + 0.06
        assert VALIDATION - 0.05 < counts["validation"] / whole < VALIDATION + 0.06


def test_a_book_of_1800_pairs_has_enough_for_test_and_validation() -> None:
    book = [alone(n, f"world {n % 26}", 2 + n % 3) for n in range(600)]
    found = sizes(book, split(book))
    assert sum(found.values()) == 1800
    assert all(found[part] >= least for part, least in LEAST.items())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_small_books_are_split_too(count: int) -> None:
    parts = split([alone(n) for n in range(count)])
    assert list(parts.values()) == ["test", "train"][:count]
    assert set(parts.values()) <= set(SPLITS)


def test_people_tie_scenes_of_other_worlds_together() -> None:
    a, b = alone(1, "sea"), alone(2, "farm")
    twin = Unit("twin", "war", a.names | b.names, "twin", 1)
    assert len(companies([a, b])) == 2
    assert len(companies([a, b, twin])) == 1
    assert len(set(split([a, b, twin, *(alone(n) for n in range(9, 40))]).values())) >= 2
