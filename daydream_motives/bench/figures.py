"""Figures of a measurement: percentiles, means, the memory a process took. Knows no models."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from daydream_motives.errors import SettingsError


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of all values do not exceed; 0 where there are none.

    Raises SettingsError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise SettingsError(f"a share of {share:g} is none", remedy="give one from 0 to 1")
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * round(share * 1e6) // 1_000_000)  # rounded up, without float's noise
    return float(ordered[max(0, rank - 1)])


def spread(values: Sequence[float], *shares: float, scale: float = 1.0) -> dict[str, float]:
    """Percentiles by name (`p50`, `p99.9`) and `max`, each multiplied by `scale`."""
    found = {f"p{share * 100:g}": percentile(values, share) * scale for share in shares}
    return {**found, "max": max(values, default=0.0) * scale}


def middle(values: Iterable[float]) -> dict[str, float]:
    """Mean and median; zeros where there are no values."""
    listed = list(values)
    if not listed:
        return {"mean": 0.0, "median": 0.0}
    return {"mean": fmean(listed), "median": float(median(listed))}


def ratio(of: float, to: float) -> float | None:
    """How many times `to` goes into `of`; None where that says nothing."""
    return of / to if of > 0 and to > 0 else None


def peak_bytes(pid: int | None = None) -> int | None:
    """The most memory a process (default: this one) ever held, where the system says it.

    Linux counts it anew after `exec`; what `getrusage` says of a child there begins with the size
    of its parent.
    """
    status = Path(f"/proc/{pid or 'self'}/status")
    try:
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if pid is not None:
        return None
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, system, Python."""
    name = platform.processor() or platform.machine()
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        name = next(
            line.split(":", 1)[1].strip()
            for line in info.splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return {
        "processor": name,
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows of text in columns as wide as needed, the first `left` aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n < left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
