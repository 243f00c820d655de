"""Whether answers come by their deadline, and what asking costs the game's thread.

An engine is overloaded: many requests with a short deadline and a model that is far too slow. A
bare timer thread waits for the same moments in the same run, so that whatever else the machine
does hits both alike. Then three ways to have contexts composed are compared: in the game's thread
(`pump`), in a thread beside it, and in another process, to which the snapshot has to be sent.
"""

from __future__ import annotations

import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from daydream_motives.bench.figures import percentile
from daydream_motives.bench.scale import Town
from daydream_motives.characters.character import Character
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.compose import compose
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.live.snapshot import Snapshot
from daydream_motives.engine.live.ticket import Ticket
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.motives.budget import rough_count
from daydream_motives.motives.context import DEFAULT_BUDGET
from daydream_motives.motives.situation import Situation

FRAME = 1 / 60
_THINKS = 0.25  # seconds that the slow model takes for one decision
_WORK = 0.006  # seconds of a frame that the game itself is busy with
_SINK = "import sys\nwhile sys.stdin.buffer.read1(65536): pass"
Asking = tuple[Character, Situation]


@dataclass(frozen=True, slots=True)
class Lateness:
    """Answer minus deadline in milliseconds, 0 where it came before; `count` moments."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Call:
    """What one call took in the game's thread, in microseconds."""

    count: int
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Way:
    """One way to compose: what asking costs the game, and how long the same work of the game took
    in a frame, in milliseconds."""

    call: Call
    frame_p50_ms: float
    frame_p99_ms: float


class Overloaded(ScriptedBackend):
    """The scripted backend, but as slow as a model on a machine too small for it."""

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        time.sleep(_THINKS * len(requests))
        return super().decide_many(requests, cancelled)


def measure(
    *, requests: int = 1_000, deadline_ms: float = 50.0, frames: int = 300, seed: int = 0
) -> Iterator[tuple[str, Any]]:
    """Figures as they come, by name: `engine` and `timer` (Lateness), `ends` (how many requests
    ended how), `calls` and `composing` (by way)."""
    town = Town(200, seed, rough_count)
    now = town.simulation.clock.now
    actors = list(town.simulation.actors.values())
    asking = [(a.character, town.scene.situation(a, now, ())) for a in actors]
    town.engine.close()
    calls: dict[str, list[float]] = {"submit": [], "poll": [], "pump": []}
    tickets, timer = _overload(asking, requests, deadline_ms, calls)
    yield "engine", _lateness([(t.answered_at or 0.0) - (t.deadline or 0.0) for t in tickets])
    yield "timer", _lateness(timer)
    yield "ends", dict(Counter(t.settled.end if t.settled else "none" for t in tickets))
    yield "calls", {name: _call(seconds) for name, seconds in calls.items()}
    yield "composing", {way: _way(begin, asking, frames) for way, begin in WAYS.items()}


def _overload(
    asking: Sequence[Asking], requests: int, deadline_ms: float, calls: dict[str, list[float]]
) -> tuple[list[Ticket], list[float]]:
    """A game at 60 frames a second that asks for everybody all the time; all tickets, and how late
    a bare timer was for their deadlines."""
    moments: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    late: list[float] = []

    def timer() -> None:
        while (moment := moments.get()) is not None:
            while (left := moment - time.monotonic()) > 0:
                time.sleep(left)
            late.append(time.monotonic() - moment)

    bare = threading.Thread(target=timer)
    bare.start()
    tickets: list[Ticket] = []
    slow = Overloaded(BackendSpec("scripted"))
    with MotiveEngine(slow, namespace="deadlines") as engine:
        engine.load()
        a_frame = max(1, requests // 20)
        people = [_another(asking[n % len(asking)], n) for n in range(requests)]
        waiting: list[Ticket] = []
        while people or waiting:
            began = time.monotonic()
            for character, situation in people[:a_frame]:
                ask = partial(engine.submit, character, situation, deadline_ms=deadline_ms)
                ticket = _timed(calls["submit"], ask)
                moments.put(ticket.deadline)
                waiting.append(ticket)
                tickets.append(ticket)
            del people[:a_frame]
            _timed(calls["pump"], engine.pump)
            waiting = [t for t in waiting if _timed(calls["poll"], t.poll) is None]
            time.sleep(max(0.0, began + FRAME - time.monotonic()))
        moments.put(None)
        bare.join()
    return tickets, late


def _another(asking: Asking, number: int) -> Asking:
    """The same person once more, as somebody else: of two requests of one only the later counts."""
    character, situation = asking
    twin = Character(character.sheet, id=character.id, relationships=character.relationships)
    twin.memory = character.memory
    twin.id = f"{character.id}:{number}"
    return twin, situation


def _compose(asked: Snapshot) -> None:
    compose(asked, asked.situation, count_tokens=rough_count, budget=DEFAULT_BUDGET)


def _nothing() -> tuple[Callable[[Snapshot], object], Callable[[], object]]:
    return (lambda _: None), (lambda: None)


def _here() -> tuple[Callable[[Snapshot], object], Callable[[], object]]:
    return _compose, (lambda: None)


def _beside() -> tuple[Callable[[Snapshot], object], Callable[[], object]]:
    asked: queue.SimpleQueue[Snapshot | None] = queue.SimpleQueue()

    def work() -> None:
        while (one := asked.get()) is not None:
            _compose(one)

    thread = threading.Thread(target=work)
    thread.start()

    def end() -> None:
        asked.put(None)
        thread.join()

    return asked.put, end


def _elsewhere() -> tuple[Callable[[Snapshot], object], Callable[[], object]]:
    """Only what the game's side has to do: the other process throws away what it gets."""
    sink = subprocess.Popen([sys.executable, "-c", _SINK], stdin=subprocess.PIPE)
    pipe = sink.stdin
    assert pipe is not None  # noqa: S101 - it was asked for

    def send(asked: Snapshot) -> None:
        parts = (
            asked.sheet, asked.situation, asked.needs, asked.mood, asked.lately, list(asked.memory),
            list(asked.relationships.of(asked.id)),
        )  # fmt: skip
        pipe.write(pickle.dumps(parts, protocol=pickle.HIGHEST_PROTOCOL))
        pipe.flush()

    def end() -> None:
        pipe.close()
        sink.wait()

    return send, end


WAYS = {"nothing": _nothing, "pump": _here, "thread": _beside, "process": _elsewhere}


def _way(
    begin: Callable[[], tuple[Callable[[Snapshot], object], Callable[[], object]]],
    asking: Sequence[Asking],
    frames: int,
) -> Way:
    """So many frames of a game, in each of which one character asks."""
    give, end = begin()
    calls: list[float] = []
    worked: list[float] = []
    loops = _loops()
    for number in range(frames):
        began = time.monotonic()
        asked = Snapshot(*asking[number % len(asking)])
        _timed(calls, partial(give, asked))
        busy = time.perf_counter()
        _work(loops)
        worked.append(time.perf_counter() - busy)
        time.sleep(max(0.0, began + FRAME - time.monotonic()))
    end()
    return Way(_call(calls), percentile(worked, 0.5) * 1000, percentile(worked, 0.99) * 1000)


def _work(loops: int) -> int:
    """What a game does in a frame, of its own."""
    total = 0
    for n in range(loops):
        total += n * n % 7
    return total


def _loops() -> int:
    """How much of it takes as long as a frame's work should."""
    began = time.perf_counter()
    _work(20_000)
    return int(20_000 * _WORK / max(1e-6, time.perf_counter() - began))


def _timed(seconds: list[float], call: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = call()
    seconds.append(time.perf_counter() - began)
    return found


def _lateness(seconds: Sequence[float]) -> Lateness:
    late = [max(0.0, one) * 1000 for one in seconds]
    return Lateness(
        len(late), percentile(late, 0.5), percentile(late, 0.99), percentile(late, 0.999), max(late)
    )


def _call(seconds: Sequence[float]) -> Call:
    us = [one * 1e6 for one in seconds]
    return Call(len(us), percentile(us, 0.5), percentile(us, 0.99), max(us))
