"""The worker as a backend like any other: it answers, is cancelled, changes models and ends."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workers import HOSTILE, Answers, alive, eventually, hostile, request

from daydream_motives.engine.backend import (
    Answer,
    Backend,
    BackendSpec,
    Request,
    Scorer,
    Service,
    open_backend,
)
from daydream_motives.engine.worker import launch
from daydream_motives.engine.worker.backend import Limits, WorkerBackend
from daydream_motives.errors import BackendError, SettingsError
from daydream_motives.motives.budget import rough_count

SCRIPTED = BackendSpec("scripted", threads=1)


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerBackend]:
    """The real program with the scripted backend."""
    backend = WorkerBackend("scripted", SCRIPTED)
    backend.wait(60)
    yield backend
    backend.close()


def test_it_is_all_that_a_backend_can_be(worker: WorkerBackend) -> None:
    assert isinstance(worker, Backend)
    assert isinstance(worker, Service)
    assert isinstance(worker, Scorer)


def test_it_answers_what_the_same_backend_answers_here(worker: WorkerBackend) -> None:
    here = open_backend("scripted", SCRIPTED)
    requests = [request(seed) for seed in range(20)]
    made_by = (here.model, here.model_hash, here.adapter_hash)
    expected = [replace(answer, made_by=made_by) for answer in here.decide_many(requests)]
    assert worker.decide_many(requests) == expected
    assert (worker.model, worker.model_hash, worker.adapter_hash) == made_by
    assert worker.decide_many([]) == []


def test_ten_thousand_at_once_are_all_answered(worker: WorkerBackend) -> None:
    answers, slowest = Answers(), 0.0
    for seed in range(10_000):
        start = time.perf_counter()
        answers.ask(worker, seed)
        slowest = max(slowest, time.perf_counter() - start)
    assert all(answer.drafts for answer in answers.wait(120))
    assert slowest < 1  # it waits for no pipe


def test_tokens_are_guessed_without_a_tokenizer(worker: WorkerBackend) -> None:
    assert worker.count_tokens("Ines counts the boats") == rough_count("Ines counts the boats")


def test_a_tokenizer_counts_once_the_model_is_open() -> None:
    opened: list[tuple[str, BackendSpec]] = []

    def tokenizer(kind: str, spec: BackendSpec) -> object:
        opened.append((kind, spec))
        return lambda text: 42

    worker = WorkerBackend("scripted", SCRIPTED, tokenizer=tokenizer)  # type: ignore[arg-type]
    worker.wait()
    assert (worker.count_tokens("boats"), opened) == (42, [("scripted", SCRIPTED)])
    worker.close()


def test_whoever_sees_a_new_model_counts_with_its_vocabulary() -> None:
    seen: list[str] = []

    def tokenizer(kind: str, spec: BackendSpec) -> object:
        seen.append(backend.model)
        return lambda text: len(spec.model)

    backend = WorkerBackend("named", replace(SCRIPTED, model="a"), command=HOSTILE,
                           tokenizer=tokenizer)  # type: ignore[arg-type]  # fmt: skip
    backend.wait()
    assert backend.count_tokens("boats") == 1
    backend.swap("named", replace(SCRIPTED, model="another")).result(30)
    assert (seen, backend.model, backend.count_tokens("boats")) == (["a", "a"], "another", 7)
    backend.close()


def test_a_tokenizer_that_fails_leaves_the_guess(caplog: pytest.LogCaptureFixture) -> None:
    def tokenizer(kind: str, spec: BackendSpec) -> object:
        raise OSError("no such file")

    worker = WorkerBackend("scripted", SCRIPTED, tokenizer=tokenizer)  # type: ignore[arg-type]
    worker.wait()
    assert worker.count_tokens("boats") == rough_count("boats")
    assert "only guessed: OSError: no such file" in caplog.text
    worker.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows is told when the process is made")
def test_it_is_polite_to_the_game(worker: WorkerBackend) -> None:
    assert worker.pid
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_requests_may_come_before_the_model() -> None:
    worker, answers = hostile("slow to open", "0.5"), Answers()
    assert (worker.model, worker.capacity) == ("0.5", 1)
    for seed in range(5):
        answers.ask(worker, seed)
    assert [answer.made_by and answer.made_by[0] for answer in answers.wait()] == ["0.5"] * 5
    worker.close()


def test_no_more_wait_than_may() -> None:
    worker, answers = hostile("slow to open", "1", waiting=3), Answers()
    for seed in range(5):
        answers.ask(worker, seed)
    got = answers.wait()
    assert [bool(answer.drafts) for answer in got] == [True] * 3 + [False] * 2
    assert got[4].reason == "3 requests wait already"
    worker.close()


def test_those_that_were_cancelled_do_not_wait() -> None:
    worker, answers = hostile("slow to open", "1", waiting=3), Answers()
    for seed in range(3):
        answers.ask(worker, seed)()
    eventually(lambda: all(answers.got.values()))
    for seed in range(3, 6):
        answers.ask(worker, seed)
    assert [bool(answer.drafts) for answer in answers.wait()] == [False] * 3 + [True] * 3
    worker.close()


def test_a_request_that_cannot_be_sent_hurts_no_other(worker: WorkerBackend) -> None:
    odd = [request(0, "\ud800"), request(1), request(2, "x" * 5_000_000)]
    first, second, third = worker.decide_many(odd)
    assert (first.drafts, third.drafts) == ((), ())
    assert "cannot be sent" in first.reason
    assert "too long" in third.reason
    assert second.drafts


# ---- cancelling


def test_cancelled_before_during_and_after() -> None:
    worker, answers = hostile("hangs"), Answers()
    worker.wait()
    during = answers.ask(worker, 0, "Bad")
    waiting = [answers.ask(worker, seed) for seed in range(1, 5)]
    waiting[-1]()
    eventually(lambda: answers.got[4])
    assert not answers.got[0]
    assert len(worker._supervisor.desk._sent) == worker.capacity == 2
    during()
    got = answers.wait()
    assert got[4].reason == "cancelled"
    assert all(answer.drafts for answer in got[1:4])
    for cancel in (during, *waiting):
        cancel()
    assert worker.decide_many([request()])[0].drafts
    answers.wait()
    worker.close()


def test_deciding_many_can_be_abandoned() -> None:
    worker, stop = hostile("hangs"), threading.Event()
    threading.Timer(0.5, stop.set).start()
    got = worker.decide_many([request(0, "Bad"), request(1), request(2)], stop.is_set)
    assert [answer.reason for answer in got[1:]] == ["cancelled"] * 2
    assert worker.decide_many([request()])[0].drafts
    worker.close()


# ---- comparing purposes


def test_it_compares_purposes_where_the_backend_can() -> None:
    worker = hostile("scores")
    assert worker.score(request(), ["a", "bcd"]) == [-1.0, -3.0]
    assert worker.score(request(), []) == []
    with pytest.raises(BackendError, match="it does not fit"):
        worker.score(request(0, "Bad"), ["a"])
    worker.close()
    with pytest.raises(BackendError, match="the engine is closed"):
        worker.score(request(), ["a"])


def test_it_says_where_the_backend_cannot(worker: WorkerBackend) -> None:
    with pytest.raises(BackendError, match="cannot compare"):
        worker.score(request(), ["a"])


# ---- the end


def test_closing_ends_the_process_and_answers_everyone() -> None:
    worker, answers = hostile("hangs"), Answers()
    worker.wait()
    pid = worker.pid
    for seed in range(5):
        answers.ask(worker, seed, "Bad")
    worker.close()
    worker.close()
    assert pid
    assert not alive(pid)
    assert {answer.reason for answer in answers.wait(0)} == {"the engine is closed"}
    late = Answers()
    late.ask(worker, 0)
    assert late.wait(0)[0].reason == "the engine is closed"
    assert worker.pid is None
    with pytest.raises(BackendError, match="closed"):
        worker.swap("named", SCRIPTED).result(0)


def test_closing_while_it_loads() -> None:
    worker, answers = hostile("slow to open", "60"), Answers()
    answers.ask(worker, 0)
    start = time.monotonic()
    worker.close()
    assert time.monotonic() - start < 5
    assert answers.wait(0)[0].reason == "the engine is closed"
    with pytest.raises(BackendError, match="closed"):
        worker.wait()


def test_a_worker_that_will_not_go_is_killed() -> None:
    worker, answers = hostile("stuck", grace=0.2), Answers()
    worker.wait()
    pid = worker.pid
    answers.ask(worker, 0, "Bad")
    eventually(lambda: worker._supervisor.desk.busy)
    worker.close()
    assert pid
    assert not alive(pid)


def test_closing_from_an_answer_is_no_deadlock() -> None:
    worker, closed = hostile("named"), threading.Event()

    def done(_: Answer) -> None:
        worker.close()
        closed.set()

    worker.start(request(), done)
    assert closed.wait(30)
    worker.close()
    assert worker.pid is None


def test_one_that_is_dropped_leaves_no_process() -> None:
    worker, answers = hostile("named"), Answers()
    answers.ask(worker, 0)
    answers.wait()
    pid, gone = worker.pid, weakref.ref(worker)
    del worker
    gc.collect()
    assert gone() is None
    assert pid
    eventually(lambda: not alive(pid))


def test_who_fails_to_take_an_answer_harms_nobody(
    worker: WorkerBackend, caplog: pytest.LogCaptureFixture
) -> None:
    def done(_: Answer) -> None:
        raise ValueError("not now")

    worker.start(request(), done)
    assert worker.decide_many([request()])[0].drafts
    assert "failed to take an answer" in caplog.text


# ---- how it is started


@pytest.mark.parametrize("command", [["/nonexistent/python"], ["\0"]])
def test_a_program_that_cannot_be_started_is_a_failure_like_any_other(command: list[str]) -> None:
    limits = Limits(first_pause=0.01, failures=2)
    worker = WorkerBackend("scripted", SCRIPTED, command=command, limits=limits)
    with pytest.raises(BackendError, match="cannot be started"):
        worker.wait(30)
    assert "cannot be started" in worker.decide_many([request()])[0].reason
    worker.close()


def test_the_environment_may_name_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYDREAM_WORKER", "'/opt/my game/worker' --quiet")
    assert launch.default_command() == ["/opt/my game/worker", "--quiet"]
    monkeypatch.setenv("DAYDREAM_WORKER", "'unclosed")
    with pytest.raises(SettingsError, match="DAYDREAM_WORKER"):
        launch.default_command()


def test_a_frozen_game_starts_itself_only_where_it_would_become_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/games/harbour")
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr(launch, "_game_asks", False)
    with pytest.raises(BackendError, match="no Python interpreter") as caught:
        WorkerBackend("scripted", SCRIPTED)
    assert "run_worker_if_asked" in caught.value.remedy
    launch.run_worker_if_asked()
    assert launch.default_command() == ["/games/harbour", "--daydream-worker"]


def test_a_worker_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYDREAM_INSIDE_WORKER", "1")
    with pytest.raises(BackendError, match="another worker"):
        WorkerBackend("scripted", SCRIPTED)


def test_files_beside_the_game_stand_in_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "json", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", str(tmp_path), *sys.path])
    worker = WorkerBackend("scripted", SCRIPTED)
    worker.wait(60)
    worker.close()


def test_a_relative_path_is_read_from_where_the_game_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = BackendSpec("x", Path("model.gguf"))
    worker = WorkerBackend("refuses", spec, command=HOSTILE)
    with pytest.raises(BackendError, match=str(tmp_path / "model.gguf")):
        worker.wait(60)
    worker.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no fork")
def test_a_fork_of_the_game_does_not_touch_the_worker(worker: WorkerBackend) -> None:
    """The child answers itself, ends, and leaves its parent's worker alone."""
    read, write = os.pipe()
    if (child := _fork()) == 0:
        try:
            seen: list[Answer] = []
            worker.start(request(), seen.append)()
            worker.close()
            os.write(write, seen[0].reason.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() == "the engine was made in another process"
    assert worker.decide_many([Request(request().context, "Ines", "she", 1)])[0].drafts
    os.close(read)
    os.close(write)


def _fork() -> int:
    with warnings.catch_warnings():  # Python 3.12 warns of threads
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
