"""A backend whose answers the test gives, one by one: what the tests of the live side share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from daydream_motives import (
    Character,
    CharacterSheet,
    Decision,
    MotiveEngine,
    Situation,
    Ticket,
)
from daydream_motives.engine.backend import Answer, Cancel, Done, Request
from daydream_motives.motives.purposes import Draft

SUPERSEDED = "a later request took its place"
DRAFTS = tuple(
    Draft(f"Ines wants to {act}, because it is time.", -rank)
    for rank, act in enumerate(("mend the net", "row to the island", "sing a song"))
)


@dataclass(eq=False)
class Job:
    """One request with the model."""

    request: Request
    done: Done
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True

    def answer(self, drafts: Sequence[Draft] = DRAFTS, **facts: object) -> None:
        self.done(Answer(tuple(drafts), **facts))  # type: ignore[arg-type]


class ByHand:
    """Backend and Service; `jobs` are all it was ever asked, in order."""

    model, model_hash, adapter_hash = "by hand", "0", ""

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.jobs: list[Job] = []
        self.closed = 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        return [Answer(DRAFTS) for _ in requests]

    def start(self, request: Request, done: Done) -> Cancel:
        self.jobs.append(job := Job(request, done))
        return job.stop

    def close(self) -> None:
        self.closed += 1

    @property
    def asked(self) -> list[str]:
        """Whom it was asked for."""
        return [job.request.short_name for job in self.jobs]


def engine_by_hand(capacity: int = 1, **options: object) -> tuple[MotiveEngine, ByHand]:
    """An engine whose model is loaded, and the model."""
    backend = ByHand(capacity)
    engine = MotiveEngine(backend, **options)  # type: ignore[arg-type]
    assert engine.backend is backend
    return engine, backend


def someone(engine: MotiveEngine, name: str = "Ines") -> Character:
    return Character(CharacterSheet(name=name), engine=engine)


def moment(text: str) -> Situation:
    return Situation(happened=text)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits until something holds; fails where it never does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)


def source(ticket: Ticket) -> str:
    decision = ticket.poll()
    assert decision is not None
    return decision.provenance.source


def reason(ticket: Ticket) -> str:
    decision = ticket.poll()
    assert decision is not None
    return decision.provenance.reason


def answered(engine: MotiveEngine, character: Character, situation: Situation) -> Decision:
    """The model's answer to one more request of the character."""
    ticket = character.submit(situation)
    engine.pump()
    backend = engine.backend
    assert isinstance(backend, ByHand)
    backend.jobs[-1].answer()
    decision = ticket.poll()
    assert decision is not None
    return decision


def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still, but for what is passed."""
    now = time.monotonic()

    def passed(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return passed
