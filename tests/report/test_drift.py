"""Figures of drift: little cases computed by hand, and what holds for any run."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters.kinds import AXES
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.words import content_words
from daydream_motives.errors import RunError
from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike
from daydream_motives.report.choices import Choice, masked, opening, plain
from daydream_motives.report.drift import (
    MEASURES,
    SAMPLE_WORDS,
    WARM_UP,
    Drift,
    distinct_2,
    drift_of,
    evenness,
    same,
    shares_wording,
    windows_of,
)
from daydream_motives.report.ties import reported_moves, ties_of
from daydream_motives.report.trend import MIN_POINTS, Measure, about, judge, trend_of

START = datetime(2024, 6, 14, 6)
SHARE = Measure("x", "X", "{value} are so", "How.", 0.2, 0.5)


def record(text: str = "Ada wants to rest.", **changes: Any) -> dict[str, Any]:
    """A journal's record with three purposes, the first of which has this text."""
    purpose = {"text": text, "score": 0.5, "targets": [], "verb": "rest", "unknown_names": []}
    purpose |= changes.pop("purpose", {})
    return {
        "id": "d", "character": "ada", "world_time": START.isoformat(),
        "context": {"Character_name": "Ada Marsh"}, "situation": {}, "chosen": 1,
        "purposes": [{**purpose, "rank": rank} for rank in (1, 2, 3)],
        "provenance": {"source": "model", "filled": [], "reason": ""},
        "outcome": {"status": "done", "needs": {}, "relationships": [], "note": ""}, **changes,
    }  # fmt: skip


def choices(texts: list[str], *, hours: float = 1.0, who: str = "ada", **more: Any) -> list[Choice]:
    """One person's decisions, so many hours apart."""
    return [
        Choice.of(record(text, character=who, **more,
                         world_time=(START + timedelta(hours=hours * i)).isoformat()))
        for i, text in enumerate(texts)
    ]  # fmt: skip


def report(made: list[Choice], **more: Any) -> Drift:
    return drift_of(made, windows_of(made), **more)


def distinct(count: int) -> list[str]:
    """Purposes that have no content word in common."""
    return [f"alpha{i} beta{i} gamma{i} delta{i}" for i in range(count)]


# --- choices


def test_a_choice_tells_what_was_acted_on() -> None:
    choice = Choice.of(record("b", chosen=None, outcome=None))
    assert (choice.acted.text, choice.rank, choice.status) == ("b", 1, "open")


@pytest.mark.parametrize("missing", ["purposes", "provenance", "context", "character"])
def test_a_damaged_record_is_named(missing: str) -> None:
    broken = record()
    del broken[missing]
    with pytest.raises(RunError, match="decision 'd' is damaged"):
        Choice.of(broken)


def test_two_purposes_are_no_decision() -> None:
    with pytest.raises(RunError, match="2 purposes"):
        Choice.of({**record(), "purposes": record()["purposes"][:2]})


@given(st.text(max_size=900))
def test_plain_text_can_be_shown_anywhere(text: str) -> None:
    shown = plain(text)
    assert len(shown) <= 600
    assert shown.encode().decode() == shown
    assert not any(c < " " or c in "\u202e\u2066" for c in shown)


def test_half_characters_are_taken_out() -> None:
    assert plain("a\ud800b\u202ec\nd") == "a b c d"


@pytest.mark.parametrize(
    ("text", "template", "first"),
    [
        ("Ines wants to ask Karl Brandt for advice.", "_ wants to ask _ for advice", "ask _ for"),
        ("Sees João at the Old Quay!", "_ at the _", "_ at the"),
        ("they want to sing.", "they want to sing", "they want to"),
        ("42", "42", "42"),
    ],
)
def test_names_are_masked(text: str, template: str, first: str) -> None:
    assert masked(text) == template
    assert opening(template) == first


# --- windows


@pytest.mark.parametrize(
    ("days", "label", "count"),
    [(0.1, "1 hour", 3), (1, "4 hours", 6), (2, "6 hours", 8), (7, "1 day", 7),
     (30, "2 days", 15), (60, "1 week", 9), (365, "4 weeks", 14), (36500, "832 weeks", 7)],
)  # fmt: skip
def test_windows_are_of_the_length_that_suits_the_run(days: float, label: str, count: int) -> None:
    found = windows_of(choices(["a"]), (START, START + timedelta(days=days)))
    assert (found.label, found.count) == (label, count)


@given(st.floats(0.25, 36500), st.booleans())
def test_there_are_6_to_24_windows_and_every_time_is_in_one(days: float, fine: bool) -> None:
    span = (START, START + timedelta(days=days))
    found = windows_of(choices(["a"]), span, fine=fine)
    assert found.count <= 32 if fine else 6 <= found.count <= 24
    assert found.of(0, span[0]) == 0
    assert found.of(0, span[1]) == found.count - 1


def test_without_in_world_time_windows_count_decisions() -> None:
    made = [Choice.of(record(f"t{i}", world_time=None)) for i in range(60)]
    found = windows_of(made)
    assert (found.label, found.count, found.unit) == ("6 decisions", 10, "hundred decisions")
    assert [found.of(n, None) for n in (0, 5, 6, 59)] == [0, 0, 1, 9]


# --- trend and verdict


def test_a_line_is_found() -> None:
    trend = trend_of([(x, 2 * x + 1) for x in range(6)])
    assert trend is not None
    assert (trend.slope, trend.change, trend.points) == pytest.approx((2, 10, 6))
    assert trend.fit == pytest.approx(1)


def test_too_few_points_make_no_trend() -> None:
    points: list[tuple[float, float | None]] = [(float(x), 0.1 * x) for x in range(MIN_POINTS)]
    assert trend_of(points) is not None
    assert trend_of([*points[:-1], (9.0, None)]) is None
    assert trend_of([(1.0, y) for _, y in points]) is None  # all at one moment
    assert "too short for a trend (4 of the 5" in judge(SHARE, 0.1, points[:4], "day").sentence


@given(st.lists(st.floats(0, 1), min_size=5, max_size=24), st.floats(-0.4, 0.4))
def test_a_trend_moves_with_what_is_added(values: list[float], slope: float) -> None:
    before = trend_of(list(enumerate(values)))
    after = trend_of([(x, y + slope * x) for x, y in enumerate(values)])
    assert before
    assert after
    assert after.slope == pytest.approx(before.slope + slope, abs=1e-9)
    assert 0 <= after.fit <= 1


@pytest.mark.parametrize(("value", "level"), [(0.19, "fine"), (0.2, "watch"), (0.5, "drifting")])
def test_levels_follow_the_threshold(value: float, level: str) -> None:
    down = Measure("y", "Y", "{value}", "How.", 0.8, 0.5)
    assert SHARE.level(value) == level
    assert down.level(1 - value) == level
    assert SHARE.level(None) == "too short"


def test_a_rise_that_is_clear_makes_a_fine_figure_one_to_watch() -> None:
    rising = judge(SHARE, 0.15, [(x, 0.04 * x) for x in range(6)], "day")
    assert rising.level == "watch"
    assert rising.sentence == "15% are so; it rises by about 4 points a day."
    assert judge(SHARE, 0.15, [(x, 0.2 - 0.04 * x) for x in range(6)], "day").level == "fine"
    flat = judge(SHARE, 0.15, [(x, 0.15) for x in range(6)], "day")
    assert (flat.level, flat.sentence) == ("fine", "15% are so; the same all along.")


@pytest.mark.parametrize(
    ("value", "said"),
    [(23.4, "20"), (0.0421, "0.04"), (1, "1"), (951, "1000"), (0.00004, "0.00004")],
)
def test_amounts_have_one_digit(value: float, said: str) -> None:
    assert about(value) == said


# --- purposes


@given(st.text("abcdefg thes", max_size=40), st.text("abcdefg thes", max_size=40))
def test_sameness_is_that_of_purposes(a: str, b: str) -> None:
    assert same(a, content_words(a), b, content_words(b)) == (alike(a, b) >= NEAR_DUPLICATE)


def test_repeating_oneself_counts_the_last_ten_only() -> None:
    texts = distinct(11)
    again = [*texts, texts[0], texts[2]]  # the first is eleven ago, the third ten
    assert report(choices([*again, *distinct(40)[20:]])).whole.own_repetition == pytest.approx(
        1 / (len(again) + 20 - WARM_UP)
    )


def test_another_persons_words_are_no_repetition_of_ones_own() -> None:
    made = [c for who in ("a", "b") for c in choices(distinct(20), who=who)]
    whole = report(made).whole
    assert whole.own_repetition == 0
    assert whole.shared_wording == 1  # but word for word the same as the other's


def test_wording_is_shared_by_people_not_by_one() -> None:
    assert shares_wording([("a", "x"), ("a", "x"), ("b", "y")]) == 0
    assert shares_wording([("a", "x"), ("b", "x"), ("b", "y")]) == 2


def test_wording_counts_within_a_window_only() -> None:
    texts = distinct(12)
    early = choices(texts, hours=0.1, who="a")
    late = [Choice.of(record(t, character="b", world_time=(START + timedelta(days=2)).isoformat()))
            for t in texts]  # fmt: skip
    assert report(early + late).whole.shared_wording == 0


def test_distinct_2_of_a_text_that_repeats() -> None:
    assert distinct_2(["a b c d e"] * (SAMPLE_WORDS // 5)) == pytest.approx(
        4 / (SAMPLE_WORDS / 5 * 4)
    )
    assert distinct_2([f"a{i} b{i}" for i in range(SAMPLE_WORDS)]) == 1
    assert distinct_2(["a b"] * (SAMPLE_WORDS // 2 - 1)) is None


@given(st.integers(1, 12))
def test_a_longer_window_is_not_punished(times: int) -> None:
    """More of the same mixture leaves distinct-2 where it was; all pairs together would sink."""
    texts = [f"go to place{i} and see person{i}" for i in range(60)]
    first, more = distinct_2(texts), distinct_2(texts * times)
    assert first is not None
    assert more is not None
    assert more >= first - 0.25
    everything = [pair for text in texts * times for pair in pairwise(text.split())]
    if times > 3:
        assert more > len(set(everything)) / len(everything)


@pytest.mark.parametrize(
    ("counts", "room", "value"),
    [([], 4, 0), ([9], 4, 0), ([5, 5], 2, 1), ([5, 5], 4, 0.5),
     ([3, 1], 2, -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))],
)  # fmt: skip
def test_evenness(counts: list[int], room: int, value: float) -> None:
    assert evenness(counts, room) == pytest.approx(value)


def test_instinct_fillings_names_and_outcomes_are_counted() -> None:
    made = [
        *choices(distinct(6), provenance={"source": "instinct", "filled": [], "reason": "late"}),
        *choices(distinct(6), provenance={"source": "model", "filled": [2, 3], "reason": "twice"}),
        *choices(distinct(8), purpose={"unknown_names": ["Zoë", "Zoë"]}, outcome=None),
    ]
    found = report(made, offered=["rest", "work"])
    whole = found.whole
    assert (whole.instinct, whole.unknown_names) == (pytest.approx(0.3), pytest.approx(0.4))
    assert whole.filled == pytest.approx(12 / (14 * 3))
    assert found.names == (("Zoë", 8),)
    assert found.reasons == (("late", 6), ("twice", 6))
    assert whole.outcomes == {"done": 12, "open": 8}
    assert (whole.verbs, whole.verb_variety, whole.unfinished) == (1, 0, 0)


def test_a_run_of_three_decisions_says_nothing() -> None:
    verdicts = report(choices(distinct(3))).verdicts
    assert {v.level for v in verdicts} == {"too short"}
    assert {v.value for v in verdicts} == {None}
    assert all("too little" in v.sentence.lower() or "No window" in v.sentence for v in verdicts)


purposes = st.lists(st.sampled_from([*distinct(6), "Ada wants to rest.", ""]), max_size=60)


@given(purposes, st.integers(0, 3))
def test_figures_are_shares_and_windows_add_up(texts: list[str], people: int) -> None:
    made = [c for n in range(people) for c in choices([t or "x" for t in texts], who=f"p{n}")]
    found = report(made)
    assert sum(f.decisions for f in found.figures) == len(made)
    for figures in (*found.figures, found.whole):
        for measure in MEASURES:
            value = getattr(figures, measure.key)
            assert value is None or 0 <= value <= 1
    assert report(made).as_data() == found.as_data()


@given(st.integers(0, 10))
def test_more_repetition_never_looks_like_less(repeats: int) -> None:
    def share(count: int) -> float:
        texts = distinct(30)
        found = report(choices([*texts[: 30 - count], *["same old words again"] * count]))
        return found.whole.own_repetition or 0.0

    assert share(repeats) <= share(repeats + 1)


# --- relationships


def graph(**ties: Relationship) -> RelationshipGraph:
    """Ada, Bo and Cy; `ada_bo` is how Ada sees Bo."""
    made = RelationshipGraph()
    for id in ("ada", "bo", "cy"):
        made.add_person(Person(id, id.title(), 30))
    for edge, rel in ties.items():
        made.set(*edge.split("_"), rel)
    return made


def test_the_course_of_a_tie_is_that_of_its_events() -> None:
    start = graph(ada_bo=Relationship(trust=0.1), bo_ada=Relationship(affection=0.3))
    end = start.copy()
    end.change("ada", "bo", {"trust": -0.2}, kind="argued", at=START + timedelta(hours=30))
    windows = windows_of(choices(["a"]), (START, START + timedelta(days=6)))
    found = ties_of(start, end, windows)
    (change,) = found.changed
    assert (change.source, change.target, change.axis) == ("ada", "bo", "trust")
    assert change.course == pytest.approx((0.1, 0.1, -0.1, -0.1, -0.1, -0.1, -0.1))
    assert (change.events, change.new, found.isolated) == ({"argued": 1}, False, ("cy",))
    assert [f.mean["trust"] for f in found.figures[:3]] == pytest.approx([0.05, 0.05, -0.05])
    assert found.figures[0].gap == pytest.approx(0.3)
    assert found.figures[0].strength == pytest.approx((0.1 + 0.3) / 2)


def test_new_ties_do_not_hide_how_the_old_ones_move() -> None:
    start = graph(ada_bo=Relationship(affection=0.8))
    end = start.copy()
    end.record("ada", "bo", "comforted", at=START + timedelta(days=1))
    end.record("bo", "cy", "met", at=START + timedelta(days=3))
    found = ties_of(start, end, windows_of(choices(["a"]), (START, START + timedelta(days=6))))
    assert found.figures[-1].strength > found.figures[0].strength
    assert [f.ties for f in found.figures] == [1, 1, 1, 1, 2, 2, 2]
    assert found.new == 1


def test_ties_that_race_are_told_with_the_day_they_arrive() -> None:
    start = graph(ada_bo=Relationship(affection=0.0), bo_ada=Relationship(affection=0.0))
    end = graph(ada_bo=Relationship(affection=0.6), bo_ada=Relationship(affection=0.6))
    windows = windows_of(choices(["a"]), (START, START + timedelta(days=6)))
    found = ties_of(start, end, windows)
    assert found.half_at_limit_days == pytest.approx(0.35 / 0.1)
    pace = next(v for v in found.verdicts if v.key == "strength")
    assert pace.level == "drifting"
    assert "Mean affection rises by about 0.1 a day" in pace.sentence
    assert "in about 4 days" in pace.sentence or "in about 3 days" in pace.sentence


def test_ties_at_their_limit() -> None:
    full = Relationship(trust=-0.95)
    found = ties_of(
        graph(ada_bo=full, bo_ada=Relationship()), graph(ada_bo=full, bo_ada=Relationship()),
        windows_of(choices(["a"]), (START, START + timedelta(days=6))),
    )  # fmt: skip
    assert found.figures[-1].at_limit == 0.5
    assert found.half_at_limit_days == 0  # of two, one is half
    assert found.moved == 0


@pytest.mark.parametrize(("end", "level"), [(0.95, "fine"), (0.2, "drifting")])
def test_what_the_author_wrote_is_no_drift(end: float, level: str) -> None:
    """Two of four ties are at their limit at the end; they were at the start, or came there."""
    begun = Relationship(trust=end, affection=0.1)
    full, plain_tie = Relationship(trust=0.95, affection=0.1), Relationship(affection=0.1)
    start = graph(ada_bo=begun, bo_ada=begun, ada_cy=plain_tie, cy_ada=plain_tie)
    after = graph(ada_bo=full, bo_ada=full, ada_cy=plain_tie, cy_ada=plain_tie)
    windows = windows_of(choices(["a"]), (START, START + timedelta(days=6)))
    verdicts = {v.key: v for v in ties_of(start, after, windows).verdicts}
    assert verdicts["at_limit"].value == 0.5
    assert verdicts["at_limit"].level == level


def test_what_no_event_tells_is_spread_evenly() -> None:
    found = ties_of(
        graph(ada_bo=Relationship(trust=0.0)), graph(ada_bo=Relationship(trust=0.6)),
        windows_of(choices(["a"]), (START, START + timedelta(days=6))),
    )  # fmt: skip
    assert found.changed[0].course == pytest.approx([0.1 * k for k in range(7)])


def test_a_world_without_ties_has_no_verdicts() -> None:
    found = ties_of(graph(), graph(), windows_of(choices(["a"])))
    assert (found.verdicts, found.changed, found.isolated) == ((), (), ("ada", "bo", "cy"))


moves = st.lists(
    st.tuples(st.sampled_from(["ada bo", "bo ada", "cy bo"]), st.sampled_from(AXES[:3]),
              st.floats(-1, 1), st.integers(0, 143)),
    max_size=12,
)  # fmt: skip


@given(moves)
def test_a_course_ends_where_the_graph_does(done: list[tuple[str, str, float, int]]) -> None:
    start = graph(ada_bo=Relationship(trust=0.5), cy_bo=Relationship(affection=-0.4))
    end = start.copy()
    for edge, axis, delta, hour in sorted(done, key=lambda move: move[3]):
        end.change(*edge.split(), {axis: delta}, at=START + timedelta(hours=hour))
    found = ties_of(start, end, windows_of(choices(["a"]), (START, START + timedelta(days=6))))
    for change in found.changed:
        tie = end.get(change.source, change.target)
        assert change.course[-1] == pytest.approx(getattr(tie, change.axis), abs=1e-6)
        assert all(-1 - 1e-6 <= value <= 1 + 1e-6 for value in change.course)
    assert all(0 <= f.at_limit <= 1 and 0 <= f.strength <= 1 for f in found.figures)


def test_without_graphs_the_games_own_reports_are_summed() -> None:
    moved = {"status": "done", "relationships": [{"to": "bo", "changes": {"trust": 0.1}}]}
    (change,) = reported_moves(choices(["a", "b"], outcome=moved))
    assert (change.source, change.target, change.axis) == ("ada", "bo", "trust")
    assert change.after == pytest.approx(0.2)
    assert change.events == {"reported": 2}
