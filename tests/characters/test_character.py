"""A live character: its state in saves, its needs and memory, and the engine it thinks with."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters.character import RECENT, Character, Lived
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

texts = st.text(max_size=20)
lived = st.builds(
    Lived, text=texts, weight=st.floats(0, 1),
    at=st.none() | st.datetimes(min_value=datetime(1900, 1, 1)),
)  # fmt: skip


@given(
    st.none() | texts, texts, texts, st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(lived, max_size=RECENT), st.integers(0, 2**63), st.none() | st.floats(-1, 1),
)  # fmt: skip
def test_state_survives_a_save_through_json(
    place: str | None, activity: str, mood: str, levels: list[float], recent: list[Lived],
    decisions: int, trust: float | None,
) -> None:  # fmt: skip
    one, other = company(), company()
    one.place, one.activity, one.mood = place, activity, mood
    one.needs = dict(zip(one.needs, levels, strict=True))
    one.recent, one.decisions = list(recent), decisions
    if trust is not None:
        one.relationships.set(one.id, "karl", Relationship(trust=trust, story=mood))
    saved = one.save_state()
    other.load_state(json.loads(json.dumps(saved)))
    assert other.save_state() == saved
    assert other.recent == one.recent
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
        None, [], "save", {}, broken(schema_version=2), broken(schema_version=None),
        broken(id="karl"), broken(id=None), broken(extra=1), broken(needs={"food": 1.5}),
        broken(needs={"food": float("nan")}), broken(needs={"thirst": 0.5}), broken(needs=[]),
        broken(recent=[{"text": "x", "weight": 2}]), broken(recent=[{"weight": 1}]),
        broken(recent="x"), broken(decisions=-1), broken(decisions="many"), broken(mood=3),
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
        company().load_state(broken(schema_version=2))
    assert "version" in caught.value.remedy


def test_a_saved_memory_is_bounded_too() -> None:
    character = company()
    character.load_state(broken(recent=[{"text": str(n)} for n in range(50)]))
    character.remember("more")
    assert len(character.recent) <= RECENT


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


@given(st.lists(st.floats(0, 1), max_size=40))
def test_memory_is_bounded_and_keeps_the_newest(weights: list[float]) -> None:
    character = company()
    for n, weight in enumerate(weights):
        character.remember(str(n), weight=weight)
        assert len(character.recent) <= RECENT
        assert character.recent[-1].text == str(n)


def test_the_least_weighty_and_oldest_is_let_go() -> None:
    character = company()
    for n in range(RECENT):
        character.remember(str(n), weight=0.2 if n in (3, 7) else 0.8)
    character.remember("new", weight=0.1)
    assert [e.text for e in character.recent if e.text in ("3", "7", "new")] == ["7", "new"]


def test_recollections_halve_each_day_and_leave_the_memory_as_it_was() -> None:
    character = company()
    for days in (0, 1, 2, -1):
        character.remember("x", at=NOW - timedelta(days=days), weight=0.8)
    character.remember("timeless", weight=0.8)
    assert [e.weight for e in character.recalled(NOW)] == pytest.approx([0.8, 0.4, 0.2, 0.8, 0.8])
    assert [e.weight for e in character.recalled()] == [0.8] * 5
    assert [e.weight for e in character.recent] == [0.8] * 5


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
