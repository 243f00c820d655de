"""What fails beneath a training, as errors with a remedy: memory, device, disk and compiler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from daydream_motives.errors import RunError

_COMPILERS = ("torch._dynamo", "torch._inductor")
_GO_ON = "the same command goes on from the last checkpoint"


@contextmanager
def failures() -> Iterator[None]:
    """Raise RunError for all that is no fault of ours; what is learnt is in the last checkpoint."""
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        raise _told(exc) from exc
    except BrokenPipeError:  # whoever was told has gone
        raise
    except OSError as exc:
        raise RunError(
            f"a file cannot be read or written: {exc}", remedy=f"free some space; {_GO_ON}"
        ) from exc


def out_of_memory(exc: BaseException) -> bool:
    """Whether there was not enough memory: a processor's allocator has no error of its own."""
    return isinstance(exc, (torch.OutOfMemoryError, MemoryError)) or "allocate" in str(exc)


def _told(exc: BaseException) -> RunError:
    what = next(iter(str(exc).splitlines()), type(exc).__name__)
    if any(kind.__module__.startswith(_COMPILERS) for kind in type(exc).__mro__):
        return RunError(
            f"the layers cannot be compiled: {what}",
            remedy="set train.compile = false; what was learnt so far is gone on with",
        )
    if out_of_memory(exc):
        return RunError(
            f"there is not enough memory: {what}",
            remedy="lower train.pass_tokens, set train.recompute = true, or train by qlora",
        )
    return RunError(f"the device failed: {what}", remedy=_GO_ON)
