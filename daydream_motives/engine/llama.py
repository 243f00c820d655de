"""A local model over llama.cpp: the JSON is forced, only the purposes' texts are sampled.

So every answer is valid by construction, at any temperature, with any model. The part of the
prompt that all characters share is decoded once and stays in the KV cache. Knows nothing of
deadlines or queues; one thread at a time may use it.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import random
import re
from collections.abc import Callable, Sequence

import llama_cpp
import numpy as np

from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.sampling import (
    Logits,
    Mask,
    NameGate,
    Repetition,
    Vocabulary,
    sample,
)
from daydream_motives.errors import BackendError
from daydream_motives.motives.names import allowed_words
from daydream_motives.motives.prompt import (
    FRAME,
    ChatTemplate,
    Piece,
    PromptStyle,
    encode,
    plain,
    prompt_pieces,
)
from daydream_motives.motives.purposes import NEAR_DUPLICATE, Draft, alike
from daydream_motives.motives.situation import Verb
from daydream_motives.settings import default_threads

_BATCH = 512
_MAX_TOKENS = 44  # a purpose that is longer than this is ended
_SOFT_TOKENS = 30  # from here on it ends as soon as the model would have it
_END_BONUS = 3.0  # added to the logits of whatever ends a purpose past the soft limit
_MIN_WORDS = 4
_TRIES = 3
_REASON = re.compile(r"\b(because|so that|since|in order to|lest|before|as (?:he|she|they))\b")
_OPEN_END = re.compile(r"\b(?:a|an|the|and|or|but|of|to|with|his|her|their|my|because|is|was)$")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St)$")

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
        params.n_gpu_layers = 0
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

    def close(self) -> None:
        """Free the model; calling it twice is harmless."""
        if self._model:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text` with no BOS; control tokens are recognised only where `special`."""
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8
        buffer = (llama_cpp.llama_token * room)()
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
        llama_cpp.llama_memory_seq_rm(self._memory, 0, start, -1)

    def feed(self, tokens: Sequence[int], start: int) -> None:
        """Decode `tokens` at positions from `start` on; `logits` then follow the last one."""
        if start + len(tokens) > self.window:
            raise BackendError(
                f"{start + len(tokens)} tokens do not fit a window of {self.window}",
                remedy="lower the context budget, or raise context_window",
            )
        batch = self._batch
        for offset in range(0, len(tokens), _BATCH):
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
        self.template = self.llm.chat_template()
        self.vocabulary = self.llm.read_vocabulary()
        self.ends = np.zeros(self.llm.n_vocab, dtype=np.bool_)
        self.ends[self.llm.end_tokens()] = True
        stops = [
            b'"' in text or text.strip() in (b".", b"!", b"?") for text in self.vocabulary.texts
        ]
        self.enders: Mask = self.ends | np.array(stops)
        # What lets a model that was never trained on the format wander off.
        wander = [bool(re.search(rb"[;:()0-9*_#/]", text)) for text in self.vocabulary.texts]
        self.plain: Mask = (
            ~np.array(wander) if spec.style.one_sentence else ~self.vocabulary.forbidden
        )
        self.example = self.llm.tokenize(spec.style.instructions, False)
        self._shared: list[int] = []

    def count_tokens(self, text: str) -> int:
        return len(self.llm.tokenize(text, False))

    def close(self) -> None:
        self.llm.close()

    def prompt_tokens(self, request: Request) -> tuple[list[int], list[int]]:
        """Tokens of the prompt: what all requests share, and this one's, up to the first quote."""
        shared, own = prompt_pieces(self.template, request.context.fields, self.style)
        return encode(shared, self.llm.tokenize), encode([*own, FRAME.first], self.llm.tokenize)

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        return [self._decide(request, cancelled or _never) for request in requests]

    def _decide(self, request: Request, cancelled: Callable[[], bool]) -> Answer:
        shared, own = self.prompt_tokens(request)
        if shared != self._shared:
            self.llm.forget(0)
            self.llm.feed(shared, 0)
            self._shared = shared
        self.llm.forget(len(shared))
        room = self.llm.window - len(shared) - 3 * (_MAX_TOKENS * 2 + 16)
        if len(own) > room:
            return Answer((), reason=f"the context has {len(own)} tokens and only {room} fit")
        self.llm.feed(own, len(shared))
        writer = _Writer(self, request, len(shared) + len(own))
        drafts: list[Draft] = []
        for rank in range(3):
            if cancelled():
                return Answer((), reason="cancelled")
            drafts.append(writer.purpose(rank, [draft.text for draft in drafts]))
        digest = hashlib.sha256(np.array([*shared, *own], dtype=np.int32).tobytes())
        return Answer(
            tuple(drafts),
            prompt_hash=digest.hexdigest(),
            tokens_in=len(shared) + len(own),
            tokens_out=writer.sampled,
        )


class _Writer:
    """Writes the purposes of one answer, each after the scaffolding that leads up to it."""

    def __init__(self, backend: LlamaBackend, request: Request, position: int) -> None:
        context = request.context
        names = [n for e in context.entities for n in (e.name, *e.aliases)]
        self.backend, self.llm, self.vocabulary = backend, backend.llm, backend.vocabulary
        self.style: PromptStyle = backend.style
        self.gate = NameGate(self.vocabulary, allowed_words(context.text, [*names, context.name]))
        self.repetition = Repetition(self.vocabulary, backend.example)
        self.rng = random.Random(request.seed)
        self.opening = plain(self.style.opening.format(name=request.short_name))
        self.position = position
        self.pending: list[int] = []
        self.sampled = 0
        self.reason = self.style.reason.format(subject=request.subject)
        self._openers: set[int] = set()
        self._verbs = self._first_words(context.verbs)

    def purpose(self, rank: int, earlier: Sequence[str]) -> Draft:
        """The text of one rank, written again (up to three times) while it repeats another."""
        lead = [FRAME.between[rank - 1]] if rank else []
        if self.opening:
            lead.append(Piece(self.opening, False))
        self._feed(encode(lead, self.llm.tokenize))
        start, logits = self.position, self.llm.logits()
        text, confidence = "", 0.0
        for attempt in range(_TRIES):
            if attempt:
                self._rewind(start)
            body, confidence = self._write(logits, retry=attempt > 0)
            text = plain(self.opening + body)
            if all(alike(text, other) < NEAR_DUPLICATE for other in earlier):
                break
        return Draft(text, confidence)

    def _write(self, logits: Logits, *, retry: bool) -> tuple[str, float]:
        """Sample one purpose from here on: its text after the opening, mean log-probability."""
        start, tokens, written, total = self.position, 0, b"", 0.0
        reasoned = not self.reason
        temperature = max(self.backend.temperature, 0.7) if retry else self.backend.temperature
        self.repetition.begin()
        while True:
            text = self.opening + written.decode("utf-8", errors="ignore")
            mask = self._mask(text, tokens)
            if tokens >= _SOFT_TOKENS:
                logits[self.backend.enders] += _END_BONUS
            token, logprob = sample(logits, mask, temperature, self.rng)
            if tokens == 0 and self.opening:
                self._openers.add(token)
            total, tokens, self.sampled = total + logprob, tokens + 1, self.sampled + 1
            head, ended = self._ending(token, text)
            clause = not reasoned and tokens > _MIN_WORDS and head == b","
            if not ended and not clause and tokens < _MAX_TOKENS:
                written += head
                self.repetition.add(token)
                self._feed([token])
            elif not reasoned and not _REASON.search(text + head.decode("utf-8", errors="ignore")):
                # It would end without a reason: put the word in its mouth and let it go on.
                reasoned, tokens = True, min(tokens, _SOFT_TOKENS - 10)
                written = written.rstrip(b" ,;:.-") + self.reason.encode()
                self._rewind(start)
                self._feed(self.llm.tokenize(written.decode("utf-8", errors="ignore"), False))
            else:
                if ended:
                    written += head
                    self.pending = self.llm.tokenize(head.decode("utf-8", errors="ignore"), False)
                else:
                    written = _trimmed(written)
                    self._rewind(start)
                    self.pending = self.llm.tokenize(written.decode("utf-8"), False)
                return written.decode("utf-8", errors="ignore"), total / tokens
            logits = self.llm.logits()

    def _first_words(self, verbs: Sequence[Verb]) -> Mask | None:
        """Tokens a purpose may begin with after its opening, or None where any may."""
        words = [w for verb in verbs for w in (verb.name, *verb.words)] or self.style.verbs
        if not self.opening or not words:
            return None
        mask = np.zeros(self.llm.n_vocab, dtype=np.bool_)
        for word in words:
            mask[self.llm.tokenize(f" {word}", False)[:1]] = True
        return mask

    def _mask(self, text: str, tokens: int) -> Mask:
        mask = self.gate.mask(text) & ~self.vocabulary.forbidden & self.backend.plain
        mask[self.repetition.banned()] = False
        if tokens == 0 and self._openers:
            mask[list(self._openers)] = False
        if tokens == 0 and self._verbs is not None and (mask & self._verbs).any():
            mask &= self._verbs
        # Neither the purpose nor its reason may end before it has said something.
        said = (
            text.rpartition(self.reason)[2]
            if self.reason and self.reason in text
            else text[len(self.opening) :]
        )
        early = len(said.split()) < _MIN_WORDS or bool(_OPEN_END.search(text))
        mask[self.backend.enders] &= not early
        if not early:
            mask[self.backend.ends] = self.gate.may_end(text)
        return mask

    def _ending(self, token: int, text: str) -> tuple[bytes, bool]:
        """The part of the token that belongs to the purpose, and whether it ends there."""
        piece = self.vocabulary.texts[token]
        if self.backend.ends[token]:
            return b"", True
        head, quote, _ = piece.partition(b'"')
        if quote:
            return head, True
        stops = self.style.one_sentence and piece.rstrip()[-1:] in (b".", b"!", b"?")
        return piece, stops and not _ABBREVIATION.search(text)

    def _feed(self, tokens: list[int]) -> None:
        tokens, self.pending = [*self.pending, *tokens], []
        self.llm.feed(tokens, self.position)
        self.position += len(tokens)

    def _rewind(self, position: int) -> None:
        self.llm.forget(position)
        self.position, self.pending = position, []


def _trimmed(written: bytes) -> bytes:
    """A purpose that ran too long, ended at its last clause or, failing that, its last word."""
    text = written.decode("utf-8", errors="ignore").rstrip()
    clause = max(text.rfind(mark) for mark in (",", ";", " and ", " so that "))
    cut = clause if clause > len(text) // 2 else text.rfind(" ")
    return (text[:cut] if cut > 0 else text).rstrip(" ,;:-").encode() + b"."


def _never() -> bool:
    return False
