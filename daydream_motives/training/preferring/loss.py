"""How likely a model finds answers to one question, and the loss of preferring one of them.

Answers to a question share a row: each sees the question and itself, so that the question, which
is most of the tokens, is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import cross_entropy, logsigmoid
from torch.utils.checkpoint import checkpoint

from daydream_motives.training.preferring.pairs import Question
from daydream_motives.training.recipe import Preference
from daydream_motives.training.tuning.loss import MOST_LOGITS

_FILLING = -1


@dataclass(frozen=True, slots=True)
class Index:
    """Which answers are paired, both of shape (pairs,), and how many tokens are learnt in each
    answer, shape (answers,)."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    sizes: torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of a pass, one a row, shape (rows, width); `mask` is (rows, 1, width, width).

    `rows`, `columns` say after which tokens something is learnt, `targets` what, `answers` in which
    answer, counted through the pass; each has shape (supervised,).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    answers: torch.Tensor

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def index_of(questions: Sequence[Question]) -> Index:
    """The pairs of some questions, whose answers are counted through."""
    chosen, rejected, sizes = list[int](), list[int](), list[int]()
    for one in questions:
        first = len(sizes)
        chosen += [first] * (len(one.starts) - 1)
        rejected += range(first + 1, first + len(one.starts))
        ends = (*one.starts[1:], len(one))
        sizes += [sum(one.supervised[a:b]) for a, b in zip(one.starts, ends, strict=True)]
    return Index(torch.tensor(chosen), torch.tensor(rejected), torch.tensor(sizes))


def batch_of(questions: Sequence[Question]) -> Batch:
    """Questions beside each other, filled up on the right."""
    shape = len(questions), max(map(len, questions))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    segments = torch.full(shape, _FILLING)  # 0 is the question, then the answers from 1
    learnt, before = list[tuple[int, int, int, int]](), 0
    for row, one in enumerate(questions):
        ids[row, : len(one)] = torch.tensor(one.ids)
        asked = one.starts[0]
        bounds = [0, *one.starts, len(one)]
        for segment, (a, b) in enumerate(pairwise(bounds)):
            segments[row, a:b] = segment
            first = asked if segment else 0
            positions[row, a:b] = torch.arange(first, first + b - a)
            learnt += [
                (row, (asked if place == a else place) - 1, one.ids[place], before + segment - 1)
                for place in range(a, b)
                if one.supervised[place]
            ]
        before += len(one.starts)
    seen = (segments[:, None] == 0) | (segments[:, None] == segments[:, :, None])
    mask = (seen & torch.ones(shape[1], shape[1], dtype=torch.bool).tril())[:, None]
    return Batch(ids, positions, mask, *torch.tensor(learnt).T)


def log_probabilities(causal: Any, batch: Batch, count: int) -> torch.Tensor:
    """What a causal model finds of each answer: summed over its tokens, in nats; shape (count,).

    As in training, logits are computed only where something is learnt, and not too many at once.
    """
    hidden = causal.model(
        input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions,
        use_cache=False,
    ).last_hidden_state  # fmt: skip
    found = hidden[batch.rows, batch.columns]
    most = max(1, MOST_LOGITS // causal.config.vocab_size)
    parts = [
        checkpoint(_part, causal.lm_head, some, targets, use_reentrant=False)
        if len(found) > most and torch.is_grad_enabled()
        else _part(causal.lm_head, some, targets)
        for some, targets in zip(found.split(most), batch.targets.split(most), strict=True)
    ]
    total = torch.zeros(count, device=found.device)
    return total.index_add(0, batch.answers, torch.cat(parts))


def _part(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -cross_entropy(head(hidden).float(), targets, reduction="none")


def judged(
    index: Index, found: torch.Tensor, before: torch.Tensor, wanted: Preference
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and margin of each pair, both of shape (pairs,), from the answers' log-probabilities now
    and before.

    The margin is that of the rewards of DPO (Rafailov and others 2023). The loss has the chosen
    answer's own, per token, beside it (Pang and others 2024).
    """
    gained = wanted.beta * (found - before)
    margin = gained[index.chosen] - gained[index.rejected]
    own = -(found / index.sizes)[index.chosen]
    return wanted.sft * own - logsigmoid(margin), margin
