"""What is told of training while it runs: lines, curves for TensorBoard, and a log of its own.

The log is JSON Lines: `step` rows, `evaluation` rows, and use of the machine in both. Knows
nothing of what is trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

FILE = "log.jsonl"
_EVERY = 5.0  # seconds between two lines


class Log:
    """The log of one training, gone on with from `step`: rows of steps not kept are dropped."""

    def __init__(self, folder: Path, step: int, say: Callable[[str], None]) -> None:
        self.file = folder / FILE
        rows = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        kept = [row for row in rows if _step_of(row) < step or (_step_of(row) == step and step)]
        self.file.write_text("".join(f"{row}\n" for row in kept), encoding="utf-8")
        self._say, self._said = say, time.monotonic()
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins to count
        self._curves = _curves(folder / "curves", step)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """A row; the file is whole after each."""
        row: dict[str, Any] = {"kind": kind, "step": step, "at": round(time.time(), 2), **values}
        row |= {
            "cpu_percent": self._process.cpu_percent(),
            "memory": self._process.memory_info().rss,
            **_gpu(),
        }
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
        if self._curves is not None:
            self._curves.close()


def left(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Every whole row of a log."""
    rows = (folder / FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(row) for row in rows if _step_of(row) >= 0]


def _step_of(row: str) -> int:
    """The step of a row; -1 for one that was cut by a kill."""
    try:
        return int(json.loads(row)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def _gpu() -> dict[str, float]:
    import torch

    if not torch.cuda.is_available():
        return {}
    return {"gpu_memory": float(torch.cuda.max_memory_allocated())}


def _curves(folder: Path, step: int) -> Any:
    """A writer of TensorBoard's files; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
