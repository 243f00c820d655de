"""A decision that was asked for and is not waited for. Knows no queue and no model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from daydream_motives.engine.backend import Answer
from daydream_motives.engine.compose import Identity, Prepared
from daydream_motives.engine.live.snapshot import Snapshot

if TYPE_CHECKING:
    from daydream_motives.motives.purposes import Decision, RankedPurposes

_RESERVE, _SHARE = 0.004, 0.1  # of a deadline, to put the answer together: seconds, at most a tenth
End = Literal[
    "model", "cache", "late", "superseded", "cancelled", "crowded", "forgotten", "no model",
    "failed", "closed", "forked",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """How a request ended; `answer` is the model's, fresh or kept, where there is one."""

    end: End
    reason: str = ""
    answer: Answer | None = None
    model: Identity | None = None
    seed: int | None = None


class Clerk(Protocol):
    """What a ticket asks of those who work on it."""

    def overdue(self, ticket: Ticket) -> None:
        """Its deadline has come, or nobody is left to answer: settle it now."""

    def hurry(self, ticket: Ticket) -> None:
        """Somebody waits: compose its context here and now, or as soon as a model is there."""

    def look_after(self, ticket: Ticket, now: float) -> None:
        """Somebody looks in and may be all there is: see that it is composed."""

    def cancel(self, ticket: Ticket) -> None: ...

    def decision(self, ticket: Ticket, *, waited: bool = False) -> Decision:
        """The decision of a settled ticket; the same each time. Who `waited` for it has the time
        to write it down."""

    def forked(self) -> bool: ...


class Ticket:
    """One submitted request: look in with `poll`, or wait with `result` or `await`.

    `deadline`, `submitted_at` and `answered_at` are seconds of `time.monotonic`. `number` rises
    with every request of an engine: of two of one character the higher one counts.
    """

    __slots__ = (
        "__weakref__", "_clerk", "_limit_ms", "_settled", "_waiters", "aim", "answered_at",
        "character",
        "deadline", "lock", "made", "number", "prepared", "priority", "put",
        "since",
        "snapshot", "submitted_at", "tries",
    )  # fmt: skip

    def __init__(
        self,
        clerk: Clerk,
        number: int,
        snapshot: Snapshot,
        *,
        tries: int = 0,
        priority: float = 1.0,
        deadline_ms: float | None = None,
    ) -> None:
        self._clerk = clerk
        self.number = number
        self.character = snapshot.id
        self.priority = priority
        self.submitted_at = self.since = now = time.monotonic()
        self._limit_ms = deadline_ms
        self.deadline: float | None = None
        self.aim: float | None = None  # when it is settled, so that the answer is there by then
        if deadline_ms is not None:
            seconds = deadline_ms / 1000 if deadline_ms > 0 else 0.0  # no number is no time either
            self.deadline = now + seconds
            self.aim = self.deadline - min(_RESERVE, _SHARE * seconds)
        self.snapshot: Snapshot | None = snapshot
        self.tries = tries
        self.prepared: Prepared | None = None
        self.put: tuple[Prepared, RankedPurposes] | None = None
        self.made: Decision | None = None
        self.answered_at: float | None = None
        self.lock = threading.Lock()
        self._settled: Settled | None = None
        self._waiters: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        state = self._settled.end if self._settled else "waiting"
        return f"<Ticket {self.number} of {self.character}: {state}>"

    @property
    def done(self) -> bool:
        """Whether there is an answer; from the deadline on there always is."""
        if self._settled is None:
            self._look(time.monotonic())
        return self._settled is not None

    def poll(self) -> Decision | None:
        """The decision if it is there; never waits.

        In a game that does not call `engine.pump`, looking in also has the request composed, by a
        thread of the engine.
        """
        if self._settled is None:
            self._look(now := time.monotonic())
            if self._settled is None:
                self._clerk.look_after(self, now)
                return None
        return self._clerk.decision(self)

    def result(self, timeout: float | None = None) -> Decision:
        """The decision, waited for at most `timeout` seconds; raises TimeoutError after them.

        Never waits past the ticket's own deadline: there is an answer then.
        """
        if not self.done:
            self._wait(timeout)
        return self._clerk.decision(self, waited=True)

    def _wait(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        woken = threading.Event()
        self._waiters.append(woken.set)
        try:
            self._clerk.hurry(self)
            while not self.done:
                ends = [at for at in (end, self.aim) if at is not None]
                now = time.monotonic()
                if end is not None and now >= end:
                    raise TimeoutError(f"no answer within {timeout:g} s")
                woken.wait(min(max(0.0, min(ends) - now), 3600.0) if ends else None)
        finally:
            with suppress(ValueError):
                self._waiters.remove(woken.set)

    def __await__(self) -> Generator[Any, None, Decision]:
        return self._awaited().__await__()

    async def _awaited(self) -> Decision:
        """A task that is cancelled here leaves the request to others: see `cancel`."""
        if not self.done:
            loop = asyncio.get_running_loop()
            woken = asyncio.Event()

            def wake() -> None:
                with suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(woken.set)

            self._waiters.append(wake)
            try:
                self._clerk.hurry(self)
                if not self.done:
                    await woken.wait()
            finally:
                with suppress(ValueError):
                    self._waiters.remove(wake)
        return self._clerk.decision(self, waited=True)

    def cancel(self) -> None:
        """The game does not want it any more: instinct answers, unless there is an answer."""
        self._clerk.cancel(self)

    def hurry(self) -> None:
        """Somebody is going to wait: have it composed now, or as soon as a model is there."""
        if not self.done:
            self._clerk.hurry(self)

    def settle(self, settled: Settled, at: float) -> None:
        """Keep the answer and wake whoever waits; for the engine, which calls it once."""
        self.answered_at = at
        self._settled = settled
        for wake in tuple(self._waiters):
            wake()

    @property
    def settled(self) -> Settled | None:
        """How it ended, or None; does not look at the clock."""
        return self._settled

    def late(self, loading: bool) -> str:
        """What is said of it where the model did not answer in time."""
        stage = "" if self.prepared else "; nobody had the time to compose its context"
        stage = "; the model is still loading" if loading else stage
        return f"no answer within {self._limit_ms:g} ms{stage}"

    def _look(self, now: float) -> None:
        if (self.aim is not None and now >= self.aim) or self._clerk.forked():
            self._clerk.overdue(self)


def results(tickets: Sequence[Ticket]) -> list[Decision]:
    """All decisions, waited for together; whoever is interrupted wants none of them any more."""
    try:
        for ticket in tickets:
            ticket.hurry()
        return [ticket.result() for ticket in tickets]
    except BaseException:
        for ticket in tickets:
            ticket.cancel()
        raise
