"""Figures with intervals bootstrapped by scene: whole scenes are drawn anew, with replacement.

Every figure is a sum over questions by another sum, so that one set of draws serves all of them,
and differences of two models are paired: both are looked at in the same draws.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
_DIGITS = 12
Array = NDArray[np.float64]
Change = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Values:
    """Of each question what is summed above and below the line; nothing below: not counted."""

    above: Array
    below: Array

    @staticmethod
    def of(rows: Sequence[tuple[float, float]]) -> Values:
        """From a pair for each question."""
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
        return Values(table[:, 0].copy(), table[:, 1].copy())

    @property
    def counted(self) -> int:
        """How many questions count."""
        return int((self.below > 0).sum())


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, the middle 95% of the bootstrap, and how many questions it is of."""

    value: float
    low: float
    high: float
    count: int

    @property
    def beyond_noise(self) -> bool:
        """Of a difference: whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


class Draws:
    """Scenes drawn anew `times` times; `rng` decides all of them."""

    def __init__(self, scenes: Sequence[str], rng: random.Random, times: int = DRAWS) -> None:
        numbers = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
        self._of = np.array([numbers[scene] for scene in scenes], dtype=np.intp)
        self._size = size = len(numbers)
        drawn = np.zeros((times, size))
        for row in drawn:
            row += np.bincount(rng.choices(range(size), k=size), minlength=size)
        self._drawn: Array = drawn

    def figure(self, values: Values, change: Change | None = None) -> Figure | None:
        """The figure, passed through `change`; None where nothing counts."""
        return self._figure([values], lambda one: change(one) if change else one)

    def difference(
        self, mine: Values, others: Values, change: Change | None = None
    ) -> Figure | None:
        """How much mine is above the other's, paired; None where either has nothing."""
        shaped = change or (lambda one: one)
        return self._figure([mine, others], lambda a, b: shaped(a) - shaped(b))

    def ratio(self, mine: Values, others: Values) -> Figure | None:
        """Mine as a share of the other's, paired; None where that is nothing."""
        if not others.above.sum():
            return None
        return self._figure([mine, others], lambda a, b: a / b)

    def _figure(self, every: Sequence[Values], made: Callable[..., Array]) -> Figure | None:
        if not all(values.counted for values in every):
            return None
        (value,) = made(*(np.array([v.above.sum() / v.below.sum()]) for v in every))
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = made(*map(self._drawn_of, every))
        drawn = drawn[np.isfinite(drawn)]  # a draw may hold no scene that counts
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (value, value)
        count = min(values.counted for values in every)
        # Rounded, so that a difference of nothing is nothing.
        value, low, high = (round(float(one), _DIGITS) for one in (value, low, high))
        return Figure(value, low, high, count)

    def _drawn_of(self, values: Values) -> Array:
        above, below = (
            self._drawn @ np.bincount(self._of, weights=column, minlength=self._size)
            for column in (values.above, values.below)
        )
        result: Array = above / below
        return result
