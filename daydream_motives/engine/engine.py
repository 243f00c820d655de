"""The façade that games talk to: contexts in, decisions out, by the deadline.

One thread owns the backend. A request with a deadline is answered by it, with instinct where the
model is late, failed or missing, and says so in its provenance; without a deadline (lockstep) the
model is waited for and the clock decides nothing. Knows nothing of simulation or training.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Self

from daydream_motives.characters.lore import Lore
from daydream_motives.engine.backend import (
    Answer,
    Backend,
    BackendSpec,
    Request,
    Scorer,
    open_backend,
    open_installed,
)
from daydream_motives.engine.compose import Asked, Prepared, TokenCounter, compose, left
from daydream_motives.errors import DaydreamError
from daydream_motives.motives.context import DEFAULT_BUDGET, MotiveContext
from daydream_motives.motives.instinct import instinct
from daydream_motives.motives.purposes import (
    Decision,
    Provenance,
    RankedPurposes,
    Recorder,
    assemble,
)
from daydream_motives.motives.situation import Situation

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character
    from daydream_motives.characters.sheet import CharacterSheet

log = logging.getLogger("daydream_motives")
_NONE = ("", "", "")
Recorded = Callable[[str, MotiveContext], RankedPurposes | None]


class MotiveEngine:
    """Answers for characters with a backend, or with instinct where there is none.

    `backend` is an opened Backend, the name of a registered one with a `spec`, or `instinct` for
    none; without it this machine's default model is opened when first needed. `seed` and each
    character's count of decisions seed every choice; `namespace` makes the decisions' ids this
    engine's own. `recorded` may know an answer already, by the decision's id: a resumed run is not
    asked twice. Use as a context manager, or call `close`.
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
    ) -> None:
        self.seed = seed
        self.namespace = uuid.uuid4().hex if namespace is None else namespace
        self.budget = budget
        self.recorder = recorder
        self.lore = lore
        self.recorded = recorded
        self._open: Callable[[], Backend | None]
        self._reason = ""
        if backend == "instinct":
            self._open, self._reason = lambda: None, "instinct was asked for"
        elif backend is None:
            self._open = lambda: open_installed(model)
        elif isinstance(backend, str):
            self._open = lambda: open_backend(backend, spec or BackendSpec(backend))
        else:
            self._open = lambda: backend
        self._owns = not isinstance(backend, Backend)
        self._pid = os.getpid()
        self._loading: Future[Backend | None] | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="daydream-motives")
        self._asked = Asked()
        self._count = TokenCounter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop thinking and free the model; whoever waits gets instinct. Harmless when repeated."""
        self._closing.set()
        self._worker.shutdown(wait=True, cancel_futures=True)
        loading, self._reason = self._loading, self._reason or "the engine is closed"
        loaded = loading and loading.done() and not loading.cancelled()
        if self._owns and loading and loaded and (model := loading.result()):
            model.close()

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
            self.recorder = self.recorded = None

    @property
    def backend(self) -> Backend | None:
        """The backend, waited for; None where none can be had, for the reason logged once."""
        return self._ready(None)

    def load(self) -> None:
        """Begin to load the model in the background, so that the first decision finds it ready."""
        with self._lock:
            if self._loading is None and not self._closing.is_set():
                with suppress(RuntimeError):  # closed in this very moment
                    self._loading = self._worker.submit(self._open_backend)

    def _open_backend(self) -> Backend | None:
        try:
            return self._open()
        except DaydreamError as exc:
            self._reason = exc.message
            log.warning("%s; characters act on instinct. To mend it: %s", exc.message, exc.remedy)
        except Exception as exc:  # a plug-in's fault never reaches the game either
            self._reason = f"{type(exc).__name__}: {exc}"
            log.warning("the model failed to load (%s); characters act on instinct", self._reason)
        return None

    def _ready(self, timeout: float | None) -> Backend | None:
        """The backend if it is loaded within `timeout` seconds (None waits for it)."""
        if os.getpid() != self._pid:  # threads do not survive a fork
            self._reason = "the engine was made in another process"
            return None
        self.load()
        if self._loading is None or self._closing.is_set():
            return None
        try:
            return self._loading.result(timeout)
        except (FutureTimeout, CancelledError):
            return None

    def decide(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Decision:
        """Three ranked purposes for one character; see Character.next_purposes."""
        start = time.perf_counter()
        backend = self._ready(left(start, deadline_ms))
        prepared = self._prepare(character, situation, backend)
        future, cancel = self._submit(backend, [prepared.request])
        answer = Answer((), reason=self._reason or "the model is still loading")
        if future is not None:
            try:
                answer = future.result(left(start, deadline_ms))[0]
            except FutureTimeout:
                cancel.set()
                future.cancel()
                answer = Answer((), reason=f"no answer within {deadline_ms:g} ms")
            except CancelledError:
                answer = Answer((), reason="the engine is closed")
            except BaseException:
                cancel.set()
                raise
        return self._finish(prepared, answer, start, live=deadline_ms is not None)

    async def decide_async(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Decision:
        """`decide` for asyncio; the event loop stays free."""
        start = time.perf_counter()
        backend = await asyncio.to_thread(self._ready, left(start, deadline_ms))
        prepared = self._prepare(character, situation, backend)
        future, cancel = self._submit(backend, [prepared.request])
        answer = Answer((), reason=self._reason or "the model is still loading")
        if future is not None:
            try:
                wrapped = asyncio.wrap_future(future)
                answer = (await asyncio.wait_for(wrapped, left(start, deadline_ms)))[0]
            except TimeoutError:
                answer = Answer((), reason=f"no answer within {deadline_ms:g} ms")
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not future.cancelled() or (task and task.cancelling()):
                    raise
                answer = Answer((), reason="the engine is closed")
            finally:
                cancel.set()
        return self._finish(prepared, answer, start, live=deadline_ms is not None)

    def decide_many(self, asked: Iterable[tuple[Character, Situation | None]]) -> list[Decision]:
        """Lockstep: decide for all, in this order, with no deadline."""
        start, backend = time.perf_counter(), self.backend
        prepared = (self._prepare(character, situation, backend) for character, situation in asked)
        return self._decide_all(prepared, backend, start)

    def _decide_all(
        self, prepared: Iterator[Prepared], backend: Backend | None, start: float
    ) -> list[Decision]:
        """Answers are kept as they come: an end of the process loses no more than one batch."""
        find = self.recorded or (lambda *_: None)
        size = getattr(backend, "parallel", 1)
        decisions: list[Decision] = []
        while group := list(islice(prepared, size)):
            known = [find(p.id, p.request.context) for p in group]
            asked = [p.request for p, ranked in zip(group, known, strict=True) if ranked is None]
            fresh = iter(self._answers(backend, asked) if asked else ())
            decisions += [
                self._keep(p, ranked) if ranked else self._finish(p, next(fresh), start)
                for p, ranked in zip(group, known, strict=True)
            ]
        return decisions

    def _answers(self, backend: Backend | None, requests: Sequence[Request]) -> list[Answer]:
        """The backend's answers, waited for; empty ones with a reason where there are none."""
        future, cancel = self._submit(backend, requests)
        if future is None:
            return [Answer((), reason=self._reason)] * len(requests)
        try:
            return future.result()
        except CancelledError:
            return [Answer((), reason="the engine is closed")] * len(requests)
        except BaseException:
            cancel.set()
            raise

    def answer(self, asked: Iterable[tuple[CharacterSheet, MotiveContext, str]]) -> list[Decision]:
        """Lockstep: decide for contexts made elsewhere, each with its sheet and its own key."""
        start, backend = time.perf_counter(), self.backend
        prepared = (
            self._prepared(
                sheet, context, key, key, Situation(), instinct(sheet, Situation()), backend
            )
            for sheet, context, key in asked
        )
        return self._decide_all(prepared, backend, start)

    def context(self, character: Character, situation: Situation | None = None) -> MotiveContext:
        """What the character would be told: the prompt's four fields and the receipt."""
        return self._prepare(character, situation, self.backend, count=False).request.context

    def score(
        self, character: Character, situation: Situation | None, texts: Sequence[str]
    ) -> list[float] | None:
        """How much the model would have each text as this character's first purpose (mean
        log-probability per token); None where the backend cannot say or failed."""
        backend = self.backend
        if not isinstance(backend, Scorer):
            return None
        request = self._prepare(character, situation, backend, count=False).request
        try:
            return self._worker.submit(backend.score, request, texts).result()
        except (DaydreamError, RuntimeError) as exc:
            log.warning("%s could not compare purposes: %s", backend.model, exc)
            return None

    def _prepare(
        self,
        character: Character,
        situation: Situation | None,
        backend: Backend | None,
        *,
        count: bool = True,
    ) -> Prepared:
        """A snapshot of everything the decision needs: later changes of the character miss it."""
        situation = situation or Situation(activity=character.activity)
        context, spare = compose(
            character, situation, count_tokens=self._count(backend), budget=self.budget,
            lore=self.lore,
        )  # fmt: skip
        key = f"{character.id}:{character.decisions}"
        if count:
            character.decisions += 1
        return self._prepared(
            character.sheet, context, character.id, key, situation, spare, backend, character,
            count=count,
        )  # fmt: skip

    def _prepared(
        self,
        sheet: CharacterSheet,
        context: MotiveContext,
        id: str,
        key: str,
        situation: Situation,
        spare: Sequence[str],
        backend: Backend | None,
        character: Character | None = None,
        *,
        count: bool = True,
    ) -> Prepared:
        lately = tuple(character.lately) if character else ()
        key = f"{self.seed}:{key}"
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        request = Request(context, sheet.short_name, sheet.subject, seed, lately)
        model = (backend.model, backend.model_hash, backend.adapter_hash) if backend else _NONE
        again = self._asked.again(id, character.decisions if character else None, count=count)
        name = f"{self.namespace}:{key}" + (f":{again}" if again else "")
        decision = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        return Prepared(decision, id, situation, request, spare, model, character)

    def _submit(
        self, backend: Backend | None, requests: Sequence[Request]
    ) -> tuple[Future[list[Answer]] | None, threading.Event]:
        cancel = threading.Event()
        if backend is None or self._closing.is_set():
            return None, cancel

        def work() -> list[Answer]:
            try:
                return backend.decide_many(
                    requests, lambda: cancel.is_set() or self._closing.is_set()
                )
            except Exception as exc:  # a model's fault never reaches the game
                log.warning("%s failed (%s); instinct answers", backend.model, exc)
                return [Answer((), reason=f"{type(exc).__name__}: {exc}")] * len(requests)

        try:
            return self._worker.submit(work), cancel
        except RuntimeError:  # closed in this very moment
            return None, cancel

    def _finish(
        self, prepared: Prepared, answer: Answer, start: float, *, live: bool = False
    ) -> Decision:
        request = prepared.request
        model, model_hash, adapter_hash = prepared.model
        provenance = Provenance(
            source="model" if answer.drafts else "instinct",
            model=model,
            model_hash=model_hash,
            adapter_hash=adapter_hash,
            prompt_hash=answer.prompt_hash,
            seed=request.seed,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            latency_ms=(time.perf_counter() - start) * 1000,
            reason=answer.reason,
            receipt=request.context.receipt,
        )
        ranked = assemble(answer.drafts, request.context, provenance, instinct=prepared.spare)
        return self._keep(prepared, ranked, live=live)

    def _keep(self, prepared: Prepared, ranked: RankedPurposes, *, live: bool = False) -> Decision:
        if prepared.asker and ranked.provenance.source != "instinct":
            prepared.asker.wanted(ranked[0].text)
        decision = Decision(prepared.id, prepared.character, prepared.request.context, ranked)
        if self.recorder is not None:
            try:
                self.recorder.decided(decision, prepared.situation)
                decision.listeners.append(self._record)
            except DaydreamError as exc:
                if not live:
                    raise
                log.warning("a decision could not be recorded: %s", exc)
        return decision

    def reopen(self, decision: Decision) -> Decision:
        """A decision of an earlier process that is still open: what becomes of it is recorded."""
        decision.outcome = None
        if self.recorder is not None:
            decision.listeners.append(self._record)
        return decision

    def _record(self, decision: Decision, what: str) -> None:
        if self.recorder is not None:
            (self.recorder.chosen if what == "chosen" else self.recorder.resolved)(decision)
