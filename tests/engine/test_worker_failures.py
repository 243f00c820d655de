"""A worker that crashes, hangs, lies or never starts: the game goes on and knows why."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from workers import HOSTILE, QUICK, Answers, alive, environment, eventually, fake, hostile, request

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.worker.backend import Limits, WorkerBackend
from daydream_motives.errors import BackendError

posix = pytest.mark.skipif(os.name == "nt", reason="needs signals")


def kill(worker: WorkerBackend) -> None:
    if pid := worker.pid:
        os.kill(pid, signal.SIGKILL)


# ---- dying


@posix
def test_killed_at_any_moment_nothing_is_lost_or_answered_twice() -> None:
    rng, worker, answers = random.Random(1), hostile("slow", parallel=4), Answers()
    killed: set[int] = set()
    stop = threading.Event()

    def killing() -> None:
        while not stop.wait(rng.uniform(0, 0.8)):
            if pid := worker.pid:
                killed.add(pid)
                kill(worker)

    killer = threading.Thread(target=killing)
    killer.start()
    end, number = time.monotonic() + 4, 0
    while time.monotonic() < end:
        cancel = answers.ask(worker, number)
        if rng.random() < 0.05:
            cancel()
        number += 1
        time.sleep(0.002)
    stop.set()
    killer.join()
    got = answers.wait(60)
    assert len(killed) >= 3
    assert not any(map(alive, killed))
    assert {a.reason for a in got} <= {"", "cancelled", "the worker process died (SIGKILL)"}
    assert sum(bool(answer.drafts) for answer in got) > number / 2
    worker.close()
    answers.wait(0)


@posix
def test_what_was_under_way_is_put_to_the_next_worker() -> None:
    worker, answers = hostile("steady", parallel=3), Answers()
    worker.wait()
    for seed in range(2):
        answers.ask(worker, seed, "Bad")
    time.sleep(0.3)
    kill(worker)
    assert all(answer.drafts for answer in answers.wait())
    worker.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        pytest.param("aborts", "the worker process died (SIGABRT)", marks=posix),
        ("exits", "the worker process ended (exit code 3)"),
    ],
)
def test_what_kills_the_worker_twice_is_not_asked_again(
    kind: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = hostile(kind)
    before, bad, after = worker.decide_many([request(0), request(1, "Bad"), request(2)])
    assert (bad.drafts, bad.reason) == ((), why)
    assert before.drafts
    assert after.drafts or after.reason == why  # it was with the bad one, both times
    assert worker.decide_many([request()])[0].drafts
    assert [record.levelname for record in caplog.records].count("WARNING") == 2
    assert why in caplog.text
    assert (kind == "aborts") == ("it said last: GGML_ASSERT(n_tokens > 0) failed" in caplog.text)
    worker.close()


@posix
def test_memory_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    script = tmp_path / "small_machine.py"
    script.write_text(
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        f"sys.argv[:] = {HOSTILE[-1:]!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command, spec = [sys.executable, str(script)], BackendSpec("model", threads=1)
    worker = WorkerBackend("greedy", spec, command=command)
    bad, good = worker.decide_many([request(0, "Bad"), request(1)])
    assert "MemoryError" in bad.reason
    assert good.drafts
    worker.close()
    worker = WorkerBackend("limited", spec, command=command, limits=Limits(**QUICK))
    with pytest.raises(BackendError, match="MemoryError"):
        worker.wait(60)
    worker.close()


# ---- hanging


def test_one_that_hangs_is_killed_and_the_rest_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = hostile("hangs", step=0.5)
    bad, good = worker.decide_many([request(0, "Bad"), *map(request, range(1, 3))])[::2]
    assert bad.reason == "the worker process was ended: no progress for 0.5 s"
    assert good.drafts or good.reason == bad.reason
    assert "no progress for 0.5 s" in caplog.text
    worker.close()


def test_one_without_a_heartbeat_is_killed() -> None:
    worker = hostile("stuck", heartbeat=1.2)
    assert "no heartbeat for 1.2 s" in worker.decide_many([request(0, "Bad")])[0].reason
    worker.close()


def test_one_that_takes_long_but_gets_on_is_left_alone() -> None:
    worker = hostile("steady", step=1.5)
    worker.wait()
    pid = worker.pid
    assert worker.decide_many([request(0, "Bad")])[0].drafts
    assert worker.pid == pid
    worker.close()


def test_a_game_that_takes_long_over_an_answer_does_not_blame_the_worker() -> None:
    worker, answers = hostile("named", heartbeat=2.0), Answers()
    worker.wait()
    pid = worker.pid
    worker.start(request(), lambda _: time.sleep(3.5))
    answers.ask(worker, 1)
    assert answers.wait()[0].drafts
    assert worker.pid == pid
    worker.close()


def test_an_idle_worker_need_not_get_on() -> None:
    worker = hostile("named", step=0.3)
    worker.wait()
    pid = worker.pid
    time.sleep(0.8)
    assert worker.decide_many([request()])[0].drafts
    assert worker.pid == pid
    worker.close()


@posix
def test_a_game_that_was_stopped_does_not_blame_the_worker(tmp_path: Path) -> None:
    """Suspended longer than the heartbeat may be missing, both go on where they were."""
    game = tmp_path / "game.py"
    game.write_text(
        "from workers import hostile, request\n"
        "worker = hostile('named', heartbeat=2.5)\n"
        "worker.wait()\n"
        "print(worker.pid, flush=True)\n"
        "input()\n"
        "print(bool(worker.decide_many([request()])[0].drafts), worker.pid, flush=True)\n"
        "worker.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, str(game)], env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        pid = int(process.stdout.readline())
        for stopped in (process.pid, pid):
            os.kill(stopped, signal.SIGSTOP)
        time.sleep(4)
        for stopped in (process.pid, pid):
            os.kill(stopped, signal.SIGCONT)
        time.sleep(0.5)
        said, _ = process.communicate("\n", timeout=30)
    assert said.split() == ["True", str(pid)]


# ---- loading


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("refuses", "no model file at None"),
        ("lacks", "ImportError: No module named 'llama_cpp'"),
        ("speechless", "a message cannot be sent"),
        ("no such kind", "KeyError"),
        ("dies", "the worker process ended .exit code 9."),
        ("leaves", "the worker process ended .exit code 70."),
    ],
)
def test_a_model_that_cannot_be_opened_is_said_to_be(kind: str, why: str) -> None:
    worker = hostile(kind, failures=2, cool_down=60)
    answers = worker.decide_many([request(seed) for seed in range(3)])
    assert not any(answer.drafts for answer in answers)
    with pytest.raises(BackendError, match=why):
        worker.wait(30)
    worker.close()


def test_a_path_that_is_no_text_is_said_to_be() -> None:
    spec = BackendSpec("model", Path("/models/\udcff.gguf"), threads=1)
    worker = WorkerBackend("named", spec, command=HOSTILE, limits=Limits(**QUICK))
    with pytest.raises(BackendError, match="cannot be sent"):
        worker.wait(30)
    worker.close()


def test_a_remedy_comes_across() -> None:
    worker = hostile("refuses")
    with pytest.raises(BackendError) as caught:
        worker.wait(30)
    assert caught.value.remedy == "pull it"
    worker.close()


def test_a_model_that_is_never_open_is_given_up() -> None:
    worker = hostile("slow to open", "60", load=0.4, failures=1)
    assert "not open after 0.4 s" in worker.decide_many([request()])[0].reason
    worker.close()


def test_waiting_for_a_model_has_an_end() -> None:
    worker = hostile("slow to open", "60")
    with pytest.raises(BackendError, match=r"not open after 0\.05 s"):
        worker.wait(0.05)
    worker.close()


def test_a_program_that_says_nothing_is_given_up() -> None:
    worker = fake("pass", "time.sleep(60)", hello=0.3, failures=1)
    assert "it said nothing for 0.3 s" in worker.decide_many([request()])[0].reason
    worker.close()


# ---- the circuit


def test_after_many_failures_requests_are_refused_until_a_trial_succeeds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mended = tmp_path / "mended"
    answer = "say(t='done', id=id, answer={'drafts': [{'text': 'x'}]})"
    worker = fake(
        f"{answer} if os.path.exists({str(mended)!r}) else os._exit(7)", failures=4, cool_down=0.4
    )
    why = "the worker process ended (exit code 7)"
    assert worker.decide_many([request()])[0].reason == why  # both its tries
    assert worker.decide_many([request()])[0].reason == why
    eventually(lambda: "It failed 4 times" in caplog.text)
    start = time.monotonic()
    assert worker.decide_many([request()])[0].reason == why
    assert time.monotonic() - start < 0.2  # at once
    eventually(lambda: not worker._supervisor.desk._refusal)  # a trial is on
    assert worker.decide_many([request()])[0].reason == why  # which this request ends
    eventually(lambda: "It failed again" in caplog.text)
    mended.touch()
    eventually(lambda: worker.decide_many([request()])[0].drafts)
    mended.unlink()
    assert worker.decide_many([request()])[0].reason == why
    assert caplog.text.count("It failed") == 2  # the count began anew
    worker.close()


def test_pauses_grow() -> None:
    rng = random.Random(5)
    limits = Limits(first_pause=0.05, longest_pause=0.3, failures=100)
    worker = WorkerBackend("x", BackendSpec("x"), command=["/nonexistent"], limits=limits, rng=rng)
    supervisor = worker._supervisor
    start = time.monotonic()
    eventually(lambda: len(supervisor._failures) >= 5)
    took = time.monotonic() - start
    assert 0.75 * (0.05 + 0.1 + 0.2 + 0.3) <= took < 5
    worker.close()


# ---- lies

ANSWER = "say(t='done', id=id, answer={'drafts': [{'text': 'x'}]})"


def test_the_worker_in_a_few_lines_is_believed() -> None:
    worker = fake(ANSWER)
    answers = worker.decide_many([request(seed) for seed in range(50)])
    assert all(answer.drafts[0].text == "x" for answer in answers)
    worker.close()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("os.write(1, b'\\x00\\xff garbage\\n')", "a line is no message"),
        ("os.write(1, b'{\"t\": \"do'); os._exit(0)", "broke off"),
        ("say(t='done', id=id + 1000, answer={'drafts': []})", "was not asked"),
        (f"{ANSWER}; {ANSWER}; time.sleep(9)", "was not asked"),
        ("say(t='rated', id=id, scores=[])", "was not asked"),
        ("say(t='done', id=id, answer={'drafts': [{'text': 'x' * 10**8}]})", "4000000 bytes"),
        ("say(t='done', id=id, answer={'drafts': [{'text': 'x'}] * 4})", "4 drafts"),
        ("ready(77)", "not asked for"),
        ("say(t='hello', version=99, pid=1)", "version 99"),
        ("os.close(1)", "closed its output"),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_worker_that_lies_has_failed(
    asked: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = fake(asked, step=1.0 if asked.startswith("ready") else 30.0)
    answer = worker.decide_many([request()])[0]
    if asked.startswith("ready"):  # of a model that nobody asked for, beside one that answers
        assert "no progress" in answer.reason
    elif not asked.startswith(ANSWER):
        assert why in answer.reason
    else:
        assert answer.drafts
        eventually(lambda: why in caplog.text)
    worker.close()
    assert "Traceback" not in caplog.text


def test_a_backend_that_prints_does_not_break_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "daydream_motives.worker")
    worker = hostile("prints")
    assert worker.decide_many([request(0, "Bad")])[0].drafts
    eventually(lambda: "and so does C" in caplog.text)
    worker.close()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("huge", "too long"), ("nan", "nan for confidence"), ("four", "4 drafts"),
        ("none", "None"), ("text", "three purposes"), ("surrogate", "cannot be sent"),
        ("wrong type", "cannot be sent"), ("no list", "but 3"),
    ],
)  # fmt: skip
def test_an_answer_that_nobody_can_read_is_a_reason(model: str, why: str) -> None:
    worker = hostile("answers", model)
    worker.wait()
    pid = worker.pid
    answer = worker.decide_many([request()])[0]
    assert answer.drafts == ()
    assert why in answer.reason
    assert worker.pid == pid
    worker.close()


@pytest.mark.parametrize(
    ("kind", "why"), [("raises", "RuntimeError: no luck"), ("babbles", "cannot begin")]
)
def test_a_backend_that_raises_gives_a_reason(kind: str, why: str) -> None:
    worker = hostile(kind)
    good, bad, also = worker.decide_many([request(0), request(1, "Bad"), request(2)])
    assert why in bad.reason
    assert good.drafts
    assert also.drafts
    worker.close()


def test_too_few_answers_are_a_reason() -> None:
    worker = hostile("few")
    assert "0 answers came to 1 requests" in worker.decide_many([request()])[0].reason
    worker.close()
