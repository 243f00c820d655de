"""The façade that games talk to: contexts in, decisions out.

Two sides. Live (`submit`, `pump`, anything with a deadline): the game never waits, and each request
is answered by its deadline, with instinct where the model is late, failed or missing. Lockstep (no
deadline): the model is waited for and the clock decides nothing. Knows nothing of simulation or
training.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

from daydream_motives.characters.lore import Lore
from daydream_motives.engine import answering, lockstep
from daydream_motives.engine.backend import Answer, Backend, BackendSpec, Request, Scorer
from daydream_motives.engine.compose import (
    Asked,
    Prepared,
    TokenCounter,
    compose,
    id_of,
    identity,
    seed_of,
)
from daydream_motives.engine.host import Host, Seat
from daydream_motives.engine.ledger import Ledger
from daydream_motives.engine.live.scheduler import PATIENCE, Scheduler
from daydream_motives.engine.live.snapshot import Snapshot
from daydream_motives.engine.live.stats import Stats
from daydream_motives.engine.live.ticket import Settled, Ticket, results
from daydream_motives.engine.lockstep import Recorded
from daydream_motives.engine.opening import installed, opened, opening
from daydream_motives.errors import DaydreamError
from daydream_motives.motives.context import DEFAULT_BUDGET, MotiveContext
from daydream_motives.motives.instinct import instinct
from daydream_motives.motives.purposes import Decision, RankedPurposes, Recorder
from daydream_motives.motives.situation import Situation

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character
    from daydream_motives.characters.sheet import CharacterSheet

log = logging.getLogger("daydream_motives")
_UNWRITTEN = 32  # decisions that a game without `pump` leaves unwritten
_UNWANTED = ("superseded", "cancelled", "forgotten", "closed")


class MotiveEngine:
    """Answers for characters with a backend, or with instinct where there is none.

    `backend` is an opened Backend, the name of a registered one with a `spec`, or `instinct` for
    none; without it this machine's default model is opened when first needed. A model's file is
    opened in a process of its own unless `worker` is off: whatever happens to it there, the game
    goes on. `seed` and each character's count of decisions seed every choice; `namespace` makes the
    decisions' ids this engine's own. `recorded` may know an answer already, by the decision's id: a
    resumed run is not asked twice. Use as a context manager, or call `close`.
    """

    def __init__(
        self,
        backend: Backend | str | None = None,
        *,
        spec: BackendSpec | None = None,
        model: str | None = None,
        seed: int = 0,
        budget: int = DEFAULT_BUDGET,
        recorder: Recorder | None = None,
        lore: Lore | None = None,
        namespace: str | None = None,
        recorded: Recorded | None = None,
        worker: bool = True,
    ) -> None:
        self.seed = seed
        self.namespace = uuid.uuid4().hex if namespace is None else namespace
        self.budget = budget
        self.lore = lore
        self.recorded = recorded
        self._ledger = Ledger(recorder)
        self._in_worker = worker
        open, reason = opening(backend, spec, model, worker=worker)
        self._host = Host(open, owned=backend is None or isinstance(backend, str), reason=reason)
        self._live = Scheduler(
            self._host, self._compose_live, self._put, self._deliver, self._ledger.write
        )
        self._asked = Asked()
        self._count = TokenCounter()
        self._unmade: deque[Ticket] = deque()
        self._pumped = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop thinking and free the model; whoever waits gets instinct. Harmless when repeated."""
        if self._host.forked:
            return
        self._host.stop()
        self._live.close()
        self._host.close()
        for ticket in (*self._unmade, *self._live.ended):
            if ticket.settled and ticket.settled.end not in _UNWANTED:
                self._live.decision(ticket)
        self._ledger.flush()

    @property
    def recorder(self) -> Recorder | None:
        """What keeps the decisions; may be set."""
        return self._ledger.recorder

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self._ledger.recorder = recorder

    @property
    def backend(self) -> Backend | None:
        """The backend, waited for; None where none can be had, for the reason logged once."""
        seat = self._host.ready()
        return seat.backend if seat else None

    def load(self) -> None:
        """Begin to load the model in the background, so that the first decision finds it ready."""
        self._host.load()

    def decide(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Decision:
        """Three ranked purposes for one character; see Character.next_purposes."""
        if deadline_ms is not None:
            return self.next_purposes_many([(character, situation)], deadline_ms=deadline_ms)[0]
        return self.decide_many([(character, situation)])[0]

    async def decide_async(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Decision:
        """`decide` for asyncio; the event loop stays free."""
        if deadline_ms is not None:
            ticket = self.submit(character, situation, deadline_ms=deadline_ms)
            try:
                return await ticket
            except asyncio.CancelledError:
                ticket.cancel()
                raise
        start = time.perf_counter()
        seat = await asyncio.to_thread(self._host.ready)
        prepared = self._prepare(character, situation, seat.backend if seat else None)
        answer = await lockstep.answer_async(self._host, prepared.request)
        return self._finish(prepared, answer, start)

    # Live: nothing here waits for a model, but `next_purposes_many`

    def submit(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        priority: float = 1.0,
        deadline_ms: float | None = None,
    ) -> Ticket:
        """Ask, and return at once; what the game changes from now on does not matter to it.

        Of two requests of one character the later counts. `priority` is the level of detail: with
        the time since the model last answered this character it says who goes first. A deadline
        that has passed, or is no number, is answered by instinct at once.
        """
        snapshot = Snapshot(character, situation, self.lore)
        tries = self._asked.again(character.id, character.decisions, count=True)
        character.decisions += 1
        ticket = self._live.submit(snapshot, tries, priority, deadline_ms)
        if len(self._ledger) > _UNWRITTEN and ticket.submitted_at - self._pumped > PATIENCE:
            self._ledger.flush(0.0)
        return ticket

    def pump(self, budget_ms: float = 1.0) -> list[Ticket]:
        """Call once a frame: spends about `budget_ms` on what the game's side has to do, and
        returns the tickets that were answered since the last time, in that order.

        Composes contexts, most urgent first, puts answers together and writes the journal; of
        each, one goes through whatever the budget. `budget_ms` is in milliseconds.
        """
        if self._host.forked:
            return []
        self._pumped = start = time.monotonic()
        end = start + budget_ms / 1000
        busy = bool(self._unmade or self._ledger)
        answered = self._live.pump(budget_ms / (2000 if busy else 1000))
        self._unmade.extend(answered)
        while self._unmade:
            self._live.decision(self._unmade.popleft())
            if time.monotonic() >= end:
                break
        if len(self._ledger):
            self._ledger.flush(end)
        return answered

    def next_purposes_many(
        self,
        asked: Iterable[tuple[Character, Situation | None]],
        *,
        deadline_ms: float | None = None,
    ) -> list[Decision]:
        """Decide for many at once, in this order; by the deadline, else waiting for the model."""
        if deadline_ms is None:
            return self.decide_many(asked)
        tickets = [self.submit(*one, deadline_ms=deadline_ms) for one in asked]
        return results(tickets)

    def forget(self, character: Character | str) -> None:
        """A character (or its id) is deleted: what it asked is settled, and no more is kept of it.

        Harmless where it asked nothing.
        """
        id = character if isinstance(character, str) else character.id
        self._live.forget(id)
        self._asked.forget(id)

    def swap(self, model: str | None = None) -> Future[bool]:
        """Have another model (None: this machine's default) take over, between steps.

        No request is lost, and none is answered by both: what is under way is answered by the old
        one. The future is False where the new one cannot be had; then the old one stays.
        """
        worker = self._in_worker
        return self._host.swap(
            lambda: installed(model),
            lambda kind, spec, closing: opened(kind, spec, worker=worker, closing=closing),
        )

    @property
    def stats(self) -> Stats:
        """Figures of the live side."""
        return self._live.stats

    def _compose_live(self, ticket: Ticket, snapshot: Snapshot, seat: Seat | None) -> Prepared:
        told = compose(
            snapshot, snapshot.situation, count_tokens=self._count(seat.backend if seat else None),
            budget=self.budget, lore=snapshot.lore,
        )  # fmt: skip
        return self._of_snapshot(ticket, snapshot, told, seat)

    def _of_snapshot(
        self, ticket: Ticket, snapshot: Snapshot, told: tuple[MotiveContext, list[str]],
        seat: Seat | None,
    ) -> Prepared:  # fmt: skip
        return self._prepared(
            snapshot.sheet, told[0], id=snapshot.id, key=f"{snapshot.id}:{snapshot.count}",
            tries=ticket.tries, situation=snapshot.situation, spare=told[1],
            backend=seat.backend if seat else None, lately=snapshot.lately, asker=snapshot.asker,
            repeatable=False,
        )  # fmt: skip

    def _put(
        self, ticket: Ticket, snapshot: Snapshot, how: Settled
    ) -> tuple[Prepared, RankedPurposes]:
        """The purposes of a settled ticket; what nobody composed in time is told in haste."""
        prepared = ticket.prepared or self._of_snapshot(
            ticket, snapshot, snapshot.in_haste(), self._host.seat
        )
        seconds = (ticket.answered_at or ticket.submitted_at) - ticket.submitted_at
        return prepared, answering.settled(prepared, how, seconds=seconds)

    def _deliver(self, ticket: Ticket, prepared: Prepared, purposes: RankedPurposes) -> Decision:
        """The decision, on the game's side: its character and its journal are told."""
        decision = answering.decision(prepared, purposes)
        end = ticket.settled.end if ticket.settled else "forked"
        if end != "forked":  # the journal is the other process's
            self._ledger.hold(decision, prepared.situation, wanted=end not in _UNWANTED)
        return decision

    # Lockstep: no clock; see the module of that name

    def begin(self, *, seed: int, namespace: str, recorder: Recorder, budget: int) -> None:
        """Serve a run from its beginning; raises DaydreamError while another is being recorded."""
        if self.recorder is not None:
            raise DaydreamError(
                "this engine records another run", remedy="close that run, or use another engine"
            )
        self.seed, self.namespace, self.recorder, self.budget = seed, namespace, recorder, budget
        self._asked = Asked()

    def end(self, recorder: Recorder) -> None:
        """Serve this run no more; one that another recorder keeps goes on undisturbed."""
        if self.recorder is recorder:
            self._ledger.flush()
            self.recorder = self.recorded = None

    def decide_many(self, asked: Iterable[tuple[Character, Situation | None]]) -> list[Decision]:
        """Decide for all, in this order, with no deadline."""
        start, backend = time.perf_counter(), self.backend
        prepared = (self._prepare(character, situation, backend) for character, situation in asked)
        return self._decide_all(prepared, start)

    def answer(self, asked: Iterable[tuple[CharacterSheet, MotiveContext, str]]) -> list[Decision]:
        """Decide for contexts made elsewhere, each with its sheet and its own key."""
        start, backend = time.perf_counter(), self.backend
        prepared = (
            self._prepared(
                sheet, context, id=key, key=key, tries=self._asked.again(key, None, count=True),
                situation=Situation(), spare=instinct(sheet, Situation()), backend=backend,
            )
            for sheet, context, key in asked
        )  # fmt: skip
        return self._decide_all(prepared, start)

    def context(self, character: Character, situation: Situation | None = None) -> MotiveContext:
        """What the character would be told: the prompt's four fields and the receipt."""
        return self._prepare(character, situation, self.backend, count=False).request.context

    def score(
        self, character: Character, situation: Situation | None, texts: Sequence[str]
    ) -> list[float] | None:
        """How much the model would have each text as this character's first purpose (mean
        log-probability per token); None where the backend cannot say or failed."""
        if not isinstance(backend := self.backend, Scorer):
            return None
        request = self._prepare(character, situation, backend, count=False).request
        return lockstep.scores(self._host, request, texts)

    def reopen(self, decision: Decision) -> Decision:
        """A decision of an earlier process that is still open: what becomes of it is recorded."""
        return self._ledger.reopen(decision)

    def _decide_all(self, prepared: Iterator[Prepared], start: float) -> list[Decision]:
        """Answers are kept as they come: an end of the process loses no more than one batch."""
        return [
            self._finish(one, answer, start)
            for one, answer in lockstep.in_groups(self._host, prepared, self.recorded)
        ]

    def _finish(
        self, prepared: Prepared, answer: Answer | RankedPurposes, start: float
    ) -> Decision:
        if isinstance(answer, Answer):
            answer = answering.ranked(prepared, answer, seconds=time.perf_counter() - start)
        decision = answering.decision(prepared, answer)
        self._ledger.keep(decision, prepared.situation)
        return decision

    def _prepare(
        self,
        character: Character,
        situation: Situation | None,
        backend: Backend | None,
        *,
        count: bool = True,
    ) -> Prepared:
        situation = situation or Situation(activity=character.activity)
        context, spare = compose(
            character, situation, count_tokens=self._count(backend), budget=self.budget,
            lore=self.lore,
        )  # fmt: skip
        tries = self._asked.again(character.id, character.decisions, count=count)
        prepared = self._prepared(
            character.sheet, context, id=character.id, key=f"{character.id}:{character.decisions}",
            tries=tries, situation=situation, spare=spare, backend=backend,
            lately=tuple(character.lately), asker=character,
        )  # fmt: skip
        character.decisions += count
        return prepared

    def _prepared(
        self,
        sheet: CharacterSheet,
        context: MotiveContext,
        *,
        id: str,
        key: str,
        tries: int,
        situation: Situation,
        spare: Sequence[str],
        backend: Backend | None,
        lately: tuple[str, ...] = (),
        asker: Character | None = None,
        repeatable: bool = True,
    ) -> Prepared:
        key = f"{self.seed}:{key}"
        return Prepared(
            id_of(self.namespace, key, tries), id, situation,
            Request(context, sheet.short_name, sheet.subject, seed_of(key), lately, repeatable),
            spare, identity(backend), asker,
        )  # fmt: skip
