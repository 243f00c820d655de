"""Which request goes next, and how each comes to its one answer.

A request is a snapshot until somebody has the time to compose its context: `pump` once a frame, or
whoever waits for it. Composed, it goes to the model as soon as there is room, most urgent first.
It ends once: by the model, from the cache, or by instinct, at the latest at its deadline. Of two
requests of one character the later one counts; what the model still makes of the earlier is kept
for whoever asks the same. Knows no sheets and no journal.

Whoever takes a ticket out of `_open` settles it: no lock stands between a deadline and its answer.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from daydream_motives.engine.backend import CLOSED
from daydream_motives.engine.compose import Prepared
from daydream_motives.engine.host import FORKED, Host, Seat
from daydream_motives.engine.live.alarm import Alarm
from daydream_motives.engine.live.flight import Flight, Flights
from daydream_motives.engine.live.snapshot import Snapshot
from daydream_motives.engine.live.stats import Stats, Tally
from daydream_motives.engine.live.ticket import Settled, Ticket
from daydream_motives.engine.live.urgency import Waiting, level, urgency
from daydream_motives.motives.purposes import Decision, RankedPurposes

log = logging.getLogger("daydream_motives")
LIMIT = 4096  # requests that wait
PATIENCE = 0.25  # seconds without a pump, after which the engine composes what is asked for itself
_BREATH = 0.0005  # seconds between two things that a thread of ours does
_LOOK = 0.02  # seconds between two looks for room with the model, where nobody pumps
_GRACE = 2.0  # seconds that the model may go on with what nobody waits for any more
_UNSEEN = 16_384  # answers kept for the next pump,
_UNPUMPED, _UNPUMPED_FOR = 1_024, 10.0  # and where none came for so many seconds

Compose = Callable[[Ticket, Snapshot, Seat | None], Prepared]
Put = Callable[[Ticket, Snapshot, Settled], tuple[Prepared, RankedPurposes]]
Deliver = Callable[[Ticket, Prepared, RankedPurposes], Decision]


class Scheduler:
    """Takes requests and sees to their answers; how contexts and decisions are made, and where
    decisions are written, is the engine's."""

    def __init__(
        self,
        host: Host,
        compose: Compose,
        put: Put,
        deliver: Deliver,
        write: Callable[[Decision], None],
        *,
        limit: int = LIMIT,
    ) -> None:
        self._host, self._compose_it, self._put = host, compose, put
        self._deliver, self._write = deliver, write
        self._limit = limit
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Ticket] = {}
        self._latest: dict[str, Ticket] = {}
        self._since: dict[str, float] = {}  # character -> when a model last answered it
        self._waiting, self._ready = Waiting(), Waiting()  # before and after composing
        self._flights = Flights(host, self._lock, self._ready, self._settle, self._put_together)
        self._answered: deque[Ticket] = deque(maxlen=_UNSEEN)
        self._tally = Tally()
        self._pumped = float("-inf")
        self._made = time.monotonic()
        self._cost = 0.0  # seconds that composing takes, as a moving mean
        self._deadlines: Alarm[Ticket | Flight] = Alarm(self._due, _over, "daydream-deadlines")
        self._hands: Alarm[Callable[[], None]] = Alarm(self._lend, _never, "daydream-hands")
        self._helping = False
        self._late: deque[Ticket] = deque()  # settled, and nobody put an answer together yet
        for alarm in (self._deadlines, self._hands):  # an engine may be dropped without `close`
            weakref.finalize(self, alarm.drop)
        host.changed = self._flights.feed

    @property
    def stats(self) -> Stats:
        with self._lock:
            waiting = max(0, len(self._open) - self._flights.waited_for())
            flights = self._flights
            return self._tally.stats(waiting, flights.count, flights.late_answers)

    def submit(
        self, snapshot: Snapshot, tries: int, priority: float, deadline_ms: float | None
    ) -> Ticket:
        """Take a request; whatever becomes of it, the ticket will have an answer."""
        ticket = Ticket(
            self, next(self._numbers), snapshot, tries=tries, priority=level(priority),
            deadline_ms=deadline_ms,
        )  # fmt: skip
        self._open[ticket.number] = ticket
        if self._host.forked:  # whoever held the lock may not be here
            self._settle(ticket, Settled("forked", FORKED))
            return ticket
        self._host.load()
        past = ticket.aim is not None and ticket.aim <= ticket.submitted_at
        with self._lock:
            self._tally.submitted += 1
            ticket.since = self._since.setdefault(ticket.character, ticket.submitted_at)
            older = self._latest.get(ticket.character)
            self._latest[ticket.character] = ticket
            if older:
                self._drop(older, Settled("superseded", "a later request took its place"))
            if not past and not self._host.closed:
                self._waiting.add(ticket)
                if len(self._waiting) + len(self._ready) > self._limit:
                    self._make_room(ticket.submitted_at)
        if past:
            self._settle(ticket, Settled("late", ticket.late(not self._host.settled)))
        elif self._host.closed:
            self._settle(ticket, Settled("closed", CLOSED))
        elif ticket.aim is not None:
            self._deadlines.set(ticket.aim, ticket)
        return ticket

    def pump(self, budget: float) -> list[Ticket]:
        """Compose for `budget` seconds, most urgent first and at least one; what ended since."""
        if self._host.forked:
            return []
        self._pumped = start = time.monotonic()
        while ticket := self._next():
            self._compose(ticket)
            # One more would be over in time, as far as can be told.
            if time.monotonic() + self._cost >= start + budget:
                break
        self._flights.feed()
        with self._lock:
            held = len(self._waiting) + len(self._ready)
            if held > len(self._open) + self._limit // 16:  # deadlines leave theirs behind
                self._purge()
        return self._collect()

    @property
    def ended(self) -> list[Ticket]:
        """What no pump has returned yet."""
        return list(self._answered)

    def _collect(self) -> list[Ticket]:
        ended = []
        with suppress(IndexError):
            while True:
                ended.append(self._answered.popleft())
        with self._lock:
            for ticket in ended:
                if self._latest.get(ticket.character) is ticket:
                    del self._latest[ticket.character]
        return ended

    # What a ticket asks for

    def overdue(self, ticket: Ticket) -> None:
        if self._host.forked:
            self._settle(ticket, Settled("forked", FORKED))
        else:
            self._due(ticket)

    def hurry(self, ticket: Ticket) -> None:
        if self._host.forked:
            return
        if ticket.prepared is None:
            self._host.then(lambda: self._compose(ticket))

    def look_after(self, ticket: Ticket, now: float) -> None:
        if ticket.prepared is None and not self._helping and now - self._pumped > PATIENCE:
            self._helping = True
            self._host.then(lambda: self._hands.set(0.0, self._help))

    def cancel(self, ticket: Ticket) -> None:
        if self._host.forked:
            self._settle(ticket, Settled("forked", FORKED))
            return
        with self._lock:
            self._drop(ticket, Settled("cancelled", "cancelled"))
        self._flights.leave(ticket.character)

    def decision(self, ticket: Ticket, *, waited: bool = False) -> Decision:
        settled = ticket.settled
        assert settled is not None, "the caller looked"  # noqa: S101 - not a user's mistake
        prepared, purposes = self._put_together(ticket, settled)
        with ticket.lock:
            if ticket.made is None:
                ticket.made = self._deliver(ticket, prepared, purposes)
        if waited:
            self._write(ticket.made)
        return ticket.made

    def _put_together(self, ticket: Ticket, settled: Settled) -> tuple[Prepared, RankedPurposes]:
        """The purposes of a settled request; whoever comes first makes them, in any thread."""
        with ticket.lock:
            if ticket.put is None:
                assert ticket.snapshot is not None, "kept until this"  # noqa: S101
                ticket.put = self._put(ticket, ticket.snapshot, settled)
                ticket.snapshot = ticket.prepared = None
            return ticket.put

    def forked(self) -> bool:
        return self._host.forked

    def forget(self, character: str) -> None:
        """The character is gone: its request is settled, and nothing of it is kept."""
        if self._host.forked:
            return
        with self._lock:
            self._since.pop(character, None)
            ticket = self._latest.pop(character, None)
            if ticket:
                self._drop(ticket, Settled("forgotten", "the character is gone"))
        self._flights.leave(character)

    def close(self) -> None:
        """Settle all that wait, and have the model leave what it is at; the host is closed next."""
        self._deadlines.end()
        self._hands.end()
        with self._lock:
            for ticket in list(self._open.values()):
                self._drop(ticket, Settled("closed", CLOSED))
        self._flights.leave_all()

    # Composing

    def _next(self) -> Ticket | None:
        """The request to compose now: none where the model has enough to go on with."""
        if not self._host.settled:
            return None
        seat, now = self._host.seat, time.monotonic()
        with self._lock:
            while (ticket := self._waiting.most(now)) and self._flights.hopeless(ticket, now):
                self._waiting.remove(ticket)  # instinct will answer, and needs no context
            if ticket is None:
                return None
            if seat and len(self._ready) >= max(2, seat.service.capacity):
                ahead = self._ready.most(now)
                if ahead and urgency(ahead, now) >= urgency(ticket, now):
                    return None
            self._waiting.remove(ticket)
            return ticket

    def _compose(self, ticket: Ticket) -> None:
        """Compose a context and put it in line. Several threads may do so; one counts."""
        with self._lock:
            self._waiting.remove(ticket)
            snapshot = ticket.snapshot
        if ticket.settled or snapshot is None:
            return
        seat, began = self._host.seat, time.monotonic()
        try:
            prepared = self._compose_it(ticket, snapshot, seat)
        except Exception as exc:  # a tokenizer's fault, say
            log.warning("no context for %s (%s: %s)", ticket.character, type(exc).__name__, exc)
            self._settle(ticket, Settled("failed", f"{type(exc).__name__}: {exc}"))
            return
        self._cost += 0.2 * (time.monotonic() - began - self._cost)
        with self._lock:
            if ticket.prepared or ticket.settled:
                return
            ticket.prepared = prepared
            found = self._flights.board(ticket, prepared) if seat else None
        if seat is None:
            self._settle(ticket, Settled("no model", self._host.why_not))
        elif found:
            self._settle(ticket, found)
        else:
            self._flights.leave(ticket.character, but=prepared.question)
            self._flights.feed()

    # What a thread of ours does while the game is busy with other things

    def _lend(self, work: Callable[[], None]) -> None:
        work()
        time.sleep(_BREATH)  # the game goes first wherever it waits for the interpreter

    def _help(self) -> None:
        """In a game that does not pump: compose what the model needs next."""
        if ticket := self._next():
            self._compose(ticket)
        now = time.monotonic()
        if len(self._waiting) and now - self._pumped > PATIENCE:
            self._hands.set(now if ticket else now + _LOOK, self._help)
        else:
            self._helping = False

    def _catch_up(self) -> None:
        """In a game that does not pump: put an answer together that was left to instinct."""
        ticket = self._late.popleft()
        if ticket.settled:
            self._put_together(ticket, ticket.settled)

    # Ends

    def _settle(self, ticket: Ticket, settled: Settled) -> bool:
        """Give the ticket its one answer; False where it has one."""
        if self._open.pop(ticket.number, None) is None:
            return False
        ticket.settle(settled, at := time.monotonic())
        if settled.end == "forked":  # whoever held a lock may not be here
            return True
        if settled.answer:
            self._since[ticket.character] = at
        self._tally.count(settled.end, at - ticket.submitted_at)
        if settled.end != "forgotten":
            self._answered.append(ticket)
        if len(self._answered) > _UNPUMPED and at - max(self._pumped, self._made) > _UNPUMPED_FOR:
            self._answered.popleft()
        return True

    def _due(self, thing: Ticket | Flight) -> None:
        if isinstance(thing, Flight):
            self._flights.leave(thing.character, only=thing)
        elif self._settle(thing, Settled("late", thing.late(not self._host.settled))):
            if time.monotonic() - self._pumped > PATIENCE:  # else a pump puts it together
                self._late.append(thing)
                self._hands.set(0.0, self._catch_up)
            # Whoever asks the same again may find the answer, if it comes soon.
            if flight := self._flights.of(thing):
                soon = self._flights.left(flight) < _GRACE
                self._deadlines.set(time.monotonic() + _GRACE * soon, flight)

    def _drop(self, ticket: Ticket, settled: Settled) -> None:
        """Settle a request that may be in line."""
        if not self._waiting.remove(ticket):
            self._ready.remove(ticket)
        self._settle(ticket, settled)

    def _make_room(self, now: float) -> None:
        if len(self._waiting) + len(self._ready) > len(self._open) + self._limit // 16:
            self._purge()
        while len(self._waiting) + len(self._ready) > self._limit:
            if (least := self._waiting.least(now)) is None:
                break
            self._drop(least, Settled("crowded", f"more than {self._limit} requests wait"))

    def _purge(self) -> None:
        self._waiting.purge()
        self._ready.purge()


def _over(thing: Ticket | Flight) -> bool:
    return thing.landed if isinstance(thing, Flight) else thing.settled is not None


def _never(_: object) -> bool:
    return False
