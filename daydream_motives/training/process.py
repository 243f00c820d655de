"""How a process that trains shares its machine: memory given back, threads that wait in sleep."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

from daydream_motives.settings import threads_of_a_command

# What torch and OpenMP read when they are loaded; whatever the user has set stays.
_SETTINGS = {
    "GOMP_SPINCOUNT": "20000",  # else a thread that waits for one off its core burns the other
    "THP_MEM_ALLOC_ENABLE": "1",  # memory in pages of 2 MB: most of the time of a large copy
}
_M_MMAP_THRESHOLD, _LARGE = -3, 2**20


def settle() -> None:
    """Prepare this process for training on a processor; call it before torch is first imported.

    Tensors of all lengths come and go. glibc would keep them in its heap, which grew past 7 GB
    where 3 are in use; as maps of their own they go back.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    import torch

    torch.set_num_threads(threads_of_a_command())
