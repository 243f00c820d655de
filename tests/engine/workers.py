"""What the tests of the worker share: requests, short limits, and programs that play the worker."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.worker.backend import Limits, WorkerBackend
from daydream_motives.motives.context import MotiveContext

HOSTILE = [sys.executable, "-P", str(Path(__file__).with_name("hostile.py"))]
QUICK: dict[str, Any] = {"first_pause": 0.02, "longest_pause": 0.05, "failures": 1000}
# A worker in a few lines, for what the real one never does; `say` writes a line.
FAKE = """
import sys, json, os, time
def say(**message): os.write(1, json.dumps(message).encode() + b"\\n")
def ready(model): say(t="ready", model=model, name="fake", model_hash="", adapter_hash="",
    capacity=CAPACITY)
CAPACITY = 4
HELLO
for line in sys.stdin.buffer:
    told = json.loads(line)
    if told["t"] == "open": ready(told["model"])
    if told["t"] == "bye": sys.exit()
    if told["t"] == "ask": id = told["id"]; ASKED
"""


def request(seed: int = 0, short_name: str = "Ines") -> Request:
    """A request that says nothing much."""
    return Request(MotiveContext("Ines", "A diver.", "", ""), short_name, "she", seed)


def hostile(kind: str, model: str = "model", parallel: int = 0, **limits: Any) -> WorkerBackend:
    """A worker with a backend of hostile.py."""
    spec = BackendSpec(model, parallel=parallel, threads=1)
    return WorkerBackend(kind, spec, command=HOSTILE, limits=Limits(**{**QUICK, **limits}))


def fake(
    asked: str, greeting: str = "say(t='hello', version=1, pid=1)", **limits: Any
) -> WorkerBackend:
    """A worker of a few lines: what it says first, and what it does when asked (`id` is known)."""
    code = FAKE.replace("HELLO", greeting).replace("ASKED", asked)
    return WorkerBackend(
        "fake",
        BackendSpec("fake", threads=1),
        command=[sys.executable, "-S", "-E", "-c", code],
        limits=Limits(**{**QUICK, **limits}),
    )


def environment() -> dict[str, str]:
    """For programs that import what the tests import."""
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


class Answers:
    """Collects answers and counts how often each request got one."""

    def __init__(self) -> None:
        self.got: dict[int, list[Answer]] = {}
        self._lock = threading.Lock()

    def ask(
        self, backend: WorkerBackend, seed: int, short_name: str = "Ines"
    ) -> Callable[[], None]:
        def done(answer: Answer) -> None:
            with self._lock:
                self.got[seed].append(answer)

        self.got[seed] = []
        return backend.start(request(seed, short_name), done)

    @property
    def all(self) -> list[Answer]:
        return [answer for answers in self.got.values() for answer in answers]

    def wait(self, timeout: float = 30) -> list[Answer]:
        """The answer of each, in order; fails where one has none, or two."""
        eventually(lambda: all(self.got.values()), timeout)
        assert {len(answers) for answers in self.got.values()} <= {1}
        return self.all


def eventually(true: Callable[[], Any], timeout: float = 30) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.parent.parent.is_dir() or stat.read_text().rpartition(")")[2][1] != "Z"
    except OSError:
        return False
