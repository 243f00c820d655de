"""A worker program whose backends misbehave: `python hostile.py`; the kind says how.

A request whose `short_name` is the kind's bad word sets it off; every other one is answered.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from daydream_motives.engine.backend import Answer, Backend, BackendSpec, Cancel, Done, Request
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.engine.worker.main import main
from daydream_motives.errors import BackendError
from daydream_motives.motives.purposes import Draft

BAD = "Bad"


class Named(ScriptedBackend):
    """Scripted, but its model is called what the spec says."""

    parallel = 1

    def __init__(self, spec: BackendSpec) -> None:
        super().__init__(spec)
        self.model, self.parallel = spec.model, spec.parallel or 1

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        for request in requests:
            if request.short_name == BAD:
                self.misbehave(cancelled or (lambda: False))
        return super().decide_many(requests)

    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        """What the bad word does."""

    def close(self) -> None:
        print(f"closed {self.model}", file=sys.stderr, flush=True)


class Slow(Named):
    def decide_many(self, requests: Sequence[Request], cancelled: Any = None) -> list[Answer]:
        time.sleep(0.005)
        return super().decide_many(requests, cancelled)


class Hangs(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        while not cancelled():
            time.sleep(0.01)


class Stuck(Named):
    """Hangs with the interpreter's lock held: not even a heartbeat comes."""

    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        ctypes.PyDLL(None).sleep(60)


class Steady(Hangs):
    """Takes long, and is seen to get on."""

    steps = 0

    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        for _ in range(20):
            time.sleep(0.1)
            self.steps += 1


class Aborts(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        print("GGML_ASSERT(n_tokens > 0) failed", file=sys.stderr, flush=True)
        os.abort()


class Exits(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        os._exit(3)


class Prints(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        print("a library says hello")
        os.write(1, b'{"t":"done"} and so does C\n')
        assert sys.stdin.read() == ""  # nor does it read what is not for it


class Raises(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        raise RuntimeError("no luck")


class Greedy(Named):
    def misbehave(self, cancelled: Callable[[], bool]) -> Any:
        bytearray(1 << 40)


class Answers(Named):
    """Says what nobody can take; the spec's model says what."""

    def decide_many(self, requests: Sequence[Request], cancelled: Any = None) -> list[Answer]:
        odd: dict[str, Any] = {
            "huge": Answer((Draft("x" * 10_000_000),)),
            "nan": Answer((Draft("x", float("nan")),)),
            "four": Answer((Draft("x"),) * 4),
            "none": None,
            "text": "three purposes",
            "surrogate": Answer((Draft("\ud800"),)),
            "wrong type": Answer(("x",)),  # type: ignore[arg-type]
            "no list": 3,
        }
        return [odd[self.model] for _ in requests]


class Few(Named):
    def decide_many(self, requests: Sequence[Request], cancelled: Any = None) -> list[Answer]:
        return []


class Scores(Named):
    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        if request.short_name == BAD:
            raise BackendError("it does not fit")
        return [-float(len(text)) for text in texts]


class Babbles(Named):
    """A service that answers every request twice, from a thread of its own, or fails to begin."""

    capacity = 4

    def start(self, request: Request, done: Done) -> Cancel:
        if request.short_name == BAD:
            raise RuntimeError("cannot begin")
        answer = self._answer(request)
        threading.Thread(target=lambda: (done(answer), done(answer))).start()
        return lambda: None


class Limited(Named):
    """As much memory as a small machine has."""

    def __init__(self, spec: BackendSpec) -> None:
        super().__init__(spec)
        bytearray(1 << 40)


def _slow_to_open(spec: BackendSpec) -> Backend:
    time.sleep(float(spec.model))
    return Named(spec)


def _refuses(spec: BackendSpec) -> Backend:
    raise BackendError(f"no model file at {spec.path}", remedy="pull it")


def _lacks(spec: BackendSpec) -> Backend:
    raise ImportError("No module named 'llama_cpp'")


def _dies(spec: BackendSpec) -> Backend:
    os._exit(9)


def _leaves(spec: BackendSpec) -> Backend:
    raise SystemExit(4)


def _speechless(spec: BackendSpec) -> Backend:
    backend = Named(spec)
    backend.model = 3  # type: ignore[assignment]
    return backend


KINDS: dict[str, Callable[[BackendSpec], Backend]] = {
    "named": Named, "slow": Slow, "hangs": Hangs, "stuck": Stuck, "steady": Steady,
    "aborts": Aborts, "exits": Exits, "prints": Prints, "raises": Raises, "greedy": Greedy,
    "answers": Answers, "few": Few, "scores": Scores, "babbles": Babbles, "limited": Limited,
    "slow to open": _slow_to_open, "refuses": _refuses, "lacks": _lacks, "dies": _dies,
    "leaves": _leaves, "speechless": _speechless,
}  # fmt: skip

if __name__ == "__main__":
    main(lambda kind, spec: KINDS[kind](spec))
