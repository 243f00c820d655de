"""Figures of a run, from its decisions. Knows nothing of how they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from statistics import median
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
    """Summary of decisions, read once; zeros where there are none."""
    seen: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    people: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    times: list[float] = []
    for decision in decisions:
        provenance, texts = decision.provenance, [purpose.text for purpose in decision]
        bigrams = [pair for text in texts for pair in _bigrams(text)]
        people.add(decision.character)
        pairs.update(bigrams)
        times.append(provenance.latency_ms)
        outcomes[decision.outcome.status if decision.outcome else "open"] += 1
        seen["bigrams"] += len(bigrams)
        seen["tokens_in"] += provenance.tokens_in
        seen["tokens_out"] += provenance.tokens_out
        seen["from_model"] += provenance.source != "instinct"
        seen["filled"] += bool(provenance.filled)
        seen["valid"] += len(set(texts)) == 3 and all(text.strip() for text in texts)
        seen["unknown_names"] += any(p.unknown_names for p in decision)
        seen["near_duplicates"] += any(
            alike(a, b) >= NEAR_DUPLICATE for a, b in combinations(texts, 2)
        )
        seen["with_targets"] += bool(decision[(decision.chosen or 1) - 1].targets)
    count = len(times)

    def share(key: str) -> float:
        return seen[key] / count if count else 0.0

    return Summary(
        decisions=count,
        characters=len(people),
        from_model=share("from_model"),
        filled=share("filled"),
        valid=share("valid"),
        unknown_names=share("unknown_names"),
        near_duplicates=share("near_duplicates"),
        with_targets=share("with_targets"),
        distinct_2=len(pairs) / seen["bigrams"] if pairs else 0.0,
        tokens_in=share("tokens_in"),
        tokens_out=share("tokens_out"),
        median_ms=median(times) if times else 0.0,
        outcomes=dict(sorted(outcomes.items())),
    )


def _bigrams(text: str) -> list[tuple[str, str]]:
    words = text.casefold().split()
    return list(pairwise(words))
