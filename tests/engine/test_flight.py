"""Questions with the model: none is lost, whatever goes wrong between asking and answering."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import DRAFTS, engine_by_hand, moment, someone, until

from daydream_motives import Character, CharacterSheet
from daydream_motives.engine.backend import Answer
from daydream_motives.engine.compose import Asked
from daydream_motives.engine.live.ticket import Settled


def test_the_first_who_still_waits_has_the_fresh_answer_and_the_rest_a_copy() -> None:
    engine, model = engine_by_hand()
    with engine:
        ines = someone(engine)
        first = ines.submit(moment("one"))
        engine.pump()
        second = ines.submit(moment("one"))
        engine.pump()
        model.jobs[0].answer(tokens_in=100)
        assert first.settled is not None
        assert first.settled.end == "superseded"
        provenance = second.result(0).provenance
        assert (provenance.source, provenance.tokens_in) == ("model", 100)
        again = someone(engine).submit(moment("one"))
        engine.pump()
        provenance = again.result(0).provenance
        assert (provenance.source, provenance.tokens_in, len(model.jobs)) == ("cache", 0, 1)


def test_of_two_who_wait_one_has_the_fresh_answer() -> None:
    engine, model = engine_by_hand(capacity=3)
    with engine:
        people = [Character(CharacterSheet(name="Ines"), id=id, engine=engine) for id in "ab"]
        tickets = [one.submit(moment("one")) for one in people]
        engine.pump(1000)
        assert len(model.jobs) == 1
        model.jobs[0].answer(tokens_in=100)
        told = [ticket.result(0).provenance for ticket in tickets]
        assert [(one.source, one.tokens_in) for one in told] == [("model", 100), ("cache", 0)]


def test_one_that_cannot_be_put_together_does_not_lose_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, model = engine_by_hand()
    with engine:
        ines = someone(engine)
        tickets = []
        for _ in range(2):
            tickets.append(ines.submit(moment("one")))
            engine.pump()
        put, flights = [], engine._live._flights

        def fails_once(ticket: Any, settled: Settled) -> None:
            put.append(ticket)
            assert len(put) > 1

        monkeypatch.setattr(flights, "_put", fails_once)
        model.jobs[0].answer()
        assert put == tickets
    assert "no answer could be put together for ines" in caplog.text


def test_one_that_was_put_together_meanwhile_is_passed_over() -> None:
    engine, model = engine_by_hand()
    with engine:
        people = [someone(engine, name) for name in ("Ada", "Bo", "Cy", "Di")]
        tickets = [engine.submit(one, moment("one"), priority=9 - n)
                   for n, one in enumerate(people)]  # fmt: skip
        engine.pump(1000)
        assert model.asked == ["Ada", "Bo"]
        tickets[2].prepared = None  # what putting it together does, without the lock
        model.jobs[0].answer()
        assert model.asked == ["Ada", "Bo", "Di"]


@pytest.mark.parametrize("when", ["before", "in the middle"])
def test_ctrl_c_while_the_model_is_asked_loses_no_request(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit(moment("one"))
        flights, seat = engine._live._flights, engine._host.seat
        assert seat is not None

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            if when == "before":
                patch.setattr(flights, "_start", interrupted)
            else:
                patch.setattr(model, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                engine.pump()
        assert ticket.result(1).provenance.reason == "interrupted"
        assert (engine.stats.in_flight, seat.in_hand) == (0, 0)
        other = someone(engine, "Bo").submit(moment("two"))
        engine.pump()
        model.jobs[0].answer()
        assert other.result(1).provenance.source == "model"


def test_a_backend_whose_name_fails_has_its_answers_settled() -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit(moment("one"))
        engine.pump()
        seat = engine._host.seat
        assert seat is not None
        del seat.backend
        model.jobs[0].done(Answer(DRAFTS))
        assert "AttributeError" in ticket.result(1).provenance.reason
        seat.backend = model
        until(lambda: seat.in_hand == 0)


def test_nothing_is_kept_of_whom_was_forgotten_and_no_id_comes_twice() -> None:
    engine, _ = engine_by_hand()
    with engine:
        for n in range(20):
            one = someone(engine, f"N{n}")
            one.submit()
            engine.forget(one)
        assert engine._asked._last == {}
        engine.forget("nobody")
    asked = Asked()
    assert [asked.again("ines", n, count=True) for n in (0, 1, 0, 0)] == [0, 0, 1, 2]
    asked.forget("ines")
    assert asked.again("ines", 0, count=True) == 3
