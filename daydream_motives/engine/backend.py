"""What answers a request: the protocol of all backends, and how they are found.

Backends load through the entry-point group `daydream_motives.backends`; the built-in ones take the
same path as anyone's. Knows nothing of simulation or training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from daydream_motives.errors import BackendError
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.prompt import PromptStyle
from daydream_motives.motives.purposes import RANKS, Draft

GROUP = "daydream_motives.backends"
MAX_TEXT = 20_000  # characters of all drafts of an answer
CLOSED = "the engine is closed"  # the reason of what can no longer be answered


@dataclass(frozen=True, slots=True)
class Request:
    """One decision to make: all a backend may know. `seed` decides every random choice in it.

    `lately` are purposes of the character's last decisions, which should not come again. A
    `repeatable` answer must not depend on who else is answered; another may, by rounding, if that
    is faster.
    """

    context: MotiveContext
    short_name: str
    subject: str
    seed: int
    lately: tuple[str, ...] = ()
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend made of a request; fewer than three drafts, or none, where it failed.

    `tokens_in` counts the whole prompt, `tokens_cached` what of it had been read before.
    `made_by` are name, hash and adapter hash of the model, where the backend can change it.
    """

    drafts: tuple[Draft, ...]
    prompt_hash: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    reason: str = ""
    tokens_cached: int = 0
    made_by: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """How to open a backend: a model's file, or a server's `url`, and how the model is asked.

    `parallel` is how many decisions are decoded at once (0: as the backend thinks best);
    `context_window` bounds the tokens of one decision, prompt and answer. For measuring alone:
    `fixed_tokens` are sampled whatever the model would, and `forced` off lets it write freely.
    """

    model: str
    path: Path | None = None
    model_hash: str = ""
    style: PromptStyle = field(default_factory=PromptStyle)
    threads: int = 0
    context_window: int = 1088
    temperature: float = 0.7
    parallel: int = 0
    url: str = ""
    fixed_tokens: int = 0
    forced: bool = True


def fault_of(answer: object) -> str:
    """What is wrong with an answer, empty where nothing is: anyone's backend may have made it."""
    if not isinstance(answer, Answer):
        return type(answer).__name__
    if not isinstance(answer.drafts, tuple | list):
        return f"{type(answer.drafts).__name__} for drafts"
    for draft in answer.drafts:
        if not isinstance(draft, Draft) or not isinstance(draft.text, str):
            return "a draft without a text"
        if not isinstance(draft.confidence, int | float) or not math.isfinite(draft.confidence):
            return f"{draft.confidence!r} for confidence"
    if len(answer.drafts) > RANKS:
        return f"{len(answer.drafts)} drafts where {RANKS} are wanted"
    if sum(len(draft.text) for draft in answer.drafts) > MAX_TEXT:
        return f"more than {MAX_TEXT} characters"
    counts = (answer.tokens_in, answer.tokens_out, answer.tokens_cached)
    made_by = answer.made_by or ("", "", "")
    if not isinstance(made_by, tuple) or len(made_by) != 3:
        return f"{made_by!r} for what made it"
    words = (answer.prompt_hash, answer.reason, *made_by)
    if not all(isinstance(count, int) for count in counts):
        return "a count of tokens that is none"
    if not all(isinstance(word, str) for word in words):
        return "a name, a hash or a reason that is no text"
    return ""


@runtime_checkable
class Backend(Protocol):
    """Turns requests into drafts. One thread at a time may call it.

    `decide_many` answers in the order of its requests; what it answers to one does not depend on
    the others. `cancelled` is asked between tokens: True abandons the work (empty answers).
    """

    @property
    def model(self) -> str: ...
    @property
    def model_hash(self) -> str: ...
    @property
    def adapter_hash(self) -> str: ...

    def count_tokens(self, text: str) -> int: ...

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]: ...

    def close(self) -> None: ...


Done = Callable[[Answer], None]
Cancel = Callable[[], None]


@runtime_checkable
class Service(Protocol):
    """A backend that takes requests one by one, at any time and from any thread.

    `capacity` is how many it works on at once: whoever has more to ask keeps the rest, so that the
    most urgent goes next.
    """

    @property
    def capacity(self) -> int: ...

    def start(self, request: Request, done: Done) -> Cancel:
        """Begin; returns at once. `done` is called exactly once, from any thread, with an answer
        without drafts and a `reason` where there is none; what is returned asks to abandon it."""


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
            remedy=f"pip install 'daydream-motives[{kind}]', or whatever package provides it",
        ) from exc
    return factory(spec)
