"""The requests under way: each is answered exactly once, whatever becomes of the worker.

Requests wait here, so that the worker holds no more than it works on. One thread writes to the
worker; whoever asks never waits for a pipe. Knows nothing of how a worker is started.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

from daydream_motives.engine.backend import CLOSED, Answer, Cancel
from daydream_motives.engine.worker.process import WorkerProcess
from daydream_motives.engine.worker.wire import Abandon, Rated, ToWorker
from daydream_motives.errors import BackendError

log = logging.getLogger("daydream_motives.worker")
TRIES = 2
Result = Answer | Rated


@dataclass(eq=False, slots=True)
class Job:
    """Something asked of the worker: how it is put to a model, and who takes what comes of it."""

    put: Callable[[int, int], ToWorker]  # its id and the model's -> the message
    take: Callable[[Result], None]
    wants: type[Answer] | type[Rated] = Answer
    id: int = 0
    tries: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Whom requests go to: a process, the model in it, and how many at once."""

    process: WorkerProcess
    model: int
    window: int


class Desk:
    """Takes requests at any time, from any thread; at most `limit` wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ids = count(1)
        self._open: dict[int, Job] = {}  # all that is not answered
        self._waiting: deque[Job] = deque()  # also some that were answered meanwhile
        self._sent: dict[int, Job] = {}
        self._line: Line | None = None
        self._refusal = ""
        self._over = False
        self.answered = 0  # by a worker
        self.progress = time.monotonic()
        self._mail: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._post, name="daydream-desk", daemon=True)
        self.thread.start()

    def submit(self, job: Job) -> Cancel:
        """Take a job; returns at once. Its `take` is called from another thread, unless the desk is
        closed."""
        with self._lock:
            refusal = CLOSED if self._over else self._refusal
            if not refusal and len(self._open) - len(self._sent) >= self._limit:
                refusal = f"{self._limit} requests wait already"
            if not refusal:
                job.id = next(self._ids)
                self._open[job.id] = job
                self._waiting.append(job)
                self._mail.put(self._pump)
            elif not self._over:
                self._mail.put(partial(_tell, job, Answer((), reason=refusal)))
        if refusal == CLOSED:
            _tell(job, Answer((), reason=refusal))
        return partial(self._cancel, job)

    @property
    def busy(self) -> bool:
        """Whether the worker has something to answer."""
        return bool(self._sent)

    def tell(self, process: WorkerProcess, message: ToWorker) -> None:
        """Send the worker a message, after all that was put to it before."""
        self._mail.put(partial(_send, process, message))

    def hang_up(self, process: WorkerProcess) -> None:
        """Close the worker's input, after all that was put to it before."""
        self._mail.put(process.hang_up)

    def attach(self, line: Line) -> None:
        """From now on requests go there."""
        with self._lock:
            self._line = line
        self._mail.put(self._pump)

    def detach(self, why: str) -> None:
        """The worker is gone: what it had goes to the next one, unless it went twice."""
        with self._lock:
            self._line = None
            sent = list(self._sent.values())
            self._sent.clear()
            again = [job for job in sent if job.tries < TRIES and not job.cancelled]
            lost = [job for job in sent if job not in again]
            for job in lost:
                del self._open[job.id]
            self._waiting.extendleft(reversed(again))
        for job in lost:
            _tell(job, Answer((), reason="cancelled" if job.cancelled else why))

    def refuse(self, why: str) -> None:
        """Answer all that waits, and all that comes, with this reason; empty: take requests."""
        with self._lock:
            self._refusal = why
        if why:
            self.dismiss(why)

    def dismiss(self, why: str) -> None:
        """Answer all that waits with this reason."""
        with self._lock:
            waiting = [job for job in self._waiting if self._open.pop(job.id, None)]
            self._waiting.clear()
        for job in waiting:
            _tell(job, Answer((), reason=why))

    def take(self, process: WorkerProcess, id: int, result: Result) -> None:
        """What the worker answered; raises BackendError where nobody asked it that."""
        with self._lock:
            if self._line is None or self._line.process is not process:
                return  # given up before
            job = self._sent.get(id)
            if job is None or not isinstance(result, job.wants):
                raise BackendError("it answered a request that it was not asked")
            del self._sent[id], self._open[id]
            self.answered += 1
            self.progress = time.monotonic()
            self._mail.put(self._pump)
        _tell(job, result)

    def close(self) -> None:
        """Answer everything and end the thread."""
        with self._lock:
            self._over, self._line = True, None
            rest = list(self._open.values())
            self._open.clear()
            self._waiting.clear()
            self._sent.clear()
            self._mail.put(None)
        for job in rest:
            _tell(job, Answer((), reason=CLOSED))

    def _cancel(self, job: Job) -> None:
        job.cancelled = True
        self._mail.put(partial(self._withdraw, job))

    # ---- in the thread of the desk

    def _post(self) -> None:
        while work := self._mail.get():
            try:
                work()
            except Exception:
                log.exception("a request could not be passed on")

    def _withdraw(self, job: Job) -> None:
        with self._lock:
            line, sent = self._line, job.id in self._sent
            waits = None if sent else self._open.pop(job.id, None)
        if waits:
            _tell(job, Answer((), reason="cancelled"))
        elif sent and line:
            _send(line.process, Abandon(job.id))

    def _pump(self) -> None:
        """Send what waits, as far as the worker takes it."""
        while True:
            with self._lock:
                line = self._line
                if line is None or len(self._sent) >= line.window or not self._waiting:
                    return
                job = self._waiting.popleft()
                if job.id not in self._open:
                    continue
                if not self._sent:
                    self.progress = time.monotonic()
                self._sent[job.id] = job
                job.tries += 1
            try:
                line.process.send(job.put(job.id, line.model))
            except BackendError as exc:
                with self._lock:
                    found = self._sent.pop(job.id, None) and self._open.pop(job.id, None)
                if found:
                    _tell(job, Answer((), reason=exc.message))


def _send(process: WorkerProcess, message: ToWorker) -> None:
    process.send(message)


def _tell(job: Job, result: Result) -> None:
    try:
        job.take(result)
    except Exception:
        log.exception("whoever asked failed to take an answer")
