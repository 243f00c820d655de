"""What a decision is good for by what followed it: to teach, to be rejected, or nothing.

A designer's grade comes before everything that is computed. Where there is none, a decision teaches
if needs and feelings for others rose by at least `least` in all (familiarity rises by itself and
does not count). What was overruled or failed, invents names, or wants again what has just been done
is rejected. Reads records of a journal; knows no files.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from daydream_motives.characters.words import content_words
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.names import allowed_words, capital_words, unknown_names
from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike
from daydream_motives.training.dataset.repeats import near_duplicates

LEAST = 0.05
LOOK_BACK = 5  # purposes of a character that what it wants next is held against
_FELT = ("trust", "affection", "respect", "attraction")
TEACH = {
    "graded up": "the designer graded it above 0",
    "moved": "needs or relationships rose",
}
REJECT = {
    "overruled": "the game would not have it",
    "failed": "it could not be done",
    "repeated": "it says again what was said, or done just before",
    "invented_name": "it names somebody that the character was never told of",
    "graded_down": "the designer graded it below 0",
}
DROP = {
    "instinct": "the rules of instinct answered, not a model",
    "filled": "instinct filled a rank that the model left empty",
    "open": "it has no outcome",
    "interrupted": "something else came before it was done",
    "not chosen": "it has an outcome, but none of its purposes was acted on",
    "merely executed": "it was done, and nothing that counts was moved by it",
    "moved down": "needs or relationships fell, and no designer graded it",
    "graded 0": "the designer graded it 0",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` and `reason` (a key of TEACH, REJECT or DROP), a grade in [-1, 1], what is known."""

    kind: Literal["teach", "reject", "drop"]
    reason: str
    grade: float = 0.0
    detail: str = ""

    @property
    def why(self) -> str:
        """The verdict in words."""
        meaning = {**TEACH, **REJECT, **DROP}[self.reason]
        return f"{meaning}: {self.detail}" if self.detail else meaning


def invented(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in a record's purposes that its character was not told, as the engine found them.

    A game that looks for none is helped: they are looked for in what it says it told.
    """
    given = [purpose.get("unknown_names") for purpose in record["purposes"]]
    if all(isinstance(names, list) for names in given):
        return tuple(dict.fromkeys(str(name) for names in given for name in names))
    told = "\n".join(record["context"][field] for field in FIELDS)
    allowed = allowed_words(told, [record["context"][FIELDS[0]]])
    texts = [purpose["text"] for purpose in record["purposes"]]
    return tuple(dict.fromkeys(n for text in texts for n in unknown_names(text, allowed, told)))


def bare(text: str) -> frozenset[str]:
    """The words of a purpose by which it is like another, names left out."""
    return content_words(text) - content_words(" ".join(capital_words(text)))


class Judge:
    """Judges the decisions of one journal, in their order."""

    def __init__(self, least: float = LEAST) -> None:
        self.least = least
        self._done: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LOOK_BACK))

    def __call__(self, record: Mapping[str, Any]) -> Verdict:
        """What this decision is good for."""
        outcome = record["outcome"] or {}
        wanted = record["purposes"][(record["chosen"] or 1) - 1]["text"]
        before = list(self._done[record["character"]])
        if outcome.get("status", "done") == "done" and outcome:
            self._done[record["character"]].append(wanted)
        provenance = record["provenance"]
        if provenance["source"] == "instinct":
            return Verdict("drop", "instinct")
        if provenance.get("filled"):
            return Verdict("drop", "filled")
        if names := invented(record):
            return Verdict("reject", "invented_name", -1.0, ", ".join(names))
        if twice := _twice(record, wanted, before):
            return Verdict("reject", "repeated", -0.5, twice)
        return self._by_outcome(record, outcome)

    def _by_outcome(self, record: Mapping[str, Any], outcome: Mapping[str, Any]) -> Verdict:
        status, note = outcome.get("status", "done"), outcome.get("note", "")
        if not outcome:
            return Verdict("drop", "open")
        if status in ("overruled", "failed"):
            return Verdict("reject", status, -1.0 if status == "overruled" else -0.5, note)
        if (grade := outcome.get("grade")) is not None:
            if not grade:
                return Verdict("drop", "graded 0")
            kind: Literal["teach", "reject"] = "teach" if grade > 0 else "reject"
            return Verdict(kind, "graded up" if grade > 0 else "graded_down", float(grade), note)
        if status == "interrupted":
            return Verdict("drop", "interrupted", detail=note)
        if record["chosen"] is None:
            return Verdict("drop", "not chosen")
        effect, told = _moved(outcome)
        if abs(effect) < self.least:
            return Verdict("drop", "merely executed", detail=told)
        if effect < 0:
            return Verdict("drop", "moved down", detail=told)
        return Verdict("teach", "moved", round(min(1.0, effect), 4), told)


def _moved(outcome: Mapping[str, Any]) -> tuple[float, str]:
    """By how much needs and feelings rose in all, and which."""
    moved = list(outcome.get("needs", {}).items())
    for change in outcome.get("relationships", ()):
        moved += [
            (f"{axis} for {change['to']}", by)
            for axis, by in change["changes"].items()
            if axis in _FELT
        ]
    return sum(by for _, by in moved), ", ".join(f"{what} {by:+.2f}" for what, by in moved)


def _twice(record: Mapping[str, Any], wanted: str, before: list[str]) -> str:
    """What an answer repeats: itself, or what its character has just done."""
    texts = [purpose["text"] for purpose in record["purposes"]]
    for (i, a), (j, b) in combinations(enumerate(texts, 1), 2):
        if alike(a, b) >= NEAR_DUPLICATE:
            return f"its purposes {i} and {j}"
    known = {index: bare(text) for index, text in enumerate(before)}
    last = len(before)
    for index, other, _ in near_duplicates({**known, last: bare(wanted)}):
        if other == last:
            return before[index]
    return ""
