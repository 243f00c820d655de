"""A fake backend for tests and examples: deterministic, instant, and no language model at all.

It says what it is: its answers carry the model name `scripted`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence

from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.motives.purposes import Draft

_ACTS = (
    ("talk to {who}", "there is something to be said between them"),
    ("go to {where}", "that is where the day is decided"),
    ("help {who}", "nobody else will"),
    ("finish the day's work", "it will not do itself"),
    ("find something to eat", "an empty stomach thinks badly"),
    ("keep out of sight for an hour", "too many people want an answer"),
    ("ask {who} for advice", "two heads see further"),
    ("repair what is broken at {where}", "it has waited long enough"),
)


class ScriptedBackend:
    """Sentences drawn by the request's seed from a short list, about those the context names."""

    adapter_hash = ""

    def __init__(self, spec: BackendSpec) -> None:
        self.model = "scripted"
        self.model_hash = hashlib.sha256(repr(_ACTS).encode()).hexdigest()

    def count_tokens(self, text: str) -> int:
        """A rough count: four characters a token."""
        return len(text) // 4 + 1

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Answer:
        rng = random.Random(request.seed)
        people = [e.name for e in request.context.entities if e.kind == "person"] or ["a friend"]
        places = [e.name for e in request.context.entities if e.kind == "place"] or ["this place"]
        drafts = []
        for act, why in rng.sample(_ACTS, 3):
            act = act.format(who=rng.choice(people), where=rng.choice(places))
            text = f"{request.short_name} wants to {act}, because {why}."
            drafts.append(Draft(text, -rng.random()))
        prompt = request.context.as_json()
        return Answer(
            tuple(drafts),
            prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
            tokens_in=self.count_tokens(prompt),
            tokens_out=sum(self.count_tokens(d.text) for d in drafts),
        )

    def close(self) -> None:
        """Nothing to release."""
