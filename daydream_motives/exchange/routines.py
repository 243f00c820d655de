"""Days told in prose as entries of a routine. Knows no format and no world."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rapidfuzz import fuzz

from daydream_motives.exchange.hours import clock_times
from daydream_motives.exchange.voice import gerund

_CLAUSES = re.compile(r",\s*(?:and\s+)?(?:then\s+)?|[.;]\s+|\s+and\s+(?=returns|goes|closes|then)")
_ALIKE = 92.0  # of 100, for "the Willow Market" where the map says "The Willows Market"
_SLEEP = re.compile(r"\b(?:to bed|asleep|sleeps?)\b", re.I)
_WAKE = re.compile(r"\b(?:a?wakes?|gets?|rises?) (?:up|out of bed)\b", re.I)

Entry = dict[str, Any]


def entry(at: str, activity: str, place: str | None) -> Entry:
    """One line of a routine."""
    return {"at": at, "activity": activity, "place": place}


def activity_of(clause: str) -> str:
    """ "Ana opens the shop at 8am" without who and when, as something being done."""
    text = clause.strip().rstrip(".")
    if _SLEEP.search(text):
        return "sleep"
    text = re.sub(r"^(?:at which point|and|then|he|she|they)\b,?\s*", "", text, flags=re.I)
    text = re.sub(r"^(?:he|she|they|usually|often)\b\s*", "", text, flags=re.I)
    text = re.sub(
        r"\s*\b(?:at|by|around|from|until|starting|about)\s+(?:about |around )?"
        r"(?:\d{1,2}(?::\d\d)?\s*(?:[ap]\.?m\b\.?|o'clock)?|noon|midnight)"
        r"(?:\s*(?:to|until|-)\s*\d{1,2}(?::\d\d)?\s*(?:[ap]m)?)?(?:\s*every ?day)?",
        "", text, flags=re.I,
    )  # fmt: skip
    return gerund(text.strip(" ,"))


def lifestyle(text: str, name: str, home: str | None) -> tuple[list[Entry], list[str]]:
    """Entries from "Ana goes to bed around 11pm, awakes up around 7am …", and what gave none."""
    entries, left = [], []
    for clause in filter(None, (c.strip() for c in text.split(","))):
        times = clock_times(clause)
        if not times:
            left.append(clause)
        elif _SLEEP.search(clause):
            entries.append(entry(times[0], "sleep", home))
        elif _WAKE.search(clause):
            entries.append(entry(times[0], "getting up", home))
        else:
            entries.append(entry(times[0], activity_of(_without(name, clause)), home))
    return entries, left


def day_plan(text: str, name: str, home: str | None, places: Mapping[str, str]) -> list[Entry]:
    """Entries from "Ana opens the shop at 8am, and stands there until 5pm"; `places`: id -> name.

    What follows "until 5pm" begins then. Clauses without a time give no entry.
    """
    entries: list[Entry] = []
    then: str | None = None
    here: str | None = None
    for clause in filter(None, (c.strip() for c in _CLAUSES.split(text))):
        plain = _without(name, clause)
        at_home = re.search(r"\bhome\b", plain, re.I)
        here = home if at_home else place_named(plain, places) or here
        begins, until, ends = plain.partition("until ")
        start = clock_times(begins)
        if start:
            entries.append(entry(start[0], activity_of(begins), here))
        elif then and not until:
            entries.append(entry(then, activity_of(plain), here))
            then = None
        if until and (stop := clock_times(ends)):
            then = stop[0]
    return entries


def place_named(text: str, places: Mapping[str, str]) -> str | None:
    """The place a text names, spelt nearly so; the longest name if several."""
    low = text.casefold()
    bare = {id: name.casefold().removeprefix("the ") for id, name in places.items()}
    found = [
        (len(name), id)
        for id, name in bare.items()
        if 3 < len(name) <= len(low) and fuzz.partial_ratio(name, low) >= _ALIKE
    ]
    return max(found)[1] if found else None


def _without(name: str, clause: str) -> str:
    """The clause without its subject."""
    short = re.escape(name.split(" ")[0])
    return re.sub(rf"^(?:{re.escape(name)}|{short})\s+", "", clause)
