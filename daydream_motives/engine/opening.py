"""How an engine comes by its backend. Knows nothing of what it is used for."""

from __future__ import annotations

from collections.abc import Callable

from daydream_motives.engine.backend import Backend, BackendSpec, open_backend, open_installed


def opening(
    backend: Backend | str | None, spec: BackendSpec | None, model: str | None
) -> tuple[Callable[[], Backend | None], str]:
    """What opens the backend that was asked for, and why there is none where that was."""
    if backend == "instinct":
        return (lambda: None), "instinct was asked for"
    if backend is None:
        return (lambda: open_installed(model)), ""
    if isinstance(backend, str):
        return (lambda: open_backend(backend, spec or BackendSpec(backend))), ""
    return (lambda: backend), ""
