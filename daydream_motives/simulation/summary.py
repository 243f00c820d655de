"""Figures of a run, from its decisions. Knows nothing of how they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from statistics import mean, median
from typing import Any

from daydream_motives.motives.purposes import NEAR_DUPLICATE, Decision, alike


@dataclass(frozen=True, slots=True)
class Summary:
    """Shares are in [0, 1] of all decisions; `distinct_2` is unique over all word pairs.

    `from_model`: answered by the model. `filled`: with a rank that instinct supplied.
    `valid`: three distinct, non-empty ranks. `near_duplicates`: two ranks that say the same.
    `with_targets`: the purpose acted on names someone or something.
    """

    decisions: int
    characters: int
    from_model: float
    filled: float
    valid: float
    unknown_names: float
    near_duplicates: float
    with_targets: float
    distinct_2: float
    tokens_in: float
    tokens_out: float
    median_ms: float
    outcomes: dict[str, int]

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def summarise(decisions: Iterable[Decision]) -> Summary:
    """Summary of decisions; zeros where there are none."""
    all_of = list(decisions)
    texts = [[p.text for p in decision] for decision in all_of]
    pairs = [pair for triple in texts for text in triple for pair in _bigrams(text)]
    provenances = [decision.provenance for decision in all_of]

    def share(flags: Iterable[bool]) -> float:
        return sum(flags) / len(all_of) if all_of else 0.0

    return Summary(
        decisions=len(all_of),
        characters=len({decision.character for decision in all_of}),
        from_model=share(p.source != "instinct" for p in provenances),
        filled=share(bool(p.filled) for p in provenances),
        valid=share(len(set(t)) == 3 and all(x.strip() for x in t) for t in texts),
        unknown_names=share(any(p.unknown_names for p in decision) for decision in all_of),
        near_duplicates=share(
            any(alike(a, b) >= NEAR_DUPLICATE for a, b in combinations(t, 2)) for t in texts
        ),
        with_targets=share(bool(d[(d.chosen or 1) - 1].targets) for d in all_of),
        distinct_2=len(set(pairs)) / len(pairs) if pairs else 0.0,
        tokens_in=mean([p.tokens_in for p in provenances]) if all_of else 0.0,
        tokens_out=mean([p.tokens_out for p in provenances]) if all_of else 0.0,
        median_ms=median([p.latency_ms for p in provenances]) if all_of else 0.0,
        outcomes=dict(
            sorted(Counter(d.outcome.status if d.outcome else "open" for d in all_of).items())
        ),
    )


def _bigrams(text: str) -> list[tuple[str, str]]:
    words = text.casefold().split()
    return list(pairwise(words))
