"""What anyone may know of a character, and what it is called. Knows nothing of relationships."""

from __future__ import annotations

from dataclasses import dataclass

from daydream_motives.characters.sheet import CharacterSheet, first_name
from daydream_motives.characters.words import UNSPACED


@dataclass(frozen=True, slots=True)
class Person:
    """What anyone may know of a character: what the graph's nodes hold."""

    id: str
    name: str
    age: int | None = None
    occupation: str = ""
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, id: str, sheet: CharacterSheet) -> Person:
        return cls(id, sheet.name, sheet.age, sheet.occupation, sheet.aliases)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything the person may be called: name, its first word, aliases."""
        return tuple(dict.fromkeys((self.name, *first_name(self.name), *self.aliases)))


def mentions(text: str, name: str) -> bool:
    """Whether `text` holds `name` as whole words; both compared without case.

    Han and kana are written without spaces, so there a name may stand beside anything.
    """
    folded, lowered = name.casefold(), text.casefold()
    start = lowered.find(folded) if folded else -1
    while start >= 0:
        end = start + len(folded)
        before, after = lowered[start - 1 : start], lowered[end : end + 1]
        if not (_goes_on(before, folded[0]) or _goes_on(after, folded[-1])):
            return True
        start = lowered.find(folded, start + 1)
    return False


def _goes_on(beside: str, edge: str) -> bool:
    """Whether the character beside a name's edge makes it part of a longer word."""
    wordy = beside.isalnum() or beside == "_"
    return wordy and not UNSPACED.match(beside) and not UNSPACED.match(edge)
