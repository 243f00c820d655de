"""How long an answer takes, and who may begin: what ends in time is begun, and nothing else."""

from __future__ import annotations

import time

import pytest
from by_hand import ByHand, engine_by_hand, moment, someone, until
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives import MotiveEngine
from daydream_motives.engine.live.pace import Pace
from daydream_motives.engine.live.ticket import Ticket

SEEN = st.lists(
    st.tuples(st.floats(1, 64), st.floats(1e-3, 1e3)), min_size=1, max_size=40
)  # fmt: skip


def ask(engine: MotiveEngine, names: str, deadline_ms: float | None) -> list[Ticket]:
    tickets = [
        engine.submit(someone(engine, name), moment(name), deadline_ms=deadline_ms)
        for name in names.split()
    ]
    engine.pump(1000)
    return tickets


def paced(engine: MotiveEngine, seconds: float) -> ByHand:
    """The engine has seen that one answer alone takes so long."""
    engine._live._flights._pace.learn(1, seconds)
    backend = engine.backend
    assert isinstance(backend, ByHand)
    return backend


@given(SEEN)
def test_more_never_takes_less_and_nothing_takes_no_time(seen: list[tuple[float, float]]) -> None:
    pace = Pace()
    assert (pace.known, pace.seconds(3)) == (False, 0.0)
    for many, seconds in seen:
        pace.learn(many, seconds)
    takes = [pace.seconds(many) for many in range(1, 65)]
    assert takes == sorted(takes)
    assert takes[0] > -1e-9
    assert takes[-1] <= 64 * max(pace.seconds(1), takes[-1] / 64) + 1e-9


@given(st.floats(0.1, 10), st.floats(0.05, 1))
def test_it_learns_what_neighbours_cost(alone: float, share: float) -> None:
    pace = Pace()
    for turn in range(60):
        many = 1 + turn % 8
        pace.learn(many, alone * (1 + share * (many - 1)))
    assert pace.seconds(1) == pytest.approx(alone, rel=0.3, abs=0.02)
    assert pace.seconds(8) == pytest.approx(alone * (1 + 7 * share), rel=0.1)


def test_a_hitch_is_not_believed_at_once_but_a_slower_machine_is() -> None:
    pace = Pace()
    for _ in range(20):
        pace.learn(1, 1.0)
    pace.learn(1, 1000.0)
    assert pace.seconds(1) < 1.2
    for _ in range(60):
        pace.learn(1, 4.0)
    assert pace.seconds(1) == pytest.approx(4.0, rel=0.05)


def test_what_was_given_up_counts_only_if_it_took_longer_than_expected() -> None:
    pace = Pace()
    pace.learn(1, 2.0)
    pace.given_up(1, 0.5)
    assert pace.seconds(1) == 2.0
    pace.given_up(1, 3.0)
    assert 2.0 < pace.seconds(1) < 3.0


def test_while_nothing_is_known_few_with_a_deadline_are_begun_and_all_without() -> None:
    engine, model = engine_by_hand(capacity=4)
    with engine:
        ask(engine, "Ada Bo Cy Di", 60_000)
        assert model.asked == ["Ada", "Bo"]
        ask(engine, "Ed Flo Gus", None)
        assert sorted(model.asked) == ["Ada", "Bo", "Ed", "Flo", "Gus"]


def test_as_many_are_begun_as_can_end_in_time() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 10.0)
        ask(engine, "Ada Bo Cy Di Ed", 18_000)
        assert model.asked == ["Ada", "Bo", "Cy"]  # a fourth would make it 20.5 s for each
        model.jobs[0].answer()
        assert model.asked == ["Ada", "Bo", "Cy", "Di", "Ed"]  # it was faster than that


def test_what_cannot_end_in_time_is_not_begun_beside_others_and_instinct_answers() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 10.0)
        ask(engine, "Ada", None)
        tickets = ask(engine, "Bo", 200)
        ask(engine, "Cy", 20_000)
        assert model.asked == ["Ada", "Cy"]
        assert tickets[0].result().provenance.source == "instinct"
        assert model.asked == ["Ada", "Cy"]


def test_nobody_is_made_late_by_one_more() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 10.0)
        ask(engine, "Ada", 12_000)
        ask(engine, "Bo", None)
        assert model.asked == ["Ada"]  # beside another it would take 13.5 s
        model.jobs[0].answer()
        assert model.asked == ["Ada", "Bo"]


def test_an_idle_model_is_given_even_what_will_be_late() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 10.0)
        (ticket,) = ask(engine, "Ada", 300)
        assert model.asked == ["Ada"]
        model.jobs[0].answer()
        assert ticket.result().provenance.source == "model"


def test_what_is_late_and_far_from_its_end_is_left_at_once() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 60.0)
        (ticket,) = ask(engine, "Ada", 100)
        began = time.monotonic()
        assert ticket.result().provenance.source == "instinct"
        until(lambda: model.jobs[0].stopped)
        assert time.monotonic() - began < 1.5


def test_who_was_settled_meanwhile_does_not_stand_before_the_others() -> None:
    engine, _ = engine_by_hand(capacity=8)
    with engine:
        model = paced(engine, 10.0)
        ask(engine, "Ada", 11_000)
        gone = ask(engine, " ".join(f"Bo{n}" for n in range(40)), 500_000)
        assert model.asked == ["Ada"]  # any other would make it late
        last = ask(engine, "Cy", 500_000)
        for ticket in gone:
            ticket.cancel()
        model.jobs[0].answer()
        engine.pump(1000)
        assert model.asked == ["Ada", "Cy"]
        model.jobs[1].answer()
        assert last[0].result(1).provenance.source == "model"
