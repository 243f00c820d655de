"""Another model takes over while the first one answers; where it cannot, nothing changes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from workers import Answers, eventually, hostile, request

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.errors import BackendError


def spec(model: str, path: Path | None = None) -> BackendSpec:
    return BackendSpec(model, path, threads=1)


def writers(answers: Answers) -> list[str]:
    """Which model wrote each answer, in the order of the requests."""
    return [answer.made_by[0] if answer.made_by else "nobody" for answer in answers.all]


def test_under_load_no_request_is_lost_and_each_has_one_writer() -> None:
    worker, answers = hostile("slow", "old", parallel=2), Answers()
    worker.wait()
    pid, stop = worker.pid, threading.Event()
    number = iter(range(100_000))

    def asking() -> None:
        while not stop.is_set():
            answers.ask(worker, next(number))
            time.sleep(0.004)

    asker = threading.Thread(target=asking)
    asker.start()
    for model in ("new", "newer"):
        time.sleep(0.3)
        worker.swap("slow", spec(model)).result(30)
        assert worker.model == model
    time.sleep(0.3)
    stop.set()
    asker.join()
    got = answers.wait()
    assert all(answer.drafts for answer in got)
    assert (worker.model, worker.pid) == ("newer", pid)
    order = writers(answers)
    assert set(order) == {"old", "new", "newer"}
    assert order.index("newer") > order.index("new")
    worker.close()


def test_the_first_goes_on_while_the_second_loads_and_is_closed_when_it_is_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "daydream_motives.worker")
    worker, answers = hostile("hangs", "old"), Answers()
    worker.wait()
    swapped = worker.swap("slow to open", spec("0.5"))
    stuck = answers.ask(worker, 0, "Bad")
    assert not swapped.done()
    swapped.result(30)
    answers.ask(worker, 1)
    eventually(lambda: answers.got[1])
    assert not answers.got[0]  # the old one still works on it, beside the new one
    assert "closed old" not in caplog.text
    stuck()
    answers.wait()
    eventually(lambda: "closed old" in caplog.text)
    assert "closed 0.5" not in caplog.text
    assert writers(answers) == ["old", "0.5"]
    worker.close()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("refuses", "no model file"),
        ("lacks", "ImportError"),
        ("limited", "MemoryError"),
        ("dies", "exit code 9"),
        ("no such kind", "KeyError"),
        ("slow to open", "not open after 1 s"),
    ],
)
def test_a_broken_one_leaves_the_old_one_in_its_place(kind: str, why: str) -> None:
    worker = hostile("named", "old", load=1.0)
    worker.wait()
    with pytest.raises(BackendError, match=why):
        worker.swap(kind, spec("3")).result(30)
    answer = worker.decide_many([request()])[0]
    assert answer.made_by
    assert (answer.made_by[0], worker.model) == ("old", "old")
    worker.swap("named", spec("new")).result(30)
    assert worker.model == "new"
    worker.close()


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_after_a_crash_the_newest_model_that_was_ready_is_opened() -> None:
    worker = hostile("named", "old")
    worker.swap("named", spec("new")).result(30)
    with pytest.raises(BackendError):
        worker.swap("refuses", spec("broken")).result(30)
    assert worker.pid
    os.kill(worker.pid, signal.SIGKILL)
    answer = worker.decide_many([request()])[0]
    assert answer.made_by
    assert answer.made_by[0] == "new"
    worker.close()


def test_a_good_model_replaces_one_that_never_opened() -> None:
    worker = hostile("refuses", failures=1, cool_down=60)
    with pytest.raises(BackendError):
        worker.wait(30)
    eventually(lambda: worker.decide_many([request()])[0].reason)
    worker.swap("named", spec("good")).result(30)
    worker.wait(0)
    assert worker.decide_many([request()])[0].drafts
    worker.close()


def test_two_at_once_take_over_one_after_the_other() -> None:
    worker = hostile("named", "old")
    swaps = [worker.swap("named", spec(model)) for model in ("a", "b", "c")]
    for swap in swaps:
        swap.result(30)
    assert worker.model == "c"
    worker.close()


def test_closing_ends_a_swap() -> None:
    worker = hostile("named")
    worker.wait()
    swap = worker.swap("slow to open", spec("60"))
    cancelled = worker.swap("named", spec("x"))
    assert cancelled.cancel()
    worker.close()
    with pytest.raises(BackendError, match="closed"):
        swap.result(5)
