"""The loss of a pass, with logits over the vocabulary only where something is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, log_softmax
from torch.utils.checkpoint import checkpoint

from daydream_motives.training.tokens import Rendered

MOST_LOGITS = 2**26  # at once: above that they are computed in parts, and again for the gradient
ROWS = 128  # of logits at once where the head stays as it is: small enough for a cache


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens of a pass, shape (rows, width), and what is learnt there.

    `rows`, `columns` say after which tokens something is learnt, `targets` what; each has shape
    (supervised,). `positions` count from 0 in each record where several share a row, else None.
    """

    ids: torch.Tensor
    positions: torch.Tensor | None
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    tokens: int

    def to(self, device: str) -> Batch:
        """The same on a device."""
        positions = None if self.positions is None else self.positions.to(device)
        return Batch(
            self.ids.to(device), positions, self.rows.to(device), self.columns.to(device),
            self.targets.to(device), self.tokens,
        )  # fmt: skip


def batch_of(records: Sequence[Rendered], *, packed: bool) -> Batch:
    """Records beside each other, filled up on the right, or behind each other in one row.

    What fills up is never attended to: it comes after all that is read, and attention looks back.
    """
    rows, columns, targets = [], [], []
    starts, row = [], 0
    for number, record in enumerate(records):
        start = row if packed else 0
        starts.append(start)
        for place, learnt in enumerate(record.supervised):
            if learnt and place:
                rows.append(0 if packed else number)
                columns.append(start + place - 1)
                targets.append(record.ids[place])
        row += len(record)
    if packed:
        ids = torch.tensor([[id for record in records for id in record.ids]])
        positions = torch.cat([torch.arange(len(record)) for record in records])[None]
    else:
        width = max(len(record) for record in records)
        ids = torch.tensor([[*record.ids, *[0] * (width - len(record))] for record in records])
        positions = None
    told = [torch.tensor(values) for values in (rows, columns, targets)]
    return Batch(ids, positions, told[0], told[1], told[2], row)


def summed_loss(causal: Any, batch: Batch) -> torch.Tensor:
    """The sum over the supervised positions of a causal model's cross-entropy, in nats.

    Hidden states are gathered before the output head, which is most of a small model's cost.
    """
    hidden = causal.model(
        input_ids=batch.ids, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    found = hidden[batch.rows, batch.columns]
    if _frozen(causal.lm_head) and found.requires_grad:
        total: torch.Tensor = HeadLoss.apply(found, causal.lm_head.weight, batch.targets)
        return total
    most = max(1, MOST_LOGITS // causal.config.vocab_size)
    if len(found) <= most or not torch.is_grad_enabled():
        parts = zip(found.split(most), batch.targets.split(most), strict=True)
        return torch.stack([_part(causal.lm_head, *part) for part in parts]).sum()
    total = found.new_zeros((), dtype=torch.float32)
    for some, targets in zip(found.split(most), batch.targets.split(most), strict=True):
        total = total + checkpoint(_part, causal.lm_head, some, targets, use_reentrant=False)
    return total


class HeadLoss(torch.autograd.Function):  # type: ignore[misc]
    """The summed cross-entropy of x Wᵀ, W as it is, with the gradient computed on the way.

    x (positions, size), W (vocabulary, size), targets (positions,). Logits exist for a few
    positions at a time, and never twice (as in Liger kernel, Hsu and others 2024).
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        of_x, total = torch.empty_like(x), x.new_zeros((), dtype=torch.float32)
        for at in range(0, len(x), ROWS):
            some, right = x[at : at + ROWS], targets[at : at + ROWS, None]
            shares = log_softmax((some.to(weight.dtype) @ weight.T).float(), -1)
            total -= shares.gather(1, right).sum()
            shares.exp_().scatter_add_(1, right, shares.new_full(right.shape, -1.0))
            of_x[at : at + ROWS] = shares.to(weight.dtype) @ weight
        ctx.save_for_backward(of_x)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (of_x,) = ctx.saved_tensors
        return of_x * grad, None, None


def _frozen(head: Any) -> bool:
    """Whether an output head is a plain linear layer that does not learn."""
    return type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad


def _part(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return cross_entropy(head(hidden).float(), targets, reduction="sum")
