"""A model behind any OpenAI-compatible server: llama-server, vLLM, Ollama, LM Studio, by URL.

The same instructions and the same four fields as a local model gets, but the server's own template
and sampler: nothing is forced, so what comes back is read with suspicion. Knows nothing of
deadlines or queues.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace

from pydantic import SecretStr

from daydream_motives.engine.backend import Answer, BackendSpec, Cancel, Done, Request
from daydream_motives.engine.openai.address import read_address
from daydream_motives.engine.openai.reply import read_reply
from daydream_motives.engine.openai.transport import Limits, Server, Unanswered
from daydream_motives.errors import SettingsError
from daydream_motives.motives.budget import rough_count
from daydream_motives.settings import api_insecure, api_key

_PARALLEL = 8
_MAX_TOKENS = 400  # some 75 are needed for three sentences; the rest is for talkative models
_CLOSED = "the connection to the server is closed"
log = logging.getLogger("daydream_motives.remote")


class RemoteBackend:
    """Asks a server by HTTP, up to `capacity` requests at once; `spec.url` says where.

    Nothing is sent before the first request, so that a server may start after the game. The model's
    hash is empty: no server tells it. Raises SettingsError for a URL that is none, or a key that
    anyone on the way could read.
    """

    model_hash = adapter_hash = ""

    def __init__(self, spec: BackendSpec, limits: Limits | None = None) -> None:
        address, key = read_address(spec.url), api_key()
        if key and not address.private and not api_insecure():
            raise SettingsError(
                f"the key would go to {address.host} unencrypted",
                remedy="use https, unset DAYDREAM_API_KEY, or set DAYDREAM_API_INSECURE=1",
            )
        if spec.model:
            address = replace(address, model=spec.model)
        self.style, self.temperature = spec.style, spec.temperature
        self.capacity = self.parallel = spec.parallel or _PARALLEL
        self.model = address.model or address.host
        self.server = Server(address, SecretStr(key), limits or Limits(), self.capacity)
        self._said = ""
        self._lock = threading.Lock()
        self._open: set[Future[Answer]] | None = set()  # None once it is closed
        self._gate = asyncio.Semaphore(self.capacity)
        self._loop, stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(
            target=_serve, args=(self._loop, stop, self.server), name="daydream-remote", daemon=True
        )
        self._thread.start()
        # An engine that is dropped without `close` must not keep a thread.
        self._release = weakref.finalize(self, _stop, self._loop, stop)

    def count_tokens(self, text: str) -> int:
        """A rough count, on the safe side: the server's tokenizer is not known here."""
        return rough_count(text)

    def close(self) -> None:
        """Abandon what is open and disconnect; harmless when repeated."""
        with self._lock:
            pending, self._open = self._open or set(), None
        for future in pending:
            future.cancel()
        self._release()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def start(self, request: Request, done: Done) -> Cancel:
        """Begin; returns at once. See Service."""
        future = self._begin(request)
        if future is None:
            done(Answer((), reason=_CLOSED))
            return lambda: None
        future.add_done_callback(lambda f: done(self._answer_of(f)))

        def cancel() -> None:
            future.cancel()

        return cancel

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        """All at once, `capacity` of them on the way; answers in the order of the requests."""
        begun = [self._begin(request) for request in requests]
        pending = {future for future in begun if future}
        while pending:
            pending = wait(pending, 0.01 if cancelled else None).not_done
            if pending and cancelled and cancelled():
                for future in pending:
                    future.cancel()
        return [self._answer_of(f) if f else Answer((), reason=_CLOSED) for f in begun]

    def _begin(self, request: Request) -> Future[Answer] | None:
        with self._lock:
            if self._open is None:
                return None
            future = asyncio.run_coroutine_threadsafe(self._decide(request), self._loop)
            self._open.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Answer]) -> None:
        with self._lock:
            if self._open is not None:
                self._open.discard(future)

    def _answer_of(self, future: Future[Answer]) -> Answer:
        if future.cancelled():
            return Answer((), reason=_CLOSED if self._open is None else "cancelled")
        return future.result()

    async def _decide(self, request: Request) -> Answer:
        """One answer; whatever goes wrong becomes its reason."""
        async with self._gate:
            messages = self._messages(request)
            digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()
            try:
                answer = await self._ask(request, messages)
            except Unanswered as exc:
                answer = Answer((), reason=exc.reason)
            except Exception as exc:  # our own mistake costs the game no more than one answer
                answer = Answer((), reason=self.server.hide(f"{type(exc).__name__}: {exc}")[:300])
            self._tell(answer.reason)
            return replace(answer, prompt_hash=digest)

    async def _ask(self, request: Request, messages: list[dict[str, str]]) -> Answer:
        asked = {
            "messages": messages,
            "temperature": self.temperature,
            "seed": request.seed & 0x7FFF_FFFF,  # what every server can hold
            "max_tokens": _MAX_TOKENS,
        }
        opening = self.style.opening.format(name=request.short_name)
        body = await self.server.ask(asked, opening, random.Random(request.seed))
        reply = read_reply(body, self.server.hide)
        self.model = reply.model or self.server.model
        prompt = sum(rough_count(m["content"]) for m in messages)
        return Answer(
            reply.drafts,
            tokens_in=reply.tokens_in if reply.tokens_in >= 0 else prompt,
            tokens_out=max(0, reply.tokens_out),
            reason=reply.reason,
            tokens_cached=reply.tokens_cached,
            made_by=(self.model, "", ""),
        )

    def _messages(self, request: Request) -> list[dict[str, str]]:
        """The conversation: instructions, then the four fields as JSON.

        The server tokenises it all as one text, so what sheets and players wrote must not spell its
        control tokens (<|im_end|>, [INST]): JSON has another way to write the brackets.
        """
        instructions = self.style.instructions
        if instructions and request.lately:
            lately = (json.dumps(text, ensure_ascii=False) for text in request.lately)
            texts = "\n".join(f"- {_tame(text)}" for text in lately)
            instructions += f"\n\nNone of these again:\n{texts}\n"
        system = [{"role": "system", "content": instructions}] if instructions else []
        return [*system, {"role": "user", "content": _tame(request.context.as_json())}]

    def _tell(self, reason: str) -> None:
        """Log what is wrong once, and again when it changed."""
        if reason and reason != self._said:
            log.warning("%s: %s; instinct fills in", self.server.address.host, reason)
        self._said = reason


def _tame(text: str) -> str:
    """JSON that means the same and holds no `<` and no `[`."""
    return text.replace("<", "\\u003c").replace("[", "\\u005b")


def _serve(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, server: Server) -> None:
    """The thread: runs the event loop until `stop`, then abandons what is left."""

    async def until_stopped() -> None:
        await stop.wait()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await server.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(until_stopped())


def _stop(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop.set)
