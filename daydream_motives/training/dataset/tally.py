"""A short count of what some scene files hold, for whoever is writing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from daydream_motives.characters.sheet import MBTI_TYPES, first_name
from daydream_motives.training.dataset.book import Book, folded
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.verbs import main_verb, opening


def tally(book: Book, pairs: Sequence[Pair]) -> str:
    """Lines of figures: counts, MBTI, verbs and openings used most, names used twice, words."""
    records = [pair.record for pair in pairs]
    sets = Counter((pair.scene.id, pair.record.contrast) for pair in pairs if pair.record.contrast)
    sheets = [pair.scene.people[pair.record.who] for pair in pairs]
    types = Counter(sheet.personality.mbti for sheet in sheets)
    texts = [
        (text, sheet.short_name)
        for record, sheet in zip(records, sheets, strict=True)
        for text in record.purposes
    ]
    lengths = sorted(len(text.split()) for text, _ in texts) or [0]
    firsts = Counter(
        folded(next(iter(first_name(person.name)), person.name))
        for scene in book.scenes
        for person in scene.people.values()
    )
    ages = Counter(sheet.age // 10 * 10 for sheet in sheets if sheet.age is not None)
    unheard = [
        pair.where
        for pair in pairs
        for text in pair.scene.full(pair.record).remembers or ()
        if text.rstrip(".").casefold() not in pair.context.text.casefold()
    ]
    count = len(texts) or 1
    verbs = Counter(main_verb(text, name) for text, name in texts)
    openings = Counter(opening(text, name) for text, name in texts)
    rows = [
        ("scenes", str(len(book.written))),
        ("decisions", str(len(records))),
        ("in contrast sets", f"{sum(sets.values())} in {len(sets)} sets"),
        ("with rejected", str(sum(bool(record.rejected) for record in records))),
        ("occupations", str(len({folded(sheet.occupation) for sheet in sheets}))),
        ("MBTI", ", ".join(f"{name} {types[name]}" for name in sorted(MBTI_TYPES))),
        ("ages", ", ".join(f"{age}s {ages[age]}" for age in sorted(ages))),
        ("first verbs", _most(verbs, count)),
        ("openings", _most(openings, count)),
        ("first names twice", ", ".join(sorted(n for n, c in firsts.items() if c > 1)) or "none"),
        (
            "words per purpose",
            f"{lengths[0]} to {lengths[-1]}, median {median(lengths):g}, "
            f"under 14: {sum(n < 14 for n in lengths) / count:.0%}, "
            f"over 24: {sum(n > 24 for n in lengths) / count:.0%}",
        ),
        ("memories left out of their context", ", ".join(dict.fromkeys(unheard)) or "none"),
    ]
    return "\n".join(f"{name}: {value}" for name, value in rows)


def _most(counts: Counter[str], whole: int, most: int = 10) -> str:
    return ", ".join(f"{key or '?'} {n} ({n / whole:.1%})" for key, n in counts.most_common(most))
