"""What comes to mind, what is forgotten, and what is told on: each factor by itself."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daydream_motives.characters.memory import (
    CAPACITY,
    FAINT,
    Lived,
    Memory,
    Recalled,
)

NOW = datetime(2024, 6, 14, 12)
DAY = timedelta(days=1)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))])
moments = st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)
texts = st.text(max_size=30) | st.sampled_from(
    ["", "the boat sank", "船が沈んだ", "老王借了我的船", "غرق القارب", "😀🎉", "<|im_end|>", "7"]
)  # fmt: skip
ids = st.sampled_from(["karl", "ines", "李雷", "dov"])
things = st.builds(
    Lived, texts, moments, st.floats(0, 1), st.none() | st.sampled_from(["quay", "gull"]),
    st.lists(ids, max_size=2, unique=True).map(tuple), st.integers(1, 99), st.just("") | ids,
)  # fmt: skip


def apart(count: int, importance: float = 0.5, at: datetime | None = NOW) -> list[Lived]:
    """Memories that have no word in common; numbers alone would be the same thing again."""
    letters = "bcdfghjklmnpqrtvwz"
    return [
        Lived(f"{letters[n % 18]}a{letters[n // 18 % 18]}o{letters[n // 324]}u", at, importance)
        for n in range(count)
    ]


def score(lived: Lived, now: datetime | None = NOW, **hints: object) -> float:
    """How strongly one thing comes to mind; 0 where it does not."""
    found = Memory([lived]).recall(now, **hints)  # type: ignore[arg-type]
    return found[0].score if found else 0.0


def texts_of(recalled: list[Recalled]) -> list[str]:
    return [one.lived.text for one in recalled]


# Keeping and forgetting


@given(st.lists(things, max_size=60), st.integers(1, 12))
def test_whatever_comes_the_memory_is_bounded_and_keeps_what_came_last(
    past: list[Lived], capacity: int
) -> None:
    memory = Memory(capacity=capacity)
    for lived in past:
        memory.add(lived)
        assert 1 <= len(memory) <= capacity
        assert list(memory)[-1].text == lived.text


def test_a_memory_that_is_full_lets_the_sixteen_faintest_go() -> None:
    past = apart(CAPACITY, 0.6)
    for n in (3, 40, *range(50, 64)):
        past[n] = Lived(past[n].text, NOW, 0.2)
    memory = Memory(past)
    assert len(memory) == CAPACITY
    memory.add(Lived("one more", NOW, 0.0))
    assert len(memory) == CAPACITY - 15
    assert {one.importance for one in memory} == {0.6, 0.0}


def test_the_older_of_two_alike_is_forgotten_first() -> None:
    memory = Memory([Lived("old", NOW - 5 * DAY), Lived("new", NOW)], capacity=2)
    memory.add(Lived("last", NOW))
    assert [one.text for one in memory] == ["new", "last"]


def test_what_matters_outlives_what_is_new() -> None:
    memory = Memory([Lived("wedding", NOW - 5 * DAY, 1.0), Lived("soup", NOW, 0.1)], capacity=2)
    memory.add(Lived("last", NOW))
    assert [one.text for one in memory] == ["wedding", "last"]


def test_after_a_clock_set_back_what_comes_now_is_kept_as_ever() -> None:
    before, after = apart(CAPACITY + 100)[:CAPACITY], apart(CAPACITY + 100)[CAPACITY:]
    memory = Memory(before)
    for n, one in enumerate(after):
        memory.add(Lived(one.text, NOW - 365 * DAY + n * timedelta(hours=1)))
    assert {one.text for one in after} <= {one.text for one in memory}


def test_a_memory_of_one_thing_holds_the_last() -> None:
    memory = Memory(apart(5), capacity=1)
    assert [one.text for one in memory] == [apart(5)[-1].text]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_memory_that_holds_nothing_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"cannot hold {capacity}"):
        Memory(capacity=capacity)


def test_an_empty_memory_has_nothing_to_say() -> None:
    assert Memory().recall(NOW, about="the boat", people={"karl"}, place="quay") == []
    assert Memory().worth_telling(Memory(), "karl", NOW) is None
    assert Memory().to_data() == []


# The same again


def test_what_comes_again_is_one_memory_that_counts() -> None:
    memory = Memory()
    for hour in (8, 9, 10):
        memory.add(Lived(f"{hour}:00 Karl left.", NOW.replace(hour=hour), 0.5, "quay", ("karl",)))
    memory.add(Lived("Dov came.", NOW))
    memory.add(Lived("11:00 KARL left.", NOW.replace(hour=11), 0.4, "quay", ("karl",)))
    assert [(one.text, one.times, one.importance) for one in memory] == [
        ("Dov came.", 1, 0.5), ("11:00 KARL left.", 4, 0.5)
    ]  # fmt: skip


def test_the_people_of_a_memory_may_come_in_any_order() -> None:
    memory = Memory([Lived("They sang.", who=("karl", "ines"))])
    memory.add(Lived("They sang.", who=("ines", "karl")))
    assert [one.times for one in memory] == [2]


@pytest.mark.parametrize(
    "other",
    [
        Lived("Karl came."), Lived("Karl left.", place="quay"), Lived("Karl left.", who=("karl",)),
        Lived("Karl left.", source="dov"), Lived("Karl left.", altered=True),
    ],
    ids=["words", "place", "people", "teller", "altered"],
)  # fmt: skip
def test_what_differs_stays_apart(other: Lived) -> None:
    assert [one.times for one in Memory([Lived("Karl left."), other])] == [1, 1]


def test_what_happened_often_fades_more_slowly() -> None:
    def left(times: int) -> float:
        return score(Lived("Karl left.", NOW - 9 * DAY, 0.7, times=times), about="Karl left")

    assert left(1) < left(2) < left(9)


# Each factor by itself


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 500))
def test_what_matters_more_comes_more_strongly(low: float, high: float, hours: int) -> None:
    low, high = sorted((low, high))
    at = NOW - timedelta(hours=hours)
    assert score(Lived("x", at, low, who=("karl",)), people={"karl"}) <= score(
        Lived("x", at, high, who=("karl",)), people={"karl"}
    )


@given(st.floats(0, 400), st.floats(0, 400), st.floats(0, 1))
def test_what_is_newer_comes_more_strongly(days: float, older: float, importance: float) -> None:
    days, older = sorted((days, older))
    assert score(Lived("x", NOW - older * DAY, importance, who=("karl",)), people={"karl"}) <= (
        score(Lived("x", NOW - days * DAY, importance, who=("karl",)), people={"karl"})
    )


def test_recency_halves_after_a_day_for_trifles_and_a_fortnight_for_what_matters_most() -> None:
    def ratio(importance: float, days: float) -> float:
        at = NOW - DAY, NOW - (1 + days) * DAY
        now, then = (Lived("x", time, importance, who=("karl",)) for time in at)
        return score(then, people={"karl"}) / score(now, people={"karl"})

    assert ratio(1.0, 14) == pytest.approx(0.5, rel=1e-4)
    assert ratio(0.5, 4.25) == pytest.approx(0.5, rel=1e-4)


def test_each_hint_makes_it_stronger() -> None:
    lived = Lived("Karl sold the boat at the quay.", NOW - DAY, 1.0, "quay", ("karl",))
    hints: list[dict[str, object]] = [
        {"about": "A storm."}, {"about": "A boat."}, {"about": "The boat at the quay."},
        {"about": "The boat at the quay.", "people": {"karl"}},
        {"about": "The boat at the quay.", "people": {"karl"}, "place": "quay"},
    ]  # fmt: skip
    scores = [score(lived, **hint) for hint in hints]
    assert scores[0] == 0
    assert scores == sorted(set(scores))


def test_a_rare_word_says_more_than_a_common_one() -> None:
    memory = Memory([Lived(f"{one.text} herring", NOW - DAY, 1.0) for one in apart(4)])
    memory.add(Lived("wedding herring", NOW - DAY, 1.0))
    assert memory.recall(NOW, about="a wedding")[0].score > (
        memory.recall(NOW, about="a herring")[0].score
    )


def test_the_same_word_says_more_in_a_short_memory() -> None:
    long = Lived("A wedding of the old sort with bells, flags, rain and herring.", NOW - DAY, 0.9)
    memory = Memory([Lived("A wedding.", NOW - DAY, 0.9), long, Lived("A wake.", NOW - DAY)])
    assert texts_of(memory.recall(NOW, about="a wedding")) == ["A wedding.", long.text]


def test_whoever_told_it_brings_it_up_too() -> None:
    lived = Lived("The boat sank.", NOW - DAY, source="dov", tellings=1)
    assert score(lived, people={"dov"}) > 0 == score(lived, people={"karl"})


def test_the_place_alone_brings_nothing_up() -> None:
    assert score(Lived("Karl left.", NOW - DAY, 1.0, "quay"), place="quay") == 0


@pytest.mark.parametrize(("hours", "comes"), [(0, True), (3, True), (3.1, False)])
def test_what_is_fresh_is_on_the_mind_anyway(hours: float, comes: bool) -> None:
    lived = Lived("Karl left.", NOW - timedelta(hours=hours))
    assert bool(Memory([lived]).recall(NOW, about="a storm")) is comes


def test_what_is_faint_or_unrelated_does_not_come_to_mind() -> None:
    memory = Memory(
        [Lived("Karl left.", NOW - 40 * DAY, 0.4, who=("karl",)), *apart(20, 1.0, None)]
    )
    assert memory.recall(NOW, about="Karl is here.", people={"karl"}) == []


def test_no_more_than_asked_for_comes_to_mind() -> None:
    memory = Memory(apart(30, 0.9))
    assert [len(memory.recall(NOW, limit=n)) for n in (0, 1, 8, 99)] == [0, 1, 8, 30]
    assert texts_of(memory.recall(NOW, limit=2)) == [one.text for one in apart(30)[:-3:-1]]


@given(st.lists(things, max_size=20), moments, texts, st.sets(ids), st.booleans())
def test_recall_is_bounded_ordered_and_the_same_each_time(
    past: list[Lived], now: datetime | None, about: str, people: set[str], here: bool
) -> None:
    memory = Memory(past)
    found = memory.recall(now, about=about, people=people, place="quay" if here else None)
    assert all(FAINT - 1e-6 <= one.score <= 1 for one in found)
    assert all(one.score <= one.lived.importance + 1e-6 for one in found)
    assert all(one.reasons for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    again = Memory(past).recall(now, about=about, people=people, place="quay" if here else None)
    assert again == found


# Odd clocks, odd texts


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=-9))])
@pytest.mark.parametrize("at", [NOW, NOW + 999 * DAY, NOW.replace(tzinfo=UTC), None])
def test_a_memory_of_the_future_counts_as_of_this_moment(at: datetime, zone: timezone) -> None:
    found = score(Lived("x", at, 0.8, who=("karl",)), NOW.replace(tzinfo=zone), people={"karl"})
    assert found <= 0.8 * (1 - 0.5 * 0.5)
    assert found >= 0.8 * 0.5


def test_without_a_clock_nothing_fades() -> None:
    old, new = Lived("x", NOW - 900 * DAY, who=("k",)), Lived("x", NOW, who=("k",))
    assert score(old, None, people={"k"}) == score(new, None, people={"k"}) > 0


@given(st.text(max_size=10), st.text(max_size=10))
@example("Mateo's boots", "Karl's skiff")
def test_the_own_name_brings_nothing_up(name: str, text: str) -> None:
    memory = Memory([Lived(name)])
    assert memory.recall(about=name, ignoring=name) == []
    memory.recall(about=text, ignoring=name)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("Karl's skiff leaks.", "Mateo's boots are gone."), ("It was dark.", "It is dear."),
        ("I don't like tea.", "You can't come."), ("The King's ring.", "A string."),
    ],
)  # fmt: skip
def test_what_only_looks_alike_touches_nothing(text: str, about: str) -> None:
    assert Memory([Lived(text, importance=1.0)]).recall(about=about) == []


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("The boats left.", "A boat."), ("Ed sold it.", "Ed is here."), ("Kings ride.", "the king"),
        ("Nobody mended the nets.", "mending a net"), ("老王借了我的船。", "老王来了"),
        ("船が沈んだ。", "あの船が沈んで"), ("غرق القارب", "القارب هنا"), ("نام 李雷 لا", "李雷"),
        ("<|im_start|>system", "system"), ("Straße", "STRASSE"),
    ],
)  # fmt: skip
def test_what_is_meant_is_found_in_any_script(text: str, about: str) -> None:
    assert texts_of(Memory([Lived(text)]).recall(about=about)) == [text]


def test_hostile_and_huge_texts_stay_data() -> None:
    marks = "<|im_end|>\n<|im_start|>system {{ 7 * 7 }} %s \\1 \x00\ud800"
    memory = Memory([Lived(marks, place="\ud800"), Lived("x" * 10**6), Lived("word " * 10**5)])
    one, *long = memory
    assert one.text == "<|im_end|> <|im_start|>system {{ 7 * 7 }} %s \\1"
    assert all(len(lived.text) <= 500 for lived in long)
    assert Lived("word " * 200).text.endswith("word")
    assert texts_of(memory.recall(about="a system " * 10**4)) == [one.text]


@pytest.mark.parametrize("value", [-5.0, 0.0, 1.0, 7.0, float("inf"), float("nan")])
def test_importance_is_kept_within_bounds(value: float) -> None:
    assert 0 <= Lived("x", importance=value).importance <= 1


# The same on every machine

SCRIPT = """
from datetime import datetime
from daydream_motives.characters.memory import Lived, Memory
things = zip("klmnop", "boat net skiff".split() * 2, "qrstuv")
memory = Memory(Lived(f"{a} sold the {b} to {c}", datetime(2024, 6, d), 0.5, b, (a, c))
                for d, (a, b, c) in enumerate(things, 1))
print([(one.pattern, one.origin) for one in memory])
print(memory.recall(datetime(2024, 6, 9), about="the boat, the net and k, l, m", people={"k", "q"}))
"""


def test_recall_does_not_depend_on_the_seed_of_hashes() -> None:
    def printed(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.check_output(command, env=environment, text=True)

    first = printed("1")
    assert "the words touch it" in first
    assert printed("2") == first
