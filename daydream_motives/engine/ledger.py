"""Decisions on their way to the journal. Knows nothing of what it writes to."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict

from daydream_motives.errors import DaydreamError
from daydream_motives.motives.purposes import Decision, Recorder
from daydream_motives.motives.situation import Situation

log = logging.getLogger("daydream_motives")


class Ledger:
    """Tells a recorder of decisions: at once in lockstep, where a fault is raised; in a game when
    there is time for it, and a fault is logged."""

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._held: OrderedDict[str, tuple[Recorder, Decision, Situation]] = OrderedDict()

    def __len__(self) -> int:
        """How many decisions of a game are not written yet."""
        return len(self._held)

    @property
    def _forked(self) -> bool:
        """What is held is the other process's to write, and its lock may be held for ever."""
        return os.getpid() != self._pid

    def keep(self, decision: Decision, situation: Situation) -> None:
        """Write it now, and what becomes of it; raises DaydreamError where that fails."""
        if self.recorder is not None:
            self.recorder.decided(decision, situation)
            decision.listeners.append(self._tell)

    def hold(self, decision: Decision, situation: Situation, *, wanted: bool) -> None:
        """Write it at the next `flush`; where nobody `wanted` it any more, only if it is chosen."""
        if (recorder := self.recorder) is None or self._forked:
            return
        held = (recorder, decision, situation)
        if wanted:
            with self._lock:
                self._held[decision.id] = held
        told = not wanted

        def follow(decision: Decision, what: str) -> None:
            nonlocal told
            if self._forked:
                return
            with self._lock:
                first = self._held.pop(decision.id, None) or (held if told else None)
                told = False
                if first:
                    _written(*first)
                try:
                    (recorder.chosen if what == "chosen" else recorder.resolved)(decision)
                except DaydreamError as exc:
                    log.warning("what became of a decision could not be recorded: %s", exc)

        decision.listeners.append(follow)

    def flush(self, until: float | None = None) -> None:
        """Write what is held, at least one, until a time.monotonic (None: everything)."""
        while self._held and not self._forked:
            with self._lock:
                if not self._held:
                    return
                _, held = self._held.popitem(last=False)
                _written(*held)
            if until is not None and time.monotonic() >= until:
                return

    def write(self, decision: Decision) -> None:
        """Write this one now if it is held."""
        if self._forked:
            return
        with self._lock:
            if held := self._held.pop(decision.id, None):
                _written(*held)

    def reopen(self, decision: Decision) -> Decision:
        """A decision of an earlier process that is still open: what becomes of it is recorded."""
        decision.outcome = None
        if self.recorder is not None:
            decision.listeners.append(self._tell)
        return decision

    def _tell(self, decision: Decision, what: str) -> None:
        if self.recorder is not None:
            (self.recorder.chosen if what == "chosen" else self.recorder.resolved)(decision)


def _written(recorder: Recorder, decision: Decision, situation: Situation) -> None:
    try:
        recorder.decided(decision, situation)
    except DaydreamError as exc:
        log.warning("a decision could not be recorded: %s", exc)
