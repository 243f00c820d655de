"""The main verb of a purpose: the first one after the name. A rule of thumb, no tagger.

What may stand before it: more words of the name, one phrase between commas, adverbs, a helping
verb. `has` and `lets` with somebody or something after them count themselves. How often it is wrong
is measured on a sample read by hand (see tests/training/verbs_by_hand.tsv).
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_BESIDE = frozenset(
    """first then now still again only never once just soon even also instead already almost at last
    not too alone aloud twice tonight today tomorrow rather both all there here half simply next
    later secretly no longer more most very quite so fast straight outright meanwhile always often
    to""".split()
)
_HELPERS = frozenset("will would can cannot could may might must shall should does do did".split())
_IRREGULAR = {
    "goes": "go", "does": "do", "has": "have", "is": "be", "lies": "lie", "dies": "die",
    "ties": "tie", "unties": "untie", "vies": "vie", "belies": "belie",
}  # fmt: skip
_BEFORE = _BESIDE | _HELPERS | {"has", "is"}


def after_name(text: str, name: str) -> str:
    """What follows the name, or as much of a longer name as stands there."""
    rest = text.removeprefix(name)
    more = re.match(r"(?: (?:[A-ZÀ-ÖØ-Þ]|(?:bin|ibn|de|da|von|van|al) )[^\s,]*)+", rest)
    return rest[more.end() :] if more else rest


def opening(text: str, name: str) -> str:
    """The first three words after the name, in lower case."""
    rest = after_name(text, name).lstrip(" ,")
    return " ".join(word.strip(",;:.!?") for word in rest.casefold().split()[:3])


def verb_at_once(text: str, name: str) -> bool:
    """Whether the verb stands right behind the name."""
    found = re.match(r" ([^\W\d_]+(?:-[^\W\d_]+)*)(?![\w,])", after_name(text, name))
    return found is not None and lemma(found[1].casefold()) == main_verb(text, name)


def main_verb(text: str, name: str) -> str:
    """The verb after the name, without its ending; empty where none is found."""
    rest = after_name(text, name)
    if rest.startswith(","):  # ", still in her apron, sends"
        _, _, after = rest[1:].partition(",")
        rest = after or rest
    words = [word.casefold() for word in _WORD.findall(rest)]
    for index, word in enumerate(words[:10]):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word == "has" and not following.endswith("ed"):
            return "have"
        if word == "is" and not following.endswith("ing"):
            return "be"
        if word not in _BEFORE and not (word.endswith("ly") and len(word) > 4):
            return lemma(word)
    return ""


def lemma(word: str) -> str:
    """The third person singular without its ending: "carries" is "carry"."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:ss|sh|ch|x|zz|o)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
