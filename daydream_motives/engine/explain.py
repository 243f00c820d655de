"""Why a character wants what it wants: what it was told, and what it would want without a tie.

Asks the same question again with the same seed, so that whatever differs comes from what was told
(or, for a model that samples, from what that small change led to: `liking` tells the two apart).
Knows nothing of files and terminals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import NEAR_DUPLICATE, Decision, alike
from daydream_motives.motives.situation import Situation

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character
    from daydream_motives.engine.engine import MotiveEngine


@dataclass(frozen=True, slots=True)
class Without:
    """The answer without the ties between the character and `person`.

    `ranks[i]` is the rank at which the purpose of rank i + 1 comes back, None where it does not.
    `liking` and `liking_then` are how much the model would have each of the first three purposes,
    with the tie and without (mean log-probability per token); None where it cannot say.
    """

    person: str
    context: MotiveContext
    decision: Decision
    ranks: tuple[int | None, ...]
    liking: tuple[float, ...] | None
    liking_then: tuple[float, ...] | None

    @property
    def same_first(self) -> bool:
        """Whether the first purpose is first again, in its words or in its meaning."""
        return self.ranks[0] == 1

    def order(self, liking: Sequence[float] | None) -> tuple[int, ...]:
        """The ranks of the first answer in the order of liking."""
        if liking is None:
            return ()
        return tuple(sorted((1, 2, 3), key=lambda rank: (-liking[rank - 1], rank)))


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer, what it came from, and what it would be without each of some people.

    `memories` and `lore` are how many the character has; the context's receipt says what of them
    came up.
    """

    decision: Decision
    memories: int
    lore: int
    without: tuple[Without, ...] = ()


def explain(
    engine: MotiveEngine,
    character: Character,
    situation: Situation,
    without: Sequence[str] = (),
) -> Explanation:
    """Ask, and ask again without the ties to each of `without` (ids); the character stays as it
    was before."""
    decisions, lately = character.decisions, list(character.lately)
    kept = character.relationships

    def ask() -> Decision:
        character.decisions, character.lately = decisions, list(lately)
        return engine.decide(character, situation)

    try:
        decision = ask()
        texts = [purpose.text for purpose in decision]
        character.decisions, character.lately = decisions, list(lately)
        liking = engine.score(character, situation, texts) if without else None
        found = []
        for person in without:
            character.relationships = kept.copy()
            character.relationships.remove(character.id, person)
            character.relationships.remove(person, character.id)
            other = ask()
            character.decisions, character.lately = decisions, list(lately)
            then = engine.score(character, situation, texts)
            found.append(
                Without(
                    person, other.context, other,
                    tuple(_rank_of(text, other) for text in texts),
                    tuple(liking) if liking else None, tuple(then) if then else None,
                )
            )  # fmt: skip
    finally:
        character.decisions, character.lately = decisions, lately
        character.relationships = kept
    lore = len(engine.lore.known(character.id, character.sheet.factions)) if engine.lore else 0
    return Explanation(decision, len(character.memory), lore, tuple(found))


def _rank_of(text: str, decision: Decision) -> int | None:
    """The rank at which a purpose comes back: in the same words or, failing that, meaning."""
    for same in (lambda other: other == text, lambda other: alike(other, text) >= NEAR_DUPLICATE):
        for purpose in decision:
            if same(purpose.text):
                return purpose.rank
    return None
