"""Figures of words alone, each worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import BREAD, NETS, question

from daydream_motives.training.judging import texts

FINE = ("Ada bakes dark bread.", "Bo mends torn nets.", "Cy saws long planks.")


@pytest.mark.parametrize(
    ("purposes", "fault", "valid"),
    [
        (FINE, "", True),
        (FINE, "no JSON", False),
        (FINE[:2], "", False),
        ((), "", False),
        ((*FINE[:2], " …"), "", False),
        ((*FINE[:2], "Cy saws\nlong planks."), "", False),
        ((*FINE[:2], "word " * 61), "", False),
        ((*FINE[:2], "word " * 60), "", True),
        ((*FINE[:2], "Bo mends the torn nets again."), "", False),
    ],
)
def test_an_answer_is_valid_or_not(purposes: tuple[str, ...], fault: str, valid: bool) -> None:
    assert texts.is_valid(purposes, fault) is valid


def test_distinct_2_counts_different_runs_of_two_words() -> None:
    # a b, b c | a b, b d: three different ones of four.
    rows = texts.distinct_2([["a b c"], ["A b, d"]])
    assert rows == [(1.5, 2), (1.5, 2)]
    assert texts.distinct_2([["alone"], []]) == [(0, 0), (0, 0)]


@given(st.lists(st.lists(st.text("abc ", max_size=12), max_size=3), max_size=5))
def test_distinct_2_is_types_by_tokens(answers: list[list[str]]) -> None:
    rows = texts.distinct_2(answers)
    every = [gram for answer in answers for text in answer for gram in texts.grams(text, 2)]
    assert sum(above for above, _ in rows) == pytest.approx(len(set(every)))
    assert sum(below for _, below in rows) == len(every)


@pytest.mark.parametrize(
    ("a", "b", "first"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b c d", "e f g h", 0.0),
        ("a b c d e", "a b c d f", (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25),
        # One of four words is in the other: the rest count as 0.1.
        ("the the the the", "the cat sat down", (1 / 4 * 0.1 / 3 * 0.1 / 2 * 0.1) ** 0.25),
        ("a b c d", "a b c d e f", math.exp(1 - 6 / 4)),
    ],
)
def test_self_bleu_by_hand(a: str, b: str, first: float) -> None:
    rows = texts.self_bleu([[a], [b]])
    assert rows[0] == (pytest.approx(first), 1)


def test_self_bleu_takes_the_best_of_all_others_but_never_itself() -> None:
    rows = texts.self_bleu([["a b c d", "e f g h"], ["a b c x", "i j k l"]])
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25
    assert rows[0] == (pytest.approx(expected), 2)
    assert rows[1] == (pytest.approx(expected), 2)
    assert texts.self_bleu([["a b c d"]]) == [(0.0, 1)]
    assert texts.self_bleu([[], ["…"], [""]]) == [(0, 0), (0, 1), (0, 1)]


def test_twins_are_pairs_of_one_answer() -> None:
    same = ("Ada bakes dark bread.", "Ada bakes dark bread again.", "Bo sings.")
    assert texts.twins([FINE, same, FINE[:1], ()]) == [(0, 3), (1, 3), (0, 0), (0, 0)]


def test_repeats_are_found_in_other_answers_with_names_left_out() -> None:
    items = [question("q0", name="Ada"), question("q1", name="Bo")]
    answers = [
        ["Ada carries heavy sacks towards the mill.", "Ada sings."],
        ["Bo carries heavy sacks towards the mill.", "Bo sings."],
    ]
    assert texts.repeats(items, answers) == [(1, 2), (1, 2)]
    # Within one answer it is a twin, no repeat.
    assert texts.repeats(items[:1], [[answers[0][0], answers[1][0]]]) == [(0, 2)]


def test_copied_runs_of_four_words() -> None:
    item = question("q0", told="The boy came running fast. She saw it.")
    answer = ["the boy came running home", "boy came running"]
    assert texts.copied([item], [answer]) == [(1, 2)]
    # A run across two sentences of the prompt is one; across two fields it is none.
    assert texts.copied([item], [["running fast she saw", "a baker the boy"]]) == [(1, 2)]


def test_unknown_names_are_those_the_prompt_lacks() -> None:
    item = question("q0", told="Bo is here.")
    answer = ["Ada asks Bo.", "Ada asks Sigurd.", "Ada waits."]
    assert texts.unknown([item], [answer]) == [(1, 3)]


def test_words_are_counted() -> None:
    assert texts.lengths([BREAD, NETS[:1], ()]) == [(13, 3), (4, 1), (0, 0)]
