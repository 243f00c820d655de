"""Writing the purposes of one answer: the JSON is given, only their text is sampled.

Knows one sequence of one model; the same request is written the same way whatever came before.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from daydream_motives.engine.backend import Cancelled, Request
from daydream_motives.engine.sampling import (
    Logits,
    Mask,
    NameGate,
    Repetition,
    Vocabulary,
    sample,
)
from daydream_motives.motives.names import allowed_words
from daydream_motives.motives.prompt import FRAME, Piece, PromptStyle, encode, plain
from daydream_motives.motives.purposes import NEAR_DUPLICATE, Draft, alike
from daydream_motives.motives.situation import Verb

_MAX_TOKENS = 44  # a purpose that is longer than this is ended
_SOFT_TOKENS = 30  # from here on it ends as soon as the model would have it
_END_BONUS = 3.0  # added to the logits of whatever ends a purpose past the soft limit
_MIN_WORDS = 4
_TRIES = 3
_LOST = -9.0  # the log-probability of a token that the model would never have chosen
_RETRY_TEMPERATURE = 0.7
_REASON = re.compile(r"\b(because|so that|since|in order to|lest|before|as (?:he|she|they))\b")
_OPEN_END = re.compile(r"\b(?:a|an|the|and|or|but|of|to|with|his|her|their|my|because|is|was)$")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|\w)$")


class Slot(Protocol):
    """The one sequence of a model that a writer appends to."""

    n_vocab: int

    def tokenize(self, text: str, special: bool) -> list[int]: ...

    def read_vocabulary(self) -> Vocabulary: ...

    def end_tokens(self) -> list[int]: ...

    def feed(self, tokens: Sequence[int], start: int) -> None: ...

    def forget(self, start: int) -> None: ...

    def logits(self) -> Logits: ...


class WriterTables:
    """What a writer knows of a model's vocabulary, read once; masks have shape (n_vocab,)."""

    def __init__(self, llm: Slot, style: PromptStyle) -> None:
        self.vocabulary = llm.read_vocabulary()
        texts = self.vocabulary.texts
        self.ends: Mask = np.zeros(llm.n_vocab, dtype=np.bool_)
        self.ends[llm.end_tokens()] = True
        stops = [b'"' in text or text.strip() in (b".", b"!", b"?") for text in texts]
        self.enders: Mask = self.ends | np.array(stops)
        # What lets a model that was never trained on the format wander off.
        wander = [bool(re.search(rb"[;:()0-9*_#/]", text)) for text in texts]
        self.allowed: Mask = ~self.vocabulary.forbidden
        if style.one_sentence:
            self.allowed &= ~np.array(wander)
        self.example = llm.tokenize(style.instructions, False)


class Writer:
    """Writes the purposes of one answer, each after the scaffolding that leads up to it.

    `position` is where the next token goes; set it once the prompt is fed.
    """

    def __init__(
        self,
        llm: Slot,
        tables: WriterTables,
        style: PromptStyle,
        request: Request,
        cancelled: Callable[[], bool],
    ) -> None:
        context = request.context
        names = [n for e in context.entities for n in (e.name, *e.aliases)]
        self.llm, self.tables, self.style, self.cancelled = llm, tables, style, cancelled
        self.gate = NameGate(tables.vocabulary, allowed_words(context.text, [*names, context.name]))
        self.repetition = Repetition(tables.vocabulary, tables.example)
        self.rng = random.Random(request.seed)
        self.opening = plain(style.opening.format(name=request.short_name))
        self.reason = style.reason.format(subject=request.subject)
        self.position = 0
        self.pending: list[int] = []
        self.sampled = 0
        self._openers: set[int] = set()
        for text in request.lately:
            self.repetition.begin()
            for token in llm.tokenize(text.removeprefix(self.opening), False):
                self.repetition.add(token)
        if self.opening and request.lately:  # nor is it the same verb twice running
            last = request.lately[-1].removeprefix(self.opening)
            self._openers.update(llm.tokenize(last, False)[:1])
        self._verbs = self._first_words(context.verbs)
        self._allowed = tables.allowed.copy()
        told = context.text.casefold()
        for word in style.avoid:
            tokens = llm.tokenize(f" {word}", False)
            if len(tokens) == 1 and word not in told:
                self._allowed[tokens] = False
        for number in re.findall(r"\d+", " ".join(names)):  # Pier 7 may be named
            for form in (number, f" {number}"):
                self._allowed[tables.vocabulary.prefixes(form.encode())] = True

    @property
    def reserve(self) -> int:
        """Tokens of the window that the three purposes may need at most."""
        opening = len(self.llm.tokenize(self.opening, False))
        return 3 * (_MAX_TOKENS + _SOFT_TOKENS + opening + 24)

    def purpose(self, rank: int, earlier: Sequence[str], temperature: float) -> Draft:
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
                temperature = max(temperature, _RETRY_TEMPERATURE)
            body, confidence = self._write(logits, temperature)
            text = plain(self.opening + body) if body else ""
            if text and all(alike(text, other) < NEAR_DUPLICATE for other in earlier):
                break
        return Draft(text, confidence)

    def _write(self, logits: Logits, temperature: float) -> tuple[str, float]:
        """Sample one purpose from here on: its text after the opening, mean log-probability."""
        start, tokens, drawn, total = self.position, 0, 0, 0.0
        written, lead = b"", self.opening.encode()
        reasoned = not self.reason
        self.repetition.begin()
        while True:
            if self.cancelled():
                raise Cancelled
            text = (lead + written).decode("utf-8", errors="ignore")
            mask = self._mask(lead + written, text, first=tokens == 0)
            favoured = self.tables.enders if tokens >= _SOFT_TOKENS else None
            token, logprob = sample(logits, mask, temperature, self.rng, favoured, _END_BONUS)
            if tokens == 0 and self.opening:
                self._openers.add(token)
            total, tokens, drawn = total + logprob, tokens + 1, drawn + 1
            self.sampled += 1
            if logprob < _LOST:  # all that made sense is ruled out: better begin again
                return "", total / drawn
            head, ended = self._ending(token, text)
            clause = not reasoned and tokens > _MIN_WORDS and head == b","
            if not ended and not clause and tokens < _MAX_TOKENS:
                written += head
                self.repetition.add(token)
                self._feed([token])
            elif not reasoned and not _REASON.search(text + _text(head)):
                # It would end without a reason: put the word in its mouth and let it go on.
                reasoned, tokens = True, min(tokens, _SOFT_TOKENS - 10)
                written = written.rstrip(b" ,;:.-") + self.reason.encode()
                self._rewind(start)
                self._feed(self.llm.tokenize(_text(written), False))
            elif ended:
                self.pending = self.llm.tokenize(_text(head), False)
                return _text(written + head), total / drawn
            elif clause:
                reasoned = True  # it has its reason already: the comma is only a comma
                written += head
                self._feed([token])
            else:
                body = _trimmed(_text(written))
                self._rewind(start)
                self.pending = self.llm.tokenize(body, False)
                return body, total / drawn
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

    def _mask(self, written: bytes, text: str, *, first: bool) -> Mask:
        mask = self.gate.mask(written) & self._allowed
        mask[self.repetition.banned()] = False
        if first and self._verbs is not None and (mask & self._verbs).any():
            mask &= self._verbs
        if first and self._openers:
            fresh = mask.copy()
            fresh[list(self._openers)] = False
            mask = fresh if fresh.any() else mask
        # Neither the purpose nor its reason may end before it has said something.
        _, found, said = text.rpartition(self.reason) if self.reason else ("", "", "")
        said = said if found else text[len(self.opening) :]
        early = len(said.split()) < _MIN_WORDS or bool(_OPEN_END.search(text))
        closed = self.gate.may_end(written)
        mask[self.tables.enders] &= not early
        mask[self.tables.ends] = not early and closed
        return mask if mask.any() else self._allowed

    def _ending(self, token: int, text: str) -> tuple[bytes, bool]:
        """The part of the token that belongs to the purpose, and whether it ends there."""
        piece = self.tables.vocabulary.texts[token]
        if self.tables.ends[token]:
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


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="ignore")


def _trimmed(text: str) -> str:
    """A purpose that ran too long, ended at its last clause or, failing that, its last word."""
    text = text.rstrip()
    clause = max(text.rfind(mark) for mark in (",", ";", " and ", " so that "))
    cut = clause if clause > len(text) // 2 else text.rfind(" ")
    return (text[:cut] if cut > 0 else text).rstrip(" ,;:-") + "."
