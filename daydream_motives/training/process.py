"""How a process that trains shares its machine: memory kept while it serves, and given back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress

from daydream_motives.settings import threads_of_a_command

# What torch and OpenMP read when they are loaded; whatever the user has set stays.
_SETTINGS = {
    "GOMP_SPINCOUNT": "100000",  # else a thread that waits for one off its core burns the other
}
# glibc's mallopt: what is smaller stays in the heap, which does not shrink with every free; to
# fetch its pages again took a third of the time.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_TOO_MUCH = 1.25
_SPARE = 2**30  # bytes; where the machine has less left, nothing is kept between steps
_OPTIONS = {_M_MMAP_THRESHOLD: 2**25, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}


def settle() -> None:
    """Prepare this process for training on a processor; call it before torch is first imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if (libc := _glibc()) is not None:
        for option, number in _OPTIONS.items():
            libc.mallopt(option, number)
    import torch

    torch.set_num_threads(threads_of_a_command())


def give_memory_back() -> None:
    """Return what is free in the heap."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


class Tidying:
    """Gives memory back when a process holds a quarter more than a step needs, or it is scarce.

    Tensors of ever other lengths leave holes: without it one that used 3 GB grew past 7, and with
    it after every step a third of the time went into pages that were fetched again.
    """

    def __init__(self) -> None:
        import psutil  # with the extra alone; `settle` is called where it may be missing

        self._process, self._machine = psutil.Process(), psutil.virtual_memory
        self._needed, self._given = 0, True

    def after_step(self) -> None:
        """Look at what is held now."""
        held = self._process.memory_info().rss
        if self._given:
            self._needed = max(self._needed, held)
        self._given = held > _TOO_MUCH * self._needed or self._machine().available < _SPARE
        if self._given:
            give_memory_back()


def end_stage() -> None:
    """Give back all that a model has held, which lies in rings of references, for the next one."""
    import torch

    gc.collect()
    give_memory_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _glibc() -> ctypes.CDLL | None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            _ = libc.mallopt, libc.malloc_trim
            return libc
    return None
