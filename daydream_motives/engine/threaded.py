"""A plain backend as a service: one thread asks it for what has gathered, a group at a time.

Knows no deadlines, no processes and no models.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

from daydream_motives.engine.backend import (
    CLOSED,
    Answer,
    Backend,
    Cancel,
    Done,
    Request,
    Scorer,
    Service,
)
from daydream_motives.engine.errands import Errands
from daydream_motives.errors import BackendError

log = logging.getLogger("daydream_motives")


@dataclass(eq=False, slots=True)
class _Job:
    request: Request
    done: Done
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Threaded:
    """Service over a backend that only answers groups; the backend stays its owner's to close.

    Groups hold at most the backend's `parallel` requests. A cancelled request that waits is never
    asked; a group is abandoned only when every request in it was cancelled.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._size = max(1, int(getattr(backend, "parallel", 1) or 1))
        self.capacity = 2 * self._size  # while one group is decided the next one gathers
        self._waiting: deque[_Job] = deque()
        self._closing = threading.Event()
        self._errands = Errands("daydream-decide")

    def start(self, request: Request, done: Done) -> Cancel:
        """Begin; see Service. After `close` the answer is given before this returns."""
        job = _Job(request, done)
        self._waiting.append(job)
        try:
            self._errands.submit(self._group)
        except RuntimeError:  # closed
            self._closing.set()
            self._group()
        return job.cancel

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        """The backend's scores, waited for; raises BackendError where it has none to give."""
        backend = self.backend
        if not isinstance(backend, Scorer):
            raise BackendError(f"{backend.model} cannot compare purposes")
        try:
            return self._errands.submit(lambda: backend.score(request, texts)).result()
        except (RuntimeError, CancelledError) as exc:
            raise BackendError(f"{backend.model} could not compare purposes: {exc}") from exc

    def close(self) -> None:
        """Abandon what is under way, answer what waits, end the thread; harmless when repeated."""
        self._closing.set()
        self._errands.close()
        while self._waiting:
            self._group()

    def _group(self) -> None:
        """Decide what waits, at most one group; each request started calls this once."""
        group: list[_Job] = []
        while len(group) < self._size:
            try:
                job = self._waiting.popleft()
            except IndexError:
                break
            if self._closing.is_set() or job.cancelled:
                _tell(job, Answer((), reason="cancelled" if job.cancelled else CLOSED))
            else:
                group.append(job)
        if group:
            for job, answer in zip(group, self._answers(group), strict=True):
                _tell(job, answer)

    def _answers(self, group: Sequence[_Job]) -> list[Answer]:
        def cancelled() -> bool:
            return self._closing.is_set() or all(job.cancelled for job in group)

        try:
            answers = list(self.backend.decide_many([job.request for job in group], cancelled))
        except Exception as exc:  # a model's fault never reaches the game
            log.warning("%s failed (%s: %s)", self.backend.model, type(exc).__name__, exc)
            return [Answer((), reason=f"{type(exc).__name__}: {exc}")] * len(group)
        if len(answers) != len(group):
            reason = f"{len(answers)} answers came to {len(group)} requests"
            return [Answer((), reason=reason)] * len(group)
        return answers


def as_service(backend: Backend) -> Service:
    """The backend itself where it takes requests one by one, else a thread around it."""
    return backend if isinstance(backend, Service) else Threaded(backend)


def _tell(job: _Job, answer: Answer) -> None:
    try:
        job.done(answer)
    except Exception:
        log.exception("whoever asked failed to take an answer")
