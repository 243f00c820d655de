"""A model is replaced by another while requests keep coming: is one lost, or answered by both?

Each answer says which model made it. As an answer is the same to the bit whoever is beside it, each
is made again afterwards by that model alone: one that both models had a hand in would differ.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from daydream_motives.bench.figures import machine, spread
from daydream_motives.bench.town import decisions
from daydream_motives.bench.working import Watch, needs, spec_of
from daydream_motives.engine.backend import Answer, BackendSpec, Request, open_backend
from daydream_motives.engine.opening import counter
from daydream_motives.engine.worker.backend import WorkerBackend
from daydream_motives.errors import BackendError, SettingsError

_AHEAD = 8  # requests that wait beside those under way
_WAIT = 600.0
_REQUESTS = 64
Model = tuple[str, BackendSpec]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and what came of it; `answers` should be exactly one."""

    request: Request
    answers: list[Answer]


class Crowd:
    """Asks a backend without a pause, so that it always has more than it can work on."""

    def __init__(self, worker: WorkerBackend, requests: Sequence[Request]) -> None:
        self.worker, self.requests = worker, requests
        self.sent: list[Sent] = []
        self._room = threading.Semaphore(worker.capacity + _AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.is_set():
            if not self._room.acquire(timeout=0.1):
                continue
            index = len(self.sent)
            known = self.requests[index % len(self.requests)]
            one = Sent(replace(known, seed=known.seed ^ index), [])
            self.sent.append(one)

            def done(answer: Answer, one: Sent = one) -> None:
                one.answers.append(answer)
                self._room.release()

            self.worker.start(one.request, done)

    def end(self) -> None:
        """Ask no more, and wait for what is open."""
        self._over.set()
        self._thread.join()
        end = time.monotonic() + _WAIT
        while not all(one.answers for one in self.sent) and time.monotonic() < end:
            time.sleep(0.05)


def judge(sent: Sequence[Sent], models: Sequence[BackendSpec]) -> dict[str, Any]:
    """What became of all: how many are `lost` (no answer, or one without a text), answered
    `twice`, or made by a model that is neither; and which model made how many."""
    known = {(spec.model, spec.model_hash) for spec in models}
    makers = [one.answers[0].made_by for one in sent if one.answers]
    return {
        "sent": len(sent),
        "answered": sum(bool(one.answers and one.answers[0].drafts) for one in sent),
        "lost": sum(not (one.answers and one.answers[0].drafts) for one in sent),
        "twice": sum(len(one.answers) > 1 for one in sent),
        "by_neither": sum(made is None or made[:2] not in known for made in makers),
        "reasons": sorted({one.answers[0].reason for one in sent if one.answers} - {""}),
        "by_model": dict(Counter(f"{made[0]} {made[1][:8]}" for made in makers if made)),
    }


def mixed(sent: Sequence[Sent], models: Sequence[Model]) -> tuple[int, int]:
    """How many answers the model that is named would not have made alone, of how many asked
    again."""
    unlike = again = 0
    for kind, spec in models:
        found = [
            one for one in sent
            if one.answers and one.answers[0].drafts and one.answers[0].made_by
            and one.answers[0].made_by[:2] == (spec.model, spec.model_hash)
        ]  # fmt: skip
        if not found:
            continue
        backend = open_backend(kind, spec)
        try:
            alone = backend.decide_many([one.request for one in found])
        finally:
            backend.close()
        again += len(found)
        unlike += sum(
            [d.text for d in one.answers[0].drafts] != [d.text for d in answer.drafts]
            for one, answer in zip(found, alone, strict=True)
        )
    return unlike, again


def measure(
    first: str | None = None,
    second: str | None = None,
    *,
    swaps: int = 6,
    pause: float = 5.0,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Requests, answers and what is wrong with them, over so many swaps to and fro.

    `second` is by default the file as the first one's model ships. Raises StoreError where a model
    is missing, SettingsError where both are the same.
    """
    needs("psutil")
    models = [spec_of(first, threads)]
    models.append(spec_of(second or _shipped(models[0][1]), threads))
    (_, a), (_, b) = models
    if (a.model, a.model_hash) == (b.model, b.model_hash):
        raise SettingsError("both models are the same", remedy="give another with --to")
    requests = decisions(_REQUESTS, counter(*models[0]))
    worker = WorkerBackend(*models[0])
    watch, taken = Watch(worker), list[float]()
    try:
        worker.wait(_WAIT)
        watch.look()
        crowd = Crowd(worker, requests)
        for number in range(swaps):
            time.sleep(pause)
            began = time.monotonic()
            worker.swap(*models[(number + 1) % 2]).result(_WAIT)
            taken.append(time.monotonic() - began)
            say(f"swap {number + 1} of {swaps} took {taken[-1]:.1f} s, {len(crowd.sent)} asked")
        time.sleep(pause)
        crowd.end()
    finally:
        watch.look()
        worker.close()
    say("each answer is made again by its model alone")
    unlike, again = mixed(crowd.sent, models)
    return {
        "about": {**machine(), "threads": threads,
                  "models": [f"{spec.model} {spec.model_hash[:8]}" for _, spec in models]},
        "swaps": swaps, "swap_s": spread(taken, 0.5), **judge(crowd.sent, [a, b]),
        "made_again": again, "mixed": unlike,
        "workers": len(watch.seen), "orphans": watch.orphans(),
    }  # fmt: skip


def _shipped(spec: BackendSpec) -> str:
    if spec.path is None:
        raise BackendError(f"{spec.model} is no file", remedy="give another model with --to")
    return str(spec.path.with_name("shipped.gguf"))


def as_text(found: dict[str, Any]) -> str:
    """The figures as text."""
    made = ", ".join(f"{n} by {model}" for model, n in sorted(found["by_model"].items()))
    return "\n".join(
        [
            f"{found['swaps']} swaps between {' and '.join(found['about']['models'])} under load, "
            f"{found['swap_s']['p50']:.2f} s each (median)",
            f"{found['sent']} requests: {made}",
            f"lost: {found['lost']}, answered twice: {found['twice']}, by neither model: "
            f"{found['by_neither']}",
            f"made again by its model alone: {found['made_again']}, of which differ: "
            f"{found['mixed']}",
            f"workers: {found['workers']}, orphans: {len(found['orphans'])}",
            *found["reasons"][:3],
        ]
    )
