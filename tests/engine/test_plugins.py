"""Backends of anyone's: whatever they answer, lack or raise, the game has its decision."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from by_hand import DRAFTS, ByHand, engine_by_hand, moment, someone, until

from daydream_motives import MotiveEngine
from daydream_motives.engine.answering import checked
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.host import Host
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.motives.purposes import Draft

GOOD = Answer(DRAFTS)
NONSENSE: list[Any] = [
    None, "text", Answer(None), Answer("abc"), Answer((None,)), Answer((Draft(None),)),  # type: ignore[arg-type]
    Answer((Draft("Ines wants to go, because she can.", math.nan),)),
    Answer((Draft("Ines wants to go, because she can.", None),)),  # type: ignore[arg-type]
    replace(GOOD, reason=None), replace(GOOD, prompt_hash=1), replace(GOOD, tokens_in="many"),  # type: ignore[arg-type]
    replace(GOOD, made_by=[1, 2]), replace(GOOD, made_by=("a", "b")),  # type: ignore[arg-type]
    replace(GOOD, made_by=("a", "b", [])),  # type: ignore[arg-type]
]  # fmt: skip


class Says(ScriptedBackend):
    """Answers everything with the same."""

    def __init__(self, what: Any) -> None:
        super().__init__(BackendSpec("says"))
        self.what = what

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        return [self.what] * len(requests)


class Lacks:
    """A backend without hashes."""

    model = "lacks"
    closed = 0

    def count_tokens(self, text: str) -> int:
        return 1

    def decide_many(self, requests: Sequence[Request], cancelled: object = None) -> list[Answer]:
        return []

    def close(self) -> None:
        self.closed += 1


def lacking() -> Any:
    return Lacks()


# Nonsense


@pytest.mark.parametrize("what", NONSENSE, ids=repr)
@pytest.mark.parametrize("how", ["ticket", "lockstep", "service"])
def test_nonsense_is_answered_by_instinct(what: Any, how: str) -> None:
    backend = ByHand() if how == "service" else Says(what)
    with MotiveEngine(backend) as engine:
        ines = someone(engine)
        assert engine.backend
        if how == "lockstep":
            decision = ines.next_purposes()
        else:
            ticket = ines.submit()
            engine.pump()
            if isinstance(backend, ByHand):
                backend.jobs[0].done(what)
            decision = ticket.result(10)
        assert (decision.provenance.source, len(decision)) == ("instinct", 3)
        assert decision.provenance.reason.startswith("the backend answered with ")
        until(lambda: engine.stats.in_flight == 0)
        seat = engine._host.seat
        assert seat is not None
        until(lambda: seat.in_hand == 0)


def test_a_sound_answer_stays_what_it_is() -> None:
    for answer in (GOOD, Answer(()), replace(GOOD, made_by=("a", "b", "")), Answer((Draft("x"),))):
        assert checked(answer) is answer


# Things that are lacking


def test_a_backend_that_lacks_something_is_no_model(caplog: pytest.LogCaptureFixture) -> None:
    engine = MotiveEngine(lacking())
    with engine:
        ines = someone(engine)
        for decision in (ines.submit(deadline_ms=50).result(), ines.next_purposes()):
            assert decision.provenance.source == "instinct"
            assert "model_hash" in engine._host.why_not
        engine.pump()
    assert "model_hash" in caplog.text


def test_a_new_model_that_lacks_something_leaves_the_old_one() -> None:
    engine, model = engine_by_hand()
    bad = lacking()
    with engine:
        find = lambda: ("lacks", BackendSpec("lacks"))  # noqa: E731
        assert engine._host.swap(find, lambda kind, spec, closing: bad).result(10) is False
        assert engine.backend is model
    assert bad.closed == 1


def test_a_name_that_is_no_text_is_no_model() -> None:
    backend = ByHand()
    backend.model_hash = ["no", "text"]  # type: ignore[assignment]
    host = Host(lambda closing: backend, owned=True)
    assert host.ready(10) is None
    assert "no text" in host.why_not
    assert backend.closed == 1
    host.close()


def test_a_backend_that_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    class Stays(ByHand):
        def close(self) -> None:
            raise ZeroDivisionError

    host = Host(lambda closing: Stays(), owned=True)
    assert host.ready(10)
    host.close()
    assert "could not be closed" in caplog.text


# Comparing


class Compares(ScriptedBackend):
    """Plain, and notices when two threads call it at once."""

    def __init__(self) -> None:
        super().__init__(BackendSpec("compares"))
        self.busy, self.together, self.go = 0, 0, threading.Event()

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.busy += 1
        self.go.wait(10)
        self.busy -= 1
        return super().decide_many(requests)

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        self.together += self.busy
        if not texts:
            raise TypeError("nothing to compare")
        return [-1.0] * len(texts)


def test_comparing_waits_for_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    backend: Any = Compares()
    with MotiveEngine(backend) as engine:
        ines, scores = someone(engine), []
        assert engine.backend
        ines.submit(moment("one"))
        engine.pump()
        until(lambda: backend.busy)
        thread = threading.Thread(
            target=lambda: scores.append(engine.score(someone(engine, "Bo"), None, ["a", "b"]))
        )
        thread.start()
        thread.join(0.1)
        assert scores == []
        backend.go.set()
        thread.join(10)
        assert (scores, backend.together) == ([[-1.0, -1.0]], 0)
        assert engine.score(ines, None, []) is None
    assert "nothing to compare" in caplog.text
