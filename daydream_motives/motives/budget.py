"""Fitting parts of a context into a number of tokens. Knows nothing of what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

CountTokens = Callable[[str], int]
_TOO_LONG, _NO_ROOM = "too long for the budget", "no room in the budget"
FIELDS = ("Character_name", "Character_description", "Context", "Background")
# The user message's JSON around the four values. A prompt tokenises each of these and each value
# by itself, so a context costs the sum of them.
SCAFFOLD = (f'{{"{FIELDS[0]}": "', *(f'", "{field}": "' for field in FIELDS[1:]), '"}')


@dataclass(slots=True)
class Part:
    """One piece of a context.

    `short` is told where there is no room for all of it; `within` is the key of a piece that, told
    in full, makes this one superfluous.
    """

    field: int
    kind: str
    key: str
    text: str
    priority: float
    essential: bool = False
    tokens: int = 0
    status: str = "kept"
    reason: str = ""
    short: str = ""
    within: str = ""


def rough_count(text: str) -> int:
    """A token count for when there is no tokenizer: three bytes a token, on the safe side."""
    return len(text.encode("utf-8", errors="replace")) // 3 + 1


def escape(text: str) -> str:
    """A string's inside in JSON."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return json.dumps(text, ensure_ascii=False)[1:-1]


def fit(pieces: list[Part], room: int, count: CountTokens) -> int:
    """Drop, then shorten, until the pieces cost at most `room` tokens; returns what they cost.

    Pieces are counted one by one and never as a whole, so that one counted before costs nothing.
    """
    limit = 8 * max(8, room)
    for piece in pieces:
        if len(piece.text) > limit:  # far past what could fit: no need to tokenise it all
            piece.text = _shorten(piece.text, limit)
            piece.status = piece.status if piece.status == "dropped" else "shortened"
            piece.reason = piece.reason or "too long"
        piece.tokens = _tokens(piece, count)
    others = {piece.key: piece for piece in pieces}

    def rank(p: Part) -> tuple[bool, float, bool, int, str]:
        weight = min(p.priority, others[p.within].priority) if p.within else p.priority
        return not p.essential, -weight, bool(p.within), p.field, p.key

    order = sorted((p for p in pieces if p.status != "dropped"), key=rank)
    essential = [piece for piece in order if piece.essential]
    share = max(8, room // max(1, len(essential)))
    for piece in essential:
        if sum(p.tokens for p in essential) > room and piece.tokens > share:
            _shorten_to(piece, share, count)
    left = room
    for piece in order:
        if piece.within and others[piece.within].status == "kept":
            piece.status, piece.reason = "dropped", f"told with the {others[piece.within].kind}"
            continue
        if piece.tokens > left and piece.short:
            piece.text, piece.status, piece.reason = piece.short, "shortened", _TOO_LONG
            piece.tokens = _tokens(piece, count)
        if piece.tokens > left:
            if piece.essential or piece.kind == "description":
                _shorten_to(piece, left if piece.essential else left // 2, count)
            else:
                piece.status, piece.reason = "dropped", _NO_ROOM
                continue
        left -= piece.tokens
    return room - left


def _tokens(piece: Part, count: CountTokens) -> int:
    """What the piece costs at most, first in its field or after others.

    Without a space before it, a word may take more tokens: that is the first word's matter alone.
    """
    text = escape(piece.text)
    first, _, _ = text.partition(" ")
    return count(" " + text) + max(0, count(first) - count(" " + first))


def _shorten_to(piece: Part, tokens: int, count: CountTokens) -> None:
    piece.status, piece.reason = "shortened", _TOO_LONG
    while piece.tokens > tokens and piece.text:
        ratio = tokens / piece.tokens if piece.tokens else 0
        piece.text = _shorten(piece.text, min(len(piece.text) - 1, int(len(piece.text) * ratio)))
        piece.tokens = _tokens(piece, count) if piece.text else 0
    if not piece.text:
        piece.status, piece.reason, piece.tokens = "dropped", _NO_ROOM, 0


def _shorten(text: str, length: int) -> str:
    """At most `length` characters, ended at a sentence, else at a word, else anywhere."""
    if length < 8:
        return ""
    cut = text[: length - 1]
    ends = [m.end() for m in re.finditer(r"[.!?。！？](?=\s|$)", cut)]
    if ends and ends[-1] > length // 2:
        return cut[: ends[-1]].rstrip()
    space = cut.rfind(" ")
    return (cut[:space] if space > length // 2 else cut).rstrip(" ,;:") + "…"


def render(name: str, pieces: list[Part]) -> tuple[str, str, str, str]:
    fields: list[list[str]] = [[name], [], [], []]
    for piece in pieces:
        if piece.status != "dropped":
            fields[piece.field].append(piece.text)
    a, b, c, d = (" ".join(part) for part in fields)
    return a, b, c, d


def cut_name(name: str, room: int, count: CountTokens) -> str:
    """The last resort for a name that alone breaks the budget: cut it until it fits."""
    while count(escape(name)) > room and len(name) > 1:
        name = name[: len(name) // 2]
    return name
