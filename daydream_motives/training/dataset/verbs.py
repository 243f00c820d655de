"""The main verb of a purpose: the first one after the name. A rule of thumb, no tagger."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_BESIDE = frozenset(
    """first then now still again only never once just soon even also instead already almost at last
    not too alone aloud twice tonight today tomorrow rather both all there here half simply next
    later secretly""".split()
)
_HELPERS = frozenset("will would can could may might must shall should does do did is has".split())


def opening(text: str, name: str) -> str:
    """The first three words after the name, in lower case."""
    rest = text.removeprefix(name).lstrip(" ,")
    return " ".join(word.strip(",;:.!?") for word in rest.casefold().split()[:3])


def main_verb(text: str, name: str) -> str:
    """The verb after the name, without its ending; empty where none is found."""
    rest = text.removeprefix(name)
    if rest.startswith(","):  # ", still in her apron, sends"
        _, _, after = rest[1:].partition(",")
        rest = after or rest
    words = [word.casefold() for word in _WORD.findall(rest)]
    for word in words[:8]:
        if word in _BESIDE or word in _HELPERS or (word.endswith("ly") and len(word) > 4):
            continue
        return lemma(word)
    return ""


def lemma(word: str) -> str:
    """The third person singular without its ending: "carries" is "carry"."""
    irregular = {"goes": "go", "does": "do", "has": "have", "is": "be", "lies": "lie",
                 "dies": "die", "ties": "tie", "unties": "untie"}  # fmt: skip
    if word in irregular:
        return irregular[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(?:ss|sh|ch|x|zz|o)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
