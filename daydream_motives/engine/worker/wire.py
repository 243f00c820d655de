"""What game and worker say to each other: one JSON object a line, checked on both sides.

No pickle: a line can only become one of the messages below or a BackendError. Knows no pipes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from daydream_motives.engine.backend import Answer, BackendSpec, Request, fault_of
from daydream_motives.errors import BackendError

T = TypeVar("T")
VERSION = 1
MAX_LINE = 4_000_000  # bytes; a context of the longest kind has some ten thousand
_REMEDY = "please report it, with the log of daydream_motives.worker"

Number = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=4096)]


class _Strict:
    __slots__ = ()
    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Open(_Strict):
    """To the worker: open this model beside those already open; Ready or Failed follows."""

    model: Number
    kind: str
    spec: BackendSpec
    t: Literal["open"] = "open"


@dataclass(frozen=True, slots=True)
class Close(_Strict):
    """To the worker: close this model once the last request put to it is answered."""

    model: Number
    t: Literal["close"] = "close"


@dataclass(frozen=True, slots=True)
class Ask(_Strict):
    """To the worker: one request for this model; exactly one Done follows."""

    id: Number
    model: Number
    request: Request
    t: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Rate(_Strict):
    """To the worker: how much would it have these texts; exactly one Rated follows."""

    id: Number
    model: Number
    request: Request
    texts: tuple[str, ...]
    t: Literal["rate"] = "rate"


@dataclass(frozen=True, slots=True)
class Abandon(_Strict):
    """To the worker: nobody waits for this request any more; its Done follows all the same."""

    id: Number
    t: Literal["abandon"] = "abandon"


@dataclass(frozen=True, slots=True)
class Bye(_Strict):
    """To the worker: end at once."""

    t: Literal["bye"] = "bye"


@dataclass(frozen=True, slots=True)
class Hello(_Strict):
    """From the worker, first: the version of these messages that it speaks."""

    version: int
    pid: int
    t: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class Beat(_Strict):
    """From the worker, twice a second: it lives, and has taken so many decoding steps."""

    steps: Number
    t: Literal["beat"] = "beat"


@dataclass(frozen=True, slots=True)
class Ready(_Strict):
    """From the worker: this model is open; it works on `capacity` requests at once."""

    model: Number
    name: str
    model_hash: str
    adapter_hash: str
    capacity: Count
    t: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Failed(_Strict):
    """From the worker: this model could not be opened."""

    model: Number
    message: str
    remedy: str
    t: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Done(_Strict):
    """From the worker: the answer to an Ask."""

    id: Number
    answer: Answer
    t: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Rated(_Strict):
    """From the worker: the scores of a Rate, or why there are none."""

    id: Number
    scores: tuple[float, ...]
    reason: str = ""
    t: Literal["rated"] = "rated"


ToWorker = Open | Close | Ask | Rate | Abandon | Bye
FromWorker = Hello | Beat | Ready | Failed | Done | Rated
_to_worker: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="t")])
_from_worker: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="t")])


def to_worker(message: ToWorker) -> bytes:
    """A line for the worker; raises BackendError where the message is no text or far too long.

    The receipt of a context stays at home: no backend reads it.
    """
    if isinstance(message, Ask | Rate):
        context = replace(message.request.context, receipt=())
        message = replace(message, request=replace(message.request, context=context))
    return _line(_to_worker, message)


def from_worker(message: FromWorker) -> bytes:
    """A line for the game; raises BackendError where a backend answered what nobody can read."""
    line = _line(_from_worker, message)  # finds what is of the wrong type, so it goes first
    _check(message)
    return line


def read_to_worker(line: bytes) -> ToWorker:
    """What a line of the game's says; raises BackendError."""
    return _read(_to_worker, line)


def read_from_worker(line: bytes) -> FromWorker:
    """What a line of the worker's says; raises BackendError."""
    message = _read(_from_worker, line)
    _check(message)
    return message


def _line(adapter: TypeAdapter[T], message: T) -> bytes:
    try:
        line = adapter.dump_json(message, warnings="error") + b"\n"
    except (PydanticSerializationError, ValueError, TypeError, AttributeError) as exc:
        first = str(exc).partition("\n")[0]
        raise BackendError(f"a message cannot be sent: {first}") from exc
    if len(line) > MAX_LINE:
        raise BackendError(f"a message of {len(line)} bytes is too long to be sent")
    return line


def _read(adapter: TypeAdapter[T], line: bytes) -> T:
    if len(line) > MAX_LINE:
        raise BackendError(f"a line of more than {MAX_LINE} bytes came", remedy=_REMEDY)
    if not line.endswith(b"\n"):
        raise BackendError("a line broke off in the middle", remedy=_REMEDY)
    try:
        return adapter.validate_json(line, strict=True)
    except ValidationError as exc:
        wrong = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        text = (
            f"a line is no message ({where + ': ' if where else ''}{wrong['msg']}): {line[:60]!r}"
        )
        raise BackendError(text, remedy=_REMEDY) from exc


def _check(message: FromWorker) -> None:
    """What types cannot say of an answer; raises BackendError."""
    if isinstance(message, Rated) and not all(map(math.isfinite, message.scores)):
        raise BackendError("scores came that are no numbers")
    if isinstance(message, Done) and (fault := fault_of(message.answer)):
        raise BackendError(f"the backend answered with {fault}")
