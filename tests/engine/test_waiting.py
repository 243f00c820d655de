"""Games that do not pump: they wait, or look in, or await."""

from __future__ import annotations

import asyncio
import threading

import pytest
from by_hand import (
    DRAFTS,
    engine_by_hand,
    someone,
    source,
    until,
)

from daydream_motives import Decision, MotiveEngine

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
