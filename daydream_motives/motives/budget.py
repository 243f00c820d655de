"""Fitting parts of a context into a number of tokens. Knows nothing of what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CountTokens = Callable[[str], int]
FIELDS = ("Character_name", "Character_description", "Context", "Background")


@dataclass(slots=True)
class Part:
    field: int
    kind: str
    key: str
    text: str
    priority: float
    essential: bool = False
    tokens: int = 0
    status: str = "kept"
    reason: str = ""


def rough_count(text: str) -> int:
    """A token count for when there is no tokenizer: three bytes a token, on the safe side."""
    return len(text.encode("utf-8", errors="replace")) // 3 + 1


def fit(name: str, pieces: list[Part], budget: int, count: CountTokens) -> int:
    """Drop, then shorten, until the rendered JSON fits; returns its tokens."""
    for piece in pieces:
        if len(piece.text) > 8 * budget:  # far past what could fit: no need to tokenise it all
            piece.text = _shorten(piece.text, 8 * budget)
            piece.status = piece.status if piece.status == "dropped" else "shortened"
            piece.reason = piece.reason or "too long"
        piece.tokens = count(" " + piece.text)
    used = count(_json(render(name, [])))
    order = sorted(
        (p for p in pieces if p.status != "dropped"),
        key=lambda p: (not p.essential, -p.priority, p.field, p.key),
    )
    essential = [piece for piece in order if piece.essential]
    share = max(8, (budget - used) // max(1, len(essential)))
    for piece in essential:
        if sum(p.tokens for p in essential) > budget - used and piece.tokens > share:
            _shorten_to(piece, share, count)
    for piece in order:
        if used + piece.tokens <= budget:
            used += piece.tokens
        elif piece.essential or piece.kind == "description":
            room = budget - used
            _shorten_to(piece, room if piece.essential else room // 2, count)
            used += piece.tokens
        else:
            piece.status, piece.reason = "dropped", "no room in the budget"
    # Joined and escaped pieces can cost more than their sum, so the whole is what decides.
    total = count(_json(render(name, pieces)))
    for piece in reversed(order):
        if total <= budget:
            break
        if piece.status != "dropped":
            if piece.essential:
                _shorten_to(piece, max(0, piece.tokens - (total - budget) - 2), count)
            else:
                piece.status, piece.reason = "dropped", "no room in the budget"
            total = count(_json(render(name, pieces)))
    return total


def _shorten_to(piece: Part, tokens: int, count: CountTokens) -> None:
    piece.status, piece.reason = "shortened", "too long for the budget"
    while piece.tokens > tokens and piece.text:
        ratio = tokens / piece.tokens if piece.tokens else 0
        piece.text = _shorten(piece.text, min(len(piece.text) - 1, int(len(piece.text) * ratio)))
        piece.tokens = count(" " + piece.text) if piece.text else 0
    if not piece.text:
        piece.status, piece.reason, piece.tokens = "dropped", "no room in the budget", 0


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


def _json(fields: Sequence[str]) -> str:
    return json.dumps(dict(zip(FIELDS, fields, strict=True)), ensure_ascii=False)


def cut_name(name: str, others: Sequence[str], budget: int, count: CountTokens) -> tuple[str, int]:
    """The last resort for a name that alone breaks the budget: cut it until the whole fits."""
    tokens = count(_json((name, *others)))
    while tokens > budget and len(name) > 1:
        name = name[: len(name) // 2]
        tokens = count(_json((name, *others)))
    return name, tokens
