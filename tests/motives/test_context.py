"""What a character is told, by example: what survives, what is secret, what brings lore up."""

import json
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from conftest import HARBOUR, words
from hypothesis import given
from hypothesis import strategies as st
from motive_strategies import quarters

from daydream_motives.characters.character import Character
from daydream_motives.characters.lore import Lore, Note
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import (
    Relationship,
    RelationshipEvent,
    RelationshipGraph,
    Tie,
)
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RelationshipError
from daydream_motives.motives.context import MotiveContext, Recollection, build_context
from daydream_motives.motives.situation import Entity, Situation
from daydream_motives.simulation.world import World

INES = CharacterSheet(name="Ines Prado", age=34, pronouns="she/her", occupation="harbour master")


def told(sheet: CharacterSheet = INES, situation: Any = None, **options: Any) -> MotiveContext:
    options = {"count_tokens": words, "budget": 2000, **options}
    return build_context(sheet, Situation.from_data(situation or {}), **options)


def status(context: MotiveContext, key: str) -> tuple[str, str]:
    (entry,) = [entry for entry in context.receipt if entry.key == key]
    return entry.status, entry.reason


def tie(name: str, *reasons: str, weight: float = 1, **edge: Any) -> Tie:
    id = name.split()[0].lower()
    return Tie(Person(id, name, 40), Relationship(**edge), weight, reasons)


# The prose


def test_the_four_fields_of_a_simple_scene() -> None:
    context = told(
        situation={
            "time": "2024-06-14T08:15", "place": "the Old Quay", "present": ["Karl Prado"],
            "happened": "the boat sank",
        },
        ties=[tie("Karl Prado", "present", kinds="parent", story="He raised her", trust=-0.8)],
        recollections=[Recollection("She slept badly")],
    )  # fmt: skip
    assert context.fields == {
        "Character_name": "Ines Prado",
        "Character_description": "Ines Prado is a 34-year-old harbour master.",
        "Context": "It is Friday morning, 08:15, and she is at the Old Quay. With her: Karl Prado."
        " The boat sank.",
        "Background": "Karl Prado is her parent. He raised her. She feels deep distrust."
        " She slept badly.",
    }  # fmt: skip


def test_an_empty_sheet_and_situation_give_a_name() -> None:
    context = told(CharacterSheet(name="Mo"))
    assert context.fields == {
        "Character_name": "Mo", "Character_description": "Mo.", "Context": "", "Background": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("age", "occupation", "identity"),
    [
        (8, "", "Mo is 8 years old."), (18, "smith", "Mo is an 18-year-old smith."),
        (None, "actor", "Mo is an actor."), (None, "", "Mo."), (0, "", "Mo is 0 years old."),
    ],
)  # fmt: skip
def test_the_identity(age: int | None, occupation: str, identity: str) -> None:
    sheet = CharacterSheet(name="Mo", age=age, occupation=occupation)
    assert told(sheet).description == identity


@pytest.mark.parametrize(("level", "word"), [(0.35, ""), (0.3, "hungry"), (0.1, "starving")])
def test_pressing_needs_are_told(level: float, word: str) -> None:
    assert told(needs={"food": level}).context == (f"She is {word}." if word else "")


@pytest.mark.parametrize(
    ("clock", "habit"), [("07:29", "sleep"), ("07:30", "bread"), ("23:59", "sleep")]
)
def test_the_routine_of_the_hour(clock: str, habit: str) -> None:
    day = [{"at": "07:30", "activity": "bread"}, {"at": "22:00", "activity": "sleep"}]
    sheet = CharacterSheet.from_data({"name": "Mo", "routine": day})
    context = told(sheet, {"time": f"2024-06-14T{clock}"}).context
    assert context.endswith(f"Around this time their habit is {habit}.")


# The budget


LONG = "A very long story without end, told again and again. " * 200


@pytest.mark.parametrize("count", [words, quarters])
@pytest.mark.parametrize("budget", [64, 100, 400])
@pytest.mark.parametrize(
    "parts",
    [
        {}, {"description": LONG}, {"traits": [LONG] * 5}, {"secrets": [LONG] * 9},
        {"occupation": LONG},
    ],
    ids=lambda parts: str([*parts]),
)  # fmt: skip
def test_who_when_where_and_what_happened_survive(
    count: Any, budget: int, parts: dict[str, Any]
) -> None:
    sheet = CharacterSheet.from_data({"name": "Ines Prado", **parts})
    scene = {"time": "2024-06-14T08:15", "place": "Quay", "happened": "A boat sank."}
    context = told(
        sheet, scene, count_tokens=count, budget=budget,
        recollections=[Recollection(LONG, 1.0)], lore=[Note("n", LONG, (), 10)],
    )  # fmt: skip
    assert context.description.startswith("Ines Prado")
    assert "08:15" in context.context
    assert "A boat sank." in context.context


def test_a_long_event_leaves_room_for_who_is_there() -> None:
    scene = {"happened": LONG, "present": ["Karl Prado"]}
    context = told(situation=scene, budget=100)
    assert "Karl" in context.context
    assert status(context, "happened:4")[0] == "shortened"


def test_the_least_important_goes_first() -> None:
    memories = [Recollection(f"memory number {n} of many words here", n / 20) for n in range(20)]
    context = told(recollections=memories, budget=120)
    kept = [m.weight for m in memories if status(context, f"memory:{m.text}")[0] == "kept"]
    assert 0 < len(kept) < 20
    assert min(kept) > max(m.weight for m in memories if m.weight not in kept)


def test_what_is_dropped_is_not_told() -> None:
    context = told(recollections=[Recollection("word " * 200)], budget=100)
    assert context.background == ""
    assert context.receipt[-1].reason == "no room in the budget"


def test_a_tie_to_someone_here_is_told_in_short_before_it_is_left_out() -> None:
    here = {"present": [{"id": "karl", "name": "Karl Prado"}]}
    karl = tie("Karl Prado", kinds="parent", story=LONG, trust=-0.8)
    context = told(situation=here, ties=[karl], budget=120)
    assert context.background == "Karl Prado is her parent. She feels deep distrust."
    assert status(context, "person:karl") == ("shortened", "too long for the budget")
    assert told(ties=[karl], budget=120).background == ""


def test_a_memory_is_left_to_the_tie_only_where_the_tie_tells_it() -> None:
    here = {"present": [{"id": "karl", "name": "Karl Prado"}]}
    met = RelationshipEvent(kind="met", text="Karl sold the boat")
    memories = [Recollection("Yesterday: Karl sold the boat.", 0.9)]
    key = "memory:Yesterday: Karl sold the boat."
    for story, found in (("He raised her", "dropped"), (LONG, "kept")):
        karl = tie("Karl Prado", kinds="parent", story=story, history=(met,))
        context = told(situation=here, ties=[karl], recollections=memories, budget=150)
        assert context.background.count("Karl sold the boat") == 1
        assert status(context, key)[0] == found
    assert status(context, "person:karl")[0] == "shortened"


def test_each_piece_is_counted_by_itself_and_never_the_whole() -> None:
    seen: list[str] = []

    def count(text: str) -> int:
        seen.append(text)
        return words(text)

    told(
        CharacterSheet(name="Mo Prado", description="Mo sings.", wants=("to rest",)),
        {"happened": ["A boat sank.", "It rained."]},
        ties=[tie("Karl Prado", "present", story="He raised her")], count_tokens=count,
    )  # fmt: skip
    assert max(map(len, seen)) < 50
    assert len([text for text in seen if "boat sank" in text]) == 1


@pytest.mark.parametrize("budget", [1, 0, -5, 63])
def test_a_budget_below_64_counts_as_64(budget: int) -> None:
    sheet = CharacterSheet(name="Ines " * 20, description=LONG)
    assert told(sheet, budget=budget) == told(sheet, budget=64)


def test_a_name_that_alone_breaks_the_budget_is_cut() -> None:
    context = told(CharacterSheet(name='"' * 120), budget=64)
    assert context.tokens <= 64
    assert context.name


# The receipt


def test_each_habit_and_secret_has_a_line_of_its_own() -> None:
    context = told(CharacterSheet(name="Mo", habits=("sings", "hums"), secrets=("x", "y")))
    keys = [entry.key for entry in context.receipt]
    assert len(keys) == len(set(keys)) == 5


def test_a_memory_that_repeats_is_told_once() -> None:
    context = told(recollections=[Recollection("He sang.", w) for w in (0.2, 0.5, 0.9)])
    assert context.background == "He sang."


# Order


def test_things_that_share_an_id_come_out_the_same_in_any_order() -> None:
    both = [{"id": "a", "name": "the net"}, {"id": "a", "name": "the rope"}]
    assert told(situation={"things": both}) == told(situation={"things": both[::-1]})


def test_lore_that_shares_an_id_comes_out_the_same_in_any_order() -> None:
    both = [Note("a", "One."), Note("a", "Two.")]
    assert told(lore=both) == told(lore=both[::-1])


# Secrets and lore


@cache
def harbour() -> tuple[World, MotiveEngine]:
    world = World.load(HARBOUR)
    lore = Lore(  # without keys: all that one knows is told
        Note(n.id, n.text, (), n.priority, None if n.known_to == "everyone" else n.known_to)
        for n in world.lore
    )
    return world, MotiveEngine("scripted", budget=10**6, lore=lore, namespace="t")


PEOPLE = sorted(harbour()[0].sheets)


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Any:
    yield
    harbour()[1].close()


def secrets_told(id: str, here: list[str]) -> None:
    """Fails where `id`, among `here`, is told a secret that is not its own, or lacks its own."""
    world, engine = harbour()
    situation = Situation(
        present=tuple(
            Entity(id=p, name=world.sheets[p].name, kind="person") for p in here if p != id
        ),
        happened=tuple(world.sheets[p].name for p in here),
    )
    character = Character(world.sheets[id], id=id, relationships=world.relationships)
    context = engine.context(character, situation)
    for other, sheet in world.sheets.items():
        assert all((s.rstrip(".") in context.text) is (other == id) for s in sheet.secrets)


@pytest.mark.parametrize("id", PEOPLE)
def test_among_everyone_each_is_told_only_its_own_secrets(id: str) -> None:
    secrets_told(id, PEOPLE)


@given(st.sampled_from(PEOPLE), st.lists(st.sampled_from(PEOPLE), max_size=8, unique=True))
def test_in_any_company_each_is_told_only_its_own_secrets(id: str, here: list[str]) -> None:
    secrets_told(id, here)


def test_the_town_has_secrets() -> None:
    assert any(sheet.secrets for sheet in harbour()[0].sheets.values())


@pytest.mark.parametrize(
    ("keys", "scene", "kept"),
    [
        ((), {}, True), (("storm",), {}, False), (("storm",), "A STORM comes.", True),
        (("storm",), "Storms come.", False), (("storm", "boat"), "The boat sank.", True),
        (("quay",), {"place": "Old Quay"}, True), (("Karl",), {"present": ["Karl Prado"]}, True),
        (("net",), {"things": ["a net"]}, True), (("mending",), {"activity": "mending nets"}, True),
        (("",), "Anything.", False), (("东风",), "东风", True),
    ],
)  # fmt: skip
def test_lore_is_told_when_a_key_comes_up(keys: tuple[str, ...], scene: Any, kept: bool) -> None:
    context = told(situation=scene, lore=[Note("n", "The wall is old.", keys)])
    found, reason = status(context, "lore:n")
    assert found == ("kept" if kept else "dropped")
    if keys:
        assert reason.startswith("brought up by " if kept else "nothing brings it up")
    assert ("The wall is old." in context.background) is kept


def test_a_person_named_in_what_happens_brings_lore_up() -> None:
    lore = [Note("n", "Old lore.", ("Karl Prado",))]
    named = tie("Karl Prado", "named in what happens")
    assert status(told(ties=[named], lore=lore), "lore:n")[0] == "kept"
    assert status(told(ties=[tie("Karl Prado")], lore=lore), "lore:n")[0] == "dropped"


# Ties


def test_only_two_ties_without_a_reason_are_told() -> None:
    context = told(ties=[tie(f"P{n} Q", weight=n) for n in range(5)])
    kept = [e.key for e in context.receipt if e.kind == "relationship" and e.status == "kept"]
    assert kept == ["person:p4", "person:p3"]


def test_a_kept_tie_is_an_entity_and_a_dropped_one_is_not() -> None:
    context = told(ties=[tie(f"P{n} Q", weight=n) for n in range(5)])
    assert [entity.id for entity in context.entities] == ["p3", "p4"]


@pytest.mark.parametrize("id", ["karl prado", "-karl", "k" * 200, "käthe!"])
def test_an_odd_id_of_a_person_is_refused_by_the_graph_or_told_about(id: str) -> None:
    graph = RelationshipGraph()
    graph.add_person(Person("ines", "Ines Prado", 34))
    try:
        graph.add_person(Person(id, "Karl Prado", 63))
    except RelationshipError:
        return
    graph.set("ines", id, Relationship())
    assert "Karl Prado" in told(ties=graph.who_matters("ines")).background


# Hostile text


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>system", "</s>", "[INST]", '"}'])
def test_template_tokens_come_through_as_text(token: str) -> None:
    sheet = CharacterSheet(name="Mo", description=f"Says {token} often.")
    context = told(sheet, {"happened": f"He said {token}"})
    assert token in context.description
    assert token in json.loads(context.as_json())["Context"]


def test_a_time_with_a_zone_reads_like_one_without() -> None:
    zoned = told(situation={"time": "2024-06-14T08:15+02:00"}).context
    assert zoned == told(situation={"time": datetime(2024, 6, 14, 8, 15)}).context


@pytest.mark.parametrize(
    ("traits", "mbti", "said"),
    [
        (["proud"], "INFJ", "She is proud (INFJ)."),
        ([], "INFJ", "She is of the type INFJ."),
        (["proud", "shy"], None, "She is proud and shy."),
        ([], None, ""),
    ],
)
def test_a_nature_is_told_with_traits_or_without(
    traits: list[str], mbti: str | None, said: str
) -> None:
    sheet = CharacterSheet.from_data(
        {"name": "Ada", "pronouns": "she/her", "traits": traits, "personality": {"mbti": mbti}}
    )
    told = build_context(sheet, Situation(), count_tokens=words).description
    assert (said in told) if said else " is " not in told
    assert "  " not in told


def test_a_stranger_is_nobodys() -> None:
    context = told(ties=[tie("Karl Prado", "present", kinds="stranger")])
    assert "Karl Prado is a stranger to " in context.background
