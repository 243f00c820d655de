"""What can be said of answers by their words alone. Knows no models and no embeddings.

Each function gives for every answer what is summed above and below the line of its figure.
Distinct-2 (Li and others, 2016) is written as a sum too: each bigram counts for one by how often it
comes in all answers. Self-BLEU (Zhu and others, 2018): BLEU-4 of each purpose against all others,
with 0.1 for matches where there are none (method 1 of Chen and Cherry, 2014).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from daydream_motives.characters.words import content_words
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.names import WORD, allowed_words, unknown_names
from daydream_motives.motives.purposes import MAX_WORDS, NEAR_DUPLICATE, RANKS, alike
from daydream_motives.training.dataset.repeats import near_duplicates
from daydream_motives.training.judging.questions import Question

Texts = Sequence[Sequence[str]]  # of each question its answer's purposes
Row = tuple[float, float]
_ORDERS = (1, 2, 3, 4)
_NO_MATCH = 0.1
_COPIED = 4


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    """Runs of n words, in lower case."""
    words = [word.casefold() for word in WORD.findall(text)]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def is_valid(purposes: Sequence[str], fault: str = "") -> bool:
    """Whether it is an answer the game can take as it is: three different purposes, a line each."""
    return (
        not fault
        and len(purposes) == RANKS
        and all(
            any(char.isalnum() for char in text)
            and len(text.splitlines()) == 1
            and len(text.split()) <= MAX_WORDS
            for text in purposes
        )
        and not _twins(purposes)
    )


def twins(answers: Texts) -> list[Row]:
    """Of the pairs of purposes of one answer, those that share most of their words."""
    return [(_twins(a), math.comb(len(a), 2)) for a in answers]


def _twins(purposes: Sequence[str]) -> int:
    return sum(alike(a, b) >= NEAR_DUPLICATE for a, b in combinations(purposes, 2))


def repeats(questions: Sequence[Question], answers: Texts) -> list[Row]:
    """Purposes that nearly repeat one of another answer, the characters' names left out."""
    names = content_words(" ".join(q.fields[FIELDS[0]] for q in questions))
    texts = {
        (i, j): content_words(text) - names
        for i, answer in enumerate(answers)
        for j, text in enumerate(answer)
    }
    again = {key for a, b, _ in near_duplicates(texts) if a[0] != b[0] for key in (a, b)}
    return [
        (sum((i, j) in again for j in range(len(answer))), len(answer))
        for i, answer in enumerate(answers)
    ]


def distinct_2(answers: Texts) -> list[Row]:
    """Different runs of two words by all of them."""
    told = [[gram for text in answer for gram in grams(text, 2)] for answer in answers]
    often = Counter(gram for some in told for gram in some)
    return [(sum(1 / often[gram] for gram in some), len(some)) for some in told]


def self_bleu(answers: Texts) -> list[Row]:
    """How much each purpose could be put together from all others: 0 not at all, 1 wholly."""
    flat = [(i, text) for i, answer in enumerate(answers) for text in answer]
    counts = [{n: Counter(grams(text, n)) for n in _ORDERS} for _, text in flat]
    most: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for at, one in enumerate(counts):
        for counter in one.values():
            for gram, count in counter.items():
                most[gram] = sorted([*most[gram], (count, at)], reverse=True)[:2]
    lengths = sorted(sum(one[1].values()) for one in counts)
    rows = [[0.0, 0.0] for _ in answers]
    for at, (i, _) in enumerate(flat):
        if len(flat) > 1:
            elsewhere = {
                gram: next((count for count, other in most[gram] if other != at), 0)
                for counter in counts[at].values()
                for gram in counter
            }
            rows[i][0] += _bleu(counts[at], elsewhere, lengths)
        rows[i][1] += 1
    return [(above, below) for above, below in rows]


def _bleu(
    mine: dict[int, Counter[tuple[str, ...]]],
    elsewhere: dict[tuple[str, ...], int],
    lengths: Sequence[int],
) -> float:
    length = sum(mine[1].values())
    total = 0.0
    for n in _ORDERS:
        whole = max(1, sum(mine[n].values()))
        matched = sum(min(count, elsewhere[gram]) for gram, count in mine[n].items())
        if n == 1 and not matched:
            return 0.0
        total += math.log((matched or _NO_MATCH) / whole)
    others = list(lengths)
    others.remove(length)
    at = bisect_left(others, length)
    nearest = min(others[max(0, at - 1) : at + 1], key=lambda n: (abs(n - length), n))
    brevity = 1.0 if length >= nearest else math.exp(1 - nearest / length)
    return brevity * math.exp(total / len(_ORDERS))


def copied(questions: Sequence[Question], answers: Texts) -> list[Row]:
    """Runs of four words that stand in the prompt too."""
    rows = []
    for question, answer in zip(questions, answers, strict=True):
        told = {gram for text in question.fields.values() for gram in grams(text, _COPIED)}
        mine = [gram for text in answer for gram in grams(text, _COPIED)]
        rows.append((float(sum(gram in told for gram in mine)), float(len(mine))))
    return rows


def unknown(questions: Sequence[Question], answers: Texts) -> list[Row]:
    """Purposes that name somebody or something the prompt does not tell."""
    rows = []
    for question, answer in zip(questions, answers, strict=True):
        allowed = allowed_words(question.told)
        found = sum(bool(unknown_names(text, allowed, question.told)) for text in answer)
        rows.append((float(found), float(len(answer))))
    return rows


def lengths(answers: Texts) -> list[Row]:
    """Words of a purpose."""
    return [(float(sum(len(t.split()) for t in answer)), float(len(answer))) for answer in answers]
