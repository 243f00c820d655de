"""Choosing the next token of a purpose: what may come, and which of it does.

The vocabulary is read once into boolean tables; a purpose in the making then costs a few vector
operations a token. Three things are ruled out by construction: characters that would break the
JSON, names the character was never told, and runs of tokens that an earlier purpose already used.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import BackendError
from daydream_motives.motives.names import STARTERS, begins_sentence

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]

_REPEAT = 4  # no run of this many tokens occurs twice in one answer
_TOP_K = 64
_LOG_MIN_P = float(np.log(0.05))
_IN_NUMBERS = (b",", b".", b":")
_APOSTROPHES = "'’"


@dataclass(frozen=True)
class Vocabulary:
    """What each of a model's tokens means for us; arrays have shape (n_vocab,)."""

    texts: tuple[bytes, ...]
    forbidden: Mask  # may never stand in a purpose
    capital: Mask  # holds a capital letter
    continues: Mask  # begins with a letter, so that it goes on with a word
    ids: dict[bytes, int]

    @classmethod
    def read(cls, texts: Sequence[bytes], special: Iterable[int]) -> Vocabulary:
        """From the bytes of each token, and the ids of control tokens."""
        n = len(texts)
        forbidden, capital, continues = (np.zeros(n, dtype=np.bool_) for _ in range(3))
        ids: dict[bytes, int] = {}
        for token, raw in enumerate(texts):
            text = raw.decode("utf-8", errors="replace")
            forbidden[token] = not raw or b"\\" in raw or any(byte < 0x20 for byte in raw)
            # Cut off bytes of a longer character are judged by the text they end up in.
            whole = text.replace("�", "")
            capital[token] = any(char.isupper() for char in whole)
            part = text[:1] == "�"  # bytes that a letter may be made of
            continues[token] = part or (
                bool(whole) and (whole[0].isalpha() or whole[0] in _APOSTROPHES)
            )
            ids.setdefault(raw, token)
        for token in special:
            forbidden[token] = True
        return cls(tuple(texts), forbidden, capital, continues, ids)

    def prefixes(self, word: bytes) -> list[int]:
        """Tokens that are a beginning of `word` (UTF-8)."""
        found = (self.ids.get(word[:end]) for end in range(1, len(word) + 1))
        return [token for token in found if token is not None]


class NameGate:
    """Lets a capitalised word through only if it is among `allowed`: token by token.

    Words of scripts without capitals, and what tokens cannot show (single bytes), pass.
    """

    def __init__(self, vocabulary: Vocabulary, allowed: Iterable[str]) -> None:
        self.vocabulary = vocabulary
        self._names = sorted({word for word in allowed if word[:1].isupper()})
        self._starters = sorted({*self._names, *STARTERS})
        self._new_name = self._opens(self._names)
        self._new_sentence = self._opens(self._starters)
        # After a letter, a capital may only come after a space.
        self._after = self._new_name & ~(vocabulary.capital & vocabulary.continues)

    def _opens(self, words: Sequence[str]) -> Mask:
        """Tokens with which one of the words, or anything in lower case, may begin."""
        mask = ~self.vocabulary.capital
        space = self.vocabulary.ids.get(b" ")
        for word in words:
            mask[self.vocabulary.prefixes(word.encode())] = True
            spaced = self.vocabulary.prefixes(f" {word}".encode())
            mask[[token for token in spaced if token != space]] = True
        return mask

    def may_end(self, written: bytes) -> bool:
        """Whether the text may stop here: not within a capitalised word that is none yet."""
        before, word = _last_word(written)
        return not word[:1].isupper() or word in self._words(before)

    def _words(self, before: str) -> Sequence[str]:
        return self._starters if begins_sentence(before) else self._names

    def mask(self, written: bytes) -> Mask:
        """Tokens that may follow the UTF-8 written so far (it may end within a character)."""
        vocabulary = self.vocabulary
        before, word = _last_word(written)
        if not word:
            return self._new_sentence if begins_sentence(before) else self._new_name
        after = self._after
        if not word[0].isupper():
            return after
        mask = np.zeros_like(after)
        words = self._words(before)
        begun = written[len(before.encode()) :]
        for full in (name.encode() for name in words):
            if full.startswith(begun) and full != begun:
                mask[vocabulary.prefixes(full[len(begun) :])] = True
        if word in words:
            mask |= after & ~vocabulary.continues
            for tail in ("'", "'s", "’", "’s", "'ll", "'m", "'d"):
                if (token := vocabulary.ids.get(tail.encode())) is not None:
                    mask[token] = True
        if not mask.any():  # a word that no token can end as it should: let it go, and be detected
            return after
        return mask


class Repetition:
    """Remembers the tokens of an answer's purposes and names those that would repeat a run.

    Runs of `example` (tokens of an example in the instructions) count as used before.
    """

    def __init__(self, vocabulary: Vocabulary, example: Iterable[int] = ()) -> None:
        self.vocabulary = vocabulary
        self._seen: dict[tuple[int, ...], set[int]] = {}
        self._tokens: list[int] = []
        for token in example:
            self.add(token)

    def begin(self) -> None:
        """A new purpose begins: runs do not reach over its edge."""
        self._tokens = []

    def add(self, token: int) -> None:
        self._tokens.append(token)
        if len(self._tokens) >= _REPEAT:
            *run, last = self._tokens[-_REPEAT:]
            self._seen.setdefault(tuple(run), set()).add(last)

    def banned(self) -> list[int]:
        """Tokens that would end a run seen before; a word once begun may always be finished."""
        found = []
        for token in self._seen.get(tuple(self._tokens[-(_REPEAT - 1) :]), ()):
            raw = self.vocabulary.texts[token]
            if not (self.vocabulary.continues[token] or raw[:1].isdigit() or raw in _IN_NUMBERS):
                found.append(token)
                # Without its space the same word would only glue itself to the one before.
                bare = raw.strip()
                if (glued := self.vocabulary.ids.get(bare)) is not None:
                    found.append(glued)
        return found


def sample(
    logits: Logits,
    mask: Mask,
    temperature: float,
    rng: random.Random,
    favoured: NDArray[np.intp] | None = None,
    bonus: float = 0.0,
) -> tuple[int, float]:
    """A token and its log-probability under the untouched model; temperature 0 is greedy.

    Shapes: logits and mask (n_vocab,); `bonus` is added to the logits of the `favoured` ids.
    Keeps the 64 likeliest allowed tokens of at least 5% of the best one's probability (min-p,
    Nguyen et al. 2024). Raises BackendError where nothing is allowed.
    """
    allowed = np.where(mask, logits, -np.inf)
    if favoured is not None:
        allowed[favoured] += bonus
    best = allowed.max()
    if best == -np.inf:
        raise BackendError("no token may follow")
    if temperature <= 0:
        token = int(allowed.argmax())
        return token, float(logits[token]) - log_total(logits)
    near = np.flatnonzero(allowed >= best + _LOG_MIN_P)
    near = near[np.lexsort((near, -allowed[near]))][:_TOP_K]  # a fixed order, also between equals
    weights = np.exp((allowed[near] - best).astype(np.float64) / temperature)
    point = rng.random() * float(weights.sum())
    token = int(near[min(int(np.searchsorted(np.cumsum(weights), point)), len(near) - 1)])
    return token, float(logits[token]) - log_total(logits)


def log_total(logits: NDArray[np.floating[Any]]) -> float:
    """The logarithm of the sum of exponentials, shape (n_vocab,)."""
    peak = logits.max()
    return float(peak) + float(np.log(np.exp(logits - peak).sum()))


def _last_word(written: bytes) -> tuple[str, str]:
    """The text before the word in the making, and that word's letters: the last may be cut."""
    text = written.decode("utf-8", errors="ignore")
    end = len(text)
    while end and text[end - 1].isalpha():
        end -= 1
    return text[:end], text[end:]
