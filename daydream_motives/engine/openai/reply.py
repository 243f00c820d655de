"""What a server said, read as purposes: strict where it kept to the schema, mended where not.

Every step is linear in the length of the reply, because it comes from outside (json-repair, tried
first, took 7 s for 16 kB of quotes). Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from daydream_motives.characters.sheet import clean_text
from daydream_motives.motives.prompt import KEYS, plain
from daydream_motives.motives.purposes import RANKS, Draft

MAX_CONTENT = 32_768  # characters of a reply that are looked at; three purposes have some 600
_MAX_TEXT = 1_000
_MIN_WORDS = 4  # an unfinished purpose that has fewer is no purpose
_LOWEST = -20.0  # a log-probability is at least this: what is below means "never"
_UNKNOWN = (-0.7, -0.9, -1.1)  # confidences where the server gives no log-probabilities

_RANK = {name: rank for rank in range(RANKS) for name in (f"purpose{'abc'[rank]}",
         f"purpose{rank + 1}", "abc"[rank], str(rank + 1))}  # fmt: skip
_KEY = re.compile(r"\bpurpose[ _-]?([abc123])\b[\"'”*]{0,3}\s{0,9}[:=]", re.IGNORECASE)
_LINE = re.compile(r"^[ \t]{0,9}(?:[-*•]|\d\W)[ \t]{1,9}(\S.*)$", re.MULTILINE)
_REASONS = ("reason", "why", "because")
_decoder = json.JSONDecoder(strict=False)  # a line break within a string is no reason to refuse


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer; `reason` says why there are fewer than three drafts. Tokens are -1 where
    the server did not count them."""

    drafts: tuple[Draft, ...] = ()
    reason: str = ""
    model: str = ""
    tokens_in: int = -1
    tokens_out: int = -1
    tokens_cached: int = 0


def read_reply(body: bytes, hide: Callable[[str], str] = str) -> Reply:
    """The body of a chat completion, whatever it holds; never raises.

    `hide` takes secrets out of every text, before it is cut.
    """
    data = load(body)
    if not isinstance(data, dict):
        return Reply(reason="the server's answer is no JSON object")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    model = data.get("model")
    tokens_in = _count(usage.get("prompt_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    drafts, reason = _choice(data, hide)
    return Reply(
        drafts,
        reason,
        hide(clean_text(model))[:200] if isinstance(model, str) else "",
        tokens_in,
        _count(usage.get("completion_tokens")),
        max(0, min(cached, tokens_in)),
    )


def load(body: bytes) -> Any:
    """JSON, or None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # a wrong encoding is a ValueError too
        return None


def complaint(body: bytes) -> str:
    """What a server says went wrong, as one line; empty for HTML."""
    data = load(body[:65_536])
    found: Any = data
    for key in ("error", "message", "detail"):
        if isinstance(found, dict):
            found = found.get(key, found)
    if data is None:
        found = body[:1_000].decode("utf-8", errors="replace")
        found = "" if found.lstrip().startswith("<") else found
    text = found if isinstance(found, str) else json.dumps(found)
    return str(clean_text(text))


def purposes_in(content: str) -> list[tuple[int, str]]:
    """Up to three purposes in a model's text, each with its place (0 to 2), in order of place."""
    content = content[:MAX_CONTENT].rpartition("</think>")[2]
    found = dict[int, str]()
    start = re.search(r"[{\[]", content)
    if start:
        try:
            value, _ = _decoder.raw_decode(content, start.start())
            found = _from_value(value)
        except (ValueError, RecursionError):
            pass
    found = found or _from_keys(content) or _from_lines(content)
    cleaned = {rank: plain(text[:_MAX_TEXT]) for rank, text in sorted(found.items())}
    return [(rank, text) for rank, text in cleaned.items() if text]


def _choice(data: dict[str, Any], hide: Callable[[str], str]) -> tuple[tuple[Draft, ...], str]:
    """Drafts of the first choice, and what is to be said where they are not three."""
    if "error" in data and not data.get("choices"):
        said = hide(complaint(json.dumps(data).encode()))[:200]
        return (), f"the server reports an error: {said}"
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return (), "the server's answer has no choices"
    content = hide(_content(message.get("content")))
    if not content.strip():
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip():
            return (), f"the model refused: {hide(clean_text(refusal))[:200]}"
        return (), "the server's answer is empty"
    found = purposes_in(content)
    if not found:
        return (), "the server's answer holds no purposes"
    sure = _confidences(choice.get("logprobs"), [rank for rank, _ in found])
    drafts = tuple(Draft(hide(text), c) for (_, text), c in zip(found, sure, strict=True))
    reason = (
        "" if len(drafts) == RANKS else f"the server's answer holds {len(drafts)} of 3 purposes"
    )
    if reason and choice.get("finish_reason") == "length":
        reason += ": it was cut off"
    return drafts, reason


def _content(content: object) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict)]
        return "".join(p for p in parts if isinstance(p, str))
    return content if isinstance(content, str) else ""


def _from_value(value: Any, depth: int = 0) -> dict[int, str]:
    """Purposes in a JSON value: under our keys, in a list, or in what is wrapped around them."""
    if depth > 4:
        return {}
    if isinstance(value, list):
        if len(value) == 1:
            return _from_value(value[0], depth + 1)
        return {rank: t for rank, item in enumerate(value[:RANKS]) if (t := _sentence(item))}
    if not isinstance(value, dict):
        return {}
    found: dict[int, str] = {}
    for key, item in value.items():
        rank = _RANK.get(re.sub(r"[\W_]+", "", key[:40].casefold()))
        if rank is not None and rank not in found and (text := _sentence(item)):
            found[rank] = text
    if found:
        return found
    inner = (_from_value(v, depth + 1) for v in value.values() if isinstance(v, dict | list))
    return next((f for f in inner if f), {})


def _sentence(value: Any, depth: int = 0) -> str:
    """One purpose as a text; of an object its first text, and the reason that it gives."""
    if isinstance(value, str):
        return value.strip()
    if depth > 3 or not isinstance(value, dict | list):
        return ""
    values = list(value.values()) if isinstance(value, dict) else value
    text = next((t for v in values if (t := _sentence(v, depth + 1))), "")
    reasons = [value.get(key) for key in _REASONS] if isinstance(value, dict) else []
    why = next((r.strip() for r in reasons if isinstance(r, str) and r.strip()), "")
    if not why or why == text or "because" in text:
        return text
    return f"{text.rstrip(' .,')}, because {why.removeprefix('because ')}"


def _from_keys(content: str) -> dict[int, str]:
    """Purposes in broken JSON: each is what stands between its key and the next one."""
    keys = list(_KEY.finditer(content))
    found: dict[int, str] = {}
    for index, key in enumerate(keys):
        last = index + 1 == len(keys)
        end = len(content) if last else keys[index + 1].start()
        text = content[key.end() : end][: 2 * _MAX_TEXT].lstrip(" \t\r\n[{\"'“*")
        text = re.sub(r"^\w{1,20}[\"']\s{0,9}:\s{0,9}[\"']?", "", text)  # {"text": "…
        closed = re.search(r'(?<!\\)["”]\s{0,9}(?:[,}\]\n]|$)|\n', text)
        text = text[: closed.start()] if closed else text
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
        text = text.replace('\\"', '"').replace("\\n", " ").strip(" \t\r,\"'“}]`*\\")
        if last and not closed:
            text = _finished(text)
        found.setdefault(_RANK[key[1].lower()], text)
    return {rank: text for rank, text in found.items() if text}


def _finished(text: str) -> str:
    """An unfinished text up to its last clause; nothing where that says nothing."""
    if not text or text[-1] in ".!?…。！？":
        return text
    clause = re.match(r".*[.!?;,](?=\s)", text, re.DOTALL)
    kept = clause[0].rstrip(" ,;") if clause else ""
    return kept if len(kept.split()) >= _MIN_WORDS else ""


def _from_lines(content: str) -> dict[int, str]:
    """Purposes in a list of lines: 1. … 2. … 3. …; one line alone is no list."""
    lines = [m[1].strip(" *\"'“”") for m in _LINE.finditer(content)]
    lines = [line for line in lines if len(line.split()) >= _MIN_WORDS][:RANKS]
    return dict(enumerate(lines)) if len(lines) > 1 else {}


def _confidences(logprobs: object, ranks: Sequence[int]) -> Sequence[float]:
    """Mean log-probability per token of each rank's text; falling constants where the server gave
    none for one of them, since the two cannot be compared."""
    unknown = _UNKNOWN[: len(ranks)]
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return unknown
    text, ends, values = bytearray(), [], []
    for token in tokens:
        value = token.get("logprob") if isinstance(token, dict) else None
        piece = token.get("token") if isinstance(token, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            return unknown
        if not isinstance(piece, str):
            return unknown
        text += _bytes(token.get("bytes"), piece)
        ends.append(len(text))
        values.append(max(_LOWEST, min(0.0, value)))
    means = []
    for rank in ranks:
        span = re.search(rb'"%s"\s{0,9}:\s{0,9}"((?:[^"\\]|\\.)*)' % KEYS[rank].encode(), text)
        if not span:
            return unknown
        first, last = span.span(1)
        begins = [0, *ends]
        inside = [
            v for v, b, e in zip(values, begins, ends, strict=False) if b < last and e > first
        ]
        if not inside:
            return unknown
        means.append(sum(inside) / len(inside))
    return means


def _bytes(given: object, piece: str) -> bytes:
    """A token's bytes: half a character has no other honest form."""
    if isinstance(given, list) and all(type(b) is int and 0 <= b < 256 for b in given):
        return bytes(given)
    return piece.encode("utf-8", errors="replace")


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 10**9 else -1
