"""What answers a request: the protocol of all backends, and how they are found.

Backends load through the entry-point group `daydream_motives.backends`; the built-in ones take the
same path as anyone's. Knows nothing of simulation or training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from daydream_motives.errors import BackendError
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.prompt import PromptStyle
from daydream_motives.motives.purposes import Draft


class Cancelled(Exception):
    """The work was abandoned on request; never leaves the engine."""


GROUP = "daydream_motives.backends"


@dataclass(frozen=True, slots=True)
class Request:
    """One decision to make: all a backend may know. `seed` decides every random choice in it.

    `lately` are purposes of the character's last decisions, which should not come again.
    """

    context: MotiveContext
    short_name: str
    subject: str
    seed: int
    lately: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend made of a request; fewer than three drafts, or none, where it failed."""

    drafts: tuple[Draft, ...]
    prompt_hash: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """How to open a backend: a model's file and how the model is asked."""

    model: str
    path: Path | None = None
    model_hash: str = ""
    style: PromptStyle = field(default_factory=PromptStyle)
    threads: int = 0
    context_window: int = 2048
    temperature: float = 0.7


@runtime_checkable
class Backend(Protocol):
    """Turns requests into drafts. One thread at a time may call it.

    `decide_many` answers in the order of its requests; what it answers to one does not depend on
    the others. `cancelled` is asked between tokens: True abandons the work (empty answers).
    """

    model: str
    model_hash: str
    adapter_hash: str

    def count_tokens(self, text: str) -> int: ...

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]: ...

    def close(self) -> None: ...


@runtime_checkable
class Scorer(Protocol):
    """A backend that can say how much it would have a given text."""

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        """Mean log-probability per token of each text as the first purpose, at most 0."""


def open_backend(kind: str, spec: BackendSpec) -> Backend:
    """The backend registered as `kind`, opened; raises BackendError with what is registered."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        raise BackendError(
            f"no backend named {kind!r}; installed: {', '.join(sorted(found)) or 'none'}",
            remedy="pip install the package that provides it, or reinstall daydream-motives",
        )
    try:
        factory: Callable[[BackendSpec], Backend] = found[kind].load()
    except ImportError as exc:
        raise BackendError(
            f"the backend {kind!r} lacks a package: {exc}",
            remedy="pip install 'daydream-motives[llama]'",
        ) from exc
    return factory(spec)


def open_installed(model: str | None) -> Backend:
    """The backend of a model of this machine, by name or file; None is the default one."""
    from daydream_motives.modelstore.store import ModelStore

    kind, spec = ModelStore().spec(model)
    return open_backend(kind, spec)
