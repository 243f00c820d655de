"""Sentences like "Ana is your housemate whom you've known for a year" as relationships, by rules.

The rules read simple English. They never guess: what none of them fits is told as it is. Knows
no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from daydream_motives.exchange.names import Named, Names
from daydream_motives.exchange.voice import retold

# What someone is called -> the kind, and how one sees such a person unless more is said.
_ROLES: tuple[tuple[str, str, dict[str, float]], ...] = (
    (r"best friend", "best_friend", {"affection": 0.6, "trust": 0.6, "familiarity": 0.7}),
    (r"(?:childhood|old) friend", "old_friend", {"affection": 0.5, "trust": 0.4,
                                                 "familiarity": 0.7}),
    (r"(?:very )?close friends?", "friend", {"affection": 0.5, "trust": 0.4, "familiarity": 0.6}),
    (r"loyal friends?", "friend", {"affection": 0.4, "trust": 0.5}),
    (r"(?:good )?friends?", "friend", {"affection": 0.35, "trust": 0.25}),
    (r"(?:ex|former)[- ](?:husband|wife|spouse)", "ex_spouse", {"familiarity": 0.8}),
    (r"(?:ex|former)[- ](?:boyfriend|girlfriend|partner)", "ex_partner", {"familiarity": 0.7}),
    (r"(?:business|law) partner", "business_partner", {"trust": 0.3}),
    (r"husband|wife|spouse", "spouse", {"affection": 0.5, "trust": 0.5, "familiarity": 0.9}),
    (r"fianc[eé]e?", "fiance", {"affection": 0.6, "trust": 0.5, "familiarity": 0.8}),
    (r"boyfriend|girlfriend|(?:life )?partner", "partner", {"affection": 0.5, "trust": 0.5,
                                                            "familiarity": 0.8}),
    (r"step-?(?:father|mother|parent)", "step_parent", {"familiarity": 0.8}),
    (r"step-?(?:son|daughter|child)", "step_child", {"familiarity": 0.8}),
    (r"grand(?:father|mother|parent|ma|pa)", "grandparent", {"affection": 0.5,
                                                              "familiarity": 0.8}),
    (r"grand(?:son|daughter|child)", "grandchild", {"affection": 0.6, "familiarity": 0.8}),
    (r"(?:mother|father|brother|sister|son|daughter)-in-law", "in_law", {"familiarity": 0.6}),
    (r"father|mother|parent|mom|dad", "parent", {"affection": 0.5, "trust": 0.5,
                                                 "familiarity": 0.9}),
    (r"son|daughter|child|eldest|youngest", "child", {"affection": 0.6, "trust": 0.4,
                                                      "familiarity": 0.9}),
    (r"brother|sister|sibling", "sibling", {"affection": 0.4, "trust": 0.4, "familiarity": 0.9}),
    (r"cousin", "cousin", {"familiarity": 0.5}),
    (r"aunt|uncle", "aunt_or_uncle", {"familiarity": 0.6}),
    (r"niece|nephew", "niece_or_nephew", {"familiarity": 0.6}),
    (r"relative|family member", "relative", {"familiarity": 0.6}),
    (r"confidante?", "confidant", {"trust": 0.5}),
    (r"house-?mates?|room-?mates?|flat-?mates?|dorm-?mates?", "housemate", {"familiarity": 0.4}),
    (r"(?:class|school) ?-?mates?", "classmate", {"familiarity": 0.35}),
    (r"team-?mates?", "teammate", {"familiarity": 0.4}),
    (r"co-?workers?|colleagues?", "colleague", {"familiarity": 0.4}),
    (r"boss|manager|employer|supervisor", "employer", {"familiarity": 0.4}),
    (r"employee|assistant", "employee", {"familiarity": 0.4}),
    (r"mentor", "mentor", {"respect": 0.5, "trust": 0.3}),
    (r"apprentice|mentee", "apprentice", {"affection": 0.2}),
    (r"teacher", "teacher", {"respect": 0.3}), (r"student", "student", {}),
    (r"customers?", "customer", {}), (r"landlord", "landlord", {}), (r"tenant", "tenant", {}),
    (r"neighbou?rs?|next[- ]door(?: old)?(?: couple)?", "neighbour", {"familiarity": 0.35}),
    (r"rival", "rival", {"trust": -0.2}), (r"enemy", "enemy", {"trust": -0.5, "affection": -0.5}),
)  # fmt: skip
_ROLE_PATTERNS = [(re.compile(rf"\b(?:{p})\b", re.I), kind, felt) for p, kind, felt in _ROLES]
# What is said of someone -> what it moves. Small: one sentence is not a whole history.
_SENTIMENTS: tuple[tuple[str, dict[str, float]], ...] = (
    (r"(?:do not|don't|does not|doesn't)(?: really)? like (?!it\b|when)", {"affection": -0.5}),
    (r"would rather not see", {"affection": -0.4}),
    (r"annoying", {"affection": -0.3, "respect": -0.1}),
    (r"\b(?:too )?pushy", {"affection": -0.2, "respect": -0.1}),
    (r"coward", {"respect": -0.4}), (r"complaints? against", {"trust": -0.3, "affection": -0.1}),
    (r"\bloud\b", {"affection": -0.1}), (r"uncomfortable", {"affection": -0.2}),
    (r"(?:not|n't) (?:really )?find \S+ too comfortable", {"affection": -0.3}),
    (r"too aggressive|opinionated", {"affection": -0.2}), (r"uptight", {"affection": -0.1}),
    (r"rebellious", {"trust": -0.1}), (r"strained", {"affection": -0.2, "trust": -0.2}),
    (r"kind-hearted|kind and|\bnice\b", {"affection": 0.25, "respect": 0.2}),
    (r"dedicated|\bcool\b", {"respect": 0.3}),
    (r"\bgood (?!friend)\w+", {"respect": 0.25}),
    (r"\byou (?:really )?like (?:@\d+'s|his|her|their) (?!too\b|very\b|much\b)\w",
     {"respect": 0.25}),
    (r"\byou love (?:him|her|them|@|your (?:wife|husband|spouse|partner|son|daughter))",
     {"affection": 0.3}),
    (r"somewhat close", {"affection": 0.25, "trust": 0.15}),
    (r"like your (?:son|daughter|child|sister|brother|father|mother)", {"affection": 0.5,
                                                                        "trust": 0.3}),
    (r"time (?:she|he|they) helped you", {"trust": 0.2, "respect": 0.1}),
)  # fmt: skip
_ATTRACTION = re.compile(r"\bcute\b|attractive|handsome|pretty|crush on", re.I)
_CRUSH = re.compile(r"\bcrush on @(\d+)", re.I)
_KIND_OF = re.compile(r"\bkind of\b|\bsomething of\b|\bsort of\b", re.I)
_LIKENED = re.compile(r"like (?:your|a) \w+", re.I)
_PHRASE = r"((?:[\w ]|-(?!-)){2,40}?)"
_LIST = r"@\d+(?:(?:,? and |, )(?:the \w+ |\w+, )?@\d+)*"
# After one of these someone is known in person.
_KNOWN = re.compile(
    r"\byou(?:'ve| have)? (?:\w+ )?(?:kno(?:w|wn|nw)|met|see|view|consider|find|think|feel)\b|"
    r"\byou and @|\byou(?:'re| are) (?:\w+ )?(?:friends|close)|\btalk (?:to|with)|"
    r"\b(?:do not|don't) (?:really )?like @|\byou (?:really )?(?:like|love) |"
    r"\brather not see @",
    re.I,
)
_FACT = re.compile(r"\byou (?:wonder|want|hope|worry|heard|fear)\b|"
                   r"\byou know that @(?!.*\byou (?:like|love|think|find)\b)", re.I)  # fmt: skip
_YEARS = re.compile(r"\b(?:(\d+)|half an?|an?|one|two|three|four|five|a few|several) years?", re.I)
_WORDS = {"half": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5,
          "several": 4}  # fmt: skip
_STRANGE = re.compile(r"know of @|(?:not|n't) (?:really |yet )*(?:talked|chatted|spoken)", re.I)
_HABIT = re.compile(
    r"^(?:in terms of your|for planning|you frequent\b|you like to\b|"
    r"you (?:sometimes|often|usually|always|generally|regularly) \w+|"
    r"you(?: are|'re) (?:generally|usually|always)\b|.*\bfor (?:studying|planning)\b)",
    re.I,
)
_WANT = re.compile(r"^you (?:really )?want (.+)", re.I)
_LONG = 2000  # characters
_LEAD = re.compile(r"^this is very important\s*-+\s*|^(?:note|also|importantly)\s*[:,-]+\s*", re.I)


@dataclass(slots=True)
class Reading:
    """What a sentence says: ties to people, or what use it has; `text` is in the third person."""

    use: str  # relationship | habit | want | description | knowledge | "" (not understood)
    text: str
    ties: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: tuple[str, ...] = ()
    why: str = ""


def roles_in(text: str) -> tuple[list[str], dict[str, float]]:
    """The kinds a phrase like "your best friend and coworker" names, and the feelings with them."""
    left = _LIKENED.sub(" ", _KIND_OF.sub(" ", text))
    kinds: list[str] = []
    felt: dict[str, float] = {}
    for pattern, kind, axes in _ROLE_PATTERNS:
        left, hits = pattern.subn(" ", left)
        if hits:
            kinds.append(kind)
            felt.update({axis: max(v, felt.get(axis, v)) for axis, v in axes.items()})
    return list(dict.fromkeys(kinds)), felt


class Reader:
    """Reads sentences spoken to one person of a set."""

    def __init__(self, names: Names, places: Iterable[str] = ()) -> None:
        self.names = names
        self.places = tuple(places)

    def read(self, text: str, speaker: str, short: str, subject: str) -> Reading:
        """What a sentence spoken to `speaker` says; `short` and `subject` stand for "you"."""
        if len(text) > _LONG:
            return Reading("", f"{text[:_LONG]}…", why="too long to be one statement")
        plain = _LEAD.sub("", text.replace("’", "'")).strip()
        found, unknown = self.names.find(plain, self.places)
        mended, marked, order = self._marked(plain, found)
        others = [self.names.names[id] for id in order]
        told = retold(mended, short, subject, others)
        if told is None:
            return Reading("", f'They were told: "{plain}"', why="no rule puts this into the third "
                           "person with certainty")  # fmt: skip
        told = told if told.endswith((".", "!", "?")) else f"{told}."
        about = tuple(id for id in order if id != speaker)
        if not re.search(r"\byou\b|\byour\b", plain, re.I):
            use = "knowledge" if about else ""
            why = "" if about else "it speaks neither to anyone nor of anyone in this set"
            return Reading(use, told, about=about, why=why)
        ties = {order[i]: t for i, t in _ties(marked).items() if order[i] != speaker}
        if ties:
            for tie in ties.values():
                tie["story"] = told
            return Reading("relationship", told, ties, about)
        return self._other_use(plain, told, short, subject, about, unknown)

    def _other_use(self, plain: str, told: str, short: str, subject: str, about: tuple[str, ...],
                   unknown: list[str]) -> Reading:  # fmt: skip
        others = [self.names.names[id] for id in about]
        if match := _WANT.match(plain):
            want = retold(match[1], short, subject, others, named=True)
            if want:
                return Reading("want", f"{want[0].lower()}{want[1:]}" if want.startswith("To ")
                               or want.startswith("No ") else want, about=about)  # fmt: skip
        if _HABIT.match(plain) and not about:
            return Reading("habit", told)
        if about:
            return Reading("knowledge", told, about=about)
        if unknown and roles_in(plain)[0]:
            return Reading("", told, why=f"{unknown[0]!r} is nobody of this set")
        return Reading("description", told)

    def _marked(self, text: str, found: list[Named]) -> tuple[str, str, list[str]]:
        """The text with names spelt right; with names as @0, @1 …; and whom these stand for."""
        order: list[str] = list(dict.fromkeys(item.id for item in found))
        mended, marked, at = [], [], 0
        for item in found:
            between = text[at : item.start]
            said = text[item.start : item.end]
            name = self.names.names[item.id]
            mended += [between, name if " " in said else said]
            marked += [between.replace("@", " "), f"@{order.index(item.id)}"]
            at = item.end
        rest = text[at:]
        return "".join((*mended, rest)), "".join((*marked, rest.replace("@", " "))), order


def _ties(marked: str) -> dict[int, dict[str, Any]]:
    """What a sentence with @0, @1 … makes these people to the one it speaks to."""
    plain = _KIND_OF.sub("", marked)
    kinds: dict[int, list[str]] = {}
    felt: dict[int, dict[str, float]] = {}

    def give(people: str, phrase: str) -> None:
        roles, axes = roles_in(phrase)
        for index in map(int, re.findall(r"@(\d+)", people)):
            if roles:
                kinds.setdefault(index, []).extend(roles)
                felt.setdefault(index, {}).update(axes)

    for match in re.finditer(rf"\byour {_PHRASE},? ({_LIST})", plain, re.I):
        give(match[2], match[1])
    for match in re.finditer(rf"(@\d+), your {_PHRASE}(?=[,.]|$)", plain, re.I):
        give(match[1], match[2])
    for match in re.finditer(
        r"(@\d+) (?:is|are|was) (?=your|an? )(.*?)(?= whom| who | but |--|;|$)", plain, re.I
    ):
        if "your" in match[2] or re.search(r"\bto you\b", match[2]) or "mate" in match[2]:
            give(match[1], re.sub(r"\bat your .*", "", match[2]))
    told = re.sub(r" (?:ever )?(?:since|because) .*?(?= and (?:are|you)\b|$)", "", plain)
    for match in re.finditer(rf"\byou and ({_LIST}) (.*)", told, re.I):
        give(match[1], match[2])
    for match in re.finditer(
        r"\byou(?:'re| are) (?:\w+ )?(?:friends|close) with (@\d+)(?:,? who (?:is|are) (.*))?$",
        re.sub(r" who works .*", "", plain), re.I,
    ):  # fmt: skip
        how = "close friend" if " close with" in match[0] else "friend"
        give(match[1], f"{how}, {match[2] or ''}")
    for match in re.finditer(
        r"\byou (?:know|see|view|consider) (@\d+) (?:as|to be) (.*)", plain, re.I
    ):
        give(match[1], match[2])
    for match in re.finditer(r"(@\d+) .*?\bas (?:your|his|her|a) (\w+)", plain, re.I):
        give(match[1], match[2])
    for match in re.finditer(r"\bthey are your (\w+)", plain, re.I):
        give(plain, match[1])
    people = dict.fromkeys(kinds)
    for match in _CRUSH.finditer(plain):
        kinds.setdefault(int(match[1]), []).append("crush")
    if not _FACT.search(plain) and _KNOWN.search(plain):
        people.update(dict.fromkeys(map(int, re.findall(r"@(\d+)", plain))))
    people.update(dict.fromkeys(kinds))
    return {
        index: _tie(plain, marked, kinds.get(index, []), felt.get(index, {}), rank == 0)
        for rank, index in enumerate(sorted(people))
    }


def _tie(plain: str, marked: str, kinds: list[str], felt: dict[str, float],
         foremost: bool) -> dict[str, Any]:  # fmt: skip
    """One relationship; what is felt goes to whoever is named first."""
    axes = {"trust": 0.0, "respect": 0.0, "affection": 0.0, "attraction": 0.0, "familiarity": 0.2}
    axes.update(felt)
    if foremost:
        for pattern, moves in _SENTIMENTS:
            if re.search(pattern, plain, re.I):
                for axis, value in moves.items():
                    axes[axis] += value
        if _ATTRACTION.search(marked):
            axes["attraction"] = 0.6 if "crush" in kinds else 0.3
    if "crush" in kinds:
        axes["affection"] += 0.4
    axes["familiarity"] = _familiarity(plain, axes["familiarity"])
    limited = {axis: round(max(-0.9, min(0.9, value)), 2) for axis, value in axes.items()}
    return {"kinds": tuple(dict.fromkeys(kinds)) or ("acquaintance",), **limited}


def _familiarity(text: str, least: float) -> float:
    if _STRANGE.search(text):
        return 0.1
    if re.search(r"(?:not|n't) know much", text, re.I):
        return min(least, 0.2)
    known = least
    if re.search(r"few months|half a year", text, re.I):
        known = max(known, 0.3)
    elif match := _YEARS.search(text):
        word = match[0].split()[0].lower()
        years = float(match[1] or _WORDS.get(word, 1))
        years = 3 if "few" in match[0] else years
        known = max(known, min(0.9, 0.35 + 0.07 * years))
    if re.search(r"somewhat well|quite a ?while", text, re.I):
        known = max(known, 0.5)
    return known
