"""Writing the purposes of one answer: the JSON is given, only their text is sampled.

A writer decodes nothing itself. It is a generator that says what is to be appended to its sequence
and is sent the logits that follow, so that many can be served in one batch. Knows one sequence of
one model; the same request is written the same way whatever came before and whoever is beside it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np

from daydream_motives.engine.backend import Request
from daydream_motives.engine.decoding.sampling import (
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
# Of the temperature, by rank: the first is what the model is surest of, the last may surprise.
# Where all had one, high enough to be nearly as various, the first did no better than the last.
_WARMTH = (0.6, 1.0, 1.3)
_REASON = re.compile(r"\b(because|so that|since|in order to|lest|before|as (?:he|she|they))\b")
_OPEN_END = re.compile(r"\b(?:a|an|the|and|or|but|of|to|with|his|her|their|my|because|is|was)$")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|\w)$")

# What is to be appended: from which position on (what stood there before is dropped), and what.
Step = tuple[int, list[int]]


class Words(Protocol):
    """A model's vocabulary."""

    n_vocab: int

    def tokenize(self, text: str, special: bool) -> list[int]: ...

    def read_vocabulary(self) -> Vocabulary: ...

    def end_tokens(self) -> list[int]: ...


class WriterTables:
    """What a writer knows of a model's vocabulary, read once; masks have shape (n_vocab,)."""

    def __init__(self, llm: Words, style: PromptStyle) -> None:
        self.vocabulary = llm.read_vocabulary()
        texts = self.vocabulary.texts
        self.end_ids = np.array(sorted(llm.end_tokens()), dtype=np.intp)
        self.ends: Mask = np.zeros(llm.n_vocab, dtype=np.bool_)
        self.ends[self.end_ids] = True
        stops = [b'"' in text or text.strip() in (b".", b"!", b"?") for text in texts]
        self.ender_ids = np.flatnonzero(self.ends | np.array(stops))
        # What lets a model that was never trained on the format wander off.
        wander = [bool(re.search(rb"[;:()0-9*_#/]", text)) for text in texts]
        self.allowed: Mask = ~self.vocabulary.forbidden
        if style.one_sentence:
            self.allowed &= ~np.array(wander)
        self.example = llm.tokenize(style.instructions, False)


class Writer:
    """Writes the purposes of one answer, each after the scaffolding that leads up to it.

    `position` is where the next token goes: after the prompt. `fixed` sampled tokens a purpose, no
    more and no less, serve measuring alone.
    """

    def __init__(
        self,
        llm: Words,
        tables: WriterTables,
        style: PromptStyle,
        request: Request,
        position: int = 0,
        fixed: int = 0,
    ) -> None:
        context = request.context
        names = [n for e in context.entities for n in (e.name, *e.aliases)]
        self.llm, self.tables, self.style = llm, tables, style
        self.gate = NameGate(tables.vocabulary, allowed_words(context.text, [*names, context.name]))
        self.repetition = Repetition(tables.vocabulary, tables.example)
        self.rng = random.Random(request.seed)
        self.opening = plain(style.opening.format(name=request.short_name))
        self.reason = style.reason.format(subject=request.subject)
        self.position, self.fixed = position, fixed
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

    def write(self, temperature: float) -> Generator[Step, Logits, tuple[Draft, ...]]:
        """All three purposes, each at its share of the temperature."""
        drafts: list[Draft] = []
        for rank, share in enumerate(_WARMTH):
            told = [draft.text for draft in drafts]
            drafts.append((yield from self._purpose(rank, told, temperature * share)))
        return tuple(drafts)

    def write_freely(self, temperature: float) -> Generator[Step, Logits, tuple[Draft, ...]]:
        """Whatever the model would say, with nothing given and nothing ruled out: for measuring."""
        anything = np.ones(self.llm.n_vocab, dtype=np.bool_)
        if self.fixed:
            anything[self.tables.end_ids] = False
        limit = 3 * (self.fixed or _MAX_TOKENS + _SOFT_TOKENS)
        logits = yield self._feed(encode([FRAME.first], self.llm.tokenize))
        said = b""
        while self.sampled < limit:
            token, _ = sample(logits, anything, temperature, self.rng)
            self.sampled += 1
            if self.tables.ends[token]:
                break
            said += self.tables.vocabulary.texts[token]
            logits = yield self._feed([token])
        return (Draft(plain(_text(said))),)

    def _purpose(
        self, rank: int, earlier: Sequence[str], temperature: float
    ) -> Generator[Step, Logits, Draft]:
        """The text of one rank, written again (up to three times) while it repeats another."""
        lead = [FRAME.between[rank - 1]] if rank else []
        if self.opening:
            lead.append(Piece(self.opening, False))
        # What is sent is overwritten by the next step, and a second try begins here again.
        logits = (yield self._feed(encode(lead, self.llm.tokenize))).copy()
        start = self.position
        text, confidence = "", 0.0
        for attempt in range(1 if self.fixed else _TRIES):
            if attempt:
                self._rewind(start)
                temperature = max(temperature, _RETRY_TEMPERATURE)
            body, confidence = yield from self._write(logits, temperature)
            text = plain(self.opening + body) if body else ""
            if text and all(alike(text, other) < NEAR_DUPLICATE for other in earlier):
                break
        return Draft(text, confidence)

    def _write(
        self, logits: Logits, temperature: float
    ) -> Generator[Step, Logits, tuple[str, float]]:
        """Sample one purpose from here on: its text after the opening, mean log-probability."""
        start, tokens, drawn, total = self.position, 0, 0, 0.0
        written, lead = b"", self.opening.encode()
        fed: list[int] = []
        reasoned = not self.reason or bool(self.fixed)
        self.repetition.begin()
        while True:
            text = (lead + written).decode("utf-8", errors="ignore")
            mask = self._mask(lead + written, text, first=tokens == 0)
            favoured = self.tables.ender_ids if tokens >= _SOFT_TOKENS else None
            token, logprob = sample(logits, mask, temperature, self.rng, favoured, _END_BONUS)
            if tokens == 0 and self.opening:
                self._openers.add(token)
            total, tokens, drawn = total + logprob, tokens + 1, drawn + 1
            self.sampled += 1
            # All that made sense is ruled out: better begin again.
            if logprob < _LOST and not self.fixed:
                return "", total / drawn
            head, ended = self._ending(token, text)
            if self.fixed:
                ended = drawn >= self.fixed
            clause = not reasoned and tokens > _MIN_WORDS and head == b","
            if not ended and not clause and tokens < _MAX_TOKENS:
                written += head
                fed.append(token)
                self.repetition.add(token)
                logits = yield self._feed([token])
            elif not reasoned and not _REASON.search(text + _text(head)):
                # It would end without a reason: put the word in its mouth and let it go on.
                reasoned, tokens = True, min(tokens, _SOFT_TOKENS - 10)
                written = written.rstrip(b" ,;:.-") + self.reason.encode()
                again = self.llm.tokenize(_text(written), False)
                logits = yield self._instead(start, fed, again)
                fed = again
            elif ended:
                self.pending = self.llm.tokenize(_text(head), False)
                return _text(written + head), total / drawn
            elif clause:
                reasoned = True  # it has its reason already: the comma is only a comma
                written += head
                fed.append(token)
                logits = yield self._feed([token])
            else:
                body = _trimmed(_text(written))
                self._rewind(start)
                self.pending = self.llm.tokenize(body, False)
                return body, total / drawn

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
        early = bool(self.fixed) or len(said.split()) < _MIN_WORDS or bool(_OPEN_END.search(text))
        closed = self.gate.may_end(written)
        if early:
            mask[self.tables.ender_ids] = False
        mask[self.tables.end_ids] = not early and closed
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

    def _feed(self, tokens: list[int]) -> Step:
        tokens, self.pending = [*self.pending, *tokens], []
        start = self.position
        self.position += len(tokens)
        return start, tokens

    def _instead(self, start: int, fed: list[int], tokens: list[int]) -> Step:
        """Other tokens than those `fed` since `start`; what both begin with stays as it is."""
        same = 0
        while same < min(len(fed), len(tokens) - 1) and fed[same] == tokens[same]:
            same += 1
        self._rewind(start + same)
        return self._feed(tokens[same:])

    def _rewind(self, position: int) -> None:
        self.position, self.pending = position, []


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="ignore")


def _trimmed(text: str) -> str:
    """A purpose that ran too long, ended at its last clause or, failing that, its last word."""
    text = text.rstrip()
    clause = max(text.rfind(mark) for mark in (",", ";", " and ", " so that "))
    cut = clause if clause > len(text) // 2 else text.rfind(" ")
    return (text[:cut] if cut > 0 else text).rstrip(" ,;:-") + "."
