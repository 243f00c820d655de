"""An engine over a worker process, and a watch on the processes it has: none may be left behind.

Knows nothing of what is asked of the engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.opening import counter
from daydream_motives.engine.worker.backend import WorkerBackend
from daydream_motives.errors import BackendError
from daydream_motives.modelstore.store import ModelStore

_GOING = 5.0  # seconds that a process may take to end after its engine was closed
_LOADING = 300.0


def needs(*packages: str) -> None:
    """Raises BackendError, saying what to install, where one of the packages is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise BackendError(
            f"this measurement needs the package {missing[0]}",
            remedy="pip install 'daydream-motives[bench]'",
        )


@dataclass(slots=True)
class Watch:
    """The worker's processes, one after another, by id and time of birth."""

    worker: WorkerBackend
    seen: dict[int, float] = field(default_factory=dict)

    def look(self) -> int | None:
        """The process there is now."""
        import psutil

        pid = self.worker.pid
        if pid is not None and pid not in self.seen:
            with suppress(psutil.Error):
                self.seen[pid] = psutil.Process(pid).create_time()
        return pid

    def kill(self) -> bool:
        """End the worker as a lack of memory would; False where there was none."""
        import psutil

        pid = self.look()
        try:
            if pid is not None:
                psutil.Process(pid).kill()
            return pid is not None
        except psutil.Error:
            return False

    def alive(self) -> list[int]:
        """Those of all processes seen that still run."""
        import psutil

        found = []
        for pid, born in self.seen.items():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
        return found

    def orphans(self) -> list[int]:
        """Those that outlive a closed engine."""
        end = time.monotonic() + _GOING
        while (left := self.alive()) and time.monotonic() < end:
            time.sleep(0.05)
        return left


def memory_of(pid: int | None) -> int | None:
    """Bytes that a process (None: no process) holds now, without what it shares with files."""
    import psutil

    if pid is None:
        return None
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    return int(info.rss - getattr(info, "shared", 0))


def own_memory() -> int:
    """Bytes that this process holds now, as `memory_of`."""
    import os

    return memory_of(os.getpid()) or 0


def spec_of(model: str | None, threads: int) -> tuple[str, BackendSpec]:
    """Kind and spec of a model of this machine; raises StoreError where it is not here."""
    kind, spec = ModelStore().spec(model)
    return kind, replace(spec, threads=threads)


@contextmanager
def working(
    model: str | None, threads: int, seed: int = 0
) -> Iterator[tuple[MotiveEngine, Watch, dict[str, Any]]]:
    """An engine whose model is open in a worker process, and what was found after its end: the
    mapping then has `workers` and `orphans`."""
    needs("psutil")
    kind, spec = spec_of(model, threads)
    worker = WorkerBackend(kind, spec, tokenizer=counter)
    watch, after = Watch(worker), dict[str, Any]()
    try:
        worker.wait(_LOADING)
        watch.look()
        with MotiveEngine(worker, seed=seed, namespace="bench") as engine:
            yield engine, watch, after
    finally:
        watch.look()
        worker.close()
        after.update(workers=len(watch.seen), orphans=watch.orphans())
