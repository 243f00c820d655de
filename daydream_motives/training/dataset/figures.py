"""Everything that is counted of the dataset, as plain data. Draws nothing, loads no model.

Shares are of the pairs, of their three purposes each, or of the people of all scenes, as named.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from daydream_motives.characters.kinds import KINDS
from daydream_motives.characters.sheet import MBTI_TYPES
from daydream_motives.training.dataset.book import folded
from daydream_motives.training.dataset.build import preferences_of, units_of
from daydream_motives.training.dataset.pairs import Pair, contrast_sets
from daydream_motives.training.dataset.rules import repeated
from daydream_motives.training.dataset.rules_of_pairs import unknown_finder
from daydream_motives.training.dataset.scenes import WORLDS
from daydream_motives.training.dataset.similarity import (
    CLOSE,
    MODEL,
    Closest,
    Embed,
    closest,
    within,
)
from daydream_motives.training.dataset.split import LEAST, sizes, split
from daydream_motives.training.dataset.verbs import main_verb, opening, verb_at_once

Rows = list[tuple[str, int]]
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_FORMS = (
    "because", "since", "so that", "lest", "hoping", "before", "for", "and so", "rather than",
    "until", "in case", "to",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that the dataset must be: what, the figure, the bound and whether it holds."""

    name: str
    value: float
    bound: float
    at_least: bool
    percent: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def counted(pairs: Sequence[Pair]) -> dict[str, Any]:
    """What there is: counts by kind, all of it quick to compute."""
    scenes = {pair.scene.id: pair.scene for pair in pairs}
    people = [person for scene in scenes.values() for person in scene.people.values()]
    sets = contrast_sets(pairs)
    units = units_of(pairs)
    parts = split(units)
    rejected = [pair for pair in pairs if pair.record.rejected]
    kinds = Counter(
        kind
        for scene in scenes.values()
        for tie in (*scene.ties, *(tie for record in scene.decisions for tie in record.ties))
        for kind in tie.kinds
    )
    return {
        "scenes": len(scenes),
        "pairs": len(pairs),
        "people": len(people),
        "contrast_sets": len(sets),
        "in_contrast_sets": sum(len(one.pairs) for one in sets),
        "sets_of_people": sum(one.of_people for one in sets),
        "with_rejected": len(rejected),
        "preferences": sum(len(preferences_of(pair)) for pair in rejected),
        "rejected_why": tallied(a.why for pair in rejected for a in pair.record.rejected),
        "occupations": len({folded(pair.sheet.occupation) for pair in pairs}),
        "mbti": [(name, n) for name in sorted(MBTI_TYPES)
                 for n in [sum(p.sheet.personality.mbti == name for p in pairs)]],
        "worlds": _all(WORLDS, (pair.scene.world for pair in pairs)),
        "ratings": tallied(pair.scene.rating for pair in pairs),
        "ages": sorted(tallied(f"{pair.sheet.age // 10 * 10:02}–{pair.sheet.age // 10 * 10 + 9:02}"
                             for pair in pairs if pair.sheet.age is not None)),
        "occupations_most": tallied(pair.sheet.occupation for pair in pairs)[:16],
        "tongues": tallied(person.tongue for person in people),
        "scripts": tallied(script(person.name) for person in people),
        "kinds": _all(KINDS, kinds.elements()),
        "kinds_missing": sorted(set(KINDS) - set(kinds)),
        "splits": sizes(units, parts),
        "context_tokens": histogram([pair.context.tokens for pair in pairs], 25),
        "budgets": tallied(str(pair.scene.budget or 400) for pair in pairs),
    }  # fmt: skip


def wording_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """How the purposes are worded: lengths, openings, verbs, forms of reason, repeats."""
    texts = [(text, pair.sheet.short_name) for pair in pairs for text in pair.record.purposes]
    lengths = [len(text.split()) for text, _ in texts]
    verbs = Counter(main_verb(text, name) or "?" for text, name in texts)
    openings = Counter(opening(text, name) for text, name in texts)
    bigrams = [
        two
        for text, _ in texts
        for words in [[w.casefold() for w in _WORD.findall(text)]]
        for two in pairwise(words)
    ]
    unknown = 0
    for pair in pairs:
        names_of = unknown_finder(pair)
        unknown += sum(bool(names_of(text)) for text in pair.record.purposes)
    return {
        "purposes": len(texts),
        "lengths": histogram(lengths, 1),
        "length_median": float(np.median(lengths)) if lengths else 0.0,
        "distinct_2": len(set(bigrams)) / len(bigrams) if bigrams else 0.0,
        "verbs": verbs.most_common(20),
        "verbs_different": len(verbs),
        "verb_at_once": sum(verb_at_once(text, name) for text, name in texts),
        "openings": openings.most_common(10),
        "reasons": tallied(form for text, _ in texts for form in [_reason(text)]),
        "near_duplicates": len(repeated([pair.written for pair in pairs])),
        "unknown_names": unknown,
    }


def similarities(pairs: Sequence[Pair], embed: Embed) -> dict[str, Any]:
    """How close purposes are in meaning, within a decision and across."""
    texts = [text for pair in pairs for text in pair.record.purposes]
    records = [pair.where for pair in pairs for _ in range(3)]
    scenes = [pair.scene.id for pair in pairs for _ in range(3)]
    vectors = embed(texts)
    inside = within(vectors, records)
    across, apart = closest(vectors, records), closest(vectors, scenes)

    def most(found: list[Closest]) -> dict[str, Any] | None:
        best = max(found, key=lambda one: one.cosine, default=None)
        if best is None:
            return None
        return {
            "cosine": best.cosine, "texts": [texts[best.a], texts[best.b]],
            "records": [records[best.a], records[best.b]],
        }  # fmt: skip

    return {
        "model": MODEL,
        "across_records": most(across),
        "across_scenes": most(apart),
        "close_bound": CLOSE,
        "close": len({frozenset((one.a, one.b)) for one in across if one.cosine >= CLOSE}),
        "within_median": float(np.median(inside)) if inside else 0.0,
        "within_95": float(np.quantile(inside, 0.95)) if inside else 0.0,
        "within": histogram(inside, 0.05),
        "nearest": histogram([one.cosine for one in apart], 0.05),
    }


def demands(figures: dict[str, Any]) -> list[Demand]:
    """What the dataset must be, as far as `figures` say."""
    whole = max(1, figures["pairs"])
    purposes = max(1, figures["purposes"])

    def share(rows: Rows, of: int) -> float:
        return max((n for _, n in rows), default=0) / of

    found = [
        Demand("pairs", figures["pairs"], 1800, True),
        Demand("pairs in contrast sets", figures["in_contrast_sets"], 600, True),
        Demand("pairs with two rejected answers", figures["with_rejected"], 600, True),
        Demand("occupations", figures["occupations"], 300, True),
        Demand("rarest MBTI type", min(n for _, n in figures["mbti"]) / whole, 0.03, True, True),
        Demand("worlds", sum(n > 0 for _, n in figures["worlds"]), 12, True),
        Demand("largest world", share(figures["worlds"], whole), 0.15, False, True),
        Demand("pairs for the test", figures["splits"]["test"], LEAST["test"], True),
        Demand("pairs for validation", figures["splits"]["validation"], LEAST["validation"], True),
        Demand("most frequent opening", share(figures["openings"], purposes), 0.03, False, True),
        Demand("most frequent main verb", share(figures["verbs"], purposes), 0.06, False, True),
        Demand("near-duplicates", figures["near_duplicates"], 0, False),
        Demand("purposes with unknown names", figures["unknown_names"], 0, False),
    ]
    if meaning := figures.get("similarity"):
        found.append(Demand(f"purposes {MODEL} finds the same", meaning["close"], 0, False))
    if lines := figures.get("shortcuts"):
        gap = lines[0]["low"] - lines[0]["chance"]
        found.append(Demand("word overlap beyond chance, at least", max(0.0, gap), 0, False, True))
    return found


def figures_of(pairs: Sequence[Pair], embed: Embed | None = None) -> dict[str, Any]:
    """All figures; the slow ones are the shortcut test and, with `embed`, the similarities."""
    from daydream_motives.training.dataset.shortcuts import shortcuts

    figures = counted(pairs) | wording_of(pairs)
    figures["similarity"] = similarities(pairs, embed) if embed else None
    figures["shortcuts"] = [
        asdict(line) | {"within_noise": line.within_noise} for line in shortcuts(pairs)
    ]
    figures["demands"] = [asdict(one) | {"holds": one.holds} for one in demands(figures)]
    return figures


def script(name: str) -> str:
    """The script of a name's first letter: Latin, Arabic, Han …"""
    letter = next((c for c in name if c.isalpha() and unicodedata.category(c) != "Lm"), "")
    word = unicodedata.name(letter, "UNKNOWN").split(" ")[0] if letter else "UNKNOWN"
    return {"CJK": "Han"}.get(word, word.capitalize())


def _reason(text: str) -> str:
    """How the reason is given: the first of the known forms, or in another way."""
    lowered = f" {text.casefold()} "
    at = {form: lowered.find(f" {form} ") for form in _FORMS if f" {form} " in lowered}
    strong = [form for form in at if form not in ("to", "for", "before", "until")]
    if strong:
        return min(strong, key=lambda form: at[form])
    return "to" if re.search(r", to [a-z]+", lowered) else "another way"


def tallied(values: Iterable[str]) -> Rows:
    """Counts, the most first, then by name."""
    return sorted(Counter(values).items(), key=lambda row: (-row[1], row[0]))


def _all(names: Iterable[str], values: Iterable[str]) -> Rows:
    """Counts of every name, also of those that never come."""
    counts = Counter(values)
    return sorted(((name, counts[name]) for name in names), key=lambda row: (-row[1], row[0]))


def histogram(values: Sequence[float], width: float) -> list[tuple[float, int]]:
    """(lower edge, how many) of each bar, empty ones between too."""
    if not values:
        return []
    bars = Counter(math.floor(value / width + 1e-9) for value in values)
    return [(round(bar * width, 6), bars[bar]) for bar in range(min(bars), max(bars) + 1)]
