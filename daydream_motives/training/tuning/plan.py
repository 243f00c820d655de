"""Which records are learnt together, in which order. Knows only their lengths."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

Pass = list[int]  # indices of records that go through the model at once
_JITTER = 0.1  # of a record's length: so that not the same ones meet in every epoch


def epoch_of(
    lengths: Sequence[int], batch: int, room: int, layout: str, seed: int, epoch: int
) -> list[list[Pass]]:
    """The steps of one epoch, each a list of passes; the same arguments give the same plan.

    A pass takes up at most `room` tokens, filling included, and a step about `batch` of them; every
    record comes once. `layout` buckets puts records of like length beside each other, packed puts
    them behind each other.
    """
    rng = random.Random(f"{seed}-{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    if layout == "packed":
        passes = packed(lengths, order, room)
    else:
        order.sort(key=lambda i: lengths[i] * (1 + rng.uniform(-_JITTER, _JITTER)))
        passes = bucketed(lengths, order, room)
    rng.shuffle(passes)
    count = max(1, batch // room)
    return [passes[start : start + count] for start in range(0, len(passes), count)]


def bucketed(lengths: Sequence[int], order: Iterable[int], room: int) -> list[Pass]:
    """Neighbours of an order together, as many as fit when all are filled up to the longest."""
    passes: list[Pass] = []
    longest = 0
    for index in order:
        longest = max(longest, lengths[index])
        if not passes or longest * (len(passes[-1]) + 1) > room:
            passes.append([])
            longest = lengths[index]
        passes[-1].append(index)
    return passes


def packed(lengths: Sequence[int], order: Iterable[int], room: int) -> list[Pass]:
    """Each record in the first pass that has room for it."""
    passes: list[Pass] = []
    free: list[int] = []
    for index in order:
        at = next((i for i, left in enumerate(free) if left >= lengths[index]), len(passes))
        if at == len(passes):
            passes.append([])
            free.append(room)
        passes[at].append(index)
        free[at] -= lengths[index]
    return passes
