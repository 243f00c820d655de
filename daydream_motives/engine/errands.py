"""One thread that does what it is given, in order. Knows nothing of what that is.

Unlike an executor's thread it does not hold the process: a game that just ends does not wait for a
model that is still loading.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
_Queue = queue.SimpleQueue[Callable[[], None] | None]


class Errands:
    """Takes work from any thread; its own one begins with the first, and ends with `close` or when
    the errands are dropped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._queue: _Queue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        weakref.finalize(self, self._queue.put, None)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have it done; raises RuntimeError once closed."""
        done: Future[T] = Future()
        closed = self._closed

        def run() -> None:
            if closed.is_set():
                done.cancel()
            if not done.set_running_or_notify_cancel():
                return
            try:
                found = work()
            except BaseException as exc:
                done.set_exception(exc)
            else:
                done.set_result(found)

        with self._lock:
            if closed.is_set():
                raise RuntimeError("no more work is taken")
            if self._thread is None:
                thread = threading.Thread(
                    target=_work, args=(self._queue,), name=self._name, daemon=True
                )
                thread.start()
                self._thread = thread
            self._queue.put(run)
        return done

    def close(self) -> None:
        """Cancel what waits, and wait for what is being done, unless it is what calls this."""
        with self._lock:
            self._closed.set()
            self._queue.put(None)
            thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join()


def _work(given: _Queue) -> None:
    while run := given.get():
        run()
        del run  # it may hold what ends this thread when it is dropped
