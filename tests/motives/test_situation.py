"""Situations: what a game may write, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motive_strategies import names, texts

from daydream_motives.characters.sheet import clean_text
from daydream_motives.errors import SituationError
from daydream_motives.motives.situation import Entity, Situation, Verb, in_order


def test_plain_strings_do_for_everything() -> None:
    found = Situation.from_data(
        {"place": "Old Quay", "present": "Karl Prado", "things": ["a net"], "nearby": "the Inn",
         "happened": "Rain.", "verbs": "talk"}
    )  # fmt: skip
    assert found.place == Entity(id="old_quay", name="Old Quay", kind="place")
    assert found.present == (Entity(id="karl_prado", name="Karl Prado", kind="person"),)
    assert found.things == (Entity(id="a_net", name="a net", kind="thing"),)
    assert found.nearby == (Entity(id="the_inn", name="the Inn", kind="place"),)
    assert (found.happened, found.verbs) == (("Rain.",), (Verb(name="talk"),))


def test_one_sentence_is_a_situation() -> None:
    assert Situation.from_data("It rains.") == Situation(happened=("It rains.",))


def test_nothing_is_a_situation_too() -> None:
    assert Situation.from_data({}) == Situation()


@given(names)
def test_any_name_does_for_a_person(name: str) -> None:
    assert Situation.from_data({"present": [name]}).present[0].name == clean_text(name)


@pytest.mark.parametrize("name", ["Room 4½", "H²O", "İ" * 100])
def test_odd_names_do_for_a_place(name: str) -> None:
    assert Situation.from_data({"place": name}).place is not None


@given(st.lists(texts, max_size=4))
def test_what_happened_keeps_its_order(happened: list[str]) -> None:
    assert Situation.from_data({"happened": happened}).happened == tuple(map(clean_text, happened))


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("weather", {"weather": "rain"}), ("time", {"time": "noon"}), ("time", {"time": "25:00"}),
        ("place", {"place": ""}), ("place", {"place": 5}), ("place.id", {"place": {"name": "A"}}),
        ("place.id", {"place": {"id": "a b", "name": "A"}}), ("present.0", {"present": [None]}),
        ("present.0.name", {"present": [{"id": "a", "name": " "}]}),
        ("present.0.kind", {"present": [{"id": "a", "name": "A", "kind": "ghost"}]}),
        ("present.0.mood", {"present": [{"id": "a", "name": "A", "mood": "x"}]}),
        ("present.0.name", {"present": ["x" * 121]}), ("happened.0", {"happened": [3]}),
        ("happened", {"happened": 3}), ("activity", {"activity": ["x"]}),
        ("verbs", {"verbs": ["v"] * 65}), ("verbs.0.name", {"verbs": [""]}),
        ("verbs.0", {"verbs": [7]}),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_wrong_situations_are_refused_at_their_path(path: str, data: dict[str, object]) -> None:
    with pytest.raises(SituationError) as caught:
        Situation.from_data(data, source="line 3")
    assert path in [problem.path for problem in caught.value.problems]
    assert "line 3" in str(caught.value)


@pytest.mark.parametrize("data", [None, [], 3, True])
def test_only_a_sentence_or_a_mapping_will_do(data: object) -> None:
    with pytest.raises(SituationError, match="one sentence, or a mapping"):
        Situation.from_data(data)


def test_in_order_is_by_id_and_each_once() -> None:
    a, b = (Entity(id=id, name=id) for id in "ab")
    assert in_order([b, a, b]) == [a, b]
