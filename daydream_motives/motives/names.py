"""Which names a text may use and which it invented. Knows nothing of models.

A name is taken to be a capitalised word that is neither in what the character was told nor a word
that English capitalises anyway. Scripts without capitals (Chinese, Arabic, Hindi …) cannot be
checked so, and are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rapidfuzz import fuzz, process

WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_JOINT = re.compile(r"['’\-]")
_REPAIR_SCORE = 79.0

# What English writes with a capital anywhere, and what may begin a sentence besides names.
_MONTHS = (
    "January February March April May June July August September October November December".split()
)
ANYWHERE = frozenset(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mr Mrs Ms Dr God Christmas".split()
)
# Not invented where they stand, but never offered to a model: June is also a name.
_HARMLESS = frozenset(["I", "I'm", "I'll", "I'd", "I've", *_MONTHS])
STARTERS = frozenset(
    """I A An The He She They It We You His Her Their Its My Our Your This That These Those There
    Here If When While Once Because Since So Then And But Or Not No Yes For To In On At By With
    Without From After Before Until As Maybe Perhaps Instead First Second Next Later Tonight Today
    Tomorrow Now Only Even Still Just Every Each All Both Some Someone Everyone Nobody What Who
    Whatever He'll She'll They'll It's
    Go Ask Tell Help Give Take Find Visit Talk Speak Walk Make Wait Watch Look Eat Rest Sleep Work
    Finish Stay Leave Keep Bring Get Let Try Meet Follow Hide""".split()
)


def capital_words(text: str) -> list[str]:
    """Every word of the text that begins with a capital, in order."""
    return [w for w in WORD.findall(text) if w[0].isupper()]


def allowed_words(told: str, names: Iterable[str] = ()) -> frozenset[str]:
    """Capitalised words that may be used by someone who was told `told` and knows `names`."""
    words = {w for text in (told, *names) for w in WORD.findall(text)}
    parts = {part for word in words for part in (word, *_JOINT.split(word)) if part[:1].isupper()}
    return ANYWHERE | parts


def unknown_names(text: str, allowed: frozenset[str], told: str) -> tuple[str, ...]:
    """Capitalised words in `text` that neither `allowed` nor `told` (in any case) holds."""
    lowered = _lowered(told)
    found = []
    for match in WORD.finditer(text):
        word = match.group()
        stem = re.sub(r"['’]s$", "", word)
        capital = [part for part in _JOINT.split(stem) if part[:1].isupper()]
        if not capital or stem in allowed or word in allowed or stem.casefold() in lowered:
            continue
        if all(part in allowed for part in capital):
            continue
        if stem.replace("’", "'") in _HARMLESS:
            continue
        ordinary = stem.replace("’", "'") in STARTERS or _is_ordinary(stem)
        if ordinary and begins_sentence(text[: match.start()]):
            continue
        found.append(stem)
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=16)
def _lowered(told: str) -> frozenset[str]:
    """All words of a text; the purposes of one decision are held against the same."""
    return frozenset(word.casefold() for word in WORD.findall(told))


def repair_names(
    text: str, unknown: Iterable[str], known: Iterable[str]
) -> tuple[str, tuple[str, ...]]:
    """Put right names that are a slip of a known one ("Elana" for Elena); returns what is left.

    Only words of four letters or more that differ in few letters and share the first one count.
    """
    choices = sorted({w for name in known for w in capital_words(name) if len(w) >= 4})
    left = []
    for word in unknown:
        # Martin is not a slip of Martina: a name that goes on is another name.
        same_start = [
            c
            for c in choices
            if c[0] == word[0] and abs(len(c) - len(word)) <= 1 and c[-2:] == word[-2:]
        ]
        best = process.extractOne(word, same_start, scorer=fuzz.ratio, score_cutoff=_REPAIR_SCORE)
        if best is None or len(word) < 4:
            left.append(word)
        else:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", best[0], text)
    return text, tuple(left)


def begins_sentence(before: str) -> bool:
    """Whether a word after this text is the first of a sentence."""
    before = before.rstrip(" “\"'‘(")
    return not before or before[-1] in ".!?…:;—"


def _is_ordinary(word: str) -> bool:
    """Endings that verbs and adverbs have and names seldom do."""
    return len(word) > 5 and word.endswith(("ing", "ly", "tion", "ness"))
