"""Whether this machine has the disk and the memory for all stages, before the first long one."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from daydream_motives.training.base import Base
from daydream_motives.training.tuning.checks import Finding, existing
from daydream_motives.training.tuning.estimate import checkpoint_size
from daydream_motives.training.tuning.preflight import Preflight

_GIB = 2**30
# Bytes a parameter: the whole model in half precision, the quantised one, which may be as big, and
# that again among the models; merging is done in full precision, by one tensor more.
_EXPORTED, _PLACED, _MERGING = 4, 4, 4.4


def check_all(base: Base, seen: Preflight, work: Path, models: Path) -> list[Finding]:
    """What is refused, of the disks and of memory, in numbers."""
    size = int(base.manifest["parameters"])
    needs = {work: checkpoint_size(seen.trained) + _EXPORTED * size, models: _PLACED * size}
    disks: dict[int, tuple[Path, int]] = {}
    for folder, need in needs.items():
        place = existing(folder)
        disk = place.stat().st_dev
        disks[disk] = place, need + disks.get(disk, (place, 0))[1]
    found = []
    for place, need in disks.values():
        if (free := shutil.disk_usage(place).free) < need:
            what = f"disk: all stages take {need / _GIB:.2f} GiB of {free / _GIB:.2f} free, {place}"
            found.append(Finding("refused", what, "free some space or choose another folder"))
    merging, free = int(_MERGING * size), psutil.virtual_memory().available
    if merging > free:
        what = f"memory: exporting takes {merging / _GIB:.1f} GiB of {free / _GIB:.1f} available"
        found.append(Finding("refused", what, "end other programs, or tune a smaller base"))
    return found
