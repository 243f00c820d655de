"""The figures of the data card, as Markdown between marks, so that they cannot drift.

What is counted is written anew by a test; what is measured (similarities, shortcuts) is slow, so
the card says of which data it was measured, and the test compares that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import RunError
from daydream_motives.settings import shipped
from daydream_motives.training.dataset.build import products
from daydream_motives.training.dataset.pairs import Pair

COUNTS, MEASURED = "counts", "measured"


def default_card() -> Path:
    """The data card of the project."""
    return shipped("training") / "data" / "CARD.md"


def data_hash(pairs: Sequence[Pair]) -> str:
    """Twelve hexadecimal digits for all built files of these pairs."""
    digest = hashlib.sha256()
    for name, text in sorted(products(pairs).items()):
        digest.update(f"{name}\n{text}".encode())
    return digest.hexdigest()[:12]


def counts_table(figures: Mapping[str, Any]) -> str:
    """What there is, as a Markdown table."""
    f = figures

    def several(rows: Sequence[tuple[str, int]], most: int, of: int = 0) -> str:
        said = [
            f"{name.replace('_', ' ')} {n / of:.1%}" if of else f"{name.replace('_', ' ')} {n}"
            for name, n in rows[:most]
        ]
        return ", ".join(said) + (f" and {len(rows) - most} more" if len(rows) > most else "")

    rows = [
        ("pairs", f"{f['pairs']:,} in {f['scenes']:,} scenes with {f['people']:,} people"),
        ("for training, validation, test", ", ".join(f"{n:,}" for n in f["splits"].values())),
        ("contrast sets", f"{f['contrast_sets']:,} with {f['in_contrast_sets']:,} pairs; "
         f"{f['sets_of_people']:,} of several people, the others of one person with one tie or "
         "memory changed"),
        ("rejected answers", f"{f['preferences']:,} of {f['with_rejected']:,} pairs: "
         + several(f["rejected_why"], 9)),
        ("occupations", f"{f['occupations']:,}"),
        ("MBTI", several(f["mbti"], 16, f["pairs"])),
        ("ages", several(f["ages"], 12)),
        ("worlds", several(f["worlds"], 40, f["pairs"])),
        ("ratings", several(f["ratings"], 3)),
        ("names by language", several(f["tongues"], 12)),
        ("names by script", several(f["scripts"], 12)),
        ("kinds of tie", f"{len(f['kinds']) - len(f['kinds_missing'])} of {len(f['kinds'])}"),
        ("words of a purpose", f"{f['lengths'][0][0]:g} to {f['lengths'][-1][0]:g}, median "
         f"{f['length_median']:g}" if f["lengths"] else "none"),
        ("distinct-2 of all purposes", f"{f['distinct_2']:.3f}"),
        ("main verbs", f"{f['verbs_different']:,}; most frequent: "
         + several(f["verbs"][:10], 10, f["purposes"])),
        ("verb right behind the name", f"{f['verb_at_once'] / f['purposes']:.1%}"),
        ("openings, most frequent", "; ".join(
            f"“{words}” {n / f['purposes']:.2%}" for words, n in f["openings"])),
        ("near-duplicates", str(f["near_duplicates"])),
        ("purposes with unknown names", str(f["unknown_names"])),
    ]  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def measured_table(figures: Mapping[str, Any], hashed: str) -> str:
    """What was measured, and of which data."""
    lines = [f"Measured on the data with hash `{hashed}`.", "", "| | |", "|---|---|"]
    if meaning := figures["similarity"]:
        for name in ("records", "scenes"):
            best = meaning[f"across_{name}"]
            cosine = f"{best['cosine']:.3f}" if best else "none"
            lines.append(f"| largest {meaning['model']} similarity across {name} | {cosine} |")
        lines += [
            f"| purposes with one of another decision at {meaning['close_bound']} or above | "
            f"{meaning['close']} |",
            f"| similarity within a decision | median {meaning['within_median']:.3f}, 95th "
            f"percentile {meaning['within_95']:.3f} |",
        ]
    lines += [
        f"| word overlap, {line['name']} ({line['pairs']:,} pairs) | {line['accuracy']:.1%} right "
        f"({line['low']:.1%} to {line['high']:.1%}), chance {line['chance']:.1%} |"
        for line in figures["shortcuts"]
    ]
    return "\n".join(lines)


def between(text: str, mark: str) -> str:
    """What stands between the marks of this name; raises RunError where they are not."""
    return text[slice(*_inside(text, mark))].strip("\n")


def _inside(text: str, mark: str) -> tuple[int, int]:
    start, end = (text.find(f"<!-- {sign}{mark} -->\n") for sign in ("", "/"))
    if not 0 <= start < end:
        raise RunError(
            f"the card has no marks for {mark}",
            remedy=f"put <!-- {mark} --> and <!-- /{mark} --> on lines of their own",
        )
    return start + len(f"<!-- {mark} -->\n"), end


def write_card(path: Path, figures: Mapping[str, Any], pairs: Sequence[Pair]) -> None:
    """Put the figures between the marks of the card; raises RunError where that cannot be."""
    tables = {
        COUNTS: counts_table(figures),
        MEASURED: measured_table(figures, data_hash(pairs)),
    }
    fill(path, tables)


def fill(path: Path, tables: Mapping[str, str]) -> None:
    """Put each text between the marks of its name; raises RunError where that cannot be."""
    try:
        text = path.read_text(encoding="utf-8")
        for mark, table in tables.items():
            start, end = _inside(text, mark)
            text = f"{text[:start]}{table}\n{text[end:]}"
        write_atomic(path, text)
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise RunError(f"{path} cannot be written: {why}", remedy="choose another card") from exc
