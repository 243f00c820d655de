"""Instinct: never at a loss, always the same, and always worth reading."""

from typing import Any

import pytest
from hypothesis import given
from motive_strategies import stories

from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, Tie
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.motives.instinct import instinct
from daydream_motives.motives.situation import Situation

INES = CharacterSheet(name="Ines Prado", pronouns="she/her", occupation="baker")


def wishes(sheet: CharacterSheet = INES, situation: Any = None, **options: Any) -> list[str]:
    return instinct(sheet, Situation.from_data(situation or {}), **options)


def tie(**edge: Any) -> Tie:
    return Tie(Person("karl", "Karl Prado", 63), Relationship(**edge), 1.0, ())


@given(stories)
def test_three_or_more_distinct_readable_purposes_for_anyone(story: dict[str, Any]) -> None:
    parts = {part: story[part] for part in ("sheet", "situation", "needs", "ties")}
    found = instinct(**parts)
    assert len(found) >= 3
    assert instinct(**parts) == found
    for text in found:
        assert text.startswith(f"{story['sheet'].short_name} wants to ")
        assert ", because " in text
        assert text[-1] in ".!?…。！？"
        assert "{" not in text or "{" in repr(story)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["B-C-D-E-F-G-H-I-J-K-L-M-N-O", "Q", "李雷", "😀", "wants", "The"])
def test_names_of_any_make_leave_three(name: str) -> None:
    assert len(wishes(CharacterSheet(name=name, needs={}))) >= 3


def test_an_empty_routine_leaves_three() -> None:
    day = [{"at": "07:30", "activity": ""}]
    sheet = CharacterSheet.from_data({"name": "Jean-Luc", "needs": {}, "routine": day})
    assert len(wishes(sheet)) >= 3


def test_what_happened_comes_first() -> None:
    found = wishes(situation={"happened": "The oven broke."})
    assert found[0] == (
        "Ines wants to stop and find out more, because this has just happened: The oven broke."
    )


def test_what_one_did_oneself_is_no_news() -> None:
    happened = ["Ines has just woken up", "The oven broke."]
    assert wishes(situation={"happened": happened})[0].endswith("The oven broke.")
    assert not any("has just happened" in w for w in wishes(situation={"happened": happened[:1]}))


@pytest.mark.parametrize(
    "event", ["It broke.", "It broke!", "Did it break?", "It broke…", "坏了。"]
)
def test_an_event_keeps_its_own_end(event: str) -> None:
    assert wishes(situation={"happened": event})[0].endswith(event)


def test_one_who_matters_and_is_here_is_asked() -> None:
    scene = {"happened": "Rain.", "present": [{"id": "karl", "name": "Karl", "kind": "person"}]}
    assert "ask Karl Prado about it" in wishes(situation=scene, ties=[tie()])[0]


@pytest.mark.parametrize(
    ("needs", "act"),
    [({"food": 0.0}, "get something to eat"), ({"rest": 0.0}, "lie down and rest")],
)
def test_a_pressing_need_comes_first(needs: dict[str, float], act: str) -> None:
    assert act in wishes(needs=needs)[0]


@pytest.mark.parametrize(
    ("edge", "act"),
    [
        ({"trust": -0.9}, "keep out of the way of Karl Prado"),
        ({"affection": -0.4, "trust": 1}, "keep out of the way of Karl Prado"),
        ({"affection": 0.9}, "look for Karl Prado"), ({}, "look for Karl Prado"),
    ],
)  # fmt: skip
def test_ties_turn_into_seeking_or_keeping_away(edge: dict[str, float], act: str) -> None:
    assert any(act in text for text in wishes(ties=[tie(**edge)]))


def test_the_routine_of_the_hour_is_gone_on_with() -> None:
    day = [{"at": "07:30", "activity": "baking"}, {"at": "22:00", "activity": "sleep"}]
    sheet = CharacterSheet.from_data({"name": "Mo", "routine": day})
    for clock, activity in (("08:00", "baking"), ("23:00", "sleep"), ("03:00", "sleep")):
        found = wishes(sheet, {"time": f"2024-06-14T{clock}"})
        assert any(f"the usual: {activity}," in text for text in found)


@pytest.mark.parametrize(
    ("pronouns", "why"),
    [("she/her", "she can hardly"), ("they/them", "they can hardly"), ("xe/xem", "Mo can hardly")],
)
def test_pronouns_agree(pronouns: str, why: str) -> None:
    assert why in wishes(CharacterSheet(name="Mo", pronouns=pronouns), needs={"rest": 0})[0]


def test_an_occupation_gives_something_to_do() -> None:
    assert any(
        "work as actor" in text for text in wishes(CharacterSheet(name="Mo", occupation="actor"))
    )


def test_an_empty_wish_is_not_told() -> None:
    assert not any(": ," in text for text in wishes(CharacterSheet(name="Mo", wants=("",))))
