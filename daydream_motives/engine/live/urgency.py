"""Requests by urgency: priority × how long the character has been waiting. Knows no threads.

Urgency is linear in time, so the order within one priority never changes: one sorted row for each
priority, and only their ends are compared. Priorities are rounded to an eighth of a power of two.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from itertools import islice

from daydream_motives.engine.live.ticket import Ticket

_LEAST, _MOST = 2.0**-10, 2.0**10
GRACE = 0.1  # seconds: of requests that just came, priority decides


def level(priority: float) -> float:
    """A priority as it is kept: in [2**-10, 2**10], rounded; what is no number counts least."""
    if not priority > _LEAST:
        return _LEAST
    mantissa, exponent = math.frexp(min(priority, _MOST))
    return math.ldexp(round(mantissa * 16) / 16, exponent)


def urgency(ticket: Ticket, now: float) -> float:
    """Level of detail × seconds since the character was last answered by a model."""
    return ticket.priority * (now - ticket.since + GRACE)


class Waiting:
    """A queue whose both ends are at hand; adding and removing cost little up to some thousands.

    Tickets that were settled meanwhile may still be counted, but are never handed out.
    """

    def __init__(self) -> None:
        self._rows: dict[float, list[tuple[float, int, Ticket]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, ticket: Ticket) -> None:
        row = self._rows.setdefault(ticket.priority, [])
        insort(row, (ticket.since, ticket.number, ticket))
        self._size += 1

    def remove(self, ticket: Ticket) -> bool:
        """Whether it was in the queue."""
        row = self._rows.get(ticket.priority, [])
        index = bisect_left(row, (ticket.since, ticket.number))
        if index == len(row) or row[index][2] is not ticket:
            return False
        self._take(ticket.priority, index)
        return True

    def most(self, now: float) -> Ticket | None:
        """The most urgent one; among equals, who asked first."""
        return max(self._ends(0), key=lambda t: (urgency(t, now), -t.number), default=None)

    def in_order(self, now: float, limit: int) -> list[Ticket]:
        """At most `limit`, the most urgent first."""
        found: list[Ticket] = []
        for row in self._rows.values():
            found += islice((one[2] for one in row if not one[2].settled), limit)
        return sorted(found, key=lambda t: (-urgency(t, now), t.number))[:limit]

    def least(self, now: float) -> Ticket | None:
        """The least urgent one; among equals, who asked last."""
        return min(self._ends(-1), key=lambda t: (urgency(t, now), -t.number), default=None)

    def purge(self) -> None:
        """Let go of all that were settled."""
        rows = {p: [one for one in row if not one[2].settled] for p, row in self._rows.items()}
        self._rows = {priority: row for priority, row in rows.items() if row}
        self._size = sum(map(len, self._rows.values()))

    def _ends(self, end: int) -> list[Ticket]:
        found = []
        for priority in list(self._rows):
            while (row := self._rows.get(priority)) and row[end][2].settled:
                self._take(priority, end)
            if row:
                found.append(row[end][2])
        return found

    def _take(self, priority: float, index: int) -> None:
        row = self._rows[priority]
        del row[index]
        self._size -= 1
        if not row:
            del self._rows[priority]
