"""What the engine costs a game at sixty frames a second: without it, with it, and while it dies.

The three take turns in short slices, so that whatever else the machine does hits them alike; in
each slice of `killed` the worker is killed once. Last comes a storm, in which it is killed every
five seconds whether or not it has come back. A frame's time runs from its beginning to that of the
next; it is late when it takes more than a sixtieth of a second and one millisecond.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from daydream_motives.bench.arcade import FRAMES_PER_SECOND, Arcade
from daydream_motives.bench.figures import machine, spread, table
from daydream_motives.bench.town import Cast
from daydream_motives.bench.working import Watch, needs, working
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.live.ticket import Ticket
from daydream_motives.motives.purposes import Decision

LATE_S = 1 / FRAMES_PER_SECOND + 0.001
PHASES = ("off", "on", "killed")
STORM = "storm"
SLICE_S = 5.0  # of each phase before the next takes its turn, and between two kills
DEADLINE_MS = 8000.0
_FIRST_KILL = 0.2  # of the time between two kills passes before the first
_A_FRAME = 2  # characters that may ask in one frame
_PAUSE_S = (1.0, 5.0)  # between an answer and the next question: it is acted on
_GRACE_S = 1.0  # after a deadline; what is not answered by then is missing
_SETTLE_S = 30.0
_PUMP_MS = 1.0
_SHARES = (0.5, 0.95, 0.99, 0.999)


@dataclass(slots=True)
class Phase:
    """Seconds of each frame of one phase, and of what the frame itself did."""

    frames: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    seconds: float = 0.0
    sources: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        """Times in ms; `late` is a share of the frames."""
        late = sum(seconds > LATE_S for seconds in self.frames)
        return {
            "frames": len(self.frames),
            "frame_ms": spread(self.frames, *_SHARES, scale=1000),
            "work_ms": spread(self.work, *_SHARES, scale=1000),
            "late": late / max(1, len(self.frames)),
            "decisions": dict(self.sources),
            "model_decisions_per_s": self.sources["model"] / self.seconds if self.seconds else 0.0,
        }


class Thinkers:
    """The characters of the game: who asks when, and what becomes of it.

    Every call of the engine is timed, and whatever one raises is kept: a game would have died.
    """

    def __init__(self, engine: MotiveEngine, count: int, seed: int) -> None:
        self.engine = engine
        self.cast = Cast(engine, count, seed=seed)
        self.times: dict[str, list[float]] = {"submit": [], "poll": [], "pump": []}
        self.open: dict[int, Ticket] = {}
        self.next = [0.0] * count
        self.turn = 0
        self.exceptions: list[str] = []
        self.missing = 0
        self.first_answers: list[float] = []  # seconds from a kill to the next answer of a model
        self._killed: float | None = None

    def _timed(self, what: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return call()
        except Exception:  # what must not happen is what is measured here
            self.exceptions.append(traceback.format_exc(limit=3))
            return None
        finally:
            self.times[what].append(time.perf_counter() - began)

    def killed(self) -> None:
        """The worker has just been killed."""
        self._killed = time.monotonic()

    @property
    def awaiting(self) -> bool:
        """Whether no model has answered since the last kill."""
        return self._killed is not None

    def frame(self, sources: Counter[str], *, asking: bool = True) -> None:
        """What a game does for them in one frame."""
        self._timed("pump", lambda: self.engine.pump(_PUMP_MS))
        now = time.monotonic()
        for index, ticket in list(self.open.items()):
            decision: Decision | None = self._timed("poll", ticket.poll)
            if decision is not None:
                self._take(index, decision, sources, now)
            elif ticket.deadline is not None and now > ticket.deadline + _GRACE_S:
                self.missing += 1
                del self.open[index]
        if asking:
            self._ask(now)

    def _take(self, index: int, decision: Decision, sources: Counter[str], now: float) -> None:
        source = decision.provenance.source
        sources[source] += 1
        del self.open[index]
        rng = self.cast.rng
        self.next[index] = now + rng.uniform(*_PAUSE_S)
        if source == "model" and self._killed is not None:
            self.first_answers.append(now - self._killed)
            self._killed = None

    def _ask(self, now: float) -> None:
        asked = 0
        for _ in self.next:
            index = self.turn = (self.turn + 1) % len(self.next)
            if index in self.open or self.next[index] > now:
                continue
            person, situation = self.cast.people[index], self.cast.situation(index)
            priority = self.cast.rng.choice((0.25, 1.0, 1.0, 4.0))  # how near the player they are
            ask = partial(
                self.engine.submit, person, situation, priority=priority, deadline_ms=DEADLINE_MS
            )
            ticket = self._timed("submit", ask)
            if ticket is not None:
                self.open[index] = ticket
            asked += 1
            if asked == _A_FRAME:
                return


def measure(
    model: str | None = None,
    *,
    seconds: float = 20.0,
    storm: float = 60.0,
    characters: int = 50,
    threads: int = 1,
    seed: int = 0,
    slice_s: float = SLICE_S,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Figures of all phases, each `seconds` long, the last `storm` (0: none); raises BackendError
    where a package is missing, StoreError where the model is."""
    needs("pygame", "psutil")
    phases = {name: Phase() for name in (*PHASES, *([STORM] if storm else []))}
    arcade = Arcade(characters, seed=seed)
    kills = 0
    try:
        with working(model, threads, seed) as (engine, watch, after):
            thinkers = Thinkers(engine, characters, seed)
            for _ in range(max(1, round(seconds / slice_s))):
                for name in PHASES:
                    every = slice_s if name == "killed" else 0.0
                    stage = Stage(arcade, thinkers, watch, thinking=name != "off", kill_every=every)
                    kills += stage.play(phases[name], slice_s)
                    stage.settle()
                say(_so_far(phases))
            if storm:
                stage = Stage(arcade, thinkers, watch, kill_every=slice_s)
                kills += stage.play(phases[STORM], storm)
                stage.settle()
            stats = engine.stats
    finally:
        arcade.close()
    found = {name: phase.figures() for name, phase in phases.items()}
    calls = {
        name: spread(times, 0.5, 0.99, 0.999, scale=1000) for name, times in thinkers.times.items()
    }
    return {
        "about": {
            **machine(), "model": watch.worker.model, "threads": threads,
            "characters": characters, "seconds_each": phases["on"].seconds,
            "late_is_more_than_ms": LATE_S * 1000, "deadline_ms": DEADLINE_MS,
        },
        "phases": found, "calls_ms": calls,
        "late_points_on": 100 * (found["on"]["late"] - found["off"]["late"]),
        "late_points_killed": 100 * (found["killed"]["late"] - found["off"]["late"]),
        "kills": kills, "answer_after_kill_s": spread(thinkers.first_answers, 0.5),
        "submitted": stats.submitted, "answered": stats.answered,
        "exceptions": thinkers.exceptions, "missing_answers": thinkers.missing, **after,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """The game running for a while: with or without thinking characters, and with kills."""

    arcade: Arcade
    thinkers: Thinkers
    watch: Watch
    thinking: bool = True
    kill_every: float = 0.0

    def play(self, phase: Phase, seconds: float) -> int:
        """So many seconds of frames, taken down; returns how many workers were killed."""
        kills = 0
        self.arcade.wait()
        began = last = time.perf_counter()
        next_kill = began + self.kill_every * _FIRST_KILL
        while last - began < seconds:
            self.arcade.frame()
            if self.thinking:
                self.thinkers.frame(phase.sources)
            if self.kill_every and last >= next_kill:
                next_kill += self.kill_every
                if self.watch.kill():
                    kills += 1
                    self.thinkers.killed()
            phase.work.append(time.perf_counter() - last)
            self.arcade.wait()
            now = time.perf_counter()
            phase.frames.append(now - last)
            last = now
        phase.seconds += last - began
        return kills

    def settle(self) -> None:
        """Frames that do not count, until a killed model answers again and nothing is left of what
        was asked."""
        thinkers, end = self.thinkers, time.monotonic() + _SETTLE_S
        while thinkers.awaiting and time.monotonic() < end:
            self._frame(asking=True)
        for ticket in thinkers.open.values():
            ticket.cancel()
        while time.monotonic() < end:
            self._frame(asking=False)
            stats = thinkers.engine.stats
            if not (thinkers.open or stats.waiting or stats.in_flight):
                return

    def _frame(self, *, asking: bool) -> None:
        self.arcade.frame()
        self.thinkers.frame(Counter(), asking=asking)
        self.watch.look()
        self.arcade.wait()


def _so_far(phases: dict[str, Phase]) -> str:
    return ", ".join(
        f"{name}: {phase.figures()['late']:.2%} late of {len(phase.frames)}"
        for name, phase in phases.items()
    )


def as_text(found: dict[str, Any]) -> str:
    """The figures as tables, with what they have to be."""
    about = found["about"]
    head = ["ms a frame", "frames", "p50", "p95", "p99", "p99.9", "max", "late", "work p50",
            "work p99", "by the model /s"]  # fmt: skip
    rows = [head]
    for name, phase in found["phases"].items():
        times, work = phase["frame_ms"], phase["work_ms"]
        rows.append(
            [f"engine {name}", str(phase["frames"]),
             *(f"{times[p]:.2f}" for p in ("p50", "p95", "p99", "p99.9", "max")),
             f"{phase['late']:.2%}", f"{work['p50']:.2f}", f"{work['p99']:.2f}",
             f"{phase['model_decisions_per_s']:.2f}"]
        )  # fmt: skip
    calls: Sequence[list[str]] = [["ms a call", "p50", "p99", "p99.9", "max"]] + [
        [name, *(f"{times[p]:.3f}" for p in ("p50", "p99", "p99.9", "max"))]
        for name, times in found["calls_ms"].items()
    ]
    answers = ", ".join(f"{n} {how}" for how, n in sorted(found["answered"].items()))
    lines = [
        f"{about['processor']}, {about['cores']} cores; {about['characters']} characters, "
        f"{about['model']} on {about['threads']} thread(s)",
        f"late: more than {about['late_is_more_than_ms']:.2f} ms from frame to frame", "",
        table(rows), "",
        f"late frames against the engine off, in points: {found['late_points_on']:+.2f} on, "
        f"{found['late_points_killed']:+.2f} while being killed", "",
        table(calls), "",
        f"{found['submitted']} requests: {answers}",
        f"{found['kills']} kills, {found['workers']} workers; the model answers again after "
        f"{found['answer_after_kill_s']['p50']:.2f} s (median)",
        f"exceptions in the game: {len(found['exceptions'])}, missing answers: "
        f"{found['missing_answers']}, orphans: {len(found['orphans'])}",
    ]  # fmt: skip
    return "\n".join([*lines, *found["exceptions"][:1]])
