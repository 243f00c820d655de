"""A local model over llama.cpp: the JSON is forced, only the purposes' texts are sampled.

So every answer is valid by construction, at any temperature, with any model. Answers are decoded
many at a time, on as many lanes as there are threads: two contexts of one thread each get more done
than one of two. Knows nothing of deadlines or of who is waiting.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np

from daydream_motives.engine.backend import Answer, BackendSpec, Cancel, Done, Request
from daydream_motives.engine.decoding.crew import Crew, Order
from daydream_motives.engine.decoding.decoder import Job, Lane, Shelf
from daydream_motives.engine.decoding.sampling import Logits, log_total
from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.decoding.weights import Tokenizer, Weights, llama_cpp, quiet
from daydream_motives.engine.decoding.writer import Step, Writer, WriterTables
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.prompt import FRAME, encode, prompt_pieces
from daydream_motives.motives.purposes import RANKS, Draft
from daydream_motives.settings import default_threads

__all__ = ["LlamaBackend", "LlamaModel", "Tokenizer", "llama_cpp", "quiet"]

LANES = 4  # at most: each has a cache of its own
_SLOTS = 8  # of a lane, where nothing else is asked for
_GPU_SLOTS = 32
_SHEETS = 320 * 2**20  # bytes of prompts' beginnings that are kept: some 35 characters' of 135M
_LOOK = 0.05  # seconds between two looks at whether a lockstep request was cancelled


class LlamaModel(Weights):
    """A GGUF file with one sequence: tokens in, logits out."""

    def __init__(self, spec: BackendSpec) -> None:
        super().__init__(spec.path, spec.model)
        threads = spec.threads or default_threads()
        try:
            self._one = Sequences(self, count=1, window=spec.context_window, threads=threads)
        except BackendError:
            super().close()
            raise
        self.window = self._one.window
        self._after: Logits | None = None

    def close(self) -> None:
        self._one.close()
        super().close()

    def forget(self, start: int) -> None:
        """Drop everything from position `start` on."""
        self._one.cut(0, start)

    def feed(self, tokens: Sequence[int], start: int) -> None:
        """Decode `tokens` at positions from `start` on; `logits` then follow the last one."""
        self._after = self._one.feed(0, tokens, start)

    def logits(self) -> Logits:
        """Logits after the last token fed, shape (n_vocab,); a copy."""
        if self._after is None:
            raise BackendError("nothing was decoded yet")
        return self._after.copy()


class LlamaBackend:
    """Backend and Service over one model; what it answers does not depend on what else is asked.

    `parallel` decisions are written at once (8 a lane; on a GPU 32). On the processor a repeatable
    answer is the same to the bit whoever is beside it; another is so but for rounding, and a third
    faster where nobody is.
    """

    adapter_hash = ""

    def __init__(self, spec: BackendSpec) -> None:
        self.model = spec.model
        self.model_hash = spec.model_hash
        self.style = spec.style
        self.temperature = spec.temperature
        self.spec = spec
        self.threads = spec.threads or default_threads()
        self.llm = weights = Weights(spec.path, spec.model)
        made: list[Lane] = []

        def free() -> None:
            for lane in made:
                lane.sequences.close()
            weights.close()

        crew = Crew(self.threads, free)
        try:
            self.around = self.llm.chat_template().around(self.style.instructions)
            self.tables = WriterTables(self.llm, self.style)
            shared, _ = prompt_pieces(self.around, dict.fromkeys(FIELDS, ""))
            self.shared = encode(shared, self.llm.tokenize)
            lanes = 1 if self.llm.gpu_layers else min(self.threads, LANES, spec.parallel or LANES)
            slots = _GPU_SLOTS if self.llm.gpu_layers else _SLOTS
            slots = -(-spec.parallel // lanes) if spec.parallel else slots
            shelf, window = Shelf(_SHEETS), spec.context_window
            for index in range(lanes):
                sequences = Sequences(
                    self.llm, count=max(slots, 2) + 1, window=window, threads=self.threads
                )
                made.append(Lane(sequences, slots, shelf, self.shared, partial(crew.take, index)))
        except BaseException:
            free()
            raise
        self.parallel = lanes * slots
        self.capacity = self.parallel + lanes
        self._lanes = lanes
        crew.begin(made)
        self._crew = crew
        weakref.finalize(self, crew.dismiss).atexit = False

    @property
    def steps(self) -> int:
        """How often a lane has gone on: what shows that it is not stuck."""
        return self._crew.steps

    def count_tokens(self, text: str) -> int:
        return len(self.llm.tokenize(text, False))

    def close(self) -> None:
        """Answer all that waits with nothing, and free the model; harmless when repeated."""
        self._crew.stop()

    def prompt_parts(self, request: Request) -> tuple[list[int], list[int]]:
        """Tokens of the prompt after what all requests share: up to the end of the character's
        description, and from there to the first quote of the answer."""
        _, own = prompt_pieces(self.around, request.context.fields)
        first = [FRAME.first] if self.spec.forced else []
        return (
            encode(own[:3], self.llm.tokenize),
            encode([*own[3:], *first], self.llm.tokenize),
        )

    def prompt_tokens(self, request: Request) -> list[int]:
        """Both parts as one."""
        return [token for part in self.prompt_parts(request) for token in part]

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        """All at once; which lane has which is fixed, so that lockstep leaves nothing to time."""
        given_up = threading.Event()

        def maker(request: Request, lane: int) -> Callable[[Done], Order]:
            return lambda done: self._order(request, done, given_up.is_set, lane)

        makers = [maker(r, i % self._lanes) for i, r in enumerate(requests)]
        return self._collect(makers, cancelled, given_up)

    def start(self, request: Request, done: Done) -> Cancel:
        given_up = threading.Event()
        self._crew.put([self._order(request, done, given_up.is_set)])
        return given_up.set

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        """Mean log-probability per token, at most 0, of each text as this request's first purpose:
        how much the model would have it. Raises BackendError where it does not fit."""

        def order(done: Callable[[Any], None]) -> Order:
            def fail(reason: str) -> None:
                done(BackendError(reason))

            def make() -> Job:
                bodies = [self.llm.tokenize(text, False) for text in texts]
                reserve = max(map(len, bodies), default=0) + 8
                beginning, rest = self.prompt_parts(request)
                return Job(
                    tuple(beginning), rest, reserve,
                    lambda position: self._scores(request, texts, position, rest[-1]),
                    done, fail, _never,
                )  # fmt: skip

            return Order(make, fail)

        (found,) = self._collect([order], None, threading.Event())
        if isinstance(found, BackendError):
            raise found
        scores: list[float] = found
        return scores

    def _scores(
        self, request: Request, texts: Sequence[str], position: int, last: int
    ) -> Generator[Step, Logits, list[float]]:
        opening = Writer(self.llm, self.tables, self.style, request).opening
        scores = []
        yield position, []  # nothing is read with the prompt
        for text in texts:
            lead = opening if text.startswith(opening) else ""
            head = self.llm.tokenize(lead, False) if lead else []
            # The last token of the prompt again where nothing else leads up to the text.
            logits = yield (position, head) if head else (position - 1, [last])
            place, total = position + len(head), 0.0
            body = self.llm.tokenize(text.removeprefix(lead), False)
            for token in body:
                total += float(logits[token]) - log_total(logits)
                logits = yield place, [token]
                place += 1
            scores.append(total / max(1, len(body)))
        return scores

    def _order(
        self, request: Request, done: Done, cancelled: Callable[[], bool], lane: int | None = None
    ) -> Order:
        return Order(
            lambda: self._decision(request, done, cancelled),
            lambda reason: done(Answer((), reason=reason)),
            lane,
        )

    def _decision(self, request: Request, done: Done, cancelled: Callable[[], bool]) -> Job:
        beginning, rest = self.prompt_parts(request)
        spec = self.spec
        fixed = spec.fixed_tokens // RANKS
        writer = Writer(self.llm, self.tables, self.style, request, fixed=fixed)

        def write(position: int) -> Generator[Step, Logits, tuple[Draft, ...]]:
            writer.position = position
            return (writer.write if spec.forced else writer.write_freely)(self.temperature)

        def finish(drafts: tuple[Draft, ...]) -> None:
            digest = hashlib.sha256(np.array([*self.shared, *own], dtype=np.int32).tobytes())
            done(
                Answer(
                    drafts,
                    prompt_hash=digest.hexdigest(),
                    tokens_in=len(self.shared) + len(own),
                    tokens_out=writer.sampled,
                    tokens_cached=job.cached,
                    made_by=(self.model, self.model_hash, self.adapter_hash),
                )
            )

        own = [*beginning, *rest]
        job = Job(
            tuple(beginning), rest, writer.reserve, write, finish,
            lambda reason: done(Answer((), reason=reason)), cancelled, request.repeatable,
        )  # fmt: skip
        return job

    def _collect(
        self,
        makers: Sequence[Callable[[Callable[[Any], None]], Order]],
        cancelled: Callable[[], bool] | None,
        given_up: threading.Event,
    ) -> list[Any]:
        """What each order ends with, in order, waited for."""
        results: list[Any] = [None] * len(makers)
        left = threading.Semaphore(0)

        def keeper(index: int) -> Callable[[Any], None]:
            def keep(result: Any) -> None:
                results[index] = result
                left.release()

            return keep

        self._crew.put([make(keeper(index)) for index, make in enumerate(makers)])
        for _ in makers:
            there = False
            while not there:  # asked each time: answers may come without a pause
                if cancelled and not given_up.is_set() and cancelled():
                    given_up.set()
                there = left.acquire(timeout=_LOOK if cancelled else None)
        return results


def _never() -> bool:
    return False
