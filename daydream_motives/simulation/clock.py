"""In-world time in ticks. Knows nothing of wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class Clock:
    """`tick` ticks of `minutes_per_tick` after `start`."""

    start: datetime
    minutes_per_tick: int
    tick: int = 0

    @property
    def now(self) -> datetime:
        return self.at(self.tick)

    def at(self, tick: int) -> datetime:
        return self.start + timedelta(minutes=self.minutes_per_tick * tick)

    def ticks(self, minutes: float) -> int:
        """How many ticks so many minutes take; at least one."""
        return max(1, round(minutes / self.minutes_per_tick))

    @property
    def ticks_per_day(self) -> int:
        return max(1, 1440 // self.minutes_per_tick)


def within(clock: str, span: tuple[str, str]) -> bool:
    """Whether HH:MM lies in [from, until); a span may pass midnight."""
    start, end = span
    return start <= clock < end if start < end else clock >= start or clock < end
