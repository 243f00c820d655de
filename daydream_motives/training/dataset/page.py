"""The report of the dataset: one HTML page, self-contained. The same data gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from daydream_motives.training.dataset.pairs import Pair, contrast_sets
from daydream_motives.training.dataset.pictures import bars
from daydream_motives.training.pages import templates

_EXAMPLES = 4
_SHOWN = 20


def page(figures: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """The page of these figures, with some contrast sets to read."""
    template = templates().get_template("dataset.html")
    return template.render(
        f=figures,
        shown=_SHOWN,
        pictures=_pictures(figures),
        examples=_examples(pairs),
    )


def _pictures(figures: Mapping[str, Any]) -> dict[str, Markup]:
    """Every picture by its key."""

    def edges(rows: Sequence[tuple[float, int]]) -> list[tuple[str, int]]:
        return [(f"{edge:g}", n) for edge, n in rows]

    def drawn(key: str, title: str, unit: str, rows: Sequence[tuple[str, int]]) -> Markup:
        return bars(rows, key=key, title=title, unit=unit)

    found = {
        "ages": drawn("ages", "Ages of those who decide", "pairs",
                      [(age[:2].lstrip("0") or "0", n) for age, n in figures["ages"]]),
        "lengths": drawn("lengths", "Words of a purpose", "purposes", edges(figures["lengths"])),
        "tokens": drawn("tokens", "Tokens of a context, counted roughly", "pairs",
                        edges(figures["context_tokens"])),
    }  # fmt: skip
    if meaning := figures["similarity"]:
        found["within"] = drawn(
            "within", "Similarity of two purposes of one decision", "twos", edges(meaning["within"])
        )
        found["nearest"] = drawn(
            "nearest", "Similarity to the nearest purpose of another scene", "purposes",
            edges(meaning["nearest"]),
        )  # fmt: skip
    return found


def _examples(pairs: Sequence[Pair]) -> list[tuple[str, str, list[Pair]]]:
    """Some contrast sets, chosen by the hash of their labels: (label, kind, pairs)."""
    sets = sorted(
        contrast_sets(pairs), key=lambda one: hashlib.sha256(one.label.encode()).hexdigest()
    )
    chosen = [one for one in sets if one.of_people][: _EXAMPLES // 2]
    chosen += [one for one in sets if not one.of_people][: _EXAMPLES // 2]
    return [
        (one.label.split("/")[0], "several people" if one.of_people else "one thing changed",
         list(one.pairs))
        for one in chosen
    ]  # fmt: skip
