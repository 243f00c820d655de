"""The book of motives that ships: every rule holds, what is built is new, the card is true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daydream_motives.training.dataset.book import default_folder, folded, read_book, scene_files
from daydream_motives.training.dataset.build import default_target, manifest_of, products
from daydream_motives.training.dataset.card import (
    COUNTS,
    MEASURED,
    between,
    counts_table,
    data_hash,
    default_card,
)
from daydream_motives.training.dataset.figures import counted, demands, wording_of
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.rules import check
from daydream_motives.training.folder import MANIFEST

BUILT = pytest.mark.skipif(
    not (default_target() / MANIFEST).exists(), reason="nothing is built (data build)"
)
Checked = tuple[list[Pair], list[Finding]]


@pytest.fixture(scope="module")
def book() -> Checked:
    return check(read_book(scene_files(default_folder())))


@pytest.fixture(scope="module")
def figures(book: Checked) -> dict[str, Any]:
    return counted(book[0]) | wording_of(book[0])


@BUILT
def test_every_rule_holds(book: Checked) -> None:
    assert [str(finding) for finding in book[1]] == []


@BUILT
def test_what_is_built_is_of_these_scenes(book: Checked) -> None:
    target, files = default_target(), products(book[0])
    stale = [
        name for name, text in files.items() if (target / name).read_bytes().decode("utf-8") != text
    ]
    assert stale == [], "run: python -m daydream_motives.training data build"
    told = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    assert told == manifest_of(book[0], files)


@BUILT
def test_nobody_is_on_two_sides() -> None:
    """Looked at from the files alone: whoever is asked in one part is asked in no other."""
    names = {}
    for part in ("train", "validation", "test"):
        rows = (default_target() / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        for row in rows:
            name = json.loads(json.loads(row)["conversations"][0]["value"])["Character_name"]
            assert names.setdefault(folded(name), part) == part


@BUILT
def test_it_is_as_large_and_as_varied_as_it_must_be(figures: dict[str, Any]) -> None:
    assert [one.name for one in demands(figures) if not one.holds] == []


@BUILT
def test_the_card_tells_these_figures(book: Checked, figures: dict[str, Any]) -> None:
    text = default_card().read_text(encoding="utf-8")
    remedy = "run: python -m daydream_motives.training data report --card"
    assert between(text, COUNTS) == counts_table(figures), remedy
    assert f"hash `{data_hash(book[0])}`" in between(text, MEASURED), remedy
