"""Decisions without a clock: in the order asked, a whole group at a time, each one waited for.

World, seed and model decide everything here. Knows no deadlines and no queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from itertools import islice

from daydream_motives.engine.answering import checked
from daydream_motives.engine.backend import CLOSED, Answer, Request
from daydream_motives.engine.compose import Prepared, identity
from daydream_motives.engine.host import Host
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import RankedPurposes

log = logging.getLogger("daydream_motives")
Recorded = Callable[[str, MotiveContext], RankedPurposes | None]


def ask(
    host: Host, requests: Sequence[Request]
) -> tuple[Future[list[Answer]] | None, threading.Event]:
    """The answers to come, None where there is no model; and what abandons the work when set."""
    cancel = threading.Event()

    def work() -> list[Answer]:
        if (seat := host.take()) is None:
            return _none(host, len(requests))
        try:
            answers = seat.decide_many(requests, lambda: cancel.is_set() or host.closed)
            if len(answers) != len(requests):
                reason = f"{len(answers)} answers came to {len(requests)} requests"
                return [Answer((), reason=reason)] * len(requests)
            made_by = identity(seat.backend)
            return [replace(a, made_by=a.made_by or made_by) for a in map(checked, answers)]
        except Exception as exc:  # a model's fault never reaches the game
            log.warning("%s failed (%s); instinct answers", seat.backend.model, exc)
            return [Answer((), reason=f"{type(exc).__name__}: {exc}")] * len(requests)
        finally:
            host.give_back(seat)

    return (host.submit(work) if host.ready() else None), cancel


def answers(host: Host, requests: Sequence[Request]) -> list[Answer]:
    """The model's answers, waited for; empty ones with a reason where there are none."""
    future, cancel = ask(host, requests)
    if future is None:
        return _none(host, len(requests))
    try:
        return future.result()
    except CancelledError:
        return [Answer((), reason=CLOSED)] * len(requests)
    except BaseException:
        cancel.set()
        raise


async def answer_async(host: Host, request: Request) -> Answer:
    """The model's answer to one, while other tasks run."""
    future, cancel = ask(host, [request])
    if future is None:
        return _none(host, 1)[0]
    try:
        return (await asyncio.wrap_future(future))[0]
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not future.cancelled() or (task and task.cancelling()):
            raise
        return Answer((), reason=CLOSED)
    finally:
        cancel.set()


def scores(host: Host, request: Request, texts: Sequence[str]) -> list[float] | None:
    """The model's scores of the texts, waited for; None where there are none."""

    def work() -> list[float] | None:
        if (seat := host.take()) is None:
            return None
        try:
            return seat.score(request, texts)
        finally:
            host.give_back(seat)

    try:
        scoring = host.submit(work)
        return scoring.result() if scoring else None
    except Exception as exc:  # a model's fault never reaches the game
        log.warning("purposes could not be compared: %s", exc)
        return None


def in_groups(
    host: Host, prepared: Iterator[Prepared], find: Recorded | None
) -> Iterable[tuple[Prepared, RankedPurposes | Answer]]:
    """Each decision with its answer, in order: known already, or the model's.

    A group of which one answer is missing is asked whole: a model that computes many at once then
    computes the same as it did the first time.
    """
    seat = host.ready()
    size = getattr(seat.backend, "parallel", 1) if seat else 1
    while group := list(islice(prepared, size)):
        known = [find(p.id, p.request.context) if find else None for p in group]
        fresh: list[Answer] = []
        if None in known:
            fresh = answers(host, [p.request for p in group])
        for index, one in enumerate(group):
            yield one, known[index] or fresh[index]


def _none(host: Host, count: int) -> list[Answer]:
    return [Answer((), reason=host.why_not)] * count
