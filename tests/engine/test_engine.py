"""The façade: answers by the deadline, honest provenance, and records that may fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from daydream_motives import Character, CharacterSheet, Journal, MotiveEngine, Situation
from daydream_motives.engine.backend import Answer, BackendSpec, Request, open_backend
from daydream_motives.errors import BackendError, RunError
from daydream_motives.motives.purposes import Draft


class Slow:
    """A plug-in backend that thinks until it is told to stop, or fails."""

    model, model_hash, adapter_hash = "slow", "0", ""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.stopped = fails, threading.Event()

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        if self.fails:
            raise MemoryError("no room")
        while cancelled and not cancelled():
            threading.Event().wait(0.005)
        self.stopped.set()
        return [Answer((Draft("late"),)) for _ in requests]

    def close(self) -> None:
        pass


def someone(engine: MotiveEngine) -> Character:
    return Character(CharacterSheet(name="Ines"), engine=engine)


@pytest.mark.parametrize("deadline", [0, 5, 60])
def test_a_late_model_is_cancelled_and_instinct_answers(deadline: float) -> None:
    slow = Slow()
    with MotiveEngine(slow) as engine:
        assert engine.backend
        decision = someone(engine).next_purposes(Situation(), deadline_ms=deadline)
        assert decision.provenance.source == "instinct"
        assert f"{deadline} ms" in decision.provenance.reason
        assert deadline < 10 or slow.stopped.wait(5)  # else it may not even have begun


def test_a_failing_model_never_reaches_the_game(caplog: pytest.LogCaptureFixture) -> None:
    with MotiveEngine(Slow(fails=True)) as engine:
        decision = someone(engine).next_purposes()
    assert (len(decision), decision.provenance.source) == (3, "instinct")
    assert "MemoryError: no room" in decision.provenance.reason
    assert "slow failed" in caplog.text


def test_no_model_means_instinct_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with MotiveEngine() as engine:
        sources = {someone(engine).next_purposes().provenance.source for _ in range(3)}
    assert sources == {"instinct"}
    assert caplog.text.count("daydream models pull motives-135m") == 1


def test_a_closed_engine_still_answers() -> None:
    engine = MotiveEngine("scripted")
    engine.close()
    engine.close()
    decision = someone(engine).next_purposes()
    assert (decision.provenance.source, decision.provenance.reason) == (
        "instinct",
        "the engine is closed",
    )


def test_an_old_save_asks_again_and_both_are_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        with MotiveEngine("scripted", recorder=journal, namespace="game") as engine:
            ines = someone(engine)
            save = ines.save_state()
            first = ines.next_purposes()
            ines.load_state(save)
            second = ines.next_purposes()
        assert first.id != second.id
        assert [p.text for p in first] == [p.text for p in second]
        assert len(list(journal.records())) == 2


def test_a_journal_that_fails_stops_a_simulation_but_not_a_game(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    with MotiveEngine("scripted", recorder=journal) as engine:
        assert engine.backend
        journal.close()
        with pytest.raises(RunError):
            someone(engine).next_purposes()
        assert len(someone(engine).next_purposes(deadline_ms=2000)) == 3
    assert "could not be recorded" in caplog.text


class Grouped:
    """A backend that decides three at once, and notes who was asked for together."""

    model, model_hash, adapter_hash, parallel = "grouped", "0", "", 3

    def __init__(self, short: int = 0) -> None:
        self.groups: list[list[str]] = []
        self.short = short

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.groups.append([request.short_name for request in requests])
        texts = (f"{request.short_name} wants to sing again." for request in requests)
        return [Answer((Draft(text),)) for text in texts][self.short :]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("known", "groups"),
    [("", ["ABC", "DE"]), ("B", ["ABC", "DE"]), ("ABC", ["DE"]), ("ABCE", ["DE"]), ("ABCDE", [])],
)
def test_a_group_of_which_one_answer_is_missing_is_asked_whole(
    known: str, groups: list[str]
) -> None:
    with MotiveEngine("scripted", namespace="run") as engine:
        first = engine.decide_many([(Character(CharacterSheet(name=n)), None) for n in "ABCDE"])
    found = {d.id: d.ranked for d in first if d.character.upper() in known}
    backend = Grouped()
    recorded = lambda id, context: found.get(id)  # noqa: E731
    with MotiveEngine(backend, namespace="run", recorded=recorded) as engine:
        again = engine.decide_many([(Character(CharacterSheet(name=n)), None) for n in "ABCDE"])
    assert ["".join(group) for group in backend.groups] == groups
    assert [d.id for d in again] == [d.id for d in first]
    for name, decision, before in zip("ABCDE", again, first, strict=True):
        if name in known:
            assert decision.ranked is before.ranked
        else:
            assert decision.provenance.model == "grouped"
            assert decision[0].text == f"{name} wants to sing again."


def test_a_backend_that_answers_too_few_is_not_believed() -> None:
    with MotiveEngine(Grouped(short=1)) as engine:
        asked = [(Character(CharacterSheet(name=n)), None) for n in "AB"]
        reasons = {d.provenance.reason for d in engine.decide_many(asked)}
    assert reasons == {"1 answers came to 2 requests"}


def test_a_model_that_dies_in_the_worker_leaves_instinct(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing more")
    for worker in (True, False):
        with MotiveEngine("llama", spec=BackendSpec("broken", broken), worker=worker) as engine:
            decision = someone(engine).next_purposes()
        assert decision.provenance.source == "instinct"
        assert "not a GGUF model it knows" in decision.provenance.reason


def test_an_unknown_backend_names_those_there_are() -> None:
    with pytest.raises(BackendError, match="installed: llama, remote, scripted"):
        open_backend("oracle", BackendSpec("x"))
