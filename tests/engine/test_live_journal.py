"""What the live side writes down, and what becomes of it when its model changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from by_hand import (
    answered,
    engine_by_hand,
    moment,
    someone,
    until,
)

from daydream_motives import Journal, MotiveEngine

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
