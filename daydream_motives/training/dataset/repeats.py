"""Texts of a whole book that say the same. Knows nothing of scenes.

Two texts are near-duplicates where their content words, names left out, have half of all in common
(Jaccard 0.5 or more) and at least four. Candidates come from the rarest words of each text (prefix
filtering: Chaudhuri, Ganti and Kaushik, 2006), so that a book of ten thousand takes a second.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import TypeVar

SHARE = 0.5
LEAST = 4
Key = TypeVar("Key", bound=Hashable)


def near_duplicates(texts: Mapping[Key, frozenset[str]]) -> list[tuple[Key, Key, float]]:
    """Pairs of keys, the earlier first, whose words are nearly the same, and their share."""
    often = Counter(word for words in texts.values() for word in words)
    by_word: defaultdict[str, list[Key]] = defaultdict(list)
    found: list[tuple[Key, Key, float]] = []
    for key, words in texts.items():
        if len(words) < LEAST:
            continue
        rarest = sorted(words, key=lambda word: (often[word], word))
        prefix = rarest[: len(words) - math.ceil(SHARE * len(words)) + 1]
        others = dict.fromkeys(other for word in prefix for other in by_word[word])
        for other in others:
            shared = len(words & texts[other])
            share = shared / (len(words) + len(texts[other]) - shared)
            if shared >= LEAST and share >= SHARE:
                found.append((other, key, share))
        for word in prefix:
            by_word[word].append(key)
    return found
