"""A local model over llama.cpp: the JSON is forced, only the purposes' texts are sampled.

So every answer is valid by construction, at any temperature, with any model. The part of the
prompt that all characters share is decoded once and stays in the KV cache. Knows nothing of
deadlines or queues; one thread at a time may use it.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daydream_motives.engine.backend import Answer, BackendSpec, Cancelled, Request
from daydream_motives.engine.sampling import Logits, Vocabulary
from daydream_motives.engine.writer import Writer, WriterTables
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.prompt import FRAME, ChatTemplate, encode, prompt_pieces
from daydream_motives.motives.purposes import RANKS, Draft
from daydream_motives.settings import default_threads, gpu_layers, spin_briefly

spin_briefly()
import llama_cpp  # noqa: E402 - OpenMP reads its settings when the library loads

__all__ = ["LlamaBackend", "LlamaModel", "llama_cpp", "quiet"]

_BATCH = 512
_log = logging.getLogger("daydream_motives.llama")


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
def _to_logging(_level: int, text: bytes, _data: object) -> None:
    """llama.cpp talks a lot: all of it goes to the logger `daydream_motives.llama`, as debug."""
    _log.debug("%s", text.decode("utf-8", errors="replace").rstrip())


def quiet() -> None:
    """Send llama.cpp's own messages to Python's logging instead of standard error."""
    llama_cpp.llama_log_set(_to_logging, ctypes.c_void_p(0))


class LlamaModel:
    """A GGUF file opened by llama.cpp: tokens in, logits out, one sequence at a time."""

    def __init__(self, spec: BackendSpec) -> None:
        if spec.path is None or not spec.path.is_file():
            raise BackendError(
                f"no model file at {spec.path}", remedy=f"daydream models pull {spec.model}"
            )
        quiet()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = layers = gpu_layers()
        self._model = llama_cpp.llama_model_load_from_file(str(spec.path).encode(), params)
        if not self._model:
            raise BackendError(
                f"llama.cpp cannot load {spec.path}: not a GGUF model it knows",
                remedy=f"daydream models pull {spec.model} --force",
            )
        threads = spec.threads or default_threads()
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = spec.context_window
        context.n_batch = context.n_ubatch = _BATCH
        context.n_threads = context.n_threads_batch = threads
        # On a processor flash attention reads a little faster and writes a third slower.
        if not layers:
            context.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise BackendError(
                f"no memory for a context of {spec.context_window} tokens",
                remedy="lower context_window, or free some memory",
            )
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.window = int(llama_cpp.llama_n_ctx(self._context))
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self._tokenizing = threading.Lock()
        # An engine that is dropped without `close` must not keep the model's memory.
        self._release = weakref.finalize(self, _free, self._batch, self._context, self._model)

    def close(self) -> None:
        """Free the model; calling it twice is harmless. Not while another thread decodes."""
        with self._tokenizing:
            if self._release.detach():
                _free(self._batch, self._context, self._model)
                self._model = None

    def _check_open(self) -> None:
        if not self._model:
            raise BackendError("the model is closed", remedy="open a new MotiveEngine")

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text` with no BOS; control tokens are recognised only where `special`.

        May be called from any thread, also while another one decodes.
        """
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8
        buffer = (llama_cpp.llama_token * room)()
        with self._tokenizing:
            self._check_open()
            n = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, False, special)
        if n < 0:
            raise BackendError(f"the tokenizer refused {len(raw)} bytes of text")
        return list(buffer[:n])

    def token_bytes(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        n = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[:n] if n > 0 else b""

    def read_vocabulary(self) -> Vocabulary:
        special = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        control = [
            token
            for token in range(self.n_vocab)
            if llama_cpp.llama_vocab_get_attr(self._vocab, token) & special
            or llama_cpp.llama_vocab_is_eog(self._vocab, token)
        ]
        return Vocabulary.read([self.token_bytes(t) for t in range(self.n_vocab)], control)

    def end_tokens(self) -> list[int]:
        """Tokens with which the model ends its turn."""
        return [t for t in range(self.n_vocab) if llama_cpp.llama_vocab_is_eog(self._vocab, t)]

    def chat_template(self) -> ChatTemplate:
        raw = llama_cpp.llama_model_chat_template(self._model, None)

        def text_of(token: int) -> str:
            raw = llama_cpp.llama_vocab_get_text(self._vocab, token) if token >= 0 else None
            return raw.decode("utf-8", errors="replace") if raw else ""

        return ChatTemplate(
            raw.decode("utf-8", errors="replace") if raw else None,
            bos=text_of(llama_cpp.llama_vocab_bos(self._vocab)),
            eos=text_of(llama_cpp.llama_vocab_eos(self._vocab)),
        )

    def forget(self, start: int) -> None:
        """Drop everything from position `start` on from the KV cache."""
        self._check_open()
        llama_cpp.llama_memory_seq_rm(self._memory, 0, start, -1)

    def feed(
        self, tokens: Sequence[int], start: int, cancelled: Callable[[], bool] | None = None
    ) -> None:
        """Decode `tokens` at positions from `start` on; `logits` then follow the last one.

        Raises Cancelled between batches of 512, and BackendError where the window is full.
        """
        self._check_open()
        if start + len(tokens) > self.window:
            raise BackendError(
                f"{start + len(tokens)} tokens do not fit a window of {self.window}",
                remedy="lower the context budget, or raise context_window",
            )
        batch = self._batch
        for offset in range(0, len(tokens), _BATCH):
            if cancelled and cancelled():
                raise Cancelled
            part = tokens[offset : offset + _BATCH]
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i] = token
                batch.pos[i] = start + offset + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = i == len(part) - 1
            if code := llama_cpp.llama_decode(self._context, batch):
                raise BackendError(f"llama.cpp could not decode (code {code})")

    def logits(self) -> Logits:
        """Logits after the last token fed, shape (n_vocab,); a copy."""
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,)).copy()


class LlamaBackend:
    """Backend over one LlamaModel; decides requests one after another, in order."""

    def __init__(self, spec: BackendSpec) -> None:
        self.model = spec.model
        self.model_hash = spec.model_hash
        self.adapter_hash = ""
        self.style = spec.style
        self.temperature = spec.temperature
        self.llm = LlamaModel(spec)
        try:
            self.around = self.llm.chat_template().around(self.style.instructions)
        except BackendError:
            self.llm.close()
            raise
        self.tables = WriterTables(self.llm, self.style)
        shared, _ = prompt_pieces(self.around, dict.fromkeys(FIELDS, ""))
        self.shared = encode(shared, self.llm.tokenize)
        self._cached = False

    def count_tokens(self, text: str) -> int:
        return len(self.llm.tokenize(text, False))

    def close(self) -> None:
        self.llm.close()

    def prompt_tokens(self, request: Request) -> list[int]:
        """Tokens of the prompt after what all requests share, up to the first quote."""
        _, own = prompt_pieces(self.around, request.context.fields)
        return encode([*own, FRAME.first], self.llm.tokenize)

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        return [self._decide(request, cancelled or _never) for request in requests]

    def _decide(self, request: Request, cancelled: Callable[[], bool]) -> Answer:
        """One answer; what goes wrong with it is its own fault, not its neighbours'."""
        if cancelled():
            return Answer((), reason="cancelled")
        try:
            return self._write(request, cancelled)
        except Cancelled:
            return Answer((), reason="cancelled")
        except BackendError as exc:
            return Answer((), reason=exc.message)

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        """Mean log-probability per token, at most 0, of each text as this request's first purpose:
        how much the model would have it. Raises BackendError where it does not fit."""
        writer = Writer(self.llm, self.tables, self.style, request, _never)
        own = self.prompt_tokens(request)
        self._read(own, writer, _never)
        opening = writer.opening
        scores = []
        for text in texts:
            lead = opening if text.startswith(opening) else ""
            self.llm.forget(writer.position)
            head = self.llm.tokenize(lead, False) if lead else []
            body = self.llm.tokenize(text.removeprefix(lead), False)
            position, total = writer.position, 0.0
            if head:
                self.llm.feed(head, position)
            elif own:  # the logits after the prompt again
                self.llm.forget(position - 1)
                self.llm.feed(own[-1:], position - 1)
            position += len(head)
            for token in body:
                logits = self.llm.logits().astype(np.float64)
                total += logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
                self.llm.feed([token], position)
                position += 1
            scores.append(float(total / max(1, len(body))))
        return scores

    def _read(self, own: list[int], writer: Writer, cancelled: Callable[[], bool]) -> None:
        """Feed a prompt, what all share first; raises BackendError where it does not fit."""
        shared = self.shared
        if not self._cached:
            self.llm.forget(0)
            self.llm.feed(shared, 0)
            self._cached = True
        self.llm.forget(len(shared))
        room = self.llm.window - len(shared) - writer.reserve
        if len(own) > room:
            raise BackendError(f"the context has {len(own)} tokens and only {room} fit")
        self.llm.feed(own, len(shared), cancelled)
        writer.position = len(shared) + len(own)

    def _write(self, request: Request, cancelled: Callable[[], bool]) -> Answer:
        shared, own = self.shared, self.prompt_tokens(request)
        writer = Writer(self.llm, self.tables, self.style, request, cancelled)
        self._read(own, writer, cancelled)
        drafts: list[Draft] = []
        for rank in range(RANKS):
            drafts.append(writer.purpose(rank, [d.text for d in drafts], self.temperature))
        digest = hashlib.sha256(np.array([*shared, *own], dtype=np.int32).tobytes())
        return Answer(
            tuple(drafts),
            prompt_hash=digest.hexdigest(),
            tokens_in=len(shared) + len(own),
            tokens_out=writer.sampled,
        )


def _free(batch: Any, context: Any, model: Any) -> None:
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)


def _never() -> bool:
    return False
