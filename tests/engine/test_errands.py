"""A thread of errands: in order, and ended in three ways."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from functools import partial

import pytest
from by_hand import until

from daydream_motives.engine.errands import Errands


def test_work_is_done_in_order_and_its_faults_are_its_own() -> None:
    errands, done = Errands("test"), list[int]()
    work = [errands.submit(partial(done.append, n)) for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        errands.submit(lambda: 1 // 0).result(10)
    assert all(one.result(10) is None for one in work)
    assert done == list(range(50))
    errands.close()


def test_closing_waits_for_what_is_done_and_cancels_the_rest() -> None:
    errands, go, begun = Errands("test"), threading.Event(), threading.Event()
    first = errands.submit(lambda: begun.set() or go.wait(10))  # type: ignore[func-returns-value]
    second = errands.submit(lambda: "never")
    begun.wait(10)
    closing = threading.Thread(target=errands.close)
    closing.start()
    until(errands._closed.is_set)
    assert closing.is_alive()
    go.set()
    closing.join(10)
    assert first.result(0) is True
    with pytest.raises(CancelledError):
        second.result(0)
    with pytest.raises(RuntimeError):
        errands.submit(lambda: "too late")
    errands.close()


def test_an_errand_may_close_its_own_thread() -> None:
    errands = Errands("test")
    assert errands.submit(errands.close).result(10) is None


def test_errands_that_are_dropped_end_their_thread() -> None:
    before = threading.active_count()
    errands = Errands("test")
    errands.submit(lambda: None).result(10)
    del errands
    until(lambda: gc.collect() is not None and threading.active_count() <= before)


def test_a_process_that_ends_does_not_wait_for_them() -> None:
    program = (
        "import time; from daydream_motives.engine.errands import Errands; "
        "errands = Errands('test'); errands.submit(lambda: time.sleep(600)); print('end')"
    )
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=True
    )
    assert (ended.stdout.strip(), time.monotonic() - start < 50) == (b"end", True)
