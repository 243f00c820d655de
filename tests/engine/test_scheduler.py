"""The live side: tickets, who goes first, and that each request has one answer, its own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from by_hand import (
    DRAFTS,
    SUPERSEDED,
    ByHand,
    answered,
    clock,
    engine_by_hand,
    moment,
    reason,
    someone,
    source,
    until,
)
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives import Character, Decision, MotiveEngine, Situation, Ticket
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship
from daydream_motives.engine.backend import Answer, Cancel, Done, Request
from daydream_motives.engine.live import scheduler
from daydream_motives.engine.live.urgency import level
from daydream_motives.motives.purposes import Draft

# A ticket's life


def test_a_ticket_is_composed_by_a_pump_and_answered_by_the_model() -> None:
    engine, model = engine_by_hand()
    with engine:
        ines = someone(engine)
        ticket = ines.submit(moment("A bell rings"))
        assert (ticket.done, ticket.poll(), model.jobs) == (False, None, [])
        assert engine.pump() == []
        assert "A bell rings" in model.jobs[0].request.context.context
        model.jobs[0].answer(tokens_in=7, made_by=("new", "1", "2"))
        assert ticket.done
        assert engine.pump() == [ticket]
        assert engine.pump() == []
        decision = ticket.poll()
        assert decision is ticket.poll() is ticket.result()
    assert decision is not None
    provenance = decision.provenance
    assert (provenance.source, provenance.model, provenance.tokens_in) == ("model", "new", 7)
    assert (provenance.model_hash, provenance.adapter_hash) == ("1", "2")
    assert provenance.receipt
    assert ines.lately == [decision[0].text]
    assert ticket.submitted_at <= (ticket.answered_at or 0)
    assert provenance.latency_ms >= 0


def test_what_changes_after_submit_does_not_matter(ines: Character) -> None:
    engine, model = engine_by_hand()
    with engine:
        ines.engine = engine
        ines.mood, ines.activity, ines.needs["food"] = "calm", "mending nets", 0.1
        ines.remember("Karl lent her a rope.", at=datetime(2024, 6, 14), who=["karl"])
        ines.lately = ["Ines wants to fish, because fish is food."]
        scene = Situation(present=["Karl"], time=datetime(2024, 6, 14, 12), activity="mending nets")
        before = engine.context(ines, scene)
        ticket = ines.submit(scene)
        ines.mood, ines.activity, ines.needs["food"] = "furious", "rowing", 0.9
        ines.memory.add(next(iter(ines.memory)))
        ines.remember("Karl sank her boat.", at=datetime(2024, 6, 14, 11), who=["karl"])
        ines.relationships.record("ines", "karl", "betrayed", text="Karl sold the quay.")
        ines.relationships.remove("ines", "tomas")
        ines.relationships.add_person(Person("karl", "Carlos Prado", 63))
        ines.lately.append("Ines wants to sleep, because it is late.")
        ines.change_sheet(ines.sheet.model_copy(update={"wants": ("to leave",)}))
        engine.pump()
        assert model.jobs[0].request.context == before
        assert model.jobs[0].request.lately == ("Ines wants to fish, because fish is food.",)
        assert ticket.character == "ines"


@pytest.mark.parametrize("fault", ["nothing", "raises", "half"])
def test_a_model_that_fails_is_answered_for(fault: str) -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit()
        if fault == "raises":
            model.start = lambda *_: 1 / 0  # type: ignore[assignment,return-value]
        engine.pump()
        if fault == "nothing":
            model.jobs[0].answer((), reason="out of memory")
        if fault == "half":
            model.jobs[0].answer(DRAFTS[:1])
        assert source(ticket) == ("model" if fault == "half" else "instinct")
        assert {"nothing": "out of memory", "raises": "ZeroDivision", "half": "repeated"}[
            fault
        ] in reason(ticket)
        assert engine.stats.in_flight == 0


def test_a_tokenizer_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    engine, model = engine_by_hand()
    with engine:
        model.count_tokens = lambda text: 1 // 0  # type: ignore[method-assign,assignment]
        ticket = someone(engine).submit()
        engine.pump()
        assert "ZeroDivisionError" in reason(ticket)
    assert "no context for ines" in caplog.text


def test_an_answer_that_comes_twice_counts_once() -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit()
        engine.pump()
        model.jobs[0].answer()
        model.jobs[0].answer((), reason="again")
        assert source(ticket) == "model"
        assert engine.pump() == [ticket]
        assert engine.stats.in_flight == 0


@pytest.mark.parametrize("model", ["instinct", None])
def test_without_a_model_a_pump_answers_with_the_reason(model: str | None) -> None:
    with MotiveEngine(model) as engine:
        assert engine.backend is None
        ticket = someone(engine).submit(moment("It rains"))
        assert engine.pump() == [ticket]
        decision = ticket.result(10)
    assert decision.provenance.source == "instinct"
    assert decision.provenance.reason
    assert "It rains" in decision.context.context
    assert decision.provenance.receipt  # composed, for there was time


# Who counts, and who goes first


def test_of_two_requests_the_later_counts() -> None:
    engine, model = engine_by_hand()
    with engine:
        ines = someone(engine)
        first, second = ines.submit(moment("one")), ines.submit(moment("two"))
        assert first.done
        assert engine.pump() == [first]
        model.jobs[0].answer()
        assert (source(first), reason(first)) == ("instinct", SUPERSEDED)
        assert source(second) == "model"
        assert model.asked == ["Ines"]
        assert first.number < second.number
        assert engine.pump() == [second]


def test_a_late_answer_is_not_taken_for_a_newer_request() -> None:
    engine, model = engine_by_hand(capacity=2)
    with engine:
        ines = someone(engine)
        first = ines.submit(moment("one"))
        engine.pump()
        second = ines.submit(moment("two"))
        assert not model.jobs[0].stopped  # it may yet turn out to be the same
        engine.pump()
        assert model.jobs[0].stopped
        model.jobs[0].answer()
        assert (reason(first), second.done) == (SUPERSEDED, False)
        model.jobs[1].answer()
        assert source(second) == "model"


def test_priority_decides_among_those_who_just_asked() -> None:
    engine, model = engine_by_hand()
    with engine:
        for name, priority in (("Far", 0.25), ("Near", 1), ("Here", 4), ("There", 0.5)):
            engine.submit(someone(engine, name), priority=priority)
        while engine.stats.waiting or engine.stats.in_flight:
            engine.pump(1000)
            [job.answer() for job in model.jobs]
    assert model.asked == ["Here", "Near", "There", "Far"]


def test_who_waits_longer_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, model = engine_by_hand()
    with engine:
        old, new = someone(engine, "Old"), someone(engine, "New")
        passed = clock(monkeypatch)
        answered(engine, old, moment("one"))
        passed(100)
        answered(engine, new, moment("one"))
        passed(1)
        new.submit(moment("two"), priority=8)
        old.submit(moment("two"))
        late = someone(engine, "Late")  # never had an answer: its request is what counts
        late.submit(priority=64)
        engine.pump(1000)
        [job.answer() for job in model.jobs]
        assert model.asked[2:] == ["Old", "New", "Late"]


def test_the_model_gets_no_more_than_it_can_work_on_and_the_most_urgent_next() -> None:
    engine, model = engine_by_hand(capacity=2)
    with engine:
        for n in range(20):
            engine.submit(someone(engine, f"N{n}"))
        engine.pump(1000)
        assert len(model.jobs) == 3  # one ahead
        urgent = someone(engine, "Urgent").submit(priority=100)
        engine.pump(0)
        model.jobs[0].answer()
        assert model.asked[-1] == "Urgent"
        assert not urgent.done
        assert engine.stats.in_flight == 3


def test_a_pump_composes_one_whatever_the_budget_and_no_more_than_the_model_needs() -> None:
    engine, model = engine_by_hand(capacity=50)
    with engine:
        tickets = [engine.submit(someone(engine, f"N{n}")) for n in range(30)]
        for count in range(1, 4):
            engine.pump(0)
            assert sum(ticket.prepared is not None for ticket in tickets) == count
        engine.pump(10_000)
        assert len(model.jobs) == 30
    engine, model = engine_by_hand(capacity=1)
    with engine:
        tickets = [engine.submit(someone(engine, f"N{n}")) for n in range(30)]
        engine.pump(10_000)
        assert sum(ticket.prepared is not None for ticket in tickets) <= 5


def test_ten_thousand_requests_in_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, model = engine_by_hand(capacity=4)
    with engine:
        sheet = someone(engine).sheet
        crowd = [Character(sheet, id=f"n{n}") for n in range(10_000)]
        with monkeypatch.context() as patch:
            clock(patch)
            tickets = [engine.submit(c, priority=2 if n % 2 else 1) for n, c in enumerate(crowd)]
        stats = engine.stats
        assert stats.submitted == 10_000
        assert stats.answered == {"crowded": 10_000 - scheduler.LIMIT}
        assert stats.waiting == scheduler.LIMIT
        refused = [ticket for ticket in tickets if ticket.done]
        assert reason(refused[0]) == f"more than {scheduler.LIMIT} requests wait"
        kept = [ticket for ticket in tickets if not ticket.done]
        assert {ticket.priority for ticket in kept} == {2}  # the least urgent are refused
        assert kept == sorted(kept, key=lambda t: t.number) == tickets[1 : 2 * len(kept) : 2]
        assert len(engine.pump()) == len(refused)
    assert all(ticket.done for ticket in tickets)
    assert model.jobs


@given(st.floats(allow_nan=True))
def test_any_priority_is_taken(priority: float) -> None:
    assert 2**-10 <= level(priority) <= 2**10
    if 2**-10 <= priority <= 2**10:
        assert level(priority) == pytest.approx(priority, rel=1 / 16)


@given(st.lists(st.floats(allow_nan=True), min_size=2))
def test_levels_keep_the_order(priorities: list[float]) -> None:
    known = sorted(p for p in priorities if p == p)
    assert all(level(a) <= level(b) for a, b in pairwise(known))


# Whatever the order of things


class Play:
    """An engine, a model by hand and a few characters, moved one step at a time."""

    def __init__(self) -> None:
        self.engine, self.model = engine_by_hand(capacity=2)
        self.people = [someone(self.engine, name) for name in ("Ada", "Bo", "Cy")]
        self.tickets: list[tuple[Ticket, int, str]] = []
        self.pumped: list[Ticket] = []
        self.forgotten: set[int] = set()
        self.jobs_done = 0
        self.texts: dict[str, str] = {}

    def submit(self, who: int, what: int) -> None:
        happened = f"Event {what} of the day"
        ticket = self.people[who].submit(moment(happened), priority=who + 1)
        for older, of, _ in self.tickets:
            assert older.done or of != who, "two requests of one character wait"
        self.tickets.append((ticket, who, happened))

    def pump(self, *_: int) -> None:
        self.pumped += self.engine.pump(0)

    def poll(self, which: int, _: int) -> None:
        if self.tickets:
            ticket, *_rest = self.tickets[which % len(self.tickets)]
            decision = ticket.poll()
            assert (decision is None) == (ticket.settled is None)
            assert decision is ticket.poll()

    def cancel(self, which: int, _: int) -> None:
        if self.tickets:
            ticket = self.tickets[which % len(self.tickets)][0]
            ticket.cancel()
            assert ticket.done

    def forget(self, who: int, _: int) -> None:
        gone = [t for t, of, _what in self.tickets if of == who and not t.done]
        self.engine.forget(self.people[who])
        assert all(ticket.done for ticket in gone)
        self.forgotten |= {ticket.number for ticket in gone}

    def answer(self, which: int, fails: int) -> None:
        open_jobs = [job for job in self.model.jobs if job not in self.done_jobs]
        if open_jobs:
            job = open_jobs[which % len(open_jobs)]
            self.done_jobs.append(job)
            request = job.request
            text = f"{request.short_name} wants to think of this: {request.context.context}"
            job.answer(() if fails == 0 else (Draft(text, -1.0),), reason="" if fails else "broke")

    done_jobs: list[Any]

    def end(self) -> None:
        for _ in range(len(self.tickets) * 3 + 3):
            self.pump()
            self.answer(0, 1)
        self.pump()


MOVES = ("submit", "pump", "poll", "cancel", "forget", "answer", "submit", "answer", "pump")


@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 2), st.integers(0, 2))))
def test_every_request_has_one_answer_and_its_own(moves: list[tuple[str, int, int]]) -> None:
    play = Play()
    play.done_jobs = []
    with play.engine:
        for name, a, b in moves:
            getattr(play, name)(a, b)
            stats = play.engine.stats
            settled = [t for t, *_ in play.tickets if t.settled]
            assert sum(stats.answered.values()) == len(settled)
            assert stats.submitted == len(play.tickets)
            assert len([j for j in play.model.jobs if j not in play.done_jobs]) <= 3
        play.end()
        assert all(ticket.settled for ticket, *_ in play.tickets)
        # Each exactly once, in the order in which they were answered.
        assert len(set(play.pumped)) == len(play.pumped)
        assert {t.number for t in play.pumped} == {t.number for t, *_ in play.tickets} - (
            play.forgotten
        )
        times = [ticket.answered_at or 0 for ticket in play.pumped]
        assert times == sorted(times)
        for ticket, who, happened in play.tickets:
            decision = ticket.poll()
            assert decision is not None
            assert decision.character == play.people[who].id
            assert len(decision) == 3
            if decision.provenance.source != "instinct":  # never another's, or an older one's
                assert happened in decision[0].text
                assert happened in decision.context.context
            else:
                assert decision.provenance.reason


class Threads(ByHand):
    """Answers from threads of its own, each after a moment."""

    def start(self, request: Request, done: Done) -> Cancel:
        answer = Answer(DRAFTS)
        timer = threading.Timer(0.001, lambda: done(answer))
        timer.daemon = True
        timer.start()
        return lambda: None


def test_many_threads_at_once() -> None:
    model = Threads(8)
    with MotiveEngine(model) as engine:
        assert engine.backend
        found: list[list[Decision]] = [[] for _ in range(4)]
        faults: list[BaseException] = []

        def game(index: int, act: Callable[[Ticket], object]) -> None:
            try:
                for n in range(40):
                    ticket = someone(engine, f"T{index}N{n % 5}").submit(
                        moment(f"{n}"), deadline_ms=(None, 30, 3)[n % 3]
                    )
                    act(ticket)
                    engine.pump(0.1)
                    found[index].append(ticket.result(10))
            except BaseException as exc:
                faults.append(exc)

        acts = (lambda t: t.poll(), lambda t: t.cancel(), lambda t: t.result(10), lambda t: None)
        threads = [threading.Thread(target=game, args=(i, act)) for i, act in enumerate(acts)]
        [thread.start() for thread in threads]
        [thread.join(60) for thread in threads]
        assert faults == []
        assert [len(decisions) for decisions in found] == [40] * 4
        until(lambda: engine.stats.in_flight == 0)
        assert engine.stats.waiting == 0
        assert sum(engine.stats.answered.values()) == engine.stats.submitted == 160


def test_an_engine_that_is_dropped_ends_its_threads() -> None:
    before = threading.active_count()
    engine = MotiveEngine("scripted")
    ticket = someone(engine).submit(deadline_ms=5)
    until(ticket.poll)
    del engine, ticket
    until(lambda: gc.collect() is not None and threading.active_count() <= before)


def test_a_far_relationship_graph_costs_nothing(ines: Character) -> None:
    engine, _ = engine_by_hand()
    with engine:
        ines.engine = engine
        for n in range(50):
            ines.relationships.add_person(Person(f"p{n}", f"Person {n}", 40))
            ines.relationships.set("karl", f"p{n}", Relationship())
        ticket = ines.submit()
        snapshot = ticket.snapshot
        assert snapshot is not None
        assert {id for id, _ in snapshot.relationships.of("ines")} == {"karl", "tomas"}
        assert "p1" not in snapshot.relationships
