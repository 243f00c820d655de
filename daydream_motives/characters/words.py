"""Words that carry meaning, for comparing texts. Knows nothing of models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_STOP = frozenset(
    """a an the to of and or in on at for with from by as is be her his their its she he they it
    him them that this so because wants want will can who has have had was were about into up out
    not but if then than s t d m ll re ve""".split()
)
_WORD = re.compile(r"\w+")
_ENDING = re.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")  # "boats" is "boat"; "king" and "Ed" stay
# Han and kana are written without spaces: there, two neighbours stand for a word.
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def words_of(text: str) -> Iterator[str]:
    """Lower-case words that carry meaning, crudely stemmed, in order."""
    for word in _WORD.findall(text.casefold()):
        if not word.isascii() and len(word) > 2 and UNSPACED.fullmatch(word):
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        elif word not in _STOP:
            yield _stem(word)


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    return _ENDING.sub("", word)


@lru_cache(maxsize=4_096)
def content_words(text: str) -> frozenset[str]:
    """Each of `words_of` once."""
    return frozenset(words_of(text))
