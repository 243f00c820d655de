"""One thread that does things at their time, as near to it as a thread can.

Does not keep whoever set it alive; ends when told, or with the process.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, TypeVar

log = logging.getLogger("daydream_motives")
T = TypeVar("T")
_LONGEST = 60.0  # seconds of one wait, after which a thread sees that its engine was dropped


class Alarm(Generic[T]):
    """Calls `ring(thing)` in a thread of its own for each thing when its time has come.

    `ring` is a bound method, held weakly. `over(thing)` says that a thing need not wait for its
    time any more; such ones are let go of when they are many.
    """

    def __init__(self, ring: Callable[[T], object], over: Callable[[T], bool], name: str) -> None:
        # Not a WeakMethod: collected together with its object, Python 3.11's complains aloud.
        self._whose: Any = weakref.ref(ring.__self__)  # type: ignore[attr-defined]
        self._ring: Any = ring.__func__  # type: ignore[attr-defined]
        self._over = over
        self._name = name
        self._set: list[tuple[float, int, T]] = []
        self._many = 1024
        self._numbers = count()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._ended = False

    def set(self, at: float, thing: T) -> None:
        """Have it ring at `at` (seconds of time.monotonic); nothing rings after `end`."""
        with self._changed:
            if self._ended:
                return
            heappush(self._set, (at, next(self._numbers), thing))
            if len(self._set) > self._many:
                self._set = [one for one in self._set if not self._over(one[2])]
                heapify(self._set)
                self._many = 1024 + 2 * len(self._set)
            if self._thread is None:
                self._begin()
            elif self._set and self._set[0][0] >= at:
                self._changed.notify()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # too many threads, or the interpreter is ending
            log.warning("the engine has no thread for its deadlines: %s", exc)
        else:
            self._thread = thread

    def end(self) -> None:
        """Ring no more; harmless when repeated."""
        with self._changed:
            self._ended = True
            self._set.clear()
            self._changed.notify()

    def drop(self) -> None:
        """`end` for a garbage collection, which may come while this very thread has the lock."""
        self._ended = True
        if self._changed.acquire(blocking=False):
            self._changed.notify()
            self._changed.release()

    def _run(self) -> None:
        while self._ring_all(self._due()):
            pass

    def _ring_all(self, due: list[T]) -> bool:
        """Keeps nothing alive while the next one is waited for."""
        whose = self._whose()
        for thing in due if whose is not None else ():
            try:
                self._ring(whose, thing)
            except Exception:
                log.exception("what the engine does at its time failed")
        return whose is not None and not self._ended

    def _due(self) -> list[T]:
        """Waits for the next thing; returns all whose time has come, at the end none."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                if self._set and self._set[0][0] <= now:
                    due = []
                    while self._set and self._set[0][0] <= now:
                        due.append(heappop(self._set)[2])
                    return due
                left = self._set[0][0] - now if self._set else _LONGEST
                self._changed.wait(min(left, _LONGEST))
        return []
