"""Continuous batching: many answers written side by side, each at its own place.

A lane is one context and the thread that drives it. A new request is read in a sequence of its own
(what all requests share and what one character brings each time come from the shelf), then joins
those that are being written; whoever is done leaves in between. Knows nothing of deadlines.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.engine.decoding.sampling import Logits
from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.decoding.writer import Step
from daydream_motives.errors import BackendError

CANCELLED = "cancelled"
CHUNK = 256  # tokens of a prompt read between two steps of those who are writing

log = logging.getLogger("daydream_motives.llama")


@dataclass(slots=True, eq=False)
class Job:
    """One text to be written: `beginning` comes again with the character, `rest` is new each time.

    `write` gets the position after the prompt; its generator says what to append and is sent the
    logits. `finish` gets what it returns, `fail` the reason why there is nothing; one of them is
    called once. An `exact` one is the same to the bit whoever is beside it, and alone is slower.
    """

    beginning: tuple[int, ...]
    rest: Sequence[int]
    reserve: int
    write: Callable[[int], Generator[Step, Logits, Any]]
    finish: Callable[[Any], None]
    fail: Callable[[str], None]
    cancelled: Callable[[], bool]
    exact: bool = True
    cached: int = 0
    length: int = 0  # tokens of it in the cache
    chunks: list[Sequence[int]] = field(default_factory=list)
    generator: Generator[Step, Logits, Any] | None = None
    step: Step | None = None

    def advance(self, logits: Logits) -> bool:
        """Let it choose what to append next; True once it has ended."""
        if self.generator is None:
            raise RuntimeError("a job that was not read cannot write")
        try:
            self.step = self.generator.send(logits)
        except StopIteration as end:
            self._tell(self.finish, end.value)
        except Exception as exc:  # one answer's fault is not its neighbours'
            self.end(reason_of(exc))
        else:
            return False
        return True

    def end(self, reason: str) -> None:
        """It has come to nothing."""
        self._tell(self.fail, reason)

    def _tell(self, whom: Callable[[Any], None], what: Any) -> None:
        try:
            whom(what)
        except Exception:  # whoever asked is at fault: the lane goes on for the others
            log.exception("an answer could not be taken")


def reason_of(exc: Exception) -> str:
    """What went wrong, for the provenance."""
    return exc.message if isinstance(exc, BackendError) else f"{type(exc).__name__}: {exc}"


class Shelf:
    """Prefixes of the cache that will be needed again, the least recently used given up first;
    `capacity` in bytes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held = 0
        self.shared: NDArray[np.uint8] | None = None  # of every request; never given up
        self._kept: OrderedDict[tuple[int, ...], NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, beginning: tuple[int, ...]) -> NDArray[np.uint8] | None:
        with self._lock:
            if beginning in self._kept:
                self._kept.move_to_end(beginning)
            return self._kept.get(beginning)

    def keep(self, beginning: tuple[int, ...], data: NDArray[np.uint8]) -> None:
        with self._lock:
            if beginning in self._kept:  # another lane has read it, too
                return
            self._kept[beginning] = data
            self._held += data.nbytes
            while self._held > self.capacity and len(self._kept) > 1:
                self._held -= self._kept.popitem(last=False)[1].nbytes


class Lane:
    """Up to `slots` jobs being written and one being read; `take` gives the next one, if any.

    `sequences` are one more than slots, and at least three.
    """

    def __init__(
        self,
        sequences: Sequences,
        slots: int,
        shelf: Shelf,
        shared: Sequence[int],
        take: Callable[[], Job | None],
    ) -> None:
        self.sequences, self.shelf, self.shared, self._take = sequences, shelf, shared, take
        self._desk = sequences.count - 1  # the sequence in which a prompt is read
        self.slots = slots
        self._reading: Job | None = None
        self._writing: list[Job] = []  # each in the sequence of its index, without gaps

    @property
    def jobs(self) -> list[Job]:
        return [*self._writing, *([self._reading] if self._reading else [])]

    def step(self) -> bool:
        """Read a piece of one prompt and write a token of each answer; False with nothing to do."""
        for job in [job for job in self._writing if job.cancelled()]:
            job.end(CANCELLED)
            self._leave(job)
        if self._reading and self._reading.cancelled():
            self._reading.end(CANCELLED)
            self._reading = None
        read = self._read()
        self._append()
        return read or bool(self._writing)

    def abandon(self, reason: str) -> None:
        """End all that is under way."""
        jobs = self.jobs
        self._reading, self._writing = None, []
        for job in jobs:
            job.end(reason)

    def _read(self) -> bool:
        if self._reading is None:
            self._reading = self._begin()
        job = self._reading
        if job is None:
            return False
        if job.chunks:
            chunk = job.chunks.pop(0)
            logits = self.sequences.feed(self._desk, chunk, job.length)
            job.length += len(chunk)
            if job.length == len(self.shared) + len(job.beginning):
                self.shelf.keep(job.beginning, self.sequences.save(self._desk))
            if not job.chunks and job.advance(logits):
                self._reading = None
                return True
        if not job.chunks and len(self._writing) < self.slots:
            self.sequences.copy(self._desk, len(self._writing))
            self._writing.append(job)
            self._reading = None
        return True

    def _begin(self) -> Job | None:
        """The next job that can be read, what is known of its prompt already in the cache."""
        while job := self._take():
            if job.cancelled():
                job.end(CANCELLED)
                continue
            try:
                self._prepare(job)
            except Exception as exc:  # a request that cannot even be begun is its own fault
                job.end(reason_of(exc))
            else:
                return job
        return None

    def _prepare(self, job: Job) -> None:
        shared = len(self.shared)
        own = len(job.beginning) + len(job.rest)
        room = self.sequences.window - shared - job.reserve
        if own > room:
            raise BackendError(f"the context has {own} tokens and only {room} fit")
        if self.shelf.shared is None:
            self.sequences.cut(self._desk, 0)
            self.sequences.feed(self._desk, self.shared, 0)
            self.shelf.shared = self.sequences.save(self._desk)
        known = self.shelf.find(job.beginning)
        self.sequences.load(self._desk, self.shelf.shared if known is None else known)
        job.cached = job.length = shared + (0 if known is None else len(job.beginning))
        job.generator = job.write(shared + own)
        start, lead = next(job.generator)  # what it begins with is read with the prompt
        if start != shared + own:
            raise RuntimeError("a writer begins after its prompt")
        # The same cuts whether or not the beginning was known: so the answer is the same, too.
        parts = [[*job.rest, *lead]] if known is not None else [job.beginning, [*job.rest, *lead]]
        job.chunks = [part[i : i + CHUNK] for part in parts for i in range(0, len(part), CHUNK)]

    def _append(self) -> None:
        """Append what each wants: several tokens one by one, then single ones all at once."""
        for job in list(self._writing):
            while job.step and len(job.step[1]) != 1:
                start, tokens = job.step
                slot = self._writing.index(job)
                self._cut(job, slot, start)
                logits = self.sequences.feed(slot, tokens, start)
                job.length = start + len(tokens)
                if job.advance(logits):
                    self._leave(job)
                    break
        rows = []
        for slot, job in enumerate(self._writing):
            if job.step is None:
                raise RuntimeError("a job without a step is being written")
            start, tokens = job.step
            self._cut(job, slot, start)
            rows.append((slot, start, tokens[0]))
            job.length = start + 1
        if not rows:
            return
        if len(rows) == 1 and self._writing[0].exact:
            # A token that decodes alone takes another path through the matrices, with other
            # rounding: the answer would depend on who is there. So it gets company.
            self.sequences.cut(1, 0)
            rows.append((1, 0, rows[0][2]))
        logits = self.sequences.feed_each(rows)[: len(self._writing)]
        ended = [job for job, row in zip(self._writing, logits, strict=True) if job.advance(row)]
        for job in ended:
            self._leave(job)

    def _cut(self, job: Job, slot: int, start: int) -> None:
        if start < job.length:
            self.sequences.cut(slot, start)

    def _leave(self, job: Job) -> None:
        """Take it out; the last one moves into the gap, as sequences in a row decode at once."""
        slot = self._writing.index(job)
        last = self._writing.pop()
        if last is not job:
            self.sequences.copy(len(self._writing), slot)
            self._writing[slot] = last
