"""What anyone may know of a character, and what it is called. Knows nothing of relationships."""

from __future__ import annotations

import re
from dataclasses import dataclass

from daydream_motives.characters.sheet import CharacterSheet, first_name


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
    """Whether `text` holds `name` as whole words; both compared without case."""
    folded = name.casefold()
    if not folded or folded not in (lowered := text.casefold()):
        return False
    return re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", lowered) is not None
