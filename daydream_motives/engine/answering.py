"""From a model's answer, or from none, to a decision. Knows no threads and no queue."""

from __future__ import annotations

from daydream_motives.engine.backend import Answer, fault_of
from daydream_motives.engine.compose import Identity, Prepared
from daydream_motives.engine.live.ticket import Settled
from daydream_motives.motives.purposes import (
    Decision,
    Provenance,
    RankedPurposes,
    Source,
    assemble,
)


def checked(answer: object) -> Answer:
    """A backend's answer; an empty one with a reason where it is none that can be read."""
    fault = fault_of(answer)
    if fault or not isinstance(answer, Answer):
        return Answer((), reason=f"the backend answered with {fault}")
    return answer


def ranked(
    prepared: Prepared,
    answer: Answer,
    *,
    seconds: float,
    source: Source = "model",
    model: Identity | None = None,
    seed: int | None = None,
) -> RankedPurposes:
    """Three purposes of an answer, instinct's where it has none; `seconds` is how long it took.

    What came out of the cache cost no tokens.
    """
    request = prepared.request
    name, model_hash, adapter_hash = model or answer.made_by or prepared.model
    fresh = source == "model"
    provenance = Provenance(
        source=source if answer.drafts else "instinct",
        model=name,
        model_hash=model_hash,
        adapter_hash=adapter_hash,
        prompt_hash=answer.prompt_hash,
        seed=request.seed if seed is None else seed,
        tokens_in=answer.tokens_in if fresh else 0,
        tokens_out=answer.tokens_out if fresh else 0,
        latency_ms=seconds * 1000,
        reason=answer.reason,
        receipt=request.context.receipt,
    )
    return assemble(answer.drafts, request.context, provenance, instinct=prepared.spare)


def settled(prepared: Prepared, how: Settled, *, seconds: float) -> RankedPurposes:
    """The purposes of a live request, however it ended."""
    answer = how.answer or Answer((), reason=how.reason)
    source: Source = "cache" if how.end == "cache" else "model"
    return ranked(prepared, answer, seconds=seconds, source=source, model=how.model, seed=how.seed)


def decision(prepared: Prepared, purposes: RankedPurposes) -> Decision:
    """The decision, told to whoever asked: what it wants next should differ from this."""
    if prepared.asker and purposes.provenance.source != "instinct":
        prepared.asker.wanted(purposes[0].text)
    return Decision(prepared.id, prepared.character, prepared.request.context, purposes)
