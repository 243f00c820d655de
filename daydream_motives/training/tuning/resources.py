"""What a training takes of the machine, told every few seconds while it runs.

A thread that sleeps, looks and tells. What it sees decides nothing, and it ends with the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import psutil

EVERY = 5.0  # seconds between two looks
_PATIENCE = 5.0  # seconds; a device that hangs does not keep the run from ending


class Recorder:
    """Tells what this process takes every few seconds, and a last time when it is closed.

    Percent are of one core, memory is in bytes: `memory` and `memory_peak` of this process,
    `memory_free` of the machine; with a GPU in use `gpu_memory` and `gpu_peak` of this process,
    `gpu_free`, and `gpu_percent` where NVML can be asked.
    """

    def __init__(self, tell: Callable[[dict[str, float]], None], every: float = EVERY) -> None:
        self._tell, self._every, self._over = tell, every, Event()
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins to count
        self._thread = Thread(target=self._run, name="resources", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell once more and end; doing it twice is doing it once."""
        self._over.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        over = False
        # Where it cannot look or tell, it ends: training itself will say what is wrong.
        with suppress(OSError, RuntimeError, psutil.Error):
            while not over:
                over = self._over.wait(self._every)
                self._tell(self._look())

    def _look(self) -> dict[str, float]:
        memory = self._process.memory_info().rss
        return {
            "cpu_percent": self._process.cpu_percent(),
            "cores": psutil.cpu_count() or 1,
            "memory": memory,
            "memory_peak": max(memory, self._peak()),
            "memory_free": psutil.virtual_memory().available,
            **_gpu(),
        }

    def _peak(self) -> int:
        """The most memory of this process so far, also between two looks."""
        if sys.platform == "win32":
            return int(self._process.memory_info().peak_wset)
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _gpu() -> dict[str, float]:
    """Nothing where no GPU is in use: asking would take one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    found = {
        "gpu_memory": float(torch.cuda.memory_allocated()),
        "gpu_peak": float(torch.cuda.max_memory_allocated()),
        "gpu_free": float(torch.cuda.mem_get_info()[0]),
    }
    with suppress(Exception):  # whatever NVML raises where it is missing or fails
        found["gpu_percent"] = float(torch.cuda.utilization())
    return found
