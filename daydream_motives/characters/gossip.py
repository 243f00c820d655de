"""News that people tell each other: it spreads with its source, and may be wrong.

Each of two who talk may tell the other the weightiest thing the other does not know. One telling in
ten takes one person for another (see misheard). Knows nothing of what they do otherwise.
"""

from __future__ import annotations

import random
from datetime import datetime

from daydream_motives.characters.character import Character
from daydream_motives.characters.memory import misheard


def exchange(
    a: Character, b: Character, now: datetime, rng: random.Random
) -> list[tuple[str, str, str]]:
    """Both tell something if they have it; returns (teller, listener, what was told)."""
    told = []
    for teller, listener in ((a, b), (b, a)):
        news = teller.memory.worth_telling(listener.memory, listener.id, now)
        if news is None:
            continue
        known = sorted(id for id, _ in teller.relationships.of(teller.id) if id != listener.id)
        people = [(id, teller.relationships.person(id).names) for id in known]
        story = misheard(news, people, rng)
        listener.memory.hear(story, teller.id, at=now)
        wrong = "" if story is news else f" [wrong: it was {news.text}]"
        told.append((teller.id, listener.id, f"{story.text}{wrong}"))
    return told
