"""What a live engine did so far, in figures. Knows nothing of how."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

from daydream_motives.engine.live.ticket import End

_LAST = 512


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the live side of an engine, since it was made.

    `answered` counts by how a request ended: `model`, `cache`, and why instinct answered. `waiting`
    have no context or no room with the model yet, `in_flight` the model works on. `late_answers`
    came from the model after their deadline and went into the cache; latencies (ms, from asking to
    the model's answer) are of the last 512, 0 where there are none.
    """

    submitted: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    in_flight: int = 0
    late_answers: int = 0
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    latency_p99_ms: float = 0.0


class Tally:
    """Counts; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.submitted = 0
        self._answered: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_LAST)

    def count(self, end: End, seconds: float) -> None:
        """One more request ended so, this long after it was asked."""
        with self._lock:
            self._answered[end] += 1
            if end == "model":
                self._latencies.append(seconds)

    def stats(self, waiting: int, in_flight: int, late_answers: int) -> Stats:
        with self._lock:
            answered, seconds = dict(self._answered), sorted(self._latencies)

        def share(of: float) -> float:
            return seconds[int(of * (len(seconds) - 1))] * 1000 if seconds else 0.0

        return Stats(
            self.submitted, answered, waiting, in_flight, late_answers,
            share(0.5), share(0.95), share(0.99),
        )  # fmt: skip
