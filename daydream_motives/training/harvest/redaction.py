"""Takes out of texts what says who somebody is: mail addresses, numbers of phones and cards, names.

Errs on the side of taking out. Knows nothing of journals.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from daydream_motives.characters.words import UNSPACED
from daydream_motives.errors import ContentError, Problem, RunError

MAIL, PHONE, CARD, NAME = "[mail]", "[phone]", "[card]", "[name]"
MARKS = (MAIL, PHONE, CARD, NAME)
_CARD_DIGITS, _PHONE_DIGITS, _PLAIN_DIGITS = 13, 7, 9

# Both begin only where a run of their characters does: no text takes them more than one look.
_MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)*")
_NUMBER = re.compile(r"(?<![\w+(])[+(]{0,2}\d(?:[ ()./\u2010-\u2013\u00a0\u202f-]{0,3}\d)*(?!\w)")
_DATE = re.compile(
    r"(?<![\w.+(/-])(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d{2})"
    r"|[12]\d{3} ?[-\u2013/] ?[12]\d{3})(?![-./]?\d)"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .\u00a0\u202f]\d{3})*[ .\u00a0\u202f]000")
_DIGIT = re.compile(r"\d")
_BETWEEN = re.compile(r"[\s_.\-]+")  # the words of a name; ids write it with the others


@dataclass(slots=True)
class Redaction:
    """What to take out; `counts` are how often each kind was found.

    `names` are pairs of a name and what stands in for it; each is found as whole words, whatever
    its case.
    """

    names: tuple[tuple[str, str], ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    _pattern: re.Pattern[str] | None = None
    _stands: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        longest = sorted(self.names, key=lambda pair: -len(pair[0]))
        self._stands = {_folded(name): stand for name, stand in longest}
        if longest:
            self._pattern = re.compile("|".join(_whole(name) for name, _ in longest), re.IGNORECASE)

    def text(self, text: str) -> str:
        """A text that people read, without all of it."""
        text = _MAIL.sub(self._mail, text)
        parts, at = [], 0
        for date in _DATE.finditer(text):
            parts += [_NUMBER.sub(self._number, text[at : date.start()]), date[0]]
            at = date.end()
        return self.id("".join(parts) + _NUMBER.sub(self._number, text[at:]))

    def id(self, text: str) -> str:
        """An id, without names and addresses: its digits mean nobody."""
        text = _MAIL.sub(self._mail, unicodedata.normalize("NFC", text))
        return self._pattern.sub(self._name, text) if self._pattern else text

    def _mail(self, _: re.Match[str]) -> str:
        self.counts["mail"] += 1
        return MAIL

    def _name(self, found: re.Match[str]) -> str:
        self.counts["name"] += 1
        return self._stands.get(_folded(found[0]), NAME)

    def _number(self, found: re.Match[str]) -> str:
        text = found[0]
        digits = len(_DIGIT.findall(text))
        if digits >= _CARD_DIGITS and text[0] != "+":
            self.counts["card"] += 1
            return CARD
        if _is_phone(text, digits):
            self.counts["phone"] += 1
            return PHONE
        return text


def _is_phone(text: str, digits: int) -> bool:
    """Seven digits in groups, or nine in one; no round sum."""
    if digits < _PHONE_DIGITS or _THOUSANDS.fullmatch(text):
        return False
    return text[0] in "+(0" or digits >= _PLAIN_DIGITS or len(_DIGIT.sub("", text)) > 0


def _folded(name: str) -> str:
    return " ".join(_BETWEEN.split(unicodedata.normalize("NFC", name).casefold().strip()))


def _whole(name: str) -> str:
    """A pattern of the name as whole words."""
    words = [word for word in _BETWEEN.split(unicodedata.normalize("NFC", name)) if word]
    inner = _BETWEEN.pattern.join(map(re.escape, words))
    start = "" if UNSPACED.match(name) else r"(?<![^\W_])"
    end = "" if UNSPACED.match(name[-1]) else r"(?![^\W_])"
    return f"{start}{inner}{end}"


def read_names(file: Path) -> tuple[tuple[str, str], ...]:
    """A list of names, one a line, each with ` = ` and what stands in for it, where that is wanted.

    Lines that begin with # say nothing. Raises RunError where it cannot be read, ContentError with
    each line that is wrong.
    """
    try:
        rows = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise RunError(
            f"{file} cannot be read: {exc}", remedy="give a text file in UTF-8, one name a line"
        ) from exc
    return names_of(rows, str(file))


def names_of(rows: Iterable[str], source: str) -> tuple[tuple[str, str], ...]:
    """The names of a list's lines."""
    found: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, 1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        name, given, stand = (part.strip() for part in row.partition("="))
        if sum(map(str.isalnum, name)) < 2 and not UNSPACED.match(name):
            problems.append(
                Problem(source, f"line {number}", repr(name), "a name of two letters or more")
            )
        elif given and not stand:
            problems.append(
                Problem(source, f"line {number}", "nothing after =", f"what stands in for {name}")
            )
        else:
            found.append((name, stand or NAME))
    if problems:
        raise ContentError(problems, remedy="one name a line: NAME, or NAME = STAND-IN")
    return tuple(found)
