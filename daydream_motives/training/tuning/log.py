"""What is told of training while it runs: lines, curves for TensorBoard, and a log of its own.

The log is JSON Lines: `step` rows, `evaluation` rows and, from a thread of its own, `use` rows of
what the machine gives. Knows nothing of what is trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from daydream_motives.characters.files import write_atomic

FILE, USE = "log.jsonl", "use"
_EVERY = 5.0  # seconds between two lines


class Log:
    """The log of one training, gone on with from `step`: rows of steps not kept are dropped."""

    def __init__(self, folder: Path, step: int, say: Callable[[str], None]) -> None:
        from daydream_motives.training.tuning.resources import Recorder  # to read needs no psutil

        self.file = folder / FILE
        rows = _rows(self.file) if self.file.exists() else []
        kept = [row for row in rows if _step_of(row) < step or (_step_of(row) == step and step)]
        write_atomic(self.file, "".join(f"{row}\n" for row in kept))
        self._say, self._said = say, time.monotonic()
        self._curves = _curves(folder / "curves", step)
        self._step, self._lock = step, Lock()
        self._recorder = Recorder(lambda row: self._write(USE, self._step, row))

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """A row; the file is whole after each."""
        self._step = step
        self._write(kind, step, values)

    def _write(self, kind: str, step: int, values: dict[str, float]) -> None:
        row: dict[str, Any] = {"kind": kind, "step": step, "at": round(time.time(), 2), **values}
        with self._lock:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            if self._curves is not None:
                for name, value in values.items():
                    self._curves.add_scalar(f"{kind}/{name}", value, step)

    def tell(self, text: str, *, always: bool = False) -> None:
        """A line for whoever watches, not more often than every few seconds."""
        if always or time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            self._say(text)

    def close(self) -> None:
        self._recorder.close()
        if self._curves is not None:
            self._curves.close()


def left(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Every whole row of a log but those of use, which are another number each time."""
    found = [json.loads(row) for row in _rows(folder / FILE) if _step_of(row) >= 0]
    return [row for row in found if row["kind"] != USE]


def _rows(file: Path) -> list[str]:
    """The lines of a log, whatever a bad disk has made of some."""
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _step_of(row: str) -> int:
    """The step of a row; -1 for one that was cut by a kill."""
    try:
        return int(json.loads(row)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def _curves(folder: Path, step: int) -> Any:
    """A writer of TensorBoard's files; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
