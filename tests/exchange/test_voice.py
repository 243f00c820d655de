"""From "you" and "I" to the third person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.exchange.hours import clock_times
from daydream_motives.exchange.routines import activity_of, day_plan, lifestyle
from daydream_motives.exchange.voice import gerund, retold, third_person


@pytest.mark.parametrize(
    ("spoken", "told"),
    [
        ("You have known the smith.", "Nora has known the smith."),
        ("You are kind and enjoy tea. You don't hurry.", "Nora is kind and enjoys tea. She "
                                                         "doesn't hurry."),
        ("You and Ada talk about your garden.", "Nora and Ada talk about Nora's garden."),
        ("You often carry your tools and have never lost them.",
         "Nora often carries her tools and has never lost them."),
        ("You grew up by a lake, where your father taught you to row.",
         "Nora grew up by a lake, where her father taught Nora to row."),
        ("Your sister, who teases you.", "Nora's sister, who teases Nora."),
        ("You can be stubborn and often struggle.", "Nora can be stubborn and often struggle."),
        ("You support each other in your work.", "The two support each other in their work."),
        ("You've met, but you two are not close.", "Nora has met, but the two are not close."),
        ("You trust yourself.", "Nora trusts herself."),
        ("Often tired, you rest.", "Often tired, Nora rests."),
        ("It takes time for you.", "It takes time for Nora."),
        ("You watch and try to catch up.", "Nora watches and tries to catch up."),
    ],
)  # fmt: skip
def test_the_second_person_becomes_the_third(spoken: str, told: str) -> None:
    assert third_person(spoken, "Nora", "she") == told


@pytest.mark.parametrize(
    ("spoken", "told"),
    [
        ("I am tired. I was born here and I have my own boat.",
         "Osk is tired. He was born here and he has his own boat."),
        ("I'm old, but I don't sleep.", "Osk is old, but he doesn't sleep."),
        ("It is my task to guard our village, and we will.",
         "It is Osk's task to guard their village, and they will."),
        ("They gave me a horse.", "They gave Osk a horse."),
    ],
)  # fmt: skip
def test_the_first_person_becomes_the_third(spoken: str, told: str) -> None:
    assert third_person(spoken, "Osk", "he", first=True) == told


def test_they_keeps_its_verbs() -> None:
    assert retold("I am here. I am glad and I was lost.", "Rat", "they") == (
        "Rat is here. They are glad and they were lost."
    )


@pytest.mark.parametrize(
    "text",
    ['She said "I love you" to me.', "You know that I know my own mind.", "King Henry I hates me.",
     "you " * 6000],
)  # fmt: skip
def test_what_is_not_sure_is_not_retold(text: str) -> None:
    assert retold(text, "Nora", "she") is None


def test_a_text_in_the_third_person_stays() -> None:
    assert retold("Works by the lake.", "Nora") == "Works by the lake."


@given(st.text(), st.sampled_from(["she", "he", "it", "they", "xe"]))
def test_nobody_is_spoken_to_afterwards(text: str, subject: str) -> None:
    told = retold(f"You {text} your", "Nora", subject)
    assert told is None or "your" not in told.casefold().split()


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("around 7am", ["07:00"]), ("at 17:30pm", ["17:30"]), ("7amam", ["07:00"]),
        ("6:05 P.M. sharp", ["18:05"]), ("from 10 am to 2 PM", ["10:00", "14:00"]),
        ("midnight, noon", ["00:00", "12:00"]), ("12am 12pm", ["00:00", "12:00"]),
        ("25:00, 13pm? 99pm, 30 minutes", ["13:00"]), ("", []),
    ],
)  # fmt: skip
def test_clock_times(text: str, times: list[str]) -> None:
    assert clock_times(text) == times


@given(st.text(alphabet="0123456789:apmAPM .-"))
def test_clock_times_are_times(text: str) -> None:
    for time in clock_times(text):
        assert 0 <= int(time[:2]) < 24
        assert 0 <= int(time[3:]) < 60


@pytest.mark.parametrize(
    ("text", "doing"),
    [("Wakes up", "waking up"), ("Has dinner", "having dinner"), ("Gets dressed", "getting "
     "dressed"), ("Tries again", "trying again"), ("Glass", "Glass"), ("Reading", "Reading"),
     ("Goes home", "going home"), ("Sees", "seeing")],
)  # fmt: skip
def test_gerunds(text: str, doing: str) -> None:
    assert gerund(text) == doing


def test_a_day_plan_is_a_routine() -> None:
    plan = "Ana Sol opens Fen Shop at 8am, stands there until 5pm, and returns home to read."
    entries = day_plan(plan, "Ana Sol", "home", {"shop": "The Fen Shop", "inn": "Inn"})
    assert entries == [
        {"at": "08:00", "activity": "opening Fen Shop", "place": "shop"},
        {"at": "17:00", "activity": "returning home to read", "place": "home"},
    ]


def test_a_way_of_life_is_a_routine_and_the_rest_is_left() -> None:
    entries, left = lifestyle("Ana goes to bed around midnight, eats when hungry", "Ana", "home")
    assert entries == [{"at": "00:00", "activity": "sleep", "place": "home"}]
    assert left == ["eats when hungry"]
    assert activity_of("Leaves for work by 6:30 AM.") == "leaving for work"
