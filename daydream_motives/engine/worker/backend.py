"""A backend in a process of its own: whatever happens to the model, the game goes on.

A crash, a hang or a lack of memory ends the worker and nothing else; requests under way are put to
the next one. This is the game's side; `main` is the program, `supervise` keeps it alive,
`desk` keeps the requests. Knows nothing of characters or deadlines.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace

from daydream_motives.engine.backend import Answer, BackendSpec, Cancel, Done, Request
from daydream_motives.engine.worker.desk import Job, Result
from daydream_motives.engine.worker.launch import default_command
from daydream_motives.engine.worker.supervise import Limits, Supervisor, Tokenizer, Wanted
from daydream_motives.engine.worker.wire import Ask, Rate, Rated
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import rough_count
from daydream_motives.settings import default_threads

__all__ = ["Limits", "WorkerBackend"]
_LOOK = 0.02  # seconds between two looks at whether the work is still wanted
_FORKED = "the engine was made in another process"


class WorkerBackend:
    """Backend, Service and Scorer over a worker process that opens `kind` with `spec`.

    Returns at once and loads in the background: requests wait for the model, and `wait` waits too.
    `command` starts another program than the worker's own; `rng` spreads the pauses between two
    starts. `tokenizer` makes a token counter of an opened model's kind and spec; without it, and
    until a model is open, tokens are guessed. Raises BackendError where no worker can be started
    safely, SettingsError where a setting is wrong.
    """

    def __init__(
        self,
        kind: str,
        spec: BackendSpec,
        *,
        command: Sequence[str] | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self._first = Wanted(kind, _settled(spec))
        self._pid = os.getpid()
        self._supervisor = Supervisor(
            default_command() if command is None else command,
            self._first,
            limits or Limits(),
            rng or random.Random(),
            tokenizer,
        )
        # An engine dropped without `close` leaves no process; at exit the pipe's end does the same.
        self._release = weakref.finalize(self, self._supervisor.events.put, "close")

    @property
    def model(self) -> str:
        """Name of the model that new requests go to."""
        ready = self._supervisor.ready
        return ready.name if ready else self._first.spec.model

    @property
    def model_hash(self) -> str:
        """Hash of the model that new requests go to."""
        ready = self._supervisor.ready
        return ready.model_hash if ready else self._first.spec.model_hash

    @property
    def adapter_hash(self) -> str:
        """Hash of that model's adapter, or empty."""
        ready = self._supervisor.ready
        return ready.adapter_hash if ready else ""

    @property
    def capacity(self) -> int:
        """How many requests the model works on at once; a guess until it is open."""
        ready = self._supervisor.ready
        return ready.capacity if ready else max(1, self._first.spec.parallel)

    @property
    def parallel(self) -> int:
        """How many requests `decide_many` is best asked at once."""
        return self.capacity

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        process = self._supervisor.process
        return process.pid if process else None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until a model is open; raises BackendError where it could not be, or not in time."""
        if not self.opened(timeout):
            raise BackendError(f"the model was not open after {timeout:g} s")

    def opened(self, timeout: float | None) -> bool:
        """Whether a model is open within `timeout` seconds; raises BackendError where it could not
        be."""
        self._check_pid()
        try:
            if self._supervisor.ready is None:
                self._first.opened.result(timeout)
        except FutureTimeout:
            return False
        return True

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`; the worker is not asked."""
        if os.getpid() != self._pid:
            return rough_count(text)
        return self._supervisor.count_tokens(text)

    def start(self, request: Request, done: Done) -> Cancel:
        """Begin; see Service. `done` is called from a thread of the backend's, but in this one once
        it is closed, and in a fork of the game."""

        def take(result: Result) -> None:
            if isinstance(result, Answer):
                done(result)

        if os.getpid() != self._pid:
            done(Answer((), reason=_FORKED))
            return _nothing
        return self._supervisor.desk.submit(
            Job(lambda id, model: Ask(id, model, request), take, Answer)
        )

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        """Answers in the order of the requests, waited for; see Backend."""
        answers: list[Answer] = [Answer(())] * len(requests)
        left, lock, all_there = len(requests), threading.Lock(), threading.Event()

        def keep(index: int, answer: Answer) -> None:
            nonlocal left
            answers[index] = answer
            with lock:
                left -= 1
                if not left:
                    all_there.set()

        cancels = [
            self.start(request, lambda answer, index=index: keep(index, answer))  # type: ignore[misc]
            for index, request in enumerate(requests)
        ]
        while requests and not all_there.wait(_LOOK if cancelled else None):
            if cancelled and cancelled():
                for cancel in cancels:
                    cancel()
                all_there.wait()
        return answers

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        """See Scorer; raises BackendError where the model cannot say, or the worker died."""
        self._check_pid()
        asked, came = tuple(texts), Future[Result]()
        self._supervisor.desk.submit(
            Job(lambda id, model: Rate(id, model, request, asked), came.set_result, Rated)
        )
        result = came.result()
        if not isinstance(result, Rated) or result.reason:
            raise BackendError(result.reason or "no scores came")
        if len(result.scores) != len(asked):
            raise BackendError(f"{len(result.scores)} scores came for {len(asked)} texts")
        return list(result.scores)

    def swap(self, kind: str, spec: BackendSpec) -> Future[None]:
        """Open another model beside this one and let it answer once it is open.

        Until then, and where it fails (the future says why, as BackendError), the present one goes
        on. Requests under way are finished by the model they were put to.
        """
        self._check_pid()
        wanted = Wanted(kind, _settled(spec))
        if not self._supervisor.swap(wanted):
            wanted.opened.set_exception(BackendError("the engine is closed"))
        return wanted.opened

    def close(self) -> None:
        """End the worker; whoever waits gets an answer with a reason. Harmless when repeated."""
        if os.getpid() != self._pid:
            return  # a fork does not end its parent's worker
        self._release()
        self._supervisor.join()

    def _check_pid(self) -> None:
        if os.getpid() != self._pid:
            raise BackendError(_FORKED, remedy="make a new engine in this process")


def _settled(spec: BackendSpec) -> BackendSpec:
    """The spec as another process can read it."""
    path = spec.path.absolute() if spec.path else None
    return replace(spec, path=path, threads=spec.threads or default_threads())


def _nothing() -> None:
    """Cancels nothing."""
