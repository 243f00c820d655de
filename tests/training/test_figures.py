"""Figures of the data: verbs against a sample read by hand, repeats, similarity, shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_texts import SCENE, save, spoilt

from daydream_motives.training.dataset.book import read_book
from daydream_motives.training.dataset.figures import demands, figures_of, script
from daydream_motives.training.dataset.pairs import Pair, contrast_sets
from daydream_motives.training.dataset.repeats import LEAST, SHARE, near_duplicates
from daydream_motives.training.dataset.rules import check
from daydream_motives.training.dataset.shortcuts import (
    Overlap,
    giveaways,
    in_sets,
    shortcuts,
    unmasked,
    without_names,
    without_pronouns,
)
from daydream_motives.training.dataset.similarity import Vectors, closest, within
from daydream_motives.training.dataset.verbs import lemma, main_verb, opening, verb_at_once

BY_HAND = Path(__file__).parent / "verbs_by_hand.tsv"


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    return check(read_book([save(tmp_path, SCENE)]))[0]


# Verbs


def test_main_verbs_are_those_a_reader_finds() -> None:
    """60 purposes drawn at random from the book, then 30 in which no verb follows the name."""
    rows = [line.split("\t") for line in BY_HAND.read_text(encoding="utf-8").splitlines()]
    wrong = [(verb, text) for verb, name, text in rows if main_verb(text, name) != verb]
    assert len(rows) == 90
    assert len(wrong) <= 2, wrong


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("Jo, still in her apron, hurries to the weir.", "hurry"),
        ("Jo Bright-Lee quickly fetches it.", "fetch"),
        ("Jo will not go.", "go"),
        ("Jo has it fetched.", "have"),
        ("Jo is wiping the table.", "wiping"),
        ("Jo is out of the door.", "be"),
        ("Jo tap-dances.", "tap-dance"),
        ("Jo.", ""),
        ("Jo, of course.", "of"),
        ("", ""),
    ],
)
def test_a_main_verb_may_stand_behind_other_words(text: str, verb: str) -> None:
    assert main_verb(text, "Jo") == verb


@pytest.mark.parametrize(
    ("word", "plain"),
    [("carries", "carry"), ("goes", "go"), ("watches", "watch"), ("kisses", "kiss"),
     ("dies", "die"), ("uses", "use"), ("press", "press"), ("does", "do"), ("ties", "tie")],
)  # fmt: skip
def test_a_verb_is_brought_to_its_plain_form(word: str, plain: str) -> None:
    assert lemma(word) == plain


def test_an_opening_is_three_words_after_the_name() -> None:
    assert opening("Jo, sits down on it.", "Jo") == "sits down on"
    assert verb_at_once("Jo sits down.", "Jo")
    assert not verb_at_once("Jo, tired, sits down.", "Jo")
    assert not verb_at_once("Jo will sit down.", "Jo")


# Repeats


@given(st.lists(st.frozensets(st.sampled_from("abcdefghij"), max_size=8), max_size=12))
def test_every_near_duplicate_is_found_and_nothing_else(texts: list[frozenset[str]]) -> None:
    found = {(a, b) for a, b, _ in near_duplicates(dict(enumerate(texts)))}
    expected = {
        (a, b)
        for b, y in enumerate(texts)
        for a, x in enumerate(texts[:b])
        if len(x & y) >= LEAST and len(x & y) / len(x | y) >= SHARE
    }
    assert found == expected


def test_a_text_that_is_half_of_another_is_found_by_its_common_words() -> None:
    whole, half = frozenset("abcdefgh"), frozenset("efgh")
    assert near_duplicates({1: whole, 2: half}) == [(1, 2, 0.5)]
    assert near_duplicates({1: half, 2: whole}) == [(1, 2, 0.5)]
    assert near_duplicates({1: whole | {"i"}, 2: half}) == []


# Similarity


def test_the_nearest_is_looked_for_in_other_groups() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    found = closest(vectors, ["a", "a", "b"])
    assert [(one.a, one.b) for one in found] == [(0, 2), (1, 2), (2, 1)]
    assert [round(one.cosine, 3) for one in found] == [0, 0.6, 0.6]
    assert within(vectors, ["a", "a", "b"]) == pytest.approx([0.8])
    assert closest(vectors, ["a", "a", "a"]) == []


def letters(texts: Sequence[str]) -> Vectors:
    """Embeddings for when no model is there: how often each letter comes."""
    rows = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_all_figures_are_there(pairs: list[Pair]) -> None:
    figures = figures_of(pairs, letters)
    assert (figures["pairs"], figures["in_contrast_sets"], figures["with_rejected"]) == (3, 2, 1)
    assert figures["ages"] == [("10–19", 1), ("60–69", 2)]
    assert figures["tongues"] == [("Icelandic", 2)]
    assert dict(figures["kinds"])["grandchild"] == 2
    assert figures["unknown_names"] == figures["near_duplicates"] == 0
    assert 0 < figures["similarity"]["across_records"]["cosine"] <= 1
    assert figures["similarity"]["across_scenes"] is None
    held = {one.name: one.holds for one in demands(figures)}
    assert held["near-duplicates"]
    assert not held["pairs"]


def test_figures_see_what_is_wrong(tmp_path: Path) -> None:
    text = spoilt("Oddny chains the wheel", "Oddny chains Halldor")
    twice = spoilt("id: sluice-at-lower-mill", "id: other", text)
    figures = figures_of(check(read_book([save(tmp_path, f"{text}---\n{twice}")]))[0])
    assert figures["unknown_names"] == 2
    assert figures["near_duplicates"] == 15
    assert not any(d["holds"] for d in figures["demands"] if "unknown" in d["name"])


def test_nothing_has_figures_too() -> None:
    assert figures_of([])["pairs"] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Zoë", "Latin"), ("李秀英", "Han"), ("ناهيد", "Arabic"), ("Օվսաննա", "Armenian"),
     ("ʻAna", "Latin"), ("7", "Unknown")],
)  # fmt: skip
def test_the_script_of_a_name(name: str, expected: str) -> None:
    assert script(name) == expected


# Shortcuts

ECHO = """\
id: echo
world: sea
rating: everyone
happened: [The bell has cracked.]
people:
  ada: {tongue: Danish, name: Ada, pronouns: she/her, age: 30, occupation: weaver,
        wants: [purple thread], personality: {mbti: INFP}}
  bo: {tongue: Danish, name: Bo, pronouns: he/him, age: 30, occupation: smith,
       wants: [hotter charcoal], personality: {mbti: ESTP}}
decisions:
  - {who: ada, contrast: c, purposes: [Ada buys purple thread, Ada dyes thread, Ada sells it]}
  - {who: bo, contrast: c, purposes: [Bo buys charcoal, Bo burns hotter charcoal, Bo sells it]}
"""
SILENT = ECHO.replace("[purple thread]", "[glory]").replace("[hotter charcoal]", "[silence]")


def test_a_set_that_echoes_its_sheets_is_given_away(tmp_path: Path) -> None:
    pairs, _ = check(read_book([save(tmp_path, ECHO)]))
    sets = contrast_sets(pairs)
    overlap = Overlap(pairs, without_names)
    (away,) = giveaways(overlap, sets)
    assert (away.label, away.solved) == ("echo/c", 1.0)
    assert away.place.endswith("a01.yaml:11")
    assert [words[0] for _, words in away.words] == ["thread", "charcoal"]
    assert in_sets(overlap, "x", sets).accuracy == 1


def test_a_set_without_any_echo_is_left_to_chance(tmp_path: Path) -> None:
    pairs, _ = check(read_book([save(tmp_path, SILENT)]))
    overlap = Overlap(pairs, without_pronouns)
    found = in_sets(overlap, "x", contrast_sets(pairs))
    assert giveaways(overlap, contrast_sets(pairs)) == []
    assert (found.accuracy, found.chance, found.within_noise) == (0.5, 0.5, True)


def test_names_give_everything_away_unless_they_are_masked(tmp_path: Path) -> None:
    pairs, _ = check(read_book([save(tmp_path, SILENT)]))
    assert in_sets(Overlap(pairs, unmasked), "x", contrast_sets(pairs)).accuracy == 1
    assert without_names(pairs[0], "Ada's Bo adapts") == "s adapts"


def test_without_contrast_sets_there_is_nothing_to_tell(pairs: list[Pair]) -> None:
    assert [line.pairs for line in shortcuts(pairs[1:2])] == [0] * 6
