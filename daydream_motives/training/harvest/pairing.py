"""Which answer should have been given instead of a rejected one. Knows no journals and no files.

A rejected answer may stand beside a good one only under a question where it would be just as wrong:
the same question, or nearly the same asked of the same character. An answer that invents a name is
wrong wherever the character does not know that name. And whatever has just been refused, has just
failed or is just done would be wrong once more at the character's next turns.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from daydream_motives.characters.words import content_words
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.names import WORD
from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike

NEARLY = 0.6  # share of the words of two situations, from here on nearly the same
NEXT = 3  # turns of a character, up to which what went wrong is still fresh
MOST_USES = 2  # of one good answer, so that no single one is praised over and over
_WINDOW = 20  # good answers of a character that are looked at, before and after


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `at` is its place among all, `turn` among those of its character in its journal.

    `who` are the world and the character.
    """

    id: str
    at: int
    who: tuple[str, str]
    fields: tuple[str, ...]
    purposes: tuple[str, ...]
    journal: str = ""
    turn: int = 0
    invented: tuple[str, ...] = ()


def pairs(good: Sequence[Answer], bad: Sequence[Answer]) -> dict[str, str]:
    """For each rejected answer that has one, the id of the good answer to the same question."""
    by_who: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in sorted(good, key=lambda answer: answer.at):
        by_who[answer.who].append(answer)
    by_question: defaultdict[tuple[str, ...], list[Answer]] = defaultdict(list)
    for answer in good:
        by_question[answer.fields].append(answer)
    uses: Counter[str] = Counter()
    found: dict[str, str] = {}
    for answer in bad:
        mine = by_who[answer.who]
        here = bisect(mine, answer.at, key=lambda other: other.at)
        near = mine[max(0, here - _WINDOW) : here + _WINDOW]
        likely = [
            (score, -abs(other.at - answer.at), other.id)
            for other in dict.fromkeys([*by_question[answer.fields], *near])
            if uses[other.id] < MOST_USES and (score := _fits(answer, other))
        ]
        if likely:
            found[answer.id] = max(likely)[2]
            uses[found[answer.id]] += 1
    return found


def _fits(bad: Answer, good: Answer) -> float:
    """How surely the bad answer is worse than the good one to the good one's question; 0: not."""
    if alike(bad.purposes[0], good.purposes[0]) >= NEAR_DUPLICATE:
        return 0.0
    if bad.fields == good.fields:
        return 1.0
    later = good.turn - bad.turn if good.journal == bad.journal else 0
    if 1 <= later <= NEXT and not bad.invented:
        return 0.5 - later / 10
    if bad.invented:
        told = {word.casefold() for text in good.fields for word in WORD.findall(text)}
        strange = all(name.casefold() not in told for name in bad.invented)
        return 0.5 if strange else 0.0
    a, b = (content_words(answer.fields[FIELDS.index("Context")]) for answer in (bad, good))
    share = len(a & b) / len(a | b) if a | b else 0.0
    return share if share >= NEARLY else 0.0
