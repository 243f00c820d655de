"""A running engine goes over to another default model once there is one. Knows no training.

Whoever promotes a model writes one small file; whoever follows looks at that file's time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from daydream_motives.settings import default_model, home

_SECONDS = 2.0


class Swaps(Protocol):
    """What can change its model: a MotiveEngine."""

    def swap(self, model: str | None = None) -> Future[bool]: ...


class Follower:
    """Has an engine swap once this machine's default model is another one.

    The user's own default (DAYDREAM_MODEL) is followed by nobody: it does not change.
    """

    def __init__(self, engine: Swaps, file: Path | None = None) -> None:
        self._engine = engine
        self._file = file or home() / "models" / "default.json"
        self._seen = self._stamp()

    def look(self) -> Future[bool] | None:
        """Begin to swap where the default has changed since the last look; None where it has not.

        Costs one look at a file's time; may be called from any thread.
        """
        stamp = self._stamp()
        if stamp == self._seen or default_model():
            return None
        self._seen = stamp
        return self._engine.swap(None)

    def _stamp(self) -> tuple[int, int, int]:
        """A replaced file has another number, whatever the clock of its disk."""
        try:
            stat = self._file.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


@contextmanager
def following(
    engine: Swaps,
    *,
    seconds: float = _SECONDS,
    swapped: Callable[[bool], None] = lambda _: None,
) -> Iterator[None]:
    """Within it, a live engine goes over to each newly promoted model, looked for every so often.

    `swapped` is told, from another thread, whether the new model could be had.
    """
    over = threading.Event()
    follower = Follower(engine)

    def watch() -> None:
        while not over.wait(seconds):
            if begun := follower.look():
                swapped(begun.result())

    thread = threading.Thread(target=watch, name="daydream-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1.0)
