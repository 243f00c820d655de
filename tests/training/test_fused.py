"""What is fused for a processor is what peft and torch compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_school import write_school
from torch.autograd import gradcheck
from torch.nn.functional import scaled_dot_product_attention

from daydream_motives.training.base import open_base
from daydream_motives.training.recipe import read_recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning import model as models
from daydream_motives.training.tuning.corpus import read_corpus, render_all
from daydream_motives.training.tuning.fused import CausalAttention, LoraLinear
from daydream_motives.training.tuning.loss import batch_of, summed_loss


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("biased", [False, True])
def test_the_gradients_of_a_layer_are_right(biased: bool) -> None:
    weight, bias = numbers(5, 4).detach(), numbers(5).detach() if biased else None
    x, a, b = numbers(2, 3, 4), numbers(2, 4), numbers(5, 2)
    plain = x @ weight.T + (0 if bias is None else bias) + 0.5 * (x @ a.T) @ b.T
    assert torch.allclose(LoraLinear.apply(x, weight, bias, a, b, 0.5), plain)
    assert gradcheck(lambda x, a, b: LoraLinear.apply(x, weight, bias, a, b, 0.5), (x, a, b))


def test_the_first_layer_needs_no_gradient_of_what_it_reads() -> None:
    a, b = numbers(2, 4), numbers(5, 2)
    x, weight = numbers(3, 4).detach(), numbers(5, 4).detach()
    LoraLinear.apply(x, weight, None, a, b, 1.0).sum().backward()
    assert a.grad is not None
    assert b.grad is not None


@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (3, 1)])
def test_the_gradients_of_attention_are_right(heads: int, shared: int) -> None:
    q, k, v = numbers(2, heads, 5, 3), numbers(2, shared, 5, 3), numbers(2, shared, 5, 3)
    told = scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7, enable_gqa=True)
    assert torch.allclose(CausalAttention.apply(q, k, v, 0.7), told)
    assert gradcheck(lambda *t: CausalAttention.apply(*t, 0.7), (q, k, v))


@pytest.fixture(params=["llama", "qwen2"])
def school(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    args = write_school(tmp_path, architecture=request.param)
    recipe = read_recipe(Path(args[0]))
    base = open_base(args[args.index("--base") + 1])
    corpus = read_corpus(args[args.index("--data") + 1])
    return recipe, base, render_all(Rendering(base.words()), corpus.parts["train"], 600)[:4]


def learnt(school: Any, *, packed: bool) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and the gradients of one pass, from an adapter that is no longer empty."""
    recipe, base, records = school
    learner = models.prepare(base, recipe, "cpu")
    for name, parameter in learner.trained.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    batch = batch_of(records, packed=packed)
    with learner.precision():
        loss = summed_loss(learner.causal, batch) / len(batch.targets)
    loss.backward()
    return float(loss.detach()), {
        name: p.grad for name, p in learner.trained.items() if p.grad is not None
    }


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_learns_the_same_with_it(
    school: Any, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, found = learnt(school, packed=packed)
    monkeypatch.setattr(models, "fuse", lambda *_: None)
    plain_loss, plain = learnt(school, packed=packed)
    assert loss == pytest.approx(plain_loss, rel=0.005)
    assert found.keys() == plain.keys()
    assert found
    for name, grad in plain.items():
        alike = torch.cosine_similarity(found[name].flatten(), grad.flatten(), dim=0)
        assert alike > 0.99, name


def test_it_is_really_used(school: Any) -> None:
    recipe, base, _ = school
    causal = models.prepare(base, recipe, "cpu").causal
    out = causal.model.layers[0].self_attn.q_proj(
        torch.ones(1, 2, causal.config.hidden_size, dtype=torch.bfloat16)
    )
    assert type(out.grad_fn).__name__ == "LoraLinearBackward"
    assert causal.config._attn_implementation == "daydream_causal"


@pytest.mark.skipif(not models.compiler(), reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch's own, of itself
def test_compiled_layers_learn_the_same(tmp_path: Path) -> None:
    args = write_school(tmp_path)
    base = open_base(args[args.index("--base") + 1])
    corpus = read_corpus(args[args.index("--data") + 1])
    records = render_all(Rendering(base.words()), corpus.parts["train"], 600)[:4]
    recipe = read_recipe(Path(args[0]))
    loss, found = learnt((recipe, base, records), packed=False)
    recipe = recipe.changed(compile=True)
    compiled_loss, compiled = learnt((recipe, base, records), packed=False)
    assert compiled_loss == pytest.approx(loss, rel=0.005)
    for name, grad in found.items():
        alike = torch.cosine_similarity(compiled[name].flatten(), grad.flatten(), dim=0)
        assert alike > 0.99, name
