"""The life of the worker: started, watched, ended where it hangs, and started again.

One thread does it all, from the first start to the last: on Linux a worker dies with the thread
that started it. Knows nothing of single requests; those are the desk's.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from daydream_motives.engine.backend import CLOSED, BackendSpec
from daydream_motives.engine.worker.desk import Desk, Line
from daydream_motives.engine.worker.process import WorkerProcess
from daydream_motives.engine.worker.wire import (
    VERSION,
    Bye,
    Close,
    Done,
    Failed,
    FromWorker,
    Hello,
    Open,
    Rated,
    Ready,
    to_worker,
)
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import CountTokens, rough_count

log = logging.getLogger("daydream_motives.worker")
_TICK = 0.2  # seconds between two looks at a worker
_STUCK = 2.0  # seconds after which a killed process is given up
Tokenizer = Callable[[str, BackendSpec], CountTokens]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the worker may take, in seconds, and how often it may fail.

    After `failures` within `window`, with no answer in between, requests are refused for
    `cool_down`; then one trial. Back-off doubles from `first_pause` to `longest_pause`. At most
    `waiting` requests wait.
    """

    hello: float = 60.0
    load: float = 600.0
    heartbeat: float = 10.0
    step: float = 60.0
    grace: float = 1.0
    first_pause: float = 0.25
    longest_pause: float = 30.0
    failures: int = 5
    window: float = 300.0
    cool_down: float = 30.0
    waiting: int = 16384


@dataclass(eq=False, slots=True)
class Wanted:
    """A model to be opened; `opened` says when it is, or why it could not be."""

    kind: str
    spec: BackendSpec
    opened: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Said:
    process: WorkerProcess
    message: Ready | Failed


_Event = WorkerProcess | _Said | Literal["close", "swap"]


class Supervisor:
    """Keeps a worker alive that serves the newest model that could be opened."""

    def __init__(
        self,
        command: Sequence[str],
        first: Wanted,
        limits: Limits,
        rng: random.Random,
        tokenizer: Tokenizer | None,
    ) -> None:
        self.desk = Desk(limits.waiting)
        self.ready: Ready | None = None  # the newest model that was ready
        self.count_tokens: CountTokens = rough_count
        self.process: WorkerProcess | None = None
        self._command, self._limits, self._rng, self._tokenizer = command, limits, rng, tokenizer
        self._good = first  # what a new worker opens
        self._swaps: deque[Wanted] = deque()
        self._opening: Wanted | None = None
        self._number = 0  # of the model that was opened last
        self._serving = False  # the process has a model that answers
        self._opened_at = 0.0
        self._failures: deque[float] = deque()
        self._answered = 0  # by the desk, when it last failed
        self._open_circuit = False
        self._lock, self._over = threading.Lock(), False
        self.events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="daydream-worker", daemon=True)
        self.thread.start()

    def swap(self, wanted: Wanted) -> bool:
        """Open another model; from any thread. False where it is too late for that."""
        with self._lock:
            if not self._over:
                self._swaps.append(wanted)
                self.events.put("swap")
            return not self._over

    def join(self) -> None:
        """Wait until all is ended, unless this is one of the threads that have to do it."""
        process, here = self.process, threading.current_thread()
        if here in (self.thread, self.desk.thread) or (process and process.is_mine(here)):
            return
        self.thread.join()
        self.desk.thread.join()

    # ---- in the reader's thread of a process

    def _hear(self, process: WorkerProcess, message: FromWorker) -> None:
        if isinstance(message, Hello):
            if message.version != VERSION:
                raise BackendError(f"it speaks version {message.version} and the game {VERSION}")
            process.greeted = time.monotonic()
        elif isinstance(message, Done):
            self.desk.take(process, message.id, message.answer)
        elif isinstance(message, Rated):
            self.desk.take(process, message.id, message)
        elif isinstance(message, Ready | Failed):
            self.events.put(_Said(process, message))

    # ---- in the supervisor's thread

    def _run(self) -> None:
        closing = False
        try:
            while not closing:
                cause = ""
                try:
                    self.process = WorkerProcess(self._command, self._hear, self.events.put)
                except (OSError, ValueError) as exc:
                    cause = f"the worker process cannot be started: {exc}"
                    pause = self._mourn(cause, cause)
                else:
                    closing = self._watch(self.process)
                    if closing:
                        break
                    self.desk.hang_up(self.process)
                    pause = self._mourn(self.process.cause(), self.process.epitaph())
                closing = self._rest(pause)
        except Exception as exc:
            log.exception("the worker is not watched any more")
            self.desk.refuse(f"{type(exc).__name__}: {exc}")
        finally:
            self._finish()

    def _watch(self, process: WorkerProcess) -> bool:
        """Serve until the process is gone; whether it is to be the last one."""
        self._serving = False
        self._open(process, self._swaps[0] if self._swaps else self._good)
        looked = time.monotonic()
        while True:
            try:
                event: _Event | None = self.events.get(timeout=_TICK)
            except queue.Empty:
                event = None
            if event == "close":
                return True
            if event is process:
                return False
            if isinstance(event, _Said) and event.process is process and not process.killed:
                self._said(process, event.message)
            if self._serving and self._swaps and not self._opening:
                self._open(process, self._swaps[0])
            now = time.monotonic()
            if now - looked > _TICK + 1.0:  # the machine or the game was stopped, not the worker
                process.forgive(now - looked)
                self.desk.progress += now - looked
                self._opened_at += now - looked
            looked = now
            if process.killed is None:
                if overdue := self._overdue(process, now):
                    process.fault(overdue)
            elif now - process.killed > _STUCK:
                return False  # it may become a zombie, but it is not waited for

    def _open(self, process: WorkerProcess, wanted: Wanted) -> None:
        self._number += 1
        self._opening, self._opened_at = wanted, time.monotonic()
        message = Open(self._number, wanted.kind, wanted.spec)
        try:
            to_worker(message)
        except BackendError as exc:  # a file's name that is no text
            self.events.put(_Said(process, Failed(self._number, exc.message, exc.remedy)))
        else:
            self.desk.tell(process, message)

    def _said(self, process: WorkerProcess, message: Ready | Failed) -> None:
        wanted = self._opening
        if wanted is None or message.model != self._number:
            if self._serving:
                return  # a model that came too late, and is closed already
            process.fault("it opened a model that was not asked for")
            return
        if isinstance(message, Failed):
            error = BackendError(message.message, remedy=message.remedy)
            if self._serving:
                log.warning("%s; the model before it stays", message.message)
                self._give_up(error)
            elif wanted is not self._good:
                log.warning("%s; the model before it is opened again", message.message)
                self._give_up(error)
                self._open(process, self._good)
            else:
                self._give_up(error)
                self.desk.dismiss(message.message)
                process.fault(message.message)
            return
        before = self.ready.model if self.ready and self._serving else None
        count = self._vocabulary(wanted)  # first: whoever sees the new model counts with it
        self._opening, self._good, self._serving = None, wanted, True
        self.count_tokens, self.ready = count, message
        if self._swaps and self._swaps[0] is wanted:
            self._swaps.popleft()
        if self._open_circuit:
            self.desk.refuse("")
        self.desk.attach(Line(process, message.model, message.capacity))
        if before is not None:
            self.desk.tell(process, Close(before))
        _settle(wanted.opened, None)

    def _vocabulary(self, wanted: Wanted) -> CountTokens:
        try:
            return self._tokenizer(wanted.kind, wanted.spec) if self._tokenizer else rough_count
        except Exception as exc:
            log.warning("tokens are only guessed: %s: %s", type(exc).__name__, exc)
            return rough_count

    def _overdue(self, process: WorkerProcess, now: float) -> str:
        """What the process should have done by now."""
        limits = self._limits
        if not process.greeted:
            late = now - process.started > limits.hello
            return f"it said nothing for {limits.hello:g} s" if late else ""
        if process.delivering:
            process.heard = now
        if now - process.heard > limits.heartbeat:
            return f"no heartbeat for {limits.heartbeat:g} s"
        if self._opening and now - max(self._opened_at, process.greeted) > limits.load:
            why = f"the model was not open after {limits.load:g} s"
            if not self._serving:
                return why
            self.desk.tell(process, Close(self._number))
            self._give_up(BackendError(why))
        progress = max(process.progress, self.desk.progress)
        if self.desk.busy and now - progress > limits.step:
            return f"no progress for {limits.step:g} s"
        return ""

    def _give_up(self, error: BackendError) -> None:
        """The model being opened will not be; one that was to replace another is forgotten."""
        wanted, self._opening = self._opening, None
        if wanted is None:
            return
        if self._swaps and self._swaps[0] is wanted:
            self._swaps.popleft()
        _settle(wanted.opened, error)

    def _mourn(self, cause: str, epitaph: str) -> float:
        """Pass on what the worker left; how long to wait for the next one."""
        limits, now = self._limits, time.monotonic()
        if self._opening in self._swaps:
            self._give_up(BackendError(cause))
        self._opening, self.process = None, None
        if self.desk.answered != self._answered:
            self._failures.clear()
            self._open_circuit = False
        self._answered = self.desk.answered
        self._failures.append(now)
        while self._failures and now - self._failures[0] > limits.window:
            self._failures.popleft()
        self.desk.detach(cause)
        if self._open_circuit or len(self._failures) >= limits.failures:
            again = "again" if self._open_circuit else f"{len(self._failures)} times"
            self._open_circuit = True
            log.warning("%s. It failed %s; next trial in %g s", epitaph, again, limits.cool_down)
            self.desk.refuse(cause)
            _settle(self._good.opened, BackendError(cause))
            return limits.cool_down
        pause = min(limits.longest_pause, limits.first_pause * 2.0 ** (len(self._failures) - 1))
        pause *= self._rng.uniform(0.75, 1.25)
        log.warning("%s. It is started again in %.2g s", epitaph, pause)
        return pause

    def _rest(self, seconds: float) -> bool:
        """Wait, but not where a new model is wanted; whether it is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                event = self.events.get(timeout=left)
            except queue.Empty:
                break
            if event == "close":
                return True
            if event == "swap":
                break
        return False

    def _finish(self) -> None:
        """Answer everything, then end the process: politely first."""
        process = self.process
        if process:
            self.desk.tell(process, Bye())
            self.desk.hang_up(process)
        self.desk.close()
        with self._lock:
            self._over = True
        for wanted in (self._good, *self._swaps):
            _settle(wanted.opened, BackendError(CLOSED))
        for patience in (self._limits.grace, _STUCK):
            end = time.monotonic() + patience
            while process and (left := end - time.monotonic()) > 0:
                try:
                    if self.events.get(timeout=left) is process:
                        process = None
                except queue.Empty:
                    break
            if process:
                process.kill()
        self.process = None


def _settle(future: Future[None], error: BackendError | None) -> None:
    """Set what comes of it, once; whoever waits may have cancelled it."""
    if not future.done() and future.set_running_or_notify_cancel():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
