"""How much memory and time a training will take, by arithmetic on the model's shape.

Sizes are in bytes. Activations and speed are rough: within a factor of about one and a half.
A processor's memory is what a step needs at least: where there is room, twice as much stays with
the process between steps (process.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from daydream_motives.training.recipe import Method, Recipe
from daydream_motives.training.tuning.loss import MOST_LOGITS, ROWS

_NF4 = 0.516  # bytes a weight, with the scales of blocks of 64, quantised once more
_HALF, _FULL = 2, 4
# Of what a matrix product reaches alone; the rest goes into norms, attention and moving data, which
# weigh more where a processor has units for products alone (measured there: 0.23).
_EFFICIENCY = {"cuda": 0.5, "cpu": 0.25}
PROCESS = 3 * 2**28  # Python, torch and a compiler, or the context of a GPU, before any weights


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's shape, by its configuration: sizes in numbers, not bytes."""

    layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool
    biased: bool
    heads: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        heads = config["num_attention_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        return cls(
            config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"],
            heads * size, config["num_key_value_heads"] * size, config["vocab_size"],
            bool(config.get("tie_word_embeddings")), config["model_type"] == "qwen2",
            heads,
        )  # fmt: skip

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each linear layer of a block."""
        h = self.hidden
        return {
            "q_proj": (h, self.queries), "k_proj": (h, self.keys), "v_proj": (h, self.keys),
            "o_proj": (self.queries, h), "gate_proj": (h, self.inner), "up_proj": (h, self.inner),
            "down_proj": (self.inner, h),
        }  # fmt: skip

    @property
    def block(self) -> int:
        """Weights of a block."""
        biases = self.queries + 2 * self.keys if self.biased else 0
        return sum(a * b for a, b in self.linear.values()) + biases + 2 * self.hidden

    @property
    def embeddings(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self.layers * self.block + self.embeddings + self.hidden


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a method takes at its highest, by what they hold."""

    weights: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    process: int = PROCESS

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def adapter_size(shape: Shape, recipe: Recipe) -> int:
    """Parameters of the recipe's adapter."""
    wanted = {name.rpartition(".")[2] for name in recipe.lora.targets} or set(shape.linear)
    each = sum(
        recipe.lora.rank * (a + b) + (b if recipe.lora.dora else 0)
        for name, (a, b) in shape.linear.items()
        if name in wanted
    )
    return shape.layers * each


def checkpoint_size(trained: int) -> int:
    """Bytes: what is learnt, the best of it, and AdamW's two averages."""
    return trained * 4 * _FULL


def trained_size(shape: Shape, recipe: Recipe, method: Method) -> int:
    """Parameters that change."""
    if method == "full":
        return shape.parameters
    if method == "frozen":
        return min(recipe.train.trained_layers, shape.layers) * shape.block
    return adapter_size(shape, recipe)


def memory_of(
    shape: Shape, recipe: Recipe, method: Method, learnt: float, width: int = 0
) -> Memory:
    """What a method takes; `learnt` is the share of tokens that are supervised.

    `width` is the longest record's, in tokens, where attention keeps its scores, else 0.
    """
    train, tokens = recipe.train, recipe.train.tokens_of_a_pass
    kind = _FULL if train.dtype == "float32" else _HALF
    trained = trained_size(shape, recipe, method)
    weights = shape.parameters * kind
    if method == "qlora":
        linear = shape.layers * sum(a * b for a, b in shape.linear.values())
        weights = int(linear * _NF4) + (shape.parameters - linear) * kind
    elif method == "full":
        weights = 0
    elif method == "frozen":
        weights -= trained * kind
    paged = train.optimizer == "paged_adamw_8bit" or (
        train.optimizer == "auto" and method == "qlora" and train.device != "cpu"
    )
    deep = min(train.trained_layers, shape.layers) if method == "frozen" else shape.layers
    layer = activations_of_a_layer(shape, kind, width)
    if train.recompute:
        activations = tokens * (deep * shape.hidden * kind + layer)
    else:
        activations = tokens * deep * layer
    most = MOST_LOGITS if method == "full" else ROWS * shape.vocabulary
    at_once = min(int(tokens * learnt) * shape.vocabulary, most)
    copies = kind + 2 * _FULL  # as computed, in full precision, and their gradient
    return Memory(
        weights, trained * _FULL, trained * _FULL, trained * (2 if paged else 2 * _FULL),
        activations, at_once * copies,
    )  # fmt: skip


def activations_of_a_layer(shape: Shape, kind: int, width: int = 0) -> int:
    """Bytes a token leaves in a layer for the way back.

    Both norms keep their input in full precision, beside its scaled copies; the linear layers their
    inputs, which adapters need; attention what it mixes and gives, and in rows of `width` tokens
    its scores, where it keeps them; the gate its parts.
    """
    norms = 2 * shape.hidden * (_FULL + 2 * kind)
    mixed = 2 * shape.queries + 2 * shape.keys + shape.hidden + shape.heads * width
    attention = mixed * kind
    gate = 4 * shape.inner * kind
    return norms + attention + gate


def flops_of_a_token(shape: Shape, method: Method, *, learnt: float, recompute: bool) -> float:
    """Operations a token costs, there and back: two a weight there, as many back for what comes
    in, and as many again where the weight itself is trained."""
    body = shape.layers * shape.block
    head = shape.vocabulary * shape.hidden * learnt
    passes = 2 + (1 if method == "full" else 0) + (1 if recompute else 0)
    return 2 * passes * (body + head)


def seconds_of(
    shape: Shape, recipe: Recipe, method: Method, device: str, tokens: int, learnt: float
) -> float:
    """A guess at the time of learning from `tokens`, after a moment's look at the machine."""
    flops = flops_of_a_token(shape, method, learnt=learnt, recompute=recipe.train.recompute)
    return tokens * flops / (speed(recipe.train.dtype, device) * _EFFICIENCY[device])


def speed(dtype: str, device: str) -> float:
    """Operations a second of a matrix product on this machine, the best of a few."""
    import torch

    size, repeats = (4096, 5) if device == "cuda" else (512, 5)
    a = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        total = (a @ a)[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
    del total
    return 2 * size**3 / best
