"""How an engine comes by its backend. Knows nothing of what it is used for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from daydream_motives.engine.backend import Backend, BackendSpec, open_backend
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import CountTokens, rough_count

Closing = Callable[[], bool]
Open = Callable[[Closing], Backend | None]

log = logging.getLogger("daydream_motives")
_LOOK = 0.1  # seconds between two looks at whether the model is still wanted
_ONE_PROCESS = ("emscripten", "wasi")  # systems where a program cannot start another


def opening(
    backend: Backend | str | None, spec: BackendSpec | None, model: str | None, *, worker: bool
) -> tuple[Open, str]:
    """What opens the backend that was asked for, and why there is none where that was.

    What opens it is given `closing`, and gives up once that says True. With `worker` a model's
    file is opened in a process of its own, where that is possible.
    """
    if backend == "instinct":
        return (lambda _: None), "instinct was asked for"
    if backend is not None and not isinstance(backend, str):
        return (lambda _: backend), ""

    def open(closing: Closing) -> Backend:
        kind, how = (backend, spec or BackendSpec(backend)) if backend else installed(model)
        return opened(kind, how, worker=worker, closing=closing)

    return open, ""


def opened(kind: str, spec: BackendSpec, *, worker: bool, closing: Closing) -> Backend:
    """The backend, ready to answer; raises DaydreamError where it cannot be had."""
    if worker and spec.path is not None and sys.platform not in _ONE_PROCESS:
        return _in_worker(kind, spec, closing)
    return open_backend(kind, spec)


def installed(model: str | None) -> tuple[str, BackendSpec]:
    """Kind and spec of a model of this machine, by name or file; None is the default one."""
    from daydream_motives.modelstore.store import ModelStore

    return ModelStore().spec(model)


def counter(kind: str, spec: BackendSpec) -> CountTokens:
    """What counts tokens on the game's side, while the model is in another process."""
    if kind != "llama" or spec.path is None:
        return rough_count
    from daydream_motives.engine.llama import Tokenizer

    return Tokenizer(spec.path).count


def _in_worker(kind: str, spec: BackendSpec, closing: Closing) -> Backend:
    """The model in a process of its own, once it is open there."""
    from daydream_motives.engine.worker.backend import WorkerBackend

    try:
        worker = WorkerBackend(kind, spec, tokenizer=counter)
    except BackendError as exc:
        log.warning("%s: %s is opened in the game's own process", exc.message, spec.model)
        return open_backend(kind, spec)
    try:
        while not worker.opened(_LOOK):
            if closing():
                raise BackendError("the engine was closed before the model was open")
    except BaseException:
        worker.close()
        raise
    return worker
