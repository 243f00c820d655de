"""The worker: a program of its own that opens models and answers what the game asks over a pipe.

Standard output belongs to the messages: whatever a library prints goes to standard error. It ends
the moment the game does, whatever it is computing. Knows nothing of characters or deadlines.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from daydream_motives.engine.backend import (
    Answer,
    Backend,
    BackendSpec,
    Cancel,
    Scorer,
    Service,
    open_backend,
)
from daydream_motives.engine.threaded import Threaded, as_service
from daydream_motives.engine.worker.wire import (
    MAX_LINE,
    VERSION,
    Abandon,
    Ask,
    Beat,
    Bye,
    Close,
    Done,
    Failed,
    FromWorker,
    Hello,
    Open,
    Rate,
    Rated,
    Ready,
    ToWorker,
    from_worker,
    read_to_worker,
)
from daydream_motives.errors import BackendError, DaydreamError

BEAT = 0.5  # seconds
NICE = 5
_PR_SET_PDEATHSIG = 1
Opener = Callable[[str, BackendSpec], Backend]


def main(opener: Opener = open_backend) -> None:
    """Serve until the game is gone; never returns. `opener` opens a backend by kind and spec."""
    try:
        _Worker(opener).serve()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(70)


@dataclass(eq=False, slots=True)
class _Model:
    """An open model and the requests it still has to answer."""

    backend: Backend
    service: Service
    running: dict[int, Cancel | None] = field(default_factory=dict)
    closing: bool = False


class _Worker:
    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._parent = os.getppid()
        _die_with(self._parent)
        _step_back()
        self._input, self._output = _take_pipes()
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        self._models: dict[int, _Model | None] = {}  # None: closed before it was open
        self._rating = ThreadPoolExecutor(max_workers=1, thread_name_prefix="daydream-rate")

    def serve(self) -> None:
        self._say(Hello(VERSION, os.getpid()))
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()
        while True:
            self._obey(self._inbox.get())

    # ---- threads

    def _read(self) -> None:
        """The game's lines; without them, or with one that makes no sense, there is no game."""
        stream = io.BufferedReader(self._input)
        try:
            while line := stream.readline(MAX_LINE + 1):
                message = read_to_worker(line)
                if isinstance(message, Bye):
                    break
                self._inbox.put(message)
        except OSError:
            pass
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(65)
        os._exit(0)

    def _beat(self) -> None:
        while True:
            if os.getppid() != self._parent:  # a child of the game's may hold the pipe open
                os._exit(0)
            with self._lock:
                open_ = [model for model in self._models.values() if model]
            self._say(Beat(sum(int(getattr(model.backend, "steps", 0)) for model in open_)))
            time.sleep(BEAT)

    # ---- messages

    def _say(self, message: FromWorker) -> None:
        line = memoryview(from_worker(message))
        try:
            with self._writing:
                while line:
                    line = line[self._output.write(line) or 0 :]
        except OSError:  # nobody listens any more
            os._exit(0)

    def _obey(self, message: ToWorker) -> None:
        if isinstance(message, Open):
            threading.Thread(target=self._open, args=(message,), daemon=True).start()
        elif isinstance(message, Ask):
            self._ask(message)
        elif isinstance(message, Rate):
            self._rating.submit(self._rate, message)
        elif isinstance(message, Abandon):
            self._abandon(message.id)
        elif isinstance(message, Close):
            with self._lock:
                model = self._models.setdefault(message.model, None)
                if model:
                    model.closing = True
            self._close_if_idle(message.model)

    def _open(self, message: Open) -> None:
        try:
            backend = self._opener(message.kind, message.spec)
            model = _Model(backend, as_service(backend))
            ready = Ready(
                message.model,
                backend.model,
                backend.model_hash,
                backend.adapter_hash,
                model.service.capacity,
            )
            from_worker(ready)  # a backend's own words, checked while this can still be said
        except DaydreamError as exc:
            self._say(Failed(message.model, exc.message, exc.remedy))
        except Exception as exc:
            traceback.print_exc()
            self._say(Failed(message.model, f"{type(exc).__name__}: {exc}", ""))
        except SystemExit as exc:  # raised in a thread it would go unheard
            print(f"the backend asked to exit ({exc.code})", file=sys.stderr, flush=True)
            os._exit(70)
        else:
            with self._lock:
                unwanted = message.model in self._models
                self._models[message.model] = model
                model.closing = unwanted
            self._say(ready)
            self._close_if_idle(message.model)

    def _ask(self, message: Ask) -> None:
        with self._lock:
            model = self._models.get(message.model)
            if model:
                model.running[message.id] = None
        if model is None:
            self._say(Done(message.id, Answer((), reason="no such model is open")))
            return
        done = partial(self._answered, message.model, message.id)
        try:
            cancel = model.service.start(message.request, done)
        except Exception as exc:
            traceback.print_exc()
            done(Answer((), reason=f"{type(exc).__name__}: {exc}"))
            return
        with self._lock:
            if message.id in model.running:
                model.running[message.id] = cancel

    def _answered(self, number: int, id: int, answer: Answer) -> None:
        with self._lock:
            model = self._models.get(number)
            if not model or id not in model.running:
                return  # a second answer to the same request
            del model.running[id]
        backend = model.backend
        made_by = (backend.model, backend.model_hash, backend.adapter_hash)
        try:
            line = Done(id, answer if answer.made_by else replace(answer, made_by=made_by))
            from_worker(line)
        except (BackendError, AttributeError, TypeError) as exc:
            reason = exc.message if isinstance(exc, BackendError) else f"no answer, but {answer!r}"
            line = Done(id, Answer((), reason=reason[:500], made_by=made_by))
        self._say(line)
        self._close_if_idle(number)

    def _abandon(self, id: int) -> None:
        with self._lock:
            cancels = [model.running.get(id) for model in self._models.values() if model]
        for cancel in cancels:
            if cancel:
                try:
                    cancel()
                except Exception:
                    traceback.print_exc()

    def _rate(self, message: Rate) -> None:
        with self._lock:
            model = self._models.get(message.model)
        try:
            rater = model and (
                model.service if isinstance(model.service, Threaded) else model.backend
            )
            if not isinstance(rater, Scorer):
                raise BackendError("this model cannot compare purposes")
            scores = tuple(map(float, rater.score(message.request, message.texts)))
            line = Rated(message.id, scores)
            from_worker(line)
        except Exception as exc:
            text = exc.message if isinstance(exc, DaydreamError) else f"{type(exc).__name__}: {exc}"
            line = Rated(message.id, (), text or "it failed")
        self._say(line)

    def _close_if_idle(self, number: int) -> None:
        with self._lock:
            model = self._models.get(number)
            if not model or not model.closing or model.running:
                return
            self._models[number] = None

        def close() -> None:
            try:
                if isinstance(model.service, Threaded):
                    model.service.close()
                model.backend.close()
            except Exception:
                traceback.print_exc()

        # This may be the very thread of the service that gave its last answer.
        threading.Thread(target=close, daemon=True).start()


def _take_pipes() -> tuple[io.FileIO, io.FileIO]:
    """The pipes of the messages; what reads or prints from now on meets other ends."""
    given, taken = io.FileIO(os.dup(0), "rb"), io.FileIO(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stderr is None:  # a frozen game without a console
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace")
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    return given, taken


def _step_back() -> None:
    """The game goes first; and Ctrl-C is the game's affair."""
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICE)


def _die_with(parent: int) -> None:
    """On Linux the kernel itself ends the worker with the game."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
