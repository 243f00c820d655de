"""What is known of the world, by whom, and when it comes up. Knows nothing of models.

A note comes up when one of its keys stands in what goes on: in what happens, who and what is
there, the place, the people spoken of. A note without keys always does. Looking costs the words of
the situation, not the size of the lore.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

from daydream_motives.characters.person import mentions
from daydream_motives.characters.words import UNSPACED

LIMIT = 12
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Note:
    """A piece of lore; `keys` bring it up, `priority` in [0, 10] says what goes first.

    `known_to` holds ids of characters and factions; None is everyone.
    """

    id: str
    text: str
    keys: tuple[str, ...] = ()
    priority: int = 5
    known_to: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "known_to"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} of the note {self.id!r} is one text; give a tuple of them")


class Lore:
    """Notes by scope and key; who asks for them brings an id and the factions of the sheet."""

    def __init__(self, notes: Iterable[Note] = ()) -> None:
        self._always: list[Note] = []
        self._by_word: dict[str, list[tuple[str, Note]]] = defaultdict(list)
        self._notes = sorted(dict.fromkeys(notes), key=_first)
        keys = [(key, list(_pieces(key))) for note in self._notes for key in note.keys]
        common = Counter(word for _, words in keys for word in words)
        # Each key waits under its rarest word: of "House 17" under 17, not with all the houses.
        under = {key: min(words, key=lambda w: (common[w], w), default="") for key, words in keys}
        for note in self._notes:
            if not note.keys:
                self._always.append(note)
            for key in note.keys:
                self._by_word[under[key]].append((key, note))

    def __len__(self) -> int:
        return len(self._notes)

    def known(self, id: str, factions: Collection[str] = ()) -> list[Note]:
        """Everything the character knows, what goes first first."""
        scopes = {id, *factions}
        return [note for note in self._notes if _in_scope(note, scopes)]

    def recall(
        self, id: str, touched: str, *, factions: Collection[str] = (), limit: int = LIMIT
    ) -> list[Note]:
        """What comes up for the character when `touched` goes on, what goes first first."""
        words, scopes = dict.fromkeys(_pieces(touched)), {id, *factions}
        found: dict[Note, None] = {}
        for word in (*words, ""):  # under "" are keys without a letter, such as emoji
            up = (
                note
                for key, note in self._by_word.get(word, ())
                if note not in found and _in_scope(note, scopes) and mentions(touched, key)
            )
            for note in islice(up, limit):  # one by one: two keys of a note bring it up once
                found[note] = None
        always = (note for note in self._always if _in_scope(note, scopes))
        found.update(dict.fromkeys(islice(always, limit)))
        return sorted(found, key=_first)[:limit]


def _in_scope(note: Note, scopes: AbstractSet[str]) -> bool:
    return note.known_to is None or not scopes.isdisjoint(note.known_to)


def _first(note: Note) -> tuple[int, str, str]:
    return (-note.priority, note.id, note.text)


def _pieces(text: str) -> Iterator[str]:
    """What a key may be found under: words, and each character of scripts without spaces."""
    for word in _WORD.findall(text.casefold()):
        if word.isascii():
            yield word
        else:
            yield from UNSPACED.sub(" ", word).split()
            for run in UNSPACED.findall(word):
                yield from run
