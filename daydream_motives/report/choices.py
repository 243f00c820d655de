"""Decisions of a journal, cut down to what figures and pages need, so that many fit in memory.

Text from outside is made fit to be shown: without control characters, half characters and marks
that turn the writing direction, and not without end. Knows no files and no page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from daydream_motives.errors import RunError
from daydream_motives.motives.names import WORD

STATUSES = ("done", "failed", "interrupted", "overruled", "open")
MAX_TEXT = 600
MAX_NAME = 80
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+"
)
_WANTS = re.compile(r"^(?:_ )?(?:wants?|wish(?:es)?) (?:to )?")


@dataclass(frozen=True, slots=True)
class Option:
    """One of the three ranked purposes of a decision."""

    text: str
    score: float | None
    targets: tuple[str, ...]
    verb: str
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: what was wanted, which of it was acted on, and what became of it.

    `rank` is 1 where the game did not say which it acted on; `status` is "open" where it did not
    say how it went. `filled` counts ranks that instinct supplied. `moved` holds (to whom, axis ->
    change) as the game reported them.
    """

    character: str
    name: str
    time: datetime | None
    place: str
    place_name: str
    present: tuple[tuple[str, str], ...]
    happened: str
    options: tuple[Option, ...]
    rank: int
    source: str
    model: str
    filled: int
    reason: str
    status: str
    note: str
    moved: tuple[tuple[str, dict[str, float]], ...]

    @property
    def acted(self) -> Option:
        """The purpose that was acted on."""
        return self.options[self.rank - 1]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Choice:
        """From a record of a journal; raises RunError where it is not one."""
        try:
            return _choice(record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
            raise RunError(
                f"the journal's decision {record.get('id')!r} is damaged: {exc!r}",
                remedy="make the report from another run",
            ) from exc


def _choice(record: Mapping[str, Any]) -> Choice:
    situation, provenance = record.get("situation") or {}, record["provenance"]
    outcome = record.get("outcome") or {}
    place = situation.get("place") or {}
    when = record.get("world_time")
    options = tuple(_option(p) for p in record["purposes"])
    if len(options) != 3:
        raise ValueError(f"{len(options)} purposes")
    return Choice(
        character=intern(plain(record["character"], MAX_NAME)),
        name=intern(plain(record["context"]["Character_name"], MAX_NAME)),
        # In-world clocks: where one has a time zone and the other none, the hands are what counts.
        time=datetime.fromisoformat(when).replace(tzinfo=None) if when else None,
        place=intern(plain(place.get("id", ""), MAX_NAME)),
        place_name=intern(plain(place.get("name", ""), MAX_NAME)),
        present=tuple(
            (intern(plain(p["id"], MAX_NAME)), intern(plain(p["name"], MAX_NAME)))
            for p in situation.get("present", ())
        ),
        happened=plain("; ".join(h.rstrip(".") for h in situation.get("happened", ()))),
        options=options,
        rank=record.get("chosen") or 1,
        source=intern(str(provenance["source"])),
        model=intern(plain(provenance.get("model") or "", MAX_NAME)),
        filled=len(provenance.get("filled") or ()),
        reason=intern(plain(provenance.get("reason") or "")),
        status=intern(str(outcome.get("status", "done")) if outcome else "open"),
        note=plain(outcome.get("note") or "").rstrip("."),
        moved=tuple(
            (plain(m["to"], MAX_NAME), {str(a): float(d) for a, d in m["changes"].items()})
            for m in outcome.get("relationships") or ()
        ),
    )


def _option(purpose: Mapping[str, Any]) -> Option:
    score = purpose.get("score")
    targets, unknown = purpose.get("targets") or (), purpose.get("unknown_names") or ()
    return Option(
        plain(purpose["text"]),
        float(score) if isinstance(score, int | float) else None,
        tuple(intern(plain(t, MAX_NAME)) for t in targets),
        intern(plain(purpose.get("verb") or "", MAX_NAME)),
        tuple(plain(n, MAX_NAME) for n in unknown),
    )


def plain(text: object, limit: int = MAX_TEXT) -> str:
    """One line that can be shown anywhere, at most `limit` characters long."""
    line = _UNFIT.sub(" ", str(text)).strip()
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def masked(text: str) -> str:
    """The text in lower case, with each run of capitalised words as one `_`: its template.

    Scripts without capitals keep their names.
    """
    words: list[str] = []
    for match in WORD.finditer(text):
        word = match.group()
        if not word[0].isupper():
            words.append(word.casefold())
        elif not words or words[-1] != "_":
            words.append("_")
    return " ".join(words) or text.casefold().strip()


def opening(template: str) -> str:
    """The first three words of a masked purpose, after "… wants to"."""
    rest = _WANTS.sub("", template) or template
    return " ".join(rest.split()[:3])
