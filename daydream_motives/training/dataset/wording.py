"""What a program can say of one purpose: its shape, its person, its stock phrases. Knows no scenes.

Each function gives pairs of what is wrong and what to do; nothing means all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike

SHORTEST, LONGEST = 10, 28
Wrong = tuple[str, str]

_ABBREVIATIONS = frozenset("dr mr mrs ms st sgt capt col gen lt prof rev no fr sr jr".split())
_STOP = re.compile(r"(\S+?)([.!?…]+)['’)]*\s+(?=['‘(]?[^\W\d_])")
_QUOTED = re.compile(r"(?<!\w)['‘][^'‘’]*(?:['’]\w[^'‘’]*)*['’](?!\w)")
_FIRST_PERSON = re.compile(
    r"\b(?:I|I['’](?:m|ll|d|ve)|[Mm]e|[Mm]y|[Mm]yself|[Ww]e|[Oo]ur|[Yy]ou|[Yy]our)\b"
)
_ROMAN = re.compile(r"\b[A-Z][a-z]+ I\b")
_DOUBLE_QUOTES = re.compile(r"[\"“”„«»]")
_STOCK = [
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\bdecides? to\b", "decides to"),
        (r"\btak\w+ a (?:deep breath|moment)\b", "takes a moment"),
        (r"\bclear\w* (?:his|her|their|its) (?:mind|head|thoughts)\b", "clears her mind"),
        (r"\bgather\w* (?:his|her|their|its) thoughts\b", "gathers her thoughts"),
        (r"\bconfront\w*\b", "confronts"),
        (r"\breflect\w* (?:on|upon)\b", "reflects on"),
        (r"\breach\w* out to\b", "reaches out to"),
        (r"\bheart[- ]to[- ]heart\b", "heart-to-heart"),
        (r"\bheavy heart\b", "with a heavy heart"),
        (r"\byoga\b", "yoga"),
        (r"\bmeditat\w+\b", "meditation"),
        (r"\bjournal(?:s|ling|ing)\b", "journalling"),
    )
]
_WAYS_OUT = re.compile(r"\b(?:caf[eé]s?|coffee ?shops?|librar(?:y|ies))\b", re.IGNORECASE)
_ROMANCE = re.compile(
    r"\b(?:seduc\w+|flirt\w*|lovers?|sexual\w*|naked|erotic\w*|lust\w*|undress\w*)\b", re.IGNORECASE
)


def shape(text: str, name: str) -> Iterator[Wrong]:
    """Begins with the name; 10 to 28 words; one sentence on one line; no double quotes."""
    if not text.strip():
        yield "an empty purpose", "write what the person would do, and why"
        return
    if text != " ".join(text.split()):
        yield "line breaks or spaces too many", "write it on one line, with single spaces"
        text = " ".join(text.split())
    if not re.match(rf"{re.escape(name)}(?:[ ,]|['’]s )", text):
        found = " ".join(text.split()[:2])
        yield f"begins with {found!r}", f"begin with {name!r}"
    if not SHORTEST <= (count := len(text.split())) <= LONGEST:
        yield f"{count} words", f"say it in {SHORTEST} to {LONGEST}"
    if not re.search(r"[.!?]['’)]?$", text):
        yield f"ends in {text[-1]!r}", "end it with . ! or ?"
    for stop in _STOP.finditer(_QUOTED.sub("Q", text)):
        word = stop[1].strip("('‘").casefold()
        if not (stop[2] == "." and (word in _ABBREVIATIONS or len(word) == 1)):
            yield f"more than one sentence ({stop[0].strip()!r})", "make it one sentence"
            break
    if mark := _DOUBLE_QUOTES.search(text):
        yield f"the mark {mark[0]}", "report speech, or use single quotes"


def person(text: str) -> Iterator[Wrong]:
    """Third person outside single quotes."""
    outside = _ROMAN.sub("", _QUOTED.sub("", text))
    if found := _FIRST_PERSON.search(outside):
        yield f"{found[0]!r} outside single quotes", "write in the third person"


def stock(text: str, told: str) -> Iterator[Wrong]:
    """Phrases and ways out that every model falls back on."""
    for pattern, name in _STOCK:
        if pattern.search(text):
            yield f"a stock phrase ({name})", "say what the person does"
    if (found := _WAYS_OUT.search(text)) and found[0].casefold() not in told.casefold():
        yield f"a {found[0].casefold()} as a way out", "find something that belongs to the scene"


def romance(text: str) -> Iterator[Wrong]:
    """Words that have no place near a minor."""
    if found := _ROMANCE.search(text):
        yield f"{found[0]!r} where a minor is", "keep minors out of it"


def distinct(texts: Sequence[str]) -> Iterator[tuple[int, Wrong]]:
    """The later of two purposes that are alike, by its index."""
    for (i, a), (j, b) in combinations(enumerate(texts), 2):
        if (share := alike(a, b)) >= NEAR_DUPLICATE:
            what = f"too like purpose {i + 1} (they share {share:.0%} of their words)"
            yield j, (what, "make it another course of action")
