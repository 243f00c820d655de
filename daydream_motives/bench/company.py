"""Whether an answer depends on who else is answered: the same decisions, alone and in a batch.

Greedy, so that chance has no part in it; and the same answers once more token by token, for the
divergence of the predictions. `repeatable` requests take the path of lockstep runs, the others that
of games, which is faster alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.bench.figures import machine, table
from daydream_motives.bench.town import decisions as of_the_town
from daydream_motives.bench.working import spec_of
from daydream_motives.engine.backend import Answer
from daydream_motives.engine.decoding.sampling import log_total
from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.decoding.weights import Weights
from daydream_motives.engine.llama import LlamaBackend
from daydream_motives.errors import BackendError

_STEPS = 60  # tokens of each answer that are compared


def measure(
    model: str | None = None, *, decisions: int = 64, batch: int = 16, threads: int = 2
) -> dict[str, Any]:
    """Shares of identical decisions and mean KL divergence (nats a token) of `decisions`, alone
    against `batch` at once; raises StoreError where the model is not here, BackendError where it is
    no file."""
    kind, spec = spec_of(model, threads)
    if kind != "llama":
        raise BackendError("only a model's file can be asked so", remedy="give one with --model")
    spec = replace(spec, temperature=0.0, parallel=batch)
    found: dict[str, Any] = {}
    together: list[Answer] = []
    with_prompts: list[tuple[list[int], list[int]]] = []
    backend = LlamaBackend(spec)
    try:
        requests = of_the_town(decisions, backend.count_tokens)
        for name, repeatable in (("repeatable", True), ("live", False)):
            asked = [replace(request, repeatable=repeatable) for request in requests]
            together = [
                answer for i in range(0, len(asked), batch)
                for answer in backend.decide_many(asked[i : i + batch])
            ]  # fmt: skip
            alone = [backend.decide_many([request])[0] for request in asked]
            found[name] = _same(alone, together)
        for request, answer in zip(requests, together, strict=True):
            text = " ".join(draft.text for draft in answer.drafts)
            prompt = [*backend.shared, *backend.prompt_tokens(request)]
            with_prompts.append((prompt, backend.llm.tokenize(text, False)[:_STEPS]))
        found |= _divergence(backend.llm, with_prompts[:batch], spec.context_window, threads)
    finally:
        backend.close()
    about = {**machine(), "model": spec.model, "threads": threads, "decisions": len(requests),
             "batch": batch}  # fmt: skip
    return {"about": about, **found}


def _same(alone: Sequence[Answer], together: Sequence[Answer]) -> dict[str, float]:
    """Shares of decisions with the same three texts, and with the same first one."""
    pairs = list(zip(alone, together, strict=True))
    texts = [[[d.text for d in answer.drafts] for answer in pair] for pair in pairs]
    return {
        "identical": sum(a == b for a, b in texts) / len(pairs),
        "first_identical": sum(a[:1] == b[:1] for a, b in texts) / len(pairs),
        "to_the_bit": sum(a.drafts == b.drafts for a, b in pairs) / len(pairs),
    }


def _divergence(
    weights: Weights, texts: Sequence[tuple[list[int], list[int]]], window: int, threads: int
) -> dict[str, Any]:
    """KL of the predictions in a batch from those alone, over the same tokens."""
    count = max(2, len(texts))
    sequences = Sequences(weights, count=count, window=window, threads=threads)
    steps = min(len(answer) for _, answer in texts)
    try:
        for slot, (prompt, _) in enumerate(texts):
            sequences.feed(slot, prompt, 0)
        batched = [
            sequences.feed_each([
                (slot, len(prompt) + step, answer[step])
                for slot, (prompt, answer) in enumerate(texts)
            ]).copy()
            for step in range(steps)
        ]  # fmt: skip
        divergences, agreed = list[float](), 0
        for slot, (prompt, answer) in enumerate(texts):
            sequences.cut(slot, len(prompt))
            for step in range(steps):
                (alone,) = sequences.feed_each([(slot, len(prompt) + step, answer[step])])
                divergences.append(_kl(alone, batched[step][slot]))
                agreed += int(alone.argmax() == batched[step][slot].argmax())
    finally:
        sequences.close()
    return {
        "tokens": len(divergences),
        "mean_kl": float(np.mean(divergences)),
        "max_kl": float(np.max(divergences)),
        "top1": agreed / len(divergences),
    }


def _kl(of: NDArray[np.float32], to: NDArray[np.float32]) -> float:
    wide = (logits.astype(np.float64) for logits in (of, to))  # small differences are what counts
    p, q = (logits - log_total(logits) for logits in wide)
    return float(max(0.0, np.sum(np.exp(p) * (p - q))))


def as_text(found: dict[str, Any]) -> str:
    """The figures as a table."""
    about = found["about"]
    rows = [["greedy, alone against a batch", "identical", "first the same", "to the bit"]]
    keys = ("identical", "first_identical", "to_the_bit")
    for name in ("repeatable", "live"):
        rows.append([name, *(f"{found[name][key]:.1%}" for key in keys)])
    return "\n".join(
        [
            f"{about['processor']}; {about['model']} on {about['threads']} thread(s), "
            f"{about['decisions']} decisions, {about['batch']} at once",
            table(rows),
            f"over {found['tokens']} tokens: mean KL {found['mean_kl']:.2g} nats a token, at most "
            f"{found['max_kl']:.2g}; the same likeliest token {found['top1']:.2%}",
        ]
    )
