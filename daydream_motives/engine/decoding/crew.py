"""The threads that drive the lanes of one model, and the orders that wait for them.

Knows the lanes and not the backend, so that a backend that is dropped without being closed can go:
whoever is last of the crew frees the model.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daydream_motives.engine.backend import CLOSED
from daydream_motives.engine.decoding.decoder import Job, Lane, log, reason_of

_LOOK = 1.0  # seconds after which an idle lane sees that nobody holds the backend any more


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A job to be made by the lane that takes it; `lane` binds it to one."""

    make: Callable[[], Job]
    fail: Callable[[str], None]
    lane: int | None = None


class Crew:
    """One thread for each lane; `threads` of the processor are shared by those who are at work."""

    def __init__(self, threads: int, free: Callable[[], None]) -> None:
        self.threads, self._free = threads, free
        self.steps = 0
        self.closing = False
        self._lanes: Sequence[Lane] = ()
        self._waiting: deque[Order] = deque()
        self._busy: set[int] = set()
        self._alive = 0
        self._work = threading.Condition()
        self._crew: list[threading.Thread] = []

    def begin(self, lanes: Sequence[Lane]) -> None:
        self._lanes, self._alive = lanes, len(lanes)
        self._crew = [
            threading.Thread(target=self._drive, args=(i,), name=f"daydream-lane-{i}", daemon=True)
            for i in range(len(lanes))
        ]
        for thread in self._crew:
            thread.start()

    def put(self, orders: Sequence[Order]) -> None:
        """Queue the orders; they all come to nothing once the crew is closing."""
        with self._work:
            if not self.closing:
                self._waiting.extend(orders)
                self._work.notify_all()
                return
        for order in orders:
            order.fail(CLOSED)

    def take(self, lane: int) -> Job | None:
        """The next job for a lane, made now."""
        while (order := self._next(lane)) is not None:
            try:
                return order.make()
            except Exception as exc:  # what cannot even be put into words is its own fault
                self._fail(order, reason_of(exc))
        return None

    def dismiss(self) -> None:
        """Let the crew end soon; waits for no lock, as it may be called from anywhere."""
        self.closing = True
        if self._work.acquire(blocking=False):
            try:
                self._work.notify_all()
            finally:
                self._work.release()

    def stop(self) -> None:
        """End the crew and free the model; what waits or is under way comes to nothing."""
        with self._work:
            self.closing = True
            self._work.notify_all()
        for thread in self._crew:
            if thread is not threading.current_thread():
                thread.join()

    def _next(self, lane: int) -> Order | None:
        with self._work:
            for order in self._waiting:
                if order.lane in (None, lane):
                    self._waiting.remove(order)
                    return order
        return None

    def _drive(self, index: int) -> None:
        lane = self._lanes[index]
        while self._has_work(index, lane):
            with self._work:
                self._busy.add(index)
                share = max(1, self.threads // len(self._busy))
            try:
                lane.sequences.use_threads(share)
                lane.step()
            except Exception as exc:
                log.warning("decoding failed: %s", reason_of(exc))
                lane.abandon(reason_of(exc))
            self.steps += 1
        while (order := self._next(index)) is not None:
            self._fail(order, CLOSED)
        lane.abandon(CLOSED)
        with self._work:
            self._alive -= 1
            last = self._alive == 0
        if last:
            self._free()

    def _has_work(self, index: int, lane: Lane) -> bool:
        """Waits for work; False once the crew is closing."""
        with self._work:
            while not self.closing:
                if lane.jobs or any(order.lane in (None, index) for order in self._waiting):
                    return True
                self._busy.discard(index)
                self._work.wait(_LOOK)
        return False

    @staticmethod
    def _fail(order: Order, reason: str) -> None:
        try:
            order.fail(reason)
        except Exception:
            log.exception("an answer could not be taken")
