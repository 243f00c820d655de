"""Where the model lives: opened when first needed, replaced by another between steps, closed.

Knows no characters and no deadlines.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TypeVar

from daydream_motives.engine.backend import (
    CLOSED,
    Answer,
    Backend,
    BackendSpec,
    Request,
    Scorer,
    Service,
)
from daydream_motives.engine.compose import identity
from daydream_motives.engine.errands import Errands
from daydream_motives.engine.opening import Closing, Open
from daydream_motives.engine.threaded import Threaded
from daydream_motives.errors import BackendError, DaydreamError

log = logging.getLogger("daydream_motives")
T = TypeVar("T")
Find = Callable[[], tuple[str, BackendSpec]]
Another = Callable[[str, BackendSpec, Closing], Backend]
_LOOK = 0.1  # seconds between two looks at whether a new model is still wanted
FORKED = "the engine was made in another process"


class _InTurn:
    """A backend that one thread at a time may call, called by two."""

    def __init__(self, backend: Backend, turn: threading.Lock) -> None:
        self.backend, self.turn = backend, turn
        self.model, self.model_hash, self.adapter_hash = identity(backend)
        self.parallel = getattr(backend, "parallel", 1)
        self.count_tokens, self.close = backend.count_tokens, backend.close

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        with self.turn:
            return self.backend.decide_many(requests, cancelled)


class Seat:
    """One backend while it serves: `in_hand` counts what it still has to answer.

    Raises whatever a backend raises that lacks something.
    """

    def __init__(self, backend: Backend, *, owned: bool) -> None:
        if not all(isinstance(word, str) for word in identity(backend)):
            raise BackendError("the name and the hashes of a backend's model are no text")
        self.backend, self.owned = backend, owned
        self.turn = threading.Lock()
        self.service: Service = (
            backend if isinstance(backend, Service) else Threaded(_InTurn(backend, self.turn))
        )
        self.in_hand = 0
        self.retired = False

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool]
    ) -> list[Answer]:
        """The backend's answers to a group; waits while a plain backend is at work for others."""
        if isinstance(self.backend, Service):
            return self.backend.decide_many(requests, cancelled)
        with self.turn:
            return self.backend.decide_many(requests, cancelled)

    def score(self, request: Request, texts: Sequence[str]) -> list[float] | None:
        """The backend's scores, in its turn too; None where it has none to give."""
        if not isinstance(self.backend, Scorer):
            return None
        if isinstance(self.backend, Service):
            return self.backend.score(request, texts)
        with self.turn:
            return self.backend.score(request, texts)

    def close(self) -> None:
        try:
            if isinstance(self.service, Threaded):
                self.service.close()
            if self.owned:
                self.backend.close()
        except Exception:  # a plug-in's fault never reaches the game
            log.exception("a backend could not be closed")


def _seated(backend: Backend, *, owned: bool) -> Seat:
    """The backend's seat; raises what a backend raises that lacks something, which is closed."""
    try:
        return Seat(backend, owned=owned)
    except Exception:
        if owned:
            with suppress(Exception):
                backend.close()
        raise


class Host:
    """Keeps one seat filled. `open` gives the backend, or None for none; `owned` backends are
    closed here. `changed` is called, from any thread, when another backend serves or none can."""

    def __init__(self, open: Open, *, owned: bool, reason: str = "") -> None:
        self._open, self._owned = open, owned
        self.reason = reason
        self.changed: Callable[[], None] = lambda: None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._loading: Future[Seat | None] | None = None
        self._retired: list[Seat] = []
        self._worker = Errands("daydream-motives")
        self._mover = Errands("daydream-swap")

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    @property
    def forked(self) -> bool:
        """Whether this is another process than the engine was made in: no thread came along."""
        return os.getpid() != self._pid

    @property
    def why_not(self) -> str:
        """Why there is no model."""
        return self.reason or "the model is still loading"

    def load(self) -> None:
        """Begin to open the backend, once."""
        if self._loading is None:
            with self._lock:
                if self._loading is None and not self.closed:
                    with suppress(RuntimeError):  # closed in this very moment
                        self._loading = self._worker.submit(self._fill)

    def _fill(self) -> Seat | None:
        try:
            backend = self._open(self._closing.is_set)
            return _seated(backend, owned=self._owned) if backend else None
        except DaydreamError as exc:
            self.reason = exc.message
            if self.closed:
                return None
            log.warning("%s; characters act on instinct. To mend it: %s", exc.message, exc.remedy)
        except Exception as exc:  # a plug-in's fault never reaches the game either
            self.reason = f"{type(exc).__name__}: {exc}"
            log.warning("the model failed to load (%s); characters act on instinct", self.reason)
        return None

    @property
    def settled(self) -> bool:
        """Whether it is known what serves: a model, or none."""
        loading = self._loading
        return self.closed or (loading is not None and loading.done())

    @property
    def seat(self) -> Seat | None:
        """What serves now; None while it is loading, and where there is none."""
        loading = self._loading
        if loading is None or self.closed or not loading.done() or loading.cancelled():
            return None
        return loading.result()

    def ready(self, timeout: float | None = None) -> Seat | None:
        """What serves, waited for at most `timeout` seconds (None: as long as it takes)."""
        if self.forked:
            self.reason = FORKED
            return None
        self.load()
        if self._loading is None or self.closed:
            return None
        try:
            return self._loading.result(timeout)
        except (FutureTimeout, CancelledError):
            return None

    def submit(self, work: Callable[[], T]) -> Future[T] | None:
        """Have the thread of lockstep do it; None where the engine is closed."""
        if self.closed:
            return None
        try:
            return self._worker.submit(work)
        except RuntimeError:  # closed in this very moment
            return None

    def then(self, call: Callable[[], None]) -> None:
        """Call as soon as it is known what serves, from any thread, or now; not once closed."""
        self.load()
        if self._loading is not None:
            self._loading.add_done_callback(lambda _: call())

    def take(self) -> Seat | None:
        """What serves now, with one more request in hand: see `give_back`."""
        with self._lock:
            if seat := self.seat:
                seat.in_hand += 1
            return seat

    def give_back(self, seat: Seat) -> None:
        """One fewer in hand; a seat that another took over from is closed after its last."""
        with self._lock:
            seat.in_hand -= 1
            free = seat.retired and not seat.in_hand
        if free:
            self._end(seat)

    def swap(self, find: Find, open: Another) -> Future[bool]:
        """Have another model take over: requests in hand are answered by the old one, the next by
        the new one. False where it cannot be had, which is logged: then the old one stays.

        A backend that can change its model does so itself; else `open` gives a new one.
        """
        try:
            return self._mover.submit(lambda: self._swap(find, open))
        except RuntimeError:
            done: Future[bool] = Future()
            done.set_result(False)
            return done

    def _swap(self, find: Find, open: Another) -> bool:
        old = self.ready()
        try:
            kind, spec = find()
            if old and (within := getattr(old.backend, "swap", None)):
                taken = within(kind, spec)
                while isinstance(taken, Future) and not taken.done():
                    if self.closed:
                        return False
                    wait([taken], _LOOK)
                return (taken.result() if isinstance(taken, Future) else taken) is not False
            new = _seated(open(kind, spec, self._closing.is_set), owned=True)
        except DaydreamError as exc:
            log.warning("no new model: %s To mend it: %s", exc.message, exc.remedy)
            return False
        except Exception as exc:
            log.warning("no new model: %s: %s", type(exc).__name__, exc)
            return False
        seat: Future[Seat | None] = Future()
        seat.set_result(new)
        with self._lock:
            if not (closed := self.closed):
                self._loading, self.reason = seat, ""
                if old:
                    old.retired = True
                    self._retired.append(old)
            free = old if old and old.retired and not old.in_hand else None
        if closed:
            new.close()
            return False
        if free:
            self._end(free)
        self.changed()
        return True

    def _end(self, seat: Seat) -> None:
        """Close a seat, but not in a thread of its own backend; after `close`, that sees to it."""
        with suppress(RuntimeError):
            self._mover.submit(lambda: self._close(seat))

    def _close(self, seat: Seat) -> None:
        with self._lock:
            if seat not in self._retired:
                return
            self._retired.remove(seat)
        seat.close()

    def stop(self) -> None:
        """Serve no more; what is under way is abandoned."""
        self._closing.set()

    def close(self) -> None:
        """Free the model once its last step is done. Harmless when repeated."""
        self.stop()
        self._mover.close()
        self._worker.close()
        loading, self._loading = self._loading, None
        self.reason = self.reason or CLOSED
        if loading and loading.done() and not loading.cancelled() and (seat := loading.result()):
            seat.close()
        for seat in list(self._retired):
            self._close(seat)
