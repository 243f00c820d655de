"""The live side: tickets, who goes first, and that each request has one answer, its own."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from by_hand import DRAFTS, ByHand, engine_by_hand, moment, someone, until
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives import Character, Decision, Journal, MotiveEngine, Situation, Ticket
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship
from daydream_motives.engine.backend import Answer, Cancel, Done, Request
from daydream_motives.engine.live import scheduler
from daydream_motives.engine.live.urgency import level
from daydream_motives.motives.purposes import Draft

SUPERSEDED = "a later request took its place"


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


# Without a pump


def test_a_game_that_never_pumps_is_answered() -> None:
    with MotiveEngine("scripted") as engine:
        assert engine.backend
        looked = someone(engine).submit()
        until(looked.poll)
        assert source(looked) == "model"
        waited = someone(engine, "Bo").submit()
        assert waited.result(10).provenance.source == "model"


def test_a_result_is_waited_for_and_the_wait_may_end() -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit()
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            ticket.result(0.01)
        assert len(model.jobs) == 1  # composed by whoever waits
        threading.Timer(0.02, model.jobs[0].answer).start()
        assert ticket.result(10).provenance.source == "model"
        assert ticket.result(0).provenance.source == "model"


def test_a_result_asked_for_while_the_model_loads() -> None:
    go = threading.Event()

    class Loading(MotiveEngine):
        pass

    engine = Loading("scripted")
    open_it = engine._host._open
    engine._host._open = lambda closing: go.wait(10) and open_it(closing)  # type: ignore[assignment]
    with engine:
        ticket = someone(engine).submit()
        late = someone(engine, "Bo").submit(deadline_ms=10)
        with pytest.raises(TimeoutError):
            ticket.result(0.03)
        assert "still loading" in late.result().provenance.reason
        go.set()
        assert ticket.result(10).provenance.source == "model"


def test_many_at_once_by_a_deadline_and_without_one() -> None:
    engine, model = engine_by_hand()
    with engine:
        crowd = [(someone(engine, f"N{n}"), None) for n in range(3)]
        assert {d.provenance.source for d in engine.next_purposes_many(crowd)} == {"model"}
        late = engine.next_purposes_many(crowd, deadline_ms=200)
        assert [d.character for d in late] == ["n0", "n1", "n2"]
        assert all("200 ms" in d.provenance.reason for d in late)
    assert len(model.jobs) == 2


# asyncio


def test_a_ticket_can_be_awaited_by_many_and_given_up_by_one() -> None:
    engine, model = engine_by_hand()

    async def game() -> list[str]:
        ticket = someone(engine).submit()

        async def wait() -> Decision:
            return await ticket

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert not ticket.done
        threading.Thread(target=model.jobs[0].answer).start()
        decisions = [await task for task in tasks[1:]]
        assert decisions[0] is decisions[1] is await ticket
        return [purpose.text for purpose in decisions[0]]

    with engine:
        assert asyncio.run(game()) == [draft.text for draft in DRAFTS]


def test_awaiting_ends_at_the_deadline_and_a_cancelled_question_is_dropped() -> None:
    engine, model = engine_by_hand(capacity=2)

    async def game() -> None:
        late = await someone(engine).next_purposes_async(deadline_ms=200)
        assert "200 ms" in late.provenance.reason
        asking = asyncio.create_task(someone(engine, "Bo").next_purposes_async(deadline_ms=10_000))
        await asyncio.sleep(0.02)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert model.jobs[1].stopped
        assert (await someone(engine).next_purposes_async()).provenance.source == "model"

    with engine:
        asyncio.run(game())


def test_an_answer_to_a_loop_that_is_gone() -> None:
    engine, model = engine_by_hand()
    with engine:
        ticket = someone(engine).submit()

        async def leave() -> None:
            task = asyncio.ensure_future(asyncio.wait_for(ticket, 0.01))
            with pytest.raises(TimeoutError):
                await task

        asyncio.run(leave())
        model.jobs[0].answer()
        assert source(ticket) == "model"


# The journal


def test_what_is_decided_is_written_by_pumps_and_not_by_polls(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        engine, model = engine_by_hand(recorder=journal)
        with engine:
            decision = answered(engine, someone(engine), moment("one"))
            assert list(journal.records()) == []
            engine.pump()
            assert [r["id"] for r in journal.records()] == [decision.id]
            decision = answered(engine, someone(engine, "Bo"), moment("one"))
            decision.choose(2)
            decision.resolve({"grade": 0.5})
            records = list(journal.records())
            assert [r["chosen"] for r in records] == [None, 2]
            assert records[1]["outcome"]["grade"] == 0.5
            engine.pump()
            waited = someone(engine, "Cy").submit(deadline_ms=1)
            waited.result()
            assert len(list(journal.records())) == 3
            last = answered(engine, someone(engine, "Di"), moment("one"))
        assert [r["id"] for r in journal.records()][3:] == [last.id]  # closing writes the rest
    assert model.jobs


def test_what_nobody_wanted_is_written_only_if_it_is_acted_on(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        engine, _ = engine_by_hand(recorder=journal)
        with engine:
            ines = someone(engine)
            first, second, third = (ines.submit(moment(text)) for text in "abc")
            third.cancel()
            engine.pump()
            assert list(journal.records()) == []
            second.result().choose(1)
            assert [r["chosen"] for r in journal.records()] == [1]
            assert first.done


def test_a_journal_that_fails_does_not_reach_the_game(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    engine, _ = engine_by_hand(recorder=journal)
    with engine:
        journal.close()
        decision = answered(engine, someone(engine), moment("one"))
        engine.pump()
        decision.choose()
        decision.resolve({})
    assert caplog.text.count("could not be recorded") == 3


def test_a_game_that_only_polls_has_its_journal_written_too(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal, MotiveEngine("scripted", recorder=journal) as e:
        assert e.backend
        for n in range(80):
            someone(e, f"N{n}").submit(deadline_ms=0).poll()
        assert len(list(journal.records())) == 80 - 33


# Another model


def test_a_new_model_takes_over_and_no_request_is_lost(tmp_path: Path) -> None:
    engine, model = engine_by_hand(capacity=2)
    with engine:
        tickets = [engine.submit(someone(engine, f"N{n}")) for n in range(8)]
        engine.pump()
        under_way = len(model.jobs)
        swapped = engine.swap("scripted")
        assert swapped.result(10)
        for job in model.jobs:
            job.answer()
        until(lambda: engine.pump(100) is not None and all(t.done for t in tickets))
        made = [t.result().provenance.model for t in tickets]
    assert len(model.jobs) == under_way
    assert sorted(made) == ["by hand"] * under_way + ["scripted"] * (8 - under_way)
    assert model.closed == 0  # whoever opened it closes it


def test_a_model_that_cannot_be_had_leaves_the_old_one(caplog: pytest.LogCaptureFixture) -> None:
    engine, _ = engine_by_hand()
    with engine:
        assert engine.swap("no such model").result(10) is False
        assert engine.swap().result(10) is False  # none is installed here
        assert "no new model" in caplog.text
        assert answered(engine, someone(engine), moment("one")).provenance.model == "by hand"
    assert engine.swap("scripted").result(10) is False


def test_a_backend_that_can_change_its_model_does_so_itself() -> None:
    engine, model = engine_by_hand()
    asked: list[Any] = []
    model.swap = lambda kind, spec: asked.append((kind, spec.model))  # type: ignore[attr-defined]
    with engine:
        assert engine.swap("scripted").result(10)
        assert engine.backend is model
    assert asked == [("scripted", "scripted")]


def test_a_model_can_come_where_none_was() -> None:
    with MotiveEngine("instinct") as engine:
        assert someone(engine).next_purposes().provenance.source == "instinct"
        assert engine.swap("scripted").result(10)
        assert someone(engine).next_purposes().provenance.model == "scripted"


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
