"""Answers that are kept for the next who asks, and requests that the game takes back."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from by_hand import (
    DRAFTS,
    answered,
    engine_by_hand,
    moment,
    reason,
    someone,
    source,
    until,
)

from daydream_motives import Decision

# Answers that are kept


def test_a_late_answer_is_kept_for_who_asks_the_same() -> None:
    engine, model = engine_by_hand()
    with engine:
        ines = someone(engine)
        first = ines.submit(moment("one"), deadline_ms=200)
        engine.pump()
        until(lambda: first.done)
        assert "200 ms" in reason(first)
        assert not model.jobs[0].stopped
        model.jobs[0].answer(tokens_in=9)
        assert engine.stats.late_answers == 1
        again, other = ines.submit(moment("one")), someone(engine, "Bo").submit(moment("one"))
        engine.pump(1000)
        decision = again.result(10)
        assert (decision.provenance.source, decision.provenance.tokens_in) == ("cache", 0)
        assert decision[0].text == DRAFTS[0].text
        assert not other.done  # another's question is another question
        third = ines.submit(moment("one"))
        engine.pump()
        assert not third.done  # it wanted that lately
        assert model.asked == ["Ines", "Bo", "Ines"]


def test_who_asks_the_same_while_the_model_is_at_it_waits_for_that_answer() -> None:
    engine, model = engine_by_hand(capacity=3)
    with engine:
        ines = someone(engine)
        tickets = []
        for _ in range(5):  # a game that asks at every frame
            tickets.append(ines.submit(moment("one")))
            engine.pump()
        assert len(model.jobs) == 1
        model.jobs[0].answer()
        assert [ticket.done for ticket in tickets] == [True] * 5
        assert [source(t) for t in tickets] == ["instinct"] * 4 + ["model"]


def test_the_cache_is_bounded_and_of_one_model() -> None:
    engine, model = engine_by_hand()
    with engine:
        names = [f"N{n}" for n in range(300)]
        for name in names:
            answered(engine, someone(engine, name), moment("one"))
        for name, kept in ((names[0], False), (names[-1], True)):
            ticket = someone(engine, name).submit(moment("one"))
            engine.pump()
            assert ticket.done is kept
            [job.answer() for job in model.jobs]
        model.model_hash = "another"  # type: ignore[misc]
        ticket = someone(engine, names[-1]).submit(moment("one"))
        engine.pump()
        assert not ticket.done


# What the game takes back


@pytest.mark.parametrize("when", ["waiting", "with the model", "answered"])
def test_a_cancelled_ticket_is_answered_by_instinct(when: str) -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit()
        if when != "waiting":
            engine.pump()
        if when == "answered":
            model.jobs[0].answer()
        ticket.cancel()
        ticket.cancel()
        assert ticket.done
        assert source(ticket) == ("model" if when == "answered" else "instinct")
        if when == "with the model":
            assert model.jobs[0].stopped
            model.jobs[0].answer()
        engine.pump(1000)
        assert len(model.jobs) == (when != "waiting")
        assert engine.stats.in_flight == engine.stats.waiting == 0


@pytest.mark.parametrize("by", ["id", "character"])
def test_a_character_deleted_while_it_thinks(by: str) -> None:
    engine, model = engine_by_hand()
    with engine:
        ines, bo = someone(engine), someone(engine, "Bo")
        ticket = ines.submit()
        engine.pump()
        engine.forget("ines" if by == "id" else ines)
        assert (source(ticket), reason(ticket)) == ("instinct", "the character is gone")
        assert model.jobs[0].stopped
        engine.forget("nobody")
        engine.forget(bo)
        model.jobs[0].answer()
        assert engine.pump() == []
        waiting = ines.submit()
        engine.forget(ines)
        engine.pump()
        assert (waiting.done, len(model.jobs)) == (True, 1)
        assert answered(engine, someone(engine), moment("new")).provenance.source == "model"


def test_closing_answers_everybody() -> None:
    engine, model = engine_by_hand()
    tickets = [engine.submit(someone(engine, f"N{n}"), deadline_ms=60_000) for n in range(5)]
    engine.pump()
    found: list[Decision] = []
    waiter = threading.Thread(target=lambda: found.append(tickets[4].result()))
    waiter.start()
    engine.close()
    waiter.join(10)
    assert {reason(ticket) for ticket in tickets} == {"the engine is closed"}
    assert all(job.stopped for job in model.jobs)
    assert found == [tickets[4].poll()]
    after = engine.submit(someone(engine))
    assert reason(after) == "the engine is closed"
    assert (engine.pump(), model.closed) == ([*tickets, after], 0)  # the model is not ours


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_gets_instinct_and_no_more() -> None:
    engine, _ = engine_by_hand()
    with engine:
        ines = someone(engine)
        before = ines.submit()
        reader, writer = os.pipe()
        if sys.version_info >= (3, 12):
            pytest.skip("a fork with threads warns here")
        child = os.fork()
        if not child:  # the process that has no threads
            said = {reason(before), reason(ines.submit()), ines.next_purposes(deadline_ms=5)
                    .provenance.reason, str(engine.pump())}  # fmt: skip
            engine.forget(ines)
            engine.close()
            os.write(writer, repr(said).encode())
            os._exit(0)
        os.close(writer)
        assert eval(os.read(reader, 4096)) == {"the engine was made in another process", "[]"}  # noqa: S307
        os.close(reader)
        os.waitpid(child, 0)
        assert not before.done
