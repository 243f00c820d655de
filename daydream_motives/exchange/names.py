"""Finding people in texts by what they are called; between two, no one is guessed.

Names in foreign texts are misspelt, so that one letter more or less still finds its person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from daydream_motives.characters.sheet import first_name

_CLOSE = 85.0  # of 100: "Haily" for "Hailey", "Chan" for "Chen", in a whole name
_AHEAD = 6.0  # of the second best, or it could be either
_RUN = re.compile(r"[^\W\d_a-z][\w’'-]*(?:\s+[^\W\d_a-z][\w’'-]*)*")


@dataclass(frozen=True, slots=True)
class Named:
    """A person found in a text at `start`..`end`."""

    id: str
    start: int
    end: int


class Names:
    """What the people of a set are called."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self._exact: dict[str, list[str]] = {}
        self._first: dict[str, list[str]] = {}
        self._folded = {id: name.casefold() for id, name in self.names.items()}
        for id, name in self.names.items():
            self._exact.setdefault(name.casefold(), []).append(id)
            for word in first_name(name):
                self._first.setdefault(word.casefold(), []).append(id)

    def exact(self, name: str) -> str | None:
        """The one person with this whole name."""
        found = self._exact.get(name.casefold(), [])
        return found[0] if len(found) == 1 else None

    def match(self, name: str) -> str | None:
        """The one person with this name or one very like it."""
        if (id := self.exact(name)) or name.casefold() in self._exact:
            return id
        best = process.extract(
            name.casefold(), self._folded, scorer=fuzz.ratio, limit=2, score_cutoff=_CLOSE
        )
        if not best or (len(best) > 1 and best[0][1] - best[1][1] < _AHEAD):
            return None
        return str(best[0][2])

    def find(self, text: str, apart_from: Iterable[str] = ()) -> tuple[list[Named], list[str]]:
        """The people in a text, in order, and what looked like a name but is nobody's.

        `apart_from` are names of places and the like, which hold no people.
        """
        hidden = text
        for phrase in sorted(apart_from, key=len, reverse=True):
            hidden = re.sub(re.escape(phrase), lambda m: "_" * len(m[0]), hidden, flags=re.I)
        found: list[Named] = []
        unknown: list[str] = []
        for run in _RUN.finditer(hidden):
            self._in_run(run, found, unknown)
        return found, unknown

    def _in_run(self, run: re.Match[str], found: list[Named], unknown: list[str]) -> None:
        """Names among words with capitals: the longest first."""
        words = list(re.finditer(r"\S+", run[0]))
        index = 0
        while index < len(words):
            for length in range(min(4, len(words) - index), 0, -1):
                piece = run[0][words[index].start() : words[index + length - 1].end()]
                bare = re.sub(r"['’]s?$", "", piece)
                id = self.match(bare) if length > 1 else self._by_first(bare)
                if id:
                    start = run.start() + words[index].start()
                    found.append(Named(id, start, start + len(bare)))
                    index += length
                    break
            else:
                if len(words) - index > 1:
                    unknown.append(run[0][words[index].start() :])
                index += 1

    def _by_first(self, word: str) -> str | None:
        if id := self.exact(word):
            return id
        found = self._first.get(word.casefold(), [])
        return found[0] if len(found) == 1 else None
