"""Batches and their loss: every record once, nothing above the budget, the same loss any way."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.training.recipe import Train
from daydream_motives.training.tokens import Rendered
from daydream_motives.training.tuning import loss as module
from daydream_motives.training.tuning.loop import plan_of, rate_at
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.plan import epoch_of

LENGTHS = st.lists(st.integers(1, 100), min_size=1, max_size=60)
LAYOUTS = st.sampled_from(["buckets", "packed"])


@given(LENGTHS, LAYOUTS, st.integers(0, 9))
def test_every_record_comes_once_and_no_pass_is_too_large(
    lengths: list[int], layout: str, seed: int
) -> None:
    steps = epoch_of(lengths, 400, 100, layout, seed, 1)
    passes = [some for step in steps for some in step]
    assert sorted(i for some in passes for i in some) == list(range(len(lengths)))
    for some in passes:
        sizes = [lengths[i] for i in some]
        assert (sum(sizes) if layout == "packed" else max(sizes) * len(sizes)) <= 100
    assert all(len(step) <= 4 for step in steps)
    assert steps == epoch_of(lengths, 400, 100, layout, seed, 1)


@pytest.mark.parametrize("layout", ["buckets", "packed"])
def test_epochs_and_seeds_differ_and_little_is_filling(layout: str) -> None:
    lengths = [20 + (7 * i) % 60 for i in range(200)]
    first, second = (epoch_of(lengths, 500, 500, layout, 0, epoch) for epoch in (1, 2))
    assert first != second
    assert first != epoch_of(lengths, 500, 500, layout, 1, 1)
    assert len(first) <= 1.15 * math.ceil(sum(lengths) / 500)


def test_the_plan_says_where_epochs_end() -> None:
    plan = plan_of(Train(epochs=3, batch_tokens=100, max_tokens=100), [50] * 7)
    assert [step.epoch for step in plan if step.last] == [1, 2, 3]
    assert len(plan) == 12


def test_the_rate_warms_up_and_falls_in_a_line() -> None:
    train = Train(learning_rate=1.0, warmup=0.2)
    rates = [rate_at(step, 10, train) for step in range(10)]
    assert rates == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert [rate_at(step, 2, Train(learning_rate=1.0, warmup=0.0)) for step in range(2)] == [1, 0.5]


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def causal(request: pytest.FixtureRequest) -> object:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        request.param, vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attn_implementation="sdpa", pad_token_id=0,
    )  # fmt: skip
    return transformers.AutoModelForCausalLM.from_config(config)


def records() -> list[Rendered]:
    generator = torch.Generator().manual_seed(1)
    out = []
    for number, (length, asked) in enumerate([(9, 4), (17, 11), (5, 1), (12, 6)]):
        ids = torch.randint(1, 50, (length,), generator=generator).tolist()
        out.append(Rendered(str(number), tuple(ids), tuple(i >= asked for i in range(length))))
    return out


def alone(causal: object, record: Rendered) -> float:
    """The loss as anyone would compute it: all logits, and what is not learnt left out."""
    ids = torch.tensor([record.ids])
    labels = torch.where(torch.tensor([record.supervised]), ids, -100)
    with torch.no_grad():
        mean = causal(ids, labels=labels).loss  # type: ignore[operator]
    return float(mean) * sum(record.supervised)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("most", [2**26, 150])
def test_the_loss_is_that_of_each_record_alone(
    causal: object, monkeypatch: pytest.MonkeyPatch, packed: bool, most: int
) -> None:
    monkeypatch.setattr(module, "MOST_LOGITS", most)
    batch = batch_of(records(), packed=packed)
    assert batch.tokens == 43
    assert len(batch.targets) == sum(sum(r.supervised) for r in records())
    expected = sum(alone(causal, record) for record in records())
    found = summed_loss(causal, batch)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


def test_logits_in_parts_give_the_same_gradient(
    causal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, found = batch_of(records(), packed=False), []
    for most in (2**26, 150):
        monkeypatch.setattr(module, "MOST_LOGITS", most)
        causal.zero_grad()  # type: ignore[attr-defined]
        summed_loss(causal, batch).backward()
        found.append([p.grad.clone() for p in causal.parameters()])  # type: ignore[attr-defined]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_head_that_stays_gives_the_same_loss_and_gradient(
    causal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 3)  # several parts, and a last one that is not full
    model: Any = causal
    own = [p for name, p in model.named_parameters() if "mlp" in name]
    batch, found = batch_of(records(), packed=False), []
    for frozen in (False, True):
        model.lm_head.weight.requires_grad_(not frozen)
        model.zero_grad()
        loss = summed_loss(model, batch)
        (loss / 7).backward()
        found.append((loss.detach(), [p.grad.clone() for p in own]))
    assert own
    assert "HeadLoss" in str(loss.grad_fn)
    torch.testing.assert_close(found[0], found[1])


def test_nothing_is_learnt_of_a_first_token() -> None:
    batch = batch_of([Rendered("x", (3, 4), (True, True))], packed=False)
    assert batch.targets.tolist() == [4]
