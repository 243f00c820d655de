"""By the deadline there is an answer, whoever looks, and whatever the model does."""

from __future__ import annotations

import math
import threading
import time

import pytest
from by_hand import engine_by_hand, moment, someone, until
from hypothesis import given, settings
from hypothesis import strategies as st

from daydream_motives import MotiveEngine, Ticket
from daydream_motives.engine.live.alarm import Alarm


@pytest.mark.parametrize("deadline", [0, -1, -math.inf, math.nan, -0.0])
def test_a_deadline_in_the_past_is_answered_at_once(deadline: float) -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit(moment("It rains"), deadline_ms=deadline)
        assert ticket.done
        decision = ticket.poll()
        assert decision is not None
        assert (decision.provenance.source, len(decision)) == ("instinct", 3)
        assert decision.provenance.reason.startswith(f"no answer within {deadline:g} ms")
        assert "It rains" in decision.context.context
        assert someone(engine).next_purposes(deadline_ms=deadline).provenance.reason
        engine.pump(1000)
    assert model.jobs == []


@pytest.mark.parametrize("deadline", [math.inf, 1e300, 1e9])
def test_a_deadline_that_never_comes(deadline: float) -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit(deadline_ms=deadline)
        other = someone(engine, "Bo").submit(deadline_ms=5)
        until(lambda: other.answered_at)  # a far deadline does not hide a near one
        engine.pump()
        model.jobs[0].answer()
        assert ticket.result(1).provenance.source == "model"


@pytest.mark.parametrize("look", ["nobody", "poll", "done", "result", "pump"])
@pytest.mark.parametrize("composed", [True, False])
def test_at_the_deadline_there_is_an_answer_whoever_looks(look: str, composed: bool) -> None:
    engine, _ = engine_by_hand()
    with engine:
        ticket = someone(engine).submit(moment("It rains"), deadline_ms=150)
        if composed:
            engine.pump()
        assert ticket.deadline == pytest.approx(ticket.submitted_at + 0.15)
        {
            "nobody": lambda: until(lambda: ticket.answered_at),
            "poll": lambda: until(ticket.poll),
            "done": lambda: until(lambda: ticket.done),
            "result": ticket.result,
            "pump": lambda: until(lambda: engine.pump() == [ticket]),
        }[look]()
        decision = ticket.poll()
        assert decision is not None
        provenance = decision.provenance
        assert (provenance.source, provenance.reason.split(";")[0]) == (
            "instinct", "no answer within 150 ms",
        )  # fmt: skip
        if composed or look in ("result", "pump"):
            assert provenance.receipt
        elif look != "poll":  # then a thread of the engine may have composed it
            assert not provenance.receipt
        assert ("nobody had the time" in provenance.reason) is not bool(provenance.receipt)
        assert (ticket.answered_at or 0) - ticket.submitted_at > 0.14


def test_poll_does_not_depend_on_the_thread_of_deadlines() -> None:
    engine, _ = engine_by_hand()
    with engine:
        engine._live._deadlines.end()
        ticket = someone(engine).submit(deadline_ms=10)
        assert ticket.poll() is None
        time.sleep(0.011)
        assert ticket.poll() is not None


def test_instinct_in_haste_speaks_of_what_is_there() -> None:
    engine, _ = engine_by_hand()
    with engine:
        scene = {"present": ["Karl"], "happened": "Karl fell into the harbour", "verbs": ["ask"]}
        ticket = someone(engine).submit(type(moment(""))(**scene), deadline_ms=0)  # type: ignore[arg-type]
        first = ticket.result()[0]
    assert "Karl fell into the harbour" in first.text
    assert (first.targets, first.verb) == (("karl",), "ask")


def test_what_hangs_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daydream_motives.engine.live.scheduler._GRACE", 0.05)
    engine, model = engine_by_hand()
    with engine:
        first = someone(engine).submit(deadline_ms=150)
        engine.pump()
        until(lambda: first.done)
        assert not model.jobs[0].stopped
        until(lambda: model.jobs[0].stopped)


def test_a_hung_model_takes_nobody_with_it() -> None:
    engine, model = engine_by_hand(capacity=1)
    with engine:
        tickets = [engine.submit(someone(engine, f"N{n}"), deadline_ms=200) for n in range(50)]
        while not all(ticket.done for ticket in tickets):
            engine.pump()
            time.sleep(0.002)
        assert len(model.jobs) == 2
        assert engine.stats.answered == {"late": 50}
        engine.pump()
        assert engine.stats.waiting == 0


def test_an_answer_in_the_last_moment_counts_or_does_not_but_never_both() -> None:
    for _ in range(30):
        engine, model = engine_by_hand()
        with engine:
            ticket = someone(engine).submit(deadline_ms=3)
            engine.pump()
            if model.jobs:  # else the machine was too busy even for this
                threading.Timer(0.0025, model.jobs[0].answer).start()
            first = ticket.result()
            time.sleep(0.002)
            assert ticket.poll() is first
            assert sum(engine.stats.answered.values()) == 1
            assert ticket.settled


def test_lateness_is_that_of_a_timer() -> None:
    """On a busy machine even a bare timer is late: both are held to the same moments."""
    with MotiveEngine("scripted") as engine:
        assert engine.backend
        tickets = [
            engine.submit(someone(engine, f"N{n}"), deadline_ms=40 + n % 20) for n in range(200)
        ]
        bare: list[float] = []

        def timer() -> None:
            for moment_ in sorted(t.deadline or 0 for t in tickets):
                while (left := moment_ - time.monotonic()) > 0:
                    time.sleep(left)
                bare.append(time.monotonic() - moment_)

        thread = threading.Thread(target=timer)
        thread.start()
        thread.join()
        until(lambda: all(ticket.answered_at for ticket in tickets))
    late = sorted((t.answered_at or 0) - (t.deadline or 0) for t in tickets)
    assert late[-1] <= max(bare) + 0.03


# The thread behind it


def rung(times: list[float]) -> list[float]:
    """In which order things ring that were set in this order, for these times."""

    class Bell:
        def __init__(self) -> None:
            self.rung: list[float] = []

        def ring(self, at: float) -> None:
            self.rung.append(at)

    bell = Bell()
    alarm: Alarm[float] = Alarm(bell.ring, lambda at: False, "test")
    start = time.monotonic() + 0.02
    for at in times:
        alarm.set(start + at, at)
    until(lambda: len(bell.rung) == len(times))
    alarm.end()
    alarm.set(0.0, 0.0)
    return bell.rung


@settings(max_examples=10)
@given(st.lists(st.integers(0, 10).map(lambda ms: ms / 1000), max_size=20))
def test_things_ring_in_the_order_of_their_times(times: list[float]) -> None:
    assert rung(times) == sorted(times)


def test_an_alarm_goes_on_after_a_fault_and_lets_go_of_what_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Bell:
        rung = 0

        def ring(self, ticket: int) -> None:
            self.rung += 1
            if ticket == 1:
                raise ZeroDivisionError

    bell = Bell()
    alarm: Alarm[int] = Alarm(bell.ring, lambda thing: thing > 2, "test")
    far = time.monotonic() + 1000
    for n in range(5000):
        alarm.set(far, n)
    assert len(alarm._set) < 2000
    alarm.set(0.0, 1)
    alarm.set(0.0, 2)
    until(lambda: bell.rung == 2)
    assert "failed" in caplog.text
    alarm.end()
    thread = alarm._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_a_garbage_collection_while_the_lock_is_held_does_not_wait_for_it() -> None:
    class Bell:
        def ring(self, thing: int) -> None:
            pass

    bell = Bell()
    alarm: Alarm[int] = Alarm(bell.ring, lambda thing: False, "test")
    alarm.set(time.monotonic() + 0.05, 1)
    thread = alarm._thread
    assert thread is not None
    with alarm._changed:  # the collection comes in the thread that holds it
        dropping = threading.Thread(target=alarm.drop, daemon=True)
        dropping.start()
        dropping.join(5)
        assert not dropping.is_alive()
    thread.join(10)
    assert not thread.is_alive()
    other: Alarm[int] = Alarm(bell.ring, lambda thing: False, "test")
    other.set(time.monotonic() + 1000, 1)
    until(lambda: other._changed._waiters)  # type: ignore[attr-defined]
    other.drop()
    assert other._thread is not None
    other._thread.join(10)
    assert not other._thread.is_alive()


def test_a_machine_without_room_for_a_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine, _ = engine_by_hand()
    with engine:
        ticket: Ticket
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            ticket = someone(engine).submit(deadline_ms=5)
        assert ticket.result().provenance.source == "instinct"
    assert "no thread for its deadlines" in caplog.text
