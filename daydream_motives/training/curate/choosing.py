"""Which samples go into a dataset: each once, no two that say the same, none too much of one kind.

Pure: the same samples, in any order, give the same choice. What is better graded comes first.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from daydream_motives.training.curate.samples import Dropped, Sample
from daydream_motives.training.dataset.repeats import near_duplicates

FEWEST = 5  # characters, from here on some are held out


class Text(NamedTuple):
    """One purpose: the record it is of, and its rank."""

    id: str
    rank: int


def in_order(samples: Iterable[Sample]) -> list[Sample]:
    """Better graded first; those alike in an order that only their ids decide."""
    return sorted(samples, key=lambda sample: (-sample.row.grade, order(sample.id)))


def order(id: str) -> str:
    return hashlib.sha256(f"motives:{id}".encode()).hexdigest()


def once(
    samples: Sequence[Sample], shipped: Mapping[tuple[str, ...], str]
) -> tuple[list[Sample], list[Dropped]]:
    """Each sample and each question once; none that is a question of `shipped` (-> its part)."""
    kept: dict[str, Sample] = {}
    asked: dict[tuple[str, ...], str] = {}
    dropped: list[Dropped] = []
    for sample in samples:
        if sample.id in kept:
            dropped.append(Dropped(sample.id, "exact", "the same sample of another harvest"))
        elif part := shipped.get(sample.question):
            dropped.append(Dropped(sample.id, "shipped", f"its question is in {part}"))
        elif other := asked.get(sample.question):
            dropped.append(Dropped(sample.id, "exact", f"{other} answers the same question"))
        else:
            kept[sample.id] = sample
            asked[sample.question] = sample.id
    return list(kept.values()), dropped


def apart(
    samples: Sequence[Sample], known: Mapping[str, Sequence[frozenset[str]]]
) -> tuple[list[Sample], list[Dropped]]:
    """Samples that say what no earlier one and none of `known` (record -> words) says.

    One goes where its first purpose repeats a first purpose, or where two of its three repeat any.
    """
    texts = {
        Text(id, rank): words for id, every in known.items() for rank, words in enumerate(every)
    }
    for sample in samples:
        texts |= {Text(sample.id, rank): words for rank, words in enumerate(sample.words)}
    alike: defaultdict[str, list[tuple[Text, Text, float]]] = defaultdict(list)
    for earlier, later, share in near_duplicates(texts):
        alike[later.id].append((earlier, later, share))
    kept = set(known)
    chosen: list[Sample] = []
    dropped: list[Dropped] = []
    for sample in samples:
        found = [one for one in alike[sample.id] if one[0].id in kept and one[0].id != sample.id]
        first = [one for one in found if one[0].rank == one[1].rank == 0]
        ranks = {later.rank for _, later, _ in found}
        if first or len(ranks) > 1:
            other, _, share = max(first or found, key=lambda one: (one[2], one[0].id))
            detail = f"{share:.0%} of the words of {other.id}"
            dropped.append(Dropped(sample.id, "near", detail))
        else:
            kept.add(sample.id)
            chosen.append(sample)
    return chosen, dropped


def within_quota(samples: Sequence[Sample], most: int) -> tuple[list[Sample], list[Dropped]]:
    """At most so many of one occupation, MBTI type and world; the first are kept."""
    counts: Counter[tuple[str, str, str]] = Counter()
    kept: list[Sample] = []
    dropped: list[Dropped] = []
    for sample in samples:
        if counts[sample.cell] >= most:
            dropped.append(Dropped(sample.id, "quota", " × ".join(sample.cell)))
        else:
            counts[sample.cell] += 1
            kept.append(sample)
    return kept, dropped


def hashed(name: str) -> str:
    """A character's name as a manifest may tell it."""
    return order(name)[:16]


def held_out(samples: Sequence[Sample], share: float, earlier: Iterable[str] = ()) -> set[str]:
    """Names of the characters whose samples are kept from training.

    Those of `earlier` (hashed) stay so; more follow, in an order that only names decide, until
    they have this share of the samples. Where there are fewer than FEWEST characters none is added.
    """
    counts = Counter(sample.name for sample in samples)
    before = set(earlier)
    found = {name for name in counts if hashed(name) in before}
    if len(counts) < FEWEST:
        return found
    taken = sum(counts[name] for name in found)
    for name in sorted(counts.keys() - found, key=order):
        if taken >= share * len(samples):
            break
        found.add(name)
        taken += counts[name]
    return found


def in_ratio(
    samples: Sequence[Sample], shipped: int, replay: float
) -> tuple[list[Sample], list[Dropped]]:
    """As many samples as leave the shipped records their share (`replay`, in [0, 1)) of all."""
    most = int(shipped * (1 - replay) / replay + 1e-9) if replay else len(samples)
    detail = f"{shipped} shipped records leave room for {most}"
    return list(samples[:most]), [Dropped(s.id, "ratio", detail) for s in samples[most:]]
