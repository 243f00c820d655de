"""LoRA layers and attention with fewer, larger operations than peft's and torch's on a processor.

Both are the same sums in another order. Gradients are written out, so that nothing is kept or
copied that they do not need.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import linear, softmax

_NAME = "daydream_causal"


class LoraLinear(torch.autograd.Function):  # type: ignore[misc]
    """y = x Wᵀ + bias + scale · (x Aᵀ) Bᵀ (Hu and others 2021, LoRA), W and bias as they are.

    x (..., in); W (out, in); A (rank, in) and B (out, rank) in full precision, computed in W's.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        down, up = a.to(weight.dtype), (b * scale).to(weight.dtype)
        low = flat @ down.T
        y = linear(flat, weight, bias).addmm_(low, up.T)
        ctx.save_for_backward(flat, low, weight, down, up)
        ctx.scale, ctx.shape, ctx.kind = scale, x.shape, a.dtype
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        flat, low, weight, down, up = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        back = grad @ up
        of_a = (back.T @ flat).to(ctx.kind)
        of_b = (grad.T @ low).to(ctx.kind) * ctx.scale
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (grad @ weight).addmm_(back, down).view(ctx.shape)
        return of_x, None, None, of_a, of_b, None


class CausalAttention(torch.autograd.Function):  # type: ignore[misc]
    """softmax(scale · q kᵀ, looking back only) v, where queries share the heads of k and v.

    q (rows, heads, width, size), k and v (rows, fewer heads, width, size). The scores are kept for
    the gradient: with a game's short contexts they are small, and computing them again costs more.
    """

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        (rows, heads, width, size), shared = q.shape, k.shape[1]
        queries = (q * scale).reshape(rows * shared, -1, size)
        keys, values = (t.reshape(rows * shared, width, size) for t in (k, v))
        ahead = torch.full((width, width), -math.inf, dtype=q.dtype, device=q.device).triu(1)
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(-1, width, width)
        shares = softmax(scores.add_(ahead), -1).view(rows * shared, -1, width)
        ctx.save_for_backward(queries, keys, values, shares)
        ctx.scale, ctx.shapes = scale, (q.shape, k.shape)
        return torch.bmm(shares, values).view(rows, heads, width, size)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        queries, keys, values, shares = ctx.saved_tensors
        of_q, of_k = ctx.shapes
        grad = grad.reshape(queries.shape)
        of_v = torch.bmm(shares.transpose(1, 2), grad)
        back = torch.bmm(grad, values.transpose(1, 2))
        back = torch._softmax_backward_data(back, shares, -1, back.dtype)
        q = torch.bmm(back, keys).mul_(ctx.scale)
        k = torch.bmm(back.transpose(1, 2), queries)
        return q.view(of_q), k.view(of_k), of_v.view(of_k), None


def fuse(model: Any, causal: Any) -> None:
    """Put both in the place of peft's layers and torch's attention.

    Layers with dropout, DoRA or packed weights stay as they are, and so does attention that does
    more than look back: within a window, or by a mask.
    """
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        if isinstance(module, Linear) and _plain(module):
            module.forward = _forward_of(module)
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)  # which makes none where all look back
    causal.set_attn_implementation(_NAME)


def _plain(module: Any) -> bool:
    """Whether a layer of peft is a LoRA of a linear layer in half precision and nothing else."""
    dropped = isinstance(module.lora_dropout["default"], torch.nn.Dropout)
    half = module.get_base_layer().weight.dtype == torch.bfloat16
    return half and not dropped and not module.lora_variant


def _forward_of(module: Any) -> Any:
    base, scale = module.get_base_layer(), module.scaling["default"]
    a, b = module.lora_A["default"], module.lora_B["default"]

    def forward(x: torch.Tensor) -> Any:
        return LoraLinear.apply(x, base.weight, base.bias, a.weight, b.weight, scale)

    return forward


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    if attention_mask is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **given
        )
        return found, None
    out: Any = CausalAttention.apply(query, key, value, scaling)
    return out.transpose(1, 2).contiguous(), None
