"""Talking to an OpenAI-compatible server: one question, asked again where that can help.

What a server supports is found out by trying: where it refuses a request (400, 422, 501) a leaner
one follows, and what worked is remembered. Everything has a limit: time, tries, bytes. Nothing of
the key is logged or told, not even where the server repeats it. Knows nothing of characters.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from pydantic import SecretStr

from daydream_motives.engine.openai.address import Address
from daydream_motives.engine.openai.reply import complaint, load
from daydream_motives.motives.prompt import KEYS

MAX_BYTES = 1_000_000  # of a reply; three purposes with log-probabilities have some 30,000
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
_REFUSED = {400, 422, 501}
_MAX_PAUSE = 8.0
_LEAST_KEY = 8
_LEAST_TEXT, _MOST_TEXT = 20, 220  # characters of a purpose after its opening
_FORMATS = ("pattern", "json_schema", "json_object", "")
_OPTIONAL = ("logprobs", "seed", "temperature", "max_tokens")
# A leaner request would be refused for these as well.
_HOPELESS = re.compile(r"context|not found|not exist|unknown model|invalid model|api.?key|unauthor")
_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy")
log = logging.getLogger("daydream_motives.remote")


class Unanswered(Exception):
    """The server gave no usable answer; never leaves the engine. `pause` is how long it asks to be
    left alone (seconds), `again` whether asking again can help."""

    def __init__(self, reason: str, *, again: bool = False, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.again, self.pause = reason, again, pause


class _Declined(Exception):
    """The server does not take this form of request."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, between two pieces of a reply, and for one request with all its tries;
    how often it is tried, and the first pause (doubled each time, a random share of it)."""

    connect: float = 5.0
    read: float = 60.0
    total: float = 120.0
    tries: int = 4
    pause: float = 0.25


@dataclass(frozen=True, slots=True)
class Dialect:
    """What of the API a server takes: the form of `response_format`, and fields it will not have.

    `pattern` is a JSON schema that also says how each purpose begins and how long it may get.

    >>> Dialect().leaner("logprobs is not supported").without
    frozenset({'logprobs'})
    """

    format: str = _FORMATS[0]
    without: frozenset[str] = field(default_factory=frozenset)

    def leaner(self, said: str) -> Dialect | None:
        """The next thing to try after a refusal that said this; None where nothing is left."""
        said = said.casefold()
        named = [n for n in _OPTIONAL if n in said and n not in self.without]
        if named:
            return replace(self, without=self.without | {named[0]})
        if _HOPELESS.search(said):
            return None
        if self.format:
            return replace(self, format=_FORMATS[_FORMATS.index(self.format) + 1])
        if "logprobs" not in self.without:
            return replace(self, without=self.without | {"logprobs"})
        return None

    def body(self, asked: Mapping[str, Any], opening: str) -> dict[str, Any]:
        """The request in this dialect; each purpose should begin with `opening`."""
        body = {k: v for k, v in asked.items() if k not in self.without}
        if "max_tokens" in self.without:  # its newer name
            body["max_completion_tokens"] = asked["max_tokens"]
        if "logprobs" not in self.without:
            body |= {"logprobs": True, "top_logprobs": 1}  # llama.cpp sorts 20 where not told
        if self.format in ("pattern", "json_schema"):
            text = {"type": "string"}
            # Of regular expressions only what every server reads; no name in it is one.
            if self.format == "pattern" and re.fullmatch(r"[\w' ,\-]+", opening):
                text["pattern"] = f'^{opening} [^"\\\\]{{{_LEAST_TEXT},{_MOST_TEXT}}}$'
            schema = {"name": "purposes", "strict": True, "schema": _schema(text)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.format:
            body["response_format"] = {"type": self.format}
        return body


def _schema(text: dict[str, str]) -> dict[str, Any]:
    """Three purposes, each as `text` says."""
    return {
        "type": "object",
        "properties": dict.fromkeys(KEYS, text),
        "required": list(KEYS),
        "additionalProperties": False,
    }


class Server:
    """One server; its coroutines all run in one event loop, `capacity` of them at once."""

    def __init__(self, address: Address, key: SecretStr, limits: Limits, capacity: int) -> None:
        self.address, self.limits, self.model = address, limits, address.model
        self.dialect = Dialect()
        self._key = key
        self._naming = asyncio.Lock()
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(limits.read, connect=limits.connect, pool=None),
            limits=httpx2.Limits(max_connections=capacity, max_keepalive_connections=capacity),
            follow_redirects=False,
            trust_env=not address.loopback,  # no proxy between a game and its own machine
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._filter = _Hiding(self.hide)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._filter)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)

    def hide(self, text: str) -> str:
        """The text without the key, should a server have repeated it. What is shorter than eight
        characters ("none", "local") is a placeholder, and a word that people use."""
        key = self._key.get_secret_value()
        return text.replace(key, "[key]") if len(key) >= _LEAST_KEY else text

    async def ask(self, asked: Mapping[str, Any], opening: str, rng: random.Random) -> bytes:
        """The body of the server's answer to a chat completion whose purposes should begin with
        `opening`; raises Unanswered with the reason, within `limits.total` seconds."""
        begun, last = time.monotonic(), ""
        try:
            async with asyncio.timeout(self.limits.total):
                for attempt in range(1, self.limits.tries + 1):
                    try:
                        return await self._ask_once(asked, opening)
                    except Unanswered as exc:
                        last = exc.reason
                        if not exc.again or attempt == self.limits.tries:
                            raise
                        most = min(_MAX_PAUSE, self.limits.pause * 2 ** (attempt - 1))
                        pause = exc.pause + rng.uniform(0, most)
                    if time.monotonic() + pause > begun + self.limits.total:
                        raise Unanswered(f"{last}; there is no time to ask again")
                    log.debug("%s: %s; asking again in %.2f s", self.address.host, last, pause)
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        said = f" (before: {last})" if last else ""
        raise Unanswered(f"no answer within {self.limits.total:g} s{said}")

    async def _ask_once(self, asked: Mapping[str, Any], opening: str) -> bytes:
        """One try, in the richest dialect that the server takes."""
        asked = {"model": await self._name(), **asked}
        dialect: Dialect | None = self.dialect
        first = ""
        while dialect:
            try:
                body = await self._send("POST", "/chat/completions", dialect.body(asked, opening))
            except _Declined as exc:
                first = first or str(exc)
                dialect = dialect.leaner(str(exc))
                continue
            if dialect != self.dialect:
                log.info("%s takes no richer request than %s", self.address.host, dialect)
                self.dialect = dialect
            return body
        raise Unanswered(f"the server refuses the request ({first})")

    async def _name(self) -> str:
        """The model's name: the one asked for, or the first that the server has."""
        async with self._naming:
            if not self.model:
                try:
                    found = load(await self._send("GET", "/models"))
                    names = [row["id"] for row in found["data"]]
                except (_Declined, TypeError, KeyError):
                    names = []
                except Unanswered as exc:
                    if exc.again:
                        raise
                    names = []  # some servers have one model and no list
                self.model = next((n for n in names if isinstance(n, str) and n), "default")
                if len(names) > 1:
                    log.info("%s: asking the first of %d models", self.address.host, len(names))
            return self.model

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """One HTTP request: the body of a 2xx answer, or an exception that says what came."""
        key = self._key.get_secret_value()
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        content = json.dumps(body).encode() if body is not None else None
        try:
            async with self._client.stream(
                method, self.address.base + path, content=content, headers=headers
            ) as response:
                return self._judge(response, await _read(response))
        except httpx2.ConnectTimeout:
            raise Unanswered(
                f"no connection within {self.limits.connect:g} s", again=True
            ) from None
        except httpx2.TimeoutException:  # it is overloaded: asking again makes it worse
            raise Unanswered(f"the server said nothing for {self.limits.read:g} s") from None
        except httpx2.ConnectError as exc:
            text = f"no connection to {self.address.host} ({self.hide(str(exc))})"
            raise Unanswered(text, again=True) from None
        except httpx2.TransportError as exc:
            text = f"the connection broke ({self.hide(str(exc)) or type(exc).__name__})"
            raise Unanswered(text[:300], again=True) from None
        except httpx2.InvalidURL:
            raise Unanswered("the server's URL is malformed") from None

    def _judge(self, response: httpx2.Response, body: bytes) -> bytes:
        """The body where the status is 2xx; else raises what the status means."""
        status = response.status_code
        if response.is_success:
            return body
        said = self.hide(complaint(body))[:200]
        told = f"HTTP {status}{': ' if said else ''}{said}"
        if status in _REFUSED:
            raise _Declined(told)
        if 300 <= status < 400:
            raise Unanswered(f"HTTP {status}: the server sends us elsewhere; give the final URL")
        if status in (401, 403):
            have = "is refused" if self._key.get_secret_value() else "is not set"
            raise Unanswered(f"{told}: DAYDREAM_API_KEY {have}")
        if status == 404:
            raise Unanswered(f"{told}: no such path, or no model named {self.model!r} there")
        pause = _seconds(response.headers.get("Retry-After", "")) if status in _AGAIN else 0.0
        raise Unanswered(told, again=status in _AGAIN, pause=pause)


async def _read(response: httpx2.Response) -> bytes:
    """The body, as long as it is not too long; raises Unanswered."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unanswered("the server compresses its answer, unasked")  # a bomb, perhaps
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unanswered(f"the server's answer is longer than {MAX_BYTES:,} bytes")
    return bytes(body)


def _seconds(after: str) -> float:
    """Retry-After in seconds from now: a number or a date; 0 where it is neither."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", after.strip()):
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0


class _Hiding(logging.Filter):
    """Keeps the key out of what the HTTP libraries log of a server that repeats it."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__()
        self._hide = hide

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if (hidden := self._hide(text)) != text:
            record.msg, record.args = hidden, ()
        return True
