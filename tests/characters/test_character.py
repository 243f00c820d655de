"""A live character: its state in saves, its needs and memory, and the engine it thinks with."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters.character import Character
from daydream_motives.characters.memory import CAPACITY, Lived, Memory
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import CharacterSheet, Need
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import DaydreamError, SheetError
from daydream_motives.motives.situation import Situation

SHEET = CharacterSheet(name="Ines Prado", age=34, home="quay")
NOW = datetime(2024, 6, 14, 8)


def someone(**needs: Need) -> Character:
    return Character(CharacterSheet(name="Ann", age=30, needs=needs))


def company() -> Character:
    graph = RelationshipGraph()
    graph.add_person(Person("karl", "Karl Prado", 63))
    return Character(SHEET, relationships=graph)


@pytest.fixture
def scripted() -> Iterator[MotiveEngine]:
    with MotiveEngine("scripted", namespace="test") as engine:
        yield engine


# State

texts = st.text(max_size=20) | st.sampled_from(["", "李雷走了。", "ذهب البحر", "😀 <|im_end|>"])
ids = st.sampled_from(["quay", "karl", "李雷", "hen_point.1"])
zones = st.none() | st.integers(-14 * 4, 14 * 4).map(lambda n: timezone(n * timedelta(minutes=15)))
lived = st.builds(
    Lived, text=texts | st.text(min_size=480, max_size=520), importance=st.floats(0, 1),
    at=st.none() | st.datetimes(timezones=zones), place=st.none() | ids,
    who=st.lists(ids, max_size=3).map(tuple), times=st.integers(1, 10**6),
    source=st.just("") | ids, tellings=st.integers(0, 9), altered=st.booleans(),
)  # fmt: skip


@given(
    st.none() | texts, texts, texts, st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(lived, max_size=9), st.integers(0, 2**63), st.none() | st.floats(-1, 1),
)  # fmt: skip
def test_state_survives_a_save_through_json(
    place: str | None, activity: str, mood: str, levels: list[float], past: list[Lived],
    decisions: int, trust: float | None,
) -> None:  # fmt: skip
    one, other = company(), company()
    one.place, one.activity, one.mood = place, activity, mood
    one.needs = dict(zip(one.needs, levels, strict=True))
    one.memory, one.decisions = Memory(past), decisions
    if trust is not None:
        one.relationships.set(one.id, "karl", Relationship(trust=trust, story=mood))
    saved = one.save_state()
    other.load_state(json.loads(json.dumps(saved)))
    assert other.save_state() == saved
    assert other.memory == one.memory
    assert dict(other.relationships.of(other.id)) == dict(one.relationships.of(one.id))


def test_loading_a_save_undoes_what_came_after_it() -> None:
    character = company()
    saved = character.save_state()
    character.live(5)
    character.remember("He left.")
    character.mood = "low"
    character.relationships.record(character.id, "karl", "hurt")
    character.load_state(saved)
    assert character.save_state() == saved


def broken(**parts: object) -> dict[str, Any]:
    return {**company().save_state(), **parts}


@pytest.mark.parametrize(
    "data",
    [
        None, [], "save", {}, *(broken(schema_version=v) for v in (0, 3, -1, True, "2", 2.0, None)),
        broken(id="karl"), broken(id=None), broken(extra=1), broken(needs={"food": 1.5}),
        broken(needs={"food": float("nan")}), broken(needs={"thirst": 0.5}), broken(needs=[]),
        *(
            broken(memory=[{"text": "x", **wrong}])
            for wrong in (
                {"text": 3}, {"importance": 2}, {"times": 0}, {"tellings": -1}, {"who": "karl"},
                {"altered": "perhaps"}, {"at": "noon"}, {"weight": 0.5}, {"words": ["x"]},
            )
        ),
        broken(memory=[{"importance": 1}]), broken(memory="x"), broken(memory=None),
        broken(memory=["x"]), broken(recent=[]), broken(decisions=-1), broken(decisions="many"),
        broken(mood=3),
        broken(relationships={"nobody": {}}), broken(relationships={"ines_prado": {}}),
        broken(relationships={"karl": {"trust": 2}}),
        broken(relationships={"karl": {"kinds": ["pal"]}}),
        broken(needs={"food": 0.1}, relationships={"karl": {"trust": 0.1}, "nobody": {}}),
        {k: v for k, v in company().save_state().items() if k != "id"},
    ],
    ids=lambda data: repr(data)[-60:],
)  # fmt: skip
def test_a_bad_save_is_refused_and_changes_nothing(data: object) -> None:
    character = company()
    character.mood = "calm"
    before = character.save_state()
    with pytest.raises(SheetError):
        character.load_state(data)
    assert character.save_state() == before


def test_a_save_cannot_bring_romance_with_a_minor() -> None:
    character = company()
    character.relationships.add_person(Person("mo", "Mo", 9))
    with pytest.raises(SheetError, match="under 18"):
        character.load_state(broken(relationships={"mo": {"kinds": ["crush"]}}))


def test_a_newer_save_says_what_to_do() -> None:
    with pytest.raises(SheetError) as caught:
        company().load_state(broken(schema_version=3))
    assert "version" in caught.value.remedy
    assert caught.value.problems[0].path == "schema_version"


def test_a_saved_memory_is_bounded_too() -> None:
    character = company()
    character.load_state(broken(memory=[{"text": f"No {n}."} for n in range(50 * CAPACITY)]))
    assert len(character.memory) == CAPACITY
    assert list(character.memory)[-1].text == f"No {50 * CAPACITY - 1}."


def test_a_time_in_a_zone_of_odd_seconds_can_be_loaded_again() -> None:
    local_mean_time = timezone(timedelta(minutes=53, seconds=28))
    character = company()
    character.remember("The line was opened.", at=datetime(1850, 6, 1, tzinfo=local_mean_time))
    character.load_state(json.loads(json.dumps(character.save_state())))
    assert [one.text for one in character.memory] == ["The line was opened."]


# Saves of version 1


def first_version(**parts: object) -> dict[str, Any]:
    """A save as version 1 wrote it: twelve recent events with weights."""
    state = {**company().save_state(), "schema_version": 1, **parts}
    del state["memory"]
    return state


def test_the_recent_events_of_version_1_begin_the_memory() -> None:
    recent = [
        {"text": "Karl left.", "at": "2024-06-14T08:00:00+02:00", "weight": 0.8},
        {"text": "雨が降った。", "at": None},
    ]
    old = first_version(recent=recent, mood="calm", decisions=7, lately=["She wants tea."])
    before = json.dumps(old)
    character = company()
    character.load_state(old)
    assert [(one.text, one.importance) for one in character.memory] == [
        ("Karl left.", 0.8), ("雨が降った。", 0.5)
    ]  # fmt: skip
    assert next(iter(character.memory)).at == datetime.fromisoformat("2024-06-14T08:00+02:00")
    assert (character.mood, character.decisions, character.lately) == ("calm", 7, old["lately"])
    assert character.save_state()["schema_version"] == 2
    assert json.dumps(old) == before


def test_a_save_of_version_1_without_events_loads() -> None:
    character = company()
    character.remember("This came after the save.")
    character.load_state(first_version())
    assert len(character.memory) == 0


@pytest.mark.parametrize(
    "recent",
    [None, 5, "x", {"text": "x"}, ["x"], [None], [{"weight": 0.5}], [{"text": "x", "weight": 2}],
     [{"text": "x", "weight": None}], [{"text": "x", "extra": 1}]],
    ids=repr,
)  # fmt: skip
def test_a_bad_save_of_version_1_is_refused_and_changes_nothing(recent: object) -> None:
    character = company()
    character.remember("Still here.")
    before = character.save_state()
    with pytest.raises(SheetError):
        character.load_state(first_version(recent=recent))
    assert character.save_state() == before


def test_an_id_with_odd_spaces_is_refused_or_survives_its_own_save() -> None:
    try:
        character = Character(SHEET, id="ines  prado")
    except DaydreamError:
        return
    character.load_state(character.save_state())


# Needs


def test_needs_decay_with_the_hours_down_to_zero() -> None:
    character = someone(food=Need(decay=0.1, line=0.3, level=0.8))
    assert character.live(2) == []
    assert character.needs["food"] == pytest.approx(0.6)
    character.live(1000)
    assert character.needs["food"] == 0


def test_a_need_is_reported_only_when_it_crosses_its_line() -> None:
    character = someone(
        food=Need(decay=0.1, line=0.35, level=0.5), rest=Need(decay=0, line=0.5, level=0.2)
    )
    assert [character.live(1) for _ in range(4)] == [[], ["food"], [], []]


@given(st.floats(0, 1e6), st.floats(0, 10), st.floats(0, 1))
def test_time_never_takes_a_need_out_of_bounds(hours: float, decay: float, level: float) -> None:
    character = someone(food=Need(decay=decay, level=level))
    character.live(hours)
    assert 0 <= character.needs["food"] <= level


def test_time_that_runs_backwards_never_breaks_the_save() -> None:
    character = someone(food=Need(decay=1, level=0.5))
    before = character.save_state()
    with pytest.raises(ValueError, match="-2 hours"):
        character.live(-2)
    assert character.save_state() == before


@given(st.dictionaries(st.sampled_from(["food", "rest", "gold"]), st.floats(-5, 5)))
def test_changed_needs_stay_in_bounds_and_tell_what_really_changed(
    changes: dict[str, float],
) -> None:
    character = company()
    before = dict(character.needs)
    done = character.change_needs(changes)
    assert all(0 <= level <= 1 for level in character.needs.values())
    assert done.keys() <= changes.keys() & before.keys()
    after = {need: level + done.get(need, 0) for need, level in before.items()}
    assert character.needs == pytest.approx(after, abs=1e-6)


def test_no_number_never_makes_a_need_a_non_number() -> None:
    character = company()
    character.change_needs({"food": float("nan")})
    assert 0 <= character.needs["food"] <= 1


# Memory


def test_what_is_remembered_comes_back_with_where_and_who() -> None:
    character = company()
    character.remember("Karl left.", at=NOW, importance=0.8, place="quay", who=["karl"])
    (one,) = character.recalled(NOW, people={"karl"})
    assert one.lived == Lived("Karl left.", NOW, 0.8, "quay", ("karl",))


def test_recalling_leaves_the_memory_as_it_was() -> None:
    character = company()
    character.remember("Karl left.", at=NOW, importance=0.8, who=["karl"])
    before = character.save_state()
    character.recalled(NOW + timedelta(days=3), about="Karl", people={"karl"}, place="quay")
    assert character.save_state() == before


def test_the_own_name_brings_nothing_up() -> None:
    character = company()
    character.remember("Ines Prado dreamt of the sea.", importance=1.0)
    assert character.recalled(about="Ines Prado has just woken up.") == []
    assert len(character.recalled(about="Ines hears the sea.")) == 1


# Thinking


def test_the_id_comes_from_the_name_and_the_place_from_the_sheet() -> None:
    character = Character(SHEET)
    assert (character.id, character.place) == ("ines_prado", "quay")
    assert character.id in character.relationships


def test_each_character_without_a_graph_has_its_own() -> None:
    assert Character(SHEET).relationships is not Character(SHEET).relationships


def test_an_empty_graph_given_is_the_graph_used() -> None:
    graph = RelationshipGraph()
    assert Character(SHEET, relationships=graph).relationships is graph


def test_a_character_loads_from_its_file(tmp_path: Path) -> None:
    SHEET.save(tmp_path / "ines.yaml")
    assert Character.load(tmp_path / "ines.yaml", id="i").sheet == SHEET


def test_a_character_from_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(SheetError):
        Character.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "ask", [Character.next_purposes, lambda c: asyncio.run(c.next_purposes_async())]
)
def test_without_an_engine_the_error_says_what_to_do(ask: Callable[[Character], object]) -> None:
    with pytest.raises(DaydreamError, match="Ines Prado has no engine") as caught:
        ask(Character(SHEET))
    assert "MotiveEngine" in caught.value.remedy


def test_three_purposes_from_the_scripted_engine(ines: Character, scripted: MotiveEngine) -> None:
    ines.engine = scripted
    situation = Situation(time=NOW, place="Old Quay", happened="The harbour office is locked.")
    decision = ines.next_purposes(situation)
    assert [p.rank for p in decision] == [1, 2, 3]
    assert len({p.text for p in decision}) == 3
    assert decision.provenance.source == "model"
    assert ines.decisions == 1


def test_async_and_sync_give_the_same(graph: RelationshipGraph, scripted: MotiveEngine) -> None:
    def fresh() -> Character:
        return Character(SHEET, id="ines", relationships=graph, engine=scripted)

    found = asyncio.run(fresh().next_purposes_async(Situation(happened="Rain.")))
    assert [p.text for p in found] == [
        p.text for p in fresh().next_purposes(Situation(happened="Rain."))
    ]


def test_a_decision_leaves_state_alone_but_for_its_count(
    ines: Character, scripted: MotiveEngine
) -> None:
    ines.engine = scripted
    before = ines.save_state()
    decision = ines.next_purposes()
    assert ines.save_state() == {**before, "decisions": 1, "lately": [decision[0].text]}
