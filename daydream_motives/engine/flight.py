"""Questions that are with the model, and answers that are kept. Knows no deadlines.

Of two that ask the same, while the first is with the model or later, the second gets its answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from daydream_motives.engine.answering import checked
from daydream_motives.engine.backend import Answer, Cancel, Request
from daydream_motives.engine.compose import NOBODY, Identity, Prepared, Question, identity
from daydream_motives.engine.host import Host, Seat
from daydream_motives.engine.ticket import Settled, Ticket
from daydream_motives.engine.urgency import Waiting

log = logging.getLogger("daydream_motives")
KEPT = 256  # answers in the cache
_AHEAD = 1  # more than the model works on, so that it never waits for us


@dataclass(eq=False, slots=True)
class Flight:
    """One question with the model, and all who wait for its answer."""

    question: Question
    request: Request
    seat: Seat
    character: str
    tickets: list[Ticket]
    cancel: Cancel | None = None
    abandoned: bool = False
    landed: bool = False

    def waited_for(self) -> bool:
        return any(not ticket.settled for ticket in self.tickets)

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
        self.count = 0
        self.late_answers = 0
        self._feeding = False
        self._asked: dict[Question, Flight] = {}
        self._of: dict[str, Flight] = {}  # character -> its last
        self._cache = Cache()

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
            while seat and self.count < seat.service.capacity + _AHEAD:
                if (ticket := self._ready.most(now)) is None:
                    break
                self._ready.remove(ticket)
                if (prepared := ticket.prepared) is None:  # settled and put together meanwhile
                    continue
                flight = Flight(
                    prepared.question, prepared.request, seat, ticket.character, [ticket]
                )
                self._asked[flight.question] = self._of[flight.character] = flight
                self.count += 1
                return flight
            self._feeding = False
        if seat:
            self._host.give_back(seat)
        return None

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
            self.count -= 1
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
