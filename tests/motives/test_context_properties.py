"""What holds for every context: the budget, the order of inputs, the receipt, the JSON."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import words
from hypothesis import given
from hypothesis import strategies as st
from motive_strategies import quarters, stories

from daydream_motives.motives.budget import FIELDS, SCAFFOLD, escape
from daydream_motives.motives.context import MOMENT_SHARE, SHEET_SHARE, build_context

budgets = st.integers(64, 600)


@pytest.mark.parametrize("count", [words, quarters, len])
@given(story=stories, budget=budgets)
def test_the_budget_is_never_exceeded(
    count: Callable[[str], int], story: dict[str, Any], budget: int
) -> None:
    if count is len:
        budget *= 4
    context = build_context(**story, count_tokens=count, budget=budget)
    assert count(context.as_json()) <= context.tokens <= budget
    assert context.name


@pytest.mark.parametrize("count", [words, quarters])
@given(story=stories, other=stories, budget=budgets)
def test_what_is_told_of_the_sheet_is_the_same_whatever_goes_on(
    count: Callable[[str], int], story: dict[str, Any], other: dict[str, Any], budget: int
) -> None:
    one = build_context(**story, count_tokens=count, budget=budget)
    two = build_context(**{**other, "sheet": story["sheet"]}, count_tokens=count, budget=budget)
    assert (one.name, one.description) == (two.name, two.description)
    sheet = [[e for e in c.receipt if e.field == "Character_description"] for c in (one, two)]
    assert sheet[0] == sheet[1]


@given(story=stories, budget=budgets)
def test_neither_the_sheet_nor_the_moment_takes_the_others_share(
    story: dict[str, Any], budget: int
) -> None:
    context = build_context(**story, count_tokens=words, budget=budget)
    whole = budget - sum(map(words, SCAFFOLD))
    assert words(context.name) + words(context.description) <= SHEET_SHARE * whole + 1
    assert words(context.context) + words(context.background) <= MOMENT_SHARE * whole


@given(stories, budgets)
def test_the_tokens_are_those_of_the_pieces_kept(story: dict[str, Any], budget: int) -> None:
    context = build_context(**story, count_tokens=words, budget=budget)
    kept = sum(entry.tokens for entry in context.receipt if entry.status != "dropped")
    frame = sum(map(words, SCAFFOLD))
    assert context.tokens == frame + words(escape(context.name)) + kept


@given(stories, budgets, st.data())
def test_the_same_inputs_in_any_order_give_the_same_context(
    story: dict[str, Any], budget: int, data: st.DataObject
) -> None:
    def shuffled(items: Any) -> list[Any]:
        return data.draw(st.permutations(list(items)))

    situation = story["situation"]
    other = {
        **story,
        **{part: shuffled(story[part]) for part in ("ties", "recollections", "lore")},
        "needs": dict(shuffled(story["needs"].items())),
        "situation": situation.model_copy(
            update={
                part: tuple(shuffled(getattr(situation, part)))
                for part in ("present", "things", "nearby", "verbs")
            }
        ),
    }
    first = build_context(**story, count_tokens=words, budget=budget)
    assert build_context(**other, count_tokens=words, budget=budget) == first


@given(stories, budgets)
def test_the_receipt_lists_each_piece_once_with_status_and_reason(
    story: dict[str, Any], budget: int
) -> None:
    context = build_context(**story, count_tokens=words, budget=budget)
    listed = Counter((entry.field, entry.kind, entry.key) for entry in context.receipt)
    assert max(listed.values()) == 1
    for entry in context.receipt:
        assert entry.field in FIELDS
        assert entry.status in ("kept", "shortened", "dropped")
        assert entry.reason or entry.status == "kept"
        if entry.kind not in ("memory", "lore"):  # these say why they came up
            assert bool(entry.reason) is (entry.status != "kept")
    offered = {
        *(f"person:{tie.person.id}" for tie in story["ties"]),
        *(f"memory:{memory.text}" for memory in story["recollections"] if memory.text.strip()),
        *(f"lore:{note.id}" for note in story["lore"] if note.text.strip()),
    }
    assert {e.key for e in context.receipt if e.field == "Background"} == offered


@given(stories, budgets)
def test_the_json_parses_back_to_the_four_fields(story: dict[str, Any], budget: int) -> None:
    context = build_context(**story, count_tokens=words, budget=budget)
    parsed = json.loads(context.as_json())
    assert parsed == context.fields
    assert tuple(parsed) == FIELDS


@given(stories)
def test_with_room_enough_all_that_matters_is_told(story: dict[str, Any]) -> None:
    context = build_context(**story, count_tokens=words, budget=10**6)
    reasons = {entry.reason for entry in context.receipt if entry.status != "kept"}
    twice = {"told with the relationship", "it has just happened"}
    assert reasons <= {"does not matter now", "nothing brings it up", *twice}
    assert context.name == story["sheet"].name
    for own in story["sheet"].secrets:
        assert own in context.description


@given(stories)
def test_entities_are_named_in_the_text_or_kept_as_ties(story: dict[str, Any]) -> None:
    context = build_context(**story, count_tokens=words, budget=200)
    kept = {entry.key for entry in context.receipt if entry.status != "dropped"}
    told = context.text.casefold()
    for entity in context.entities:
        names = (entity.name, *entity.aliases, entity.name.split(" ")[0])
        assert f"person:{entity.id}" in kept or any(n.casefold() in told for n in names)
