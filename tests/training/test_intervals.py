"""Figures, differences and ratios, and their intervals."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.training.judging.intervals import Draws, Figure, Values

SCENES = ["a", "a", "b", "c"]


def draws(scenes: list[str] = SCENES, seed: int = 0, times: int = 400) -> Draws:
    return Draws(scenes, random.Random(seed), times)


def test_a_figure_is_a_sum_by_a_sum() -> None:
    found = draws().figure(Values.of([(1, 2), (0, 0), (3, 2), (0, 4)]))
    assert found is not None
    assert (found.value, found.count) == (0.5, 3)
    assert found.low == 0  # only c
    assert found.high == 1.5  # only b


def test_questions_of_a_scene_are_drawn_together() -> None:
    together = [(1, 1), (0, 1), (1, 1), (0, 1)]
    found = draws(["a", "a", "b", "b"]).figure(Values.of(together))
    assert found == Figure(0.5, 0.5, 0.5, 4)
    apart = draws(["a", "b", "c", "d"]).figure(Values.of(together))
    assert apart is not None
    assert apart.low < 0.5 < apart.high


def test_one_scene_has_no_width() -> None:
    found = draws(["a", "a"]).figure(Values.of([(1, 1), (0, 1)]))
    assert found == Figure(0.5, 0.5, 0.5, 2)


def test_a_difference_is_paired() -> None:
    mine = Values.of([(1, 1), (2, 1), (5, 1), (9, 1)])
    others = Values.of([(0, 1), (1, 1), (4, 1), (8, 1)])
    found = draws().difference(mine, others)
    assert found == Figure(1.0, 1.0, 1.0, 4)
    assert found.beyond_noise
    same = draws().difference(mine, mine)
    assert same == Figure(0, 0, 0, 4)
    assert not same.beyond_noise


def test_a_difference_within_noise_is_not_beyond_it() -> None:
    mine, others = Values.of([(1, 1), (0, 1)] * 5), Values.of([(0, 1), (1, 1)] * 5)
    found = draws([str(i) for i in range(10)]).difference(mine, others)
    assert found is not None
    assert not found.beyond_noise


def test_a_change_of_scale_goes_through_the_interval() -> None:
    values = Values.of([(1, 1), (1, 1), (2, 1), (3, 1)])
    plain, changed = draws().figure(values), draws().figure(values, np.exp)
    assert plain
    assert changed
    assert changed.low == pytest.approx(np.exp(plain.low))
    assert changed.value == pytest.approx(np.exp(1.75))


def test_a_ratio_is_of_the_same_draws() -> None:
    mine = Values.of([(2, 1), (4, 1), (6, 1), (8, 1)])
    others = Values.of([(1, 1), (2, 1), (3, 1), (4, 1)])
    assert draws().ratio(mine, others) == Figure(2, 2, 2, 4)
    assert draws().ratio(mine, Values.of([(0, 1)] * 4)) is None


def test_what_is_never_counted_has_no_figure() -> None:
    nothing, mine = Values.of([(0, 0)] * 4), Values.of([(1, 1)] * 4)
    assert draws().figure(nothing) is None
    assert draws().difference(mine, nothing) is None
    assert draws().ratio(nothing, mine) is None


def test_a_scene_that_alone_counts_is_missing_from_some_draws() -> None:
    found = draws().figure(Values.of([(0, 0), (0, 0), (0, 0), (3, 4)]))
    assert found == Figure(0.75, 0.75, 0.75, 1)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5)), min_size=4, max_size=4),
       st.integers(0, 9))  # fmt: skip
def test_an_interval_stays_within_the_scenes_and_repeats(
    rows: list[tuple[float, int]], seed: int
) -> None:
    values = Values.of([(a * b, b) for a, b in rows])
    found = draws(seed=seed, times=50).figure(values)
    assert found is not None
    means = [a for a, _ in rows]
    assert min(means) - 1e-9 <= found.low <= found.high <= max(means) + 1e-9
    assert draws(seed=seed, times=50).figure(values) == found
