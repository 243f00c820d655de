"""The end of an engine: it never waits for a model that is not wanted, and loses no decision."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from by_hand import engine_by_hand, moment, someone, until

from daydream_motives import Journal, MotiveEngine
from daydream_motives.engine.backend import BackendSpec

SLEEPS = f'"{sys.executable}" -c "import time; time.sleep(100)"'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's file whose worker never says a word."""
    monkeypatch.setenv("DAYDREAM_WORKER", SLEEPS)
    (path := tmp_path / "x.gguf").write_bytes(b"x")
    return path


def test_closing_while_the_worker_loads(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = MotiveEngine("scripted", spec=BackendSpec("x", path=file))
    ticket = someone(engine).submit()
    until(lambda: "daydream-worker" in {thread.name for thread in threading.enumerate()})
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert ticket.result(0).provenance.reason == "the engine is closed"
    assert "instinct" not in caplog.text  # nobody is warned of what was wanted


def test_closing_while_another_model_loads() -> None:
    engine, model = engine_by_hand()
    never, asked = Future[None](), threading.Event()
    model.swap = lambda kind, spec: asked.set() or never  # type: ignore[attr-defined,func-returns-value]
    swapped = engine.swap("scripted")
    assert asked.wait(10)
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert swapped.result(0) is False


def test_a_game_that_ends_without_a_word_while_the_worker_loads(file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from daydream_motives import MotiveEngine; "
        "from daydream_motives.engine.backend import BackendSpec; "
        "MotiveEngine('scripted', spec=BackendSpec('x', path=Path(sys.argv[1]))).load()"
    )
    subprocess.run([sys.executable, "-c", program, str(file)], timeout=60, check=True)


def test_what_no_pump_saw_is_written_at_the_end(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        engine, model = engine_by_hand(capacity=3, recorder=journal)
        tickets = [someone(engine, name).submit(moment("one")) for name in ("Ada", "Bo", "Cy")]
        engine.pump(1000)
        model.jobs[0].answer()
        engine.pump(0)
        model.jobs[1].answer()
        engine.close()
        found = [record["id"] for record in journal.records()]
        assert found == [tickets[n].result(0).id for n in range(2)]
        assert len(engine.pump()) == 2  # the game still hears of them
        engine.close()
        assert len(list(journal.records())) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_writes_nothing_of_what_its_parent_holds(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        engine, model = engine_by_hand(recorder=journal)
        with engine:
            ticket = someone(engine).submit(moment("one"))
            engine.pump()
            model.jobs[0].answer()
            held = ticket.poll()
            assert held is not None
            assert len(engine._ledger) == 1
            other = someone(engine, "Cy").submit()
            other.cancel()
            engine._unmade.append(other)
            other.lock.acquire()
            engine._ledger._lock.acquire()  # another thread of the parent may be writing
            child = os.fork()
            if not child:  # a child that waits for the lock is ended by the alarm
                import signal

                signal.alarm(10)
                engine._ledger._lock = type("Held", (), {"__enter__": lambda _: os._exit(2)})()
                for _ in range(40):
                    someone(engine, "Bo").submit(deadline_ms=0)
                engine.pump(1000)
                engine._ledger.flush()
                ticket.result(0)
                held.choose()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            engine._ledger._lock.release()
            other.lock.release()
            engine.pump(1000)
            assert [record["id"] for record in journal.records()] == [held.id]
