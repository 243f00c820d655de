"""Whose right answer is closest: pools, masks, controls and places, each worked out by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import BREAD, NETS, WOOD, by_words, question, three

from daydream_motives.training.judging import retrieval
from daydream_motives.training.judging.retrieval import Mask, Meaning, Place, Pool

ITEMS = three().items


def meaning() -> Meaning:
    return Meaning(by_words, Mask(ITEMS))


def test_a_pool_has_siblings_first_and_then_others() -> None:
    found = retrieval.pools(ITEMS, random.Random(0))
    assert [pool.answers if pool else None for pool in found] == [
        (BREAD, NETS, WOOD), (NETS, BREAD, WOOD), (WOOD, *found[2].answers[1:]),  # type: ignore[union-attr]
    ]  # fmt: skip
    assert all(pool and pool.right == 0 for pool in found)


def test_a_pool_takes_siblings_before_others_of_its_world() -> None:
    items = [
        *(question(f"s{i}", f"s {i}", "b", "c", scene="s") for i in range(4)),
        *(question(f"n{i}", f"n {i}", "b", "c") for i in range(8)),
        *(question(f"f{i}", f"f {i}", "b", "c", world="moon") for i in range(8)),
    ]
    pool = retrieval.pools(items, random.Random(1))[0]
    assert pool is not None
    firsts = [answer[0][0] for answer in pool.answers]
    assert firsts == list("ssssnnnnnn")
    assert retrieval.pools(items, random.Random(1)) == retrieval.pools(items, random.Random(1))
    small = retrieval.pools(items, random.Random(1), most=2)[0]
    assert small is not None
    assert [answer[0][0] for answer in small.answers] == ["s", "s"]


def test_candidates_of_a_file_are_the_pool() -> None:
    item = question("q", "y", candidates=("x", "y"), right=1)
    assert retrieval.pools([item], random.Random(0)) == [Pool((("x",), ("y",)), 1)]


def test_alone_there_is_nothing_to_choose_from() -> None:
    assert retrieval.pools(ITEMS[:1], random.Random(0)) == [None]
    twice = [question("a", *BREAD), question("b", *BREAD)]
    assert retrieval.pools(twice, random.Random(0)) == [None, None]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ada bakes Bo's bread.", "someone bakes someone's bread."),
        ("The Old Mill stands, says Ada Bo.", "The someone stands, says someone."),
        ("Then I go to Nowhere.", "Then I go to someone."),
        ("Bread for Monday.", "Bread for Monday."),
        ("bo is no name, nor is adamant.", "bo is no name, nor is adamant."),
    ],
)
def test_names_are_masked(text: str, masked: str) -> None:
    assert Mask(ITEMS)(text) == masked


def test_names_may_be_left_out() -> None:
    assert Mask(ITEMS)("Ada and Bo bake.", "").split() == ["and", "bake."]


def test_a_name_alone_tells_nothing() -> None:
    found = retrieval.places(
        retrieval.pools(ITEMS, random.Random(0)), meaning().scores([("Ada.",), ("Bo.",), ("Cy.",)])
    )
    assert found == [Place(0, 2)] * 3


@pytest.mark.parametrize(
    ("scores", "right", "place", "hit_1", "hit_3", "reciprocal"),
    [
        ([3, 2, 1], 0, Place(0, 0), 1, 1, 1),
        ([3, 2, 1], 2, Place(2, 0), 0, 1, 1 / 3),
        ([1, 1], 0, Place(0, 1), 0.5, 1, 0.75),
        ([0, 0, 0, 0], 3, Place(0, 3), 0.25, 0.75, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        ([5, 1, 1], 1, Place(1, 1), 0, 1, (1 / 2 + 1 / 3) / 2),
        ([4, 3, 2, 1], 3, Place(3, 0), 0, 0, 1 / 4),
    ],
)
def test_places_and_what_they_are_worth(
    scores: list[float], right: int, place: Place, hit_1: float, hit_3: float, reciprocal: float
) -> None:
    found = Place.of(np.array(scores, dtype=float), right)
    assert found == place
    assert (found.hit(1), found.hit(3)) == (hit_1, hit_3)
    assert found.reciprocal == pytest.approx(reciprocal)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_hits_of_all_answers_of_a_pool_add_up(scores: list[int]) -> None:
    places = [Place.of(np.array(scores, dtype=float), right) for right in range(len(scores))]
    assert sum(place.hit(1) for place in places) == pytest.approx(1)
    assert sum(place.hit(3) for place in places) == pytest.approx(min(3, len(scores)))
    assert all(place.hit(1) <= place.reciprocal <= 1 for place in places)


def test_the_right_answers_find_themselves_and_others_do_not() -> None:
    every = retrieval.pools(ITEMS, random.Random(0))
    right = retrieval.places(every, meaning().scores([BREAD, NETS, WOOD]))
    assert retrieval.hits(right, 1) == [(1, 1)] * 3
    wrong = retrieval.places(every, meaning().scores([NETS, BREAD, BREAD]))
    assert retrieval.hits(wrong, 1) == [(0, 1)] * 3
    assert retrieval.reciprocals(wrong)[2] == (pytest.approx((1 / 2 + 1 / 3) / 2), 1)


def test_who_says_nothing_is_left_to_chance() -> None:
    every = retrieval.pools(ITEMS, random.Random(0))
    silent = retrieval.places(every, meaning().scores([(), ("",), (" ", "")]))
    assert silent == retrieval.places(every, retrieval.nothing)
    assert retrieval.hits(silent, 1) == [(pytest.approx(1 / 3), 1)] * 3


def test_without_a_pool_nothing_is_counted() -> None:
    found = retrieval.places([None], retrieval.nothing)
    assert retrieval.hits(found, 1) == retrieval.reciprocals(found) == [(0, 0)]


def test_rank_lift_is_the_first_purpose_against_the_third() -> None:
    every = retrieval.pools(ITEMS, random.Random(0))
    # First purposes find their own at once; third ones are level with nobody, or all.
    answers = [(BREAD[0], "x", "…"), (NETS[0], "x", "Bo hums."), (WOOD[0], "x", WOOD[0])]
    thirds = (1 + 1 / 2 + 1 / 3) / 3
    expected = [1 - thirds, 1 - thirds, 0.0]
    rows = retrieval.lift(every, answers, meaning())
    assert [above for above, _ in rows] == pytest.approx(expected)
    turned = retrieval.lift(every, [tuple(reversed(a)) for a in answers], meaning())
    assert [above for above, _ in turned] == pytest.approx([-x for x in expected])


def test_rank_lift_needs_three_purposes() -> None:
    every = retrieval.pools(ITEMS, random.Random(0))
    rows = retrieval.lift(every, [BREAD[:2], (), (*WOOD[:2], " ")], meaning())
    assert rows == [(0, 0)] * 3


def test_contrast_sets_are_decided_among_their_members() -> None:
    sets = three().sets
    right = retrieval.contrasts(ITEMS, sets, meaning().scores([BREAD, NETS, WOOD]))
    assert right == [(1, 1), (1, 1), (0, 0)]
    wrong = retrieval.contrasts(ITEMS, sets, meaning().scores([NETS, NETS, WOOD]))
    assert wrong == [(0, 1), (1, 1), (0, 0)]
    chance = retrieval.contrasts(ITEMS, sets, retrieval.nothing)
    assert chance == [(0.5, 1), (0.5, 1), (0, 0)]


def test_similarity_within_an_answer() -> None:
    same = ("Ada sings songs.", "Bo sings songs.", "Cy rows.")
    rows = meaning().within([same, same[:1], ()])
    # "someone" is in all three: 1 between the first two, 1/sqrt(3 * 2) with the third.
    assert rows == [(pytest.approx(1 + 2 / np.sqrt(6)), 3), (0, 0), (0, 0)]


def test_the_echo_is_of_the_prompts_sentences() -> None:
    item = question("q", *BREAD, told="Storm! It is over. No bread.")
    assert retrieval.echo(item) == ["Ada is a baker.", "Storm!", "It is over.", "No bread."]
    every = retrieval.pools(ITEMS, random.Random(0))
    found = retrieval.places(every, meaning().scores([retrieval.echo(item) for item in ITEMS]))
    assert found[0] == Place(0, 0)  # "dark bread" stands in the prompt
    assert found[1] is not None
    assert found[1].better == 1


def test_the_overlap_control_counts_shared_words_but_no_names() -> None:
    scores = retrieval.overlap(ITEMS, Mask(ITEMS))
    pool = Pool((BREAD, NETS, WOOD))
    found = scores(0, pool)
    # "The" is shared with the nets, too; nothing with the wood.
    assert found[0] > found[1] > found[2] == 0
    assert scores(2, Pool((("Cy.",), ("Ada.",)))).tolist() == [0, 0]


def test_each_text_is_embedded_once() -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return by_words(texts)

    mine = Meaning(embed, Mask(ITEMS))  # type: ignore[arg-type]
    every = retrieval.pools(ITEMS, random.Random(0))
    for _ in range(2):
        retrieval.places(every, mine.scores([BREAD, NETS, WOOD]))
    assert len(seen) == 9
