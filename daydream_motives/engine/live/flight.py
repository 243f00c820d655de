"""Questions that are with the model, and answers that are kept.

Of two that ask the same, while the first is with the model or later, the second gets its answer.
As many are with the model as can end in time, by what it took lately: one more would slow the
others down, and what cannot end by its deadline is not begun, unless the model would be idle.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

from daydream_motives.engine.answering import checked
from daydream_motives.engine.backend import Answer, Cancel, Request
from daydream_motives.engine.compose import NOBODY, Identity, Prepared, Question, identity
from daydream_motives.engine.host import Host, Seat
from daydream_motives.engine.live.pace import Pace
from daydream_motives.engine.live.ticket import Settled, Ticket
from daydream_motives.engine.live.urgency import Waiting

log = logging.getLogger("daydream_motives")
KEPT = 256  # answers in the cache
_AHEAD = 1  # more than the model works on, so that it never waits for us
_UNTIMED = 2  # of those with a deadline are begun while nobody knows how long an answer takes
_LOOKED_AT = 32  # of those that wait, to find one that can still end in time


@dataclass(eq=False, slots=True)
class Flight:
    """One question with the model, and all who wait for its answer.

    `done` is the part of it that should be made by now; `load` sums how many were under way, over
    the seconds that it took.
    """

    question: Question
    request: Request
    seat: Seat
    character: str
    tickets: list[Ticket]
    began: float = 0.0
    done: float = 0.0
    load: float = 0.0
    cancel: Cancel | None = None
    abandoned: bool = False
    landed: bool = False

    def waited_for(self) -> bool:
        return any(not ticket.settled for ticket in self.tickets)

    @property
    def aim(self) -> float:
        """The next deadline of those who wait."""
        aims = [ticket.aim for ticket in self.tickets if not ticket.settled]
        return min((aim for aim in aims if aim is not None), default=inf)

    def left(self, seconds: float) -> float:
        """What it still takes where an answer takes so many `seconds`."""
        return max(0.0, 1 - self.done) * seconds

    def stop(self) -> None:
        """Ask the model to leave it; not under a lock, for it may answer at once."""
        if self.cancel:
            try:
                self.cancel()
            except Exception:
                log.exception("%s could not be told to stop", self.seat.backend.model)


@dataclass(slots=True)
class Cache:
    """Answers by question and model; the least lately asked for go first."""

    kept: OrderedDict[tuple[Question, Identity], Settled] = field(default_factory=OrderedDict)

    def get(self, question: Question, model: Identity) -> Settled | None:
        if found := self.kept.get((question, model)):
            self.kept.move_to_end((question, model))
        return found

    def put(self, question: Question, model: Identity, settled: Settled) -> None:
        self.kept[question, model] = settled
        self.kept.move_to_end((question, model))
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)


class Flights:
    """Gives the model what it has room for, the most urgent of `ready` first; `lock` guards both
    and is held by whoever calls `board` and `waited_for`. `put` puts an answer together."""

    def __init__(
        self,
        host: Host,
        lock: threading.Lock,
        ready: Waiting,
        settle: Callable[[Ticket, Settled], bool],
        put: Callable[[Ticket, Settled], object],
    ) -> None:
        self._host, self._lock, self._ready = host, lock, ready
        self._settle, self._put = settle, put
        self.late_answers = 0
        self._pace = Pace()
        self._flying: set[Flight] = set()
        self._looked = 0.0  # when their progress was reckoned last
        self._feeding = False
        self._asked: dict[Question, Flight] = {}
        self._of: dict[str, Flight] = {}  # character -> its last
        self._cache = Cache()

    @property
    def count(self) -> int:
        """How many the model is at."""
        return len(self._flying)

    def of(self, ticket: Ticket) -> Flight | None:
        """The flight whose answer the ticket waits for."""
        flight = self._of.get(ticket.character)
        return flight if flight and ticket in flight.tickets else None

    def waited_for(self) -> int:
        """How many tickets wait for an answer of the model that is under way."""
        flights = self._asked.values()
        return sum(not ticket.settled for flight in flights for ticket in flight.tickets)

    def board(self, ticket: Ticket, prepared: Prepared) -> Settled | None:
        """The answer that is known, else None: the ticket waits for one under way, or for room."""
        if found := self._cache.get(prepared.question, prepared.model):
            return found
        flight = self._asked.get(prepared.question)
        if flight and not flight.abandoned:
            flight.tickets.append(ticket)
        else:
            self._ready.add(ticket)
        return None

    def leave(
        self, character: str, *, but: Question | None = None, only: Flight | None = None
    ) -> None:
        """Have the model leave what it does for this character and nobody waits for; not where it
        is the question `but`, or another flight than `only`."""
        with self._lock:
            flight = self._of.get(character)
            if flight is None or flight.waited_for() or flight.question == but:
                return
            if only and flight is not only:
                return
            flight.abandoned = True
        flight.stop()

    def leave_all(self) -> None:
        """Have the model leave everything that nobody waits for."""
        for character in list(self._of):
            self.leave(character)

    def feed(self) -> None:
        """Give the model what it has room for. One thread at a time does so, for all."""
        with self._lock:
            if self._feeding:
                return
            self._feeding = True
        flight: Flight | None = None
        try:
            while flight := self._begin():
                self._start(flight)
                flight = None
        except BaseException:  # Ctrl-C in the game's thread: the next one goes on
            self._feeding = False
            if flight:
                self._landed(flight, Answer((), reason="interrupted"))
                flight.stop()
            raise

    def _begin(self) -> Flight | None:
        """The next flight; None, and no more feeding, where there is no room or nothing to do."""
        seat, now = self._host.take(), time.monotonic()
        with self._lock:
            self._reckon(now)
            while seat and self.count < seat.service.capacity + _AHEAD:
                if (ticket := self._choose(now)) is None:
                    break
                self._ready.remove(ticket)
                if (prepared := ticket.prepared) is None:  # settled and put together meanwhile
                    continue
                flight = Flight(
                    prepared.question, prepared.request, seat, ticket.character, [ticket], now
                )
                self._asked[flight.question] = self._of[flight.character] = flight
                self._flying.add(flight)
                return flight
            self._feeding = False
        if seat:
            self._host.give_back(seat)
        return None

    def _choose(self, now: float) -> Ticket | None:
        """Who is begun next: the most urgent that can end in time and makes nobody late."""
        if not self._flying:  # whatever comes of it: so it is seen how long an answer takes
            return self._ready.most(now)
        now_it_takes, then = self._pace.seconds(self.count), self._pace.seconds(self.count + 1)
        for flight in self._flying:
            spare = flight.aim - now
            if flight.left(then) > spare >= flight.left(now_it_takes):
                return None
        for ticket in self._ready.in_order(now, _LOOKED_AT):
            if ticket.aim is None:
                return ticket
            if self._pace.known and then <= ticket.aim - now:
                return ticket
            if not self._pace.known and self.count < _UNTIMED:
                return ticket
            if self.hopeless(ticket, now):
                self._ready.remove(ticket)  # instinct will answer
        return None

    def hopeless(self, ticket: Ticket, now: float) -> bool:
        """Whether the model, which is busy, cannot answer by the deadline even if it had no other
        to answer; `lock` is held."""
        return (
            bool(self._flying)
            and ticket.aim is not None
            and (now + self._pace.seconds(1) > ticket.aim)
        )

    def left(self, flight: Flight) -> float:
        """Seconds that the model still needs for it, as far as can be told."""
        with self._lock:
            self._reckon(time.monotonic())
            return flight.left(self._pace.seconds(self.count))

    def _reckon(self, now: float) -> None:
        """Bring up to date how far each should be."""
        passed, self._looked = now - self._looked, now
        if (takes := self._pace.seconds(self.count)) > 0:
            for flight in self._flying:
                flight.done += passed / takes
        for flight in self._flying:
            flight.load += passed * self.count

    def _learn(self, flight: Flight, now: float, *, answered: bool) -> None:
        if (seconds := now - flight.began) > 0:
            see = self._pace.learn if answered else self._pace.given_up
            see(max(1.0, flight.load / seconds), seconds)

    def _start(self, flight: Flight) -> None:
        landed = partial(self._landed, flight)
        try:
            flight.cancel = flight.seat.service.start(flight.request, landed)
        except Exception as exc:
            log.warning("%s failed (%s)", flight.seat.backend.model, exc)
            landed(Answer((), reason=f"{type(exc).__name__}: {exc}"))
        if flight.abandoned:  # while it began
            flight.stop()

    def _landed(self, flight: Flight, answer: Answer) -> None:
        """The model's answer, from any thread: to those who still wait, and into the cache."""
        try:
            answer = checked(answer)
            model = answer.made_by or identity(flight.seat.backend)
        except Exception as exc:  # whatever comes of it, those who wait have an answer
            answer, model = Answer((), reason=f"{type(exc).__name__}: {exc}"), NOBODY
        with self._lock:
            if flight.landed:
                return
            flight.landed = True
            if self._asked.get(flight.question) is flight:
                del self._asked[flight.question]
            if self._of.get(flight.character) is flight:
                del self._of[flight.character]
            self._reckon(now := time.monotonic())
            self._flying.discard(flight)
            if answer.drafts or flight.abandoned:
                self._learn(flight, now, answered=bool(answer.drafts))
            tickets = list(flight.tickets)
            fresh = Settled("model", answer.reason, answer, model, flight.request.seed)
            again = replace(fresh, end="cache")
            if answer.drafts:
                self._cache.put(flight.question, model, again)
                self.late_answers += not flight.waited_for()
        self._host.give_back(flight.seat)
        if not answer.drafts:
            fresh = again = Settled("failed", answer.reason or "the model said nothing")
        for ticket in tickets:
            if self._settle(ticket, fresh):  # the first who still waits; the rest get a copy
                fresh = again
        self.feed()
        for ticket in tickets:  # here, so that the game's thread finds it done
            try:
                if ticket.settled:
                    self._put(ticket, ticket.settled)
            except Exception:
                log.exception("no answer could be put together for %s", ticket.character)
