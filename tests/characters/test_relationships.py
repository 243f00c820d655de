"""Ties: how events move them, what minors are spared, who matters, and the node-link format."""

import contextlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters.person import Person, mentions
from daydream_motives.characters.relationships import (
    AXES,
    EVENT_RULES,
    KINDS,
    ROMANTIC_KINDS,
    Relationship,
    RelationshipEvent,
    RelationshipGraph,
)
from daydream_motives.characters.sheet import CharacterSheet, clean_text
from daydream_motives.errors import DaydreamError, RelationshipError

NOW = datetime(2024, 6, 14, 8)
MINORS = [9, 17, None]


def adults(*extra: Person, kinds: tuple[str, ...] = ()) -> RelationshipGraph:
    graph = RelationshipGraph(kinds)
    for person in (Person("a", "Ann Ash", 30), Person("b", "Bo Birk", 40), *extra):
        graph.add_person(person)
    return graph


def with_minor(age: int | None) -> RelationshipGraph:
    return adults(Person("c", "Cleo", age))


# Events


@pytest.mark.parametrize("kind", sorted(EVENT_RULES))
def test_each_event_moves_each_axis_its_way_and_keeps_history(kind: str) -> None:
    graph = adults()
    graph.set("a", "b", Relationship(trust=0.2, respect=0.2, affection=0.2, familiarity=0.5))
    event = graph.record("a", "b", kind, text="It happened.", at=NOW)
    after = graph.get("a", "b")
    assert after is not None
    assert after.history == (event,)
    assert (event.kind, event.text, event.at) == (kind, "It happened.", NOW)
    assert {axis: delta > 0 for axis, delta in event.changes.items()} == {
        axis: delta > 0 for axis, delta in EVENT_RULES[kind].items()
    }
    assert graph.get("b", "a") is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_away_from_zero_is_damped_and_back_acts_in_full(sign: int) -> None:
    graph = adults()
    graph.set("a", "b", Relationship(trust=0.5 * sign))
    assert graph.change("a", "b", {"trust": 0.2 * sign}).changes == {"trust": 0.1 * sign}
    assert graph.change("a", "b", {"trust": -0.3 * sign}).changes == {"trust": -0.3 * sign}


def test_trust_is_hard_to_perfect_and_easy_to_lose() -> None:
    graph = adults()
    for _ in range(30):
        graph.record("a", "b", "helped")
    high = graph.get("a", "b").trust  # type: ignore[union-attr]
    graph.record("a", "b", "betrayed")
    assert high < 1
    assert graph.get("a", "b").trust == pytest.approx(high - 0.45)  # type: ignore[union-attr]


def test_intensity_scales_the_rule() -> None:
    graph = adults()
    assert graph.record("a", "b", "helped", intensity=0).changes == {}
    assert graph.record("a", "b", "helped", intensity=2).changes["trust"] == pytest.approx(0.16)


def test_a_missing_edge_begins_as_an_acquaintance_without_familiarity() -> None:
    graph = adults()
    graph.record("a", "b", "met")
    edge = graph.get("a", "b")
    assert edge is not None
    assert (edge.kinds, edge.familiarity) == (("acquaintance",), 0.05)


events = st.lists(
    st.tuples(st.sampled_from(sorted(EVENT_RULES)), st.floats(0, 3))
    | st.tuples(st.sampled_from(AXES), st.floats(-5, 5)),
    max_size=25,
)


@given(events)
def test_any_sequence_of_events_stays_within_bounds(happened: list[tuple[str, float]]) -> None:
    graph = adults()
    for kind, amount in happened:
        if kind in AXES:
            graph.change("a", "b", {kind: amount})
        else:
            graph.record("a", "b", kind, intensity=amount)
    if edge := graph.get("a", "b"):
        assert all(-1 <= getattr(edge, axis) <= 1 for axis in AXES)
        assert edge.familiarity >= 0
        assert 0 <= edge.strength <= 1
        assert len(edge.history) == (len(happened) if len(happened) <= 24 else 13)
        assert Relationship.model_validate(edge.model_dump()) == edge


@given(st.lists(st.tuples(st.sampled_from(AXES), st.floats(-0.3, 0.3)), min_size=1, max_size=120))
def test_the_history_is_bounded_and_still_adds_up(moves: list[tuple[str, float]]) -> None:
    graph = adults()
    for n, (axis, delta) in enumerate(moves):
        graph.change("a", "b", {axis: delta}, text=f"{n}.", at=NOW + timedelta(hours=n))
        edge = graph.get("a", "b")
        assert edge is not None
        assert len(edge.history) <= 24
        assert (edge.history[-1].text, edge.history[-1].at) == (f"{n}.", NOW + timedelta(hours=n))
        for axis in AXES:
            changed = sum(event.changes.get(axis, 0.0) for event in edge.history)
            assert changed == pytest.approx(getattr(edge, axis), abs=1e-4)
    times = [event.at for event in edge.history]
    assert times == sorted(times)


def test_what_is_folded_says_so_and_survives_a_save() -> None:
    graph = adults()
    for n in range(25):
        graph.record("a", "b", "talked", text=f"Talk {n}.", at=NOW + timedelta(hours=n))
    edge = graph.get("a", "b")
    assert edge is not None
    assert [event.text for event in edge.history] == ["", *(f"Talk {n}." for n in range(13, 25))]
    assert (edge.history[0].kind, edge.history[0].at) == ("earlier", NOW + timedelta(hours=12))
    assert RelationshipGraph.from_data(graph.to_data()).get("a", "b") == edge


def test_a_change_that_is_no_number_never_makes_trust() -> None:
    graph = adults()
    graph.set("a", "b", Relationship())
    with contextlib.suppress(RelationshipError):
        graph.change("a", "b", {"trust": float("nan")})
    assert graph.get("a", "b").trust == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("a", "b", "kind", "intensity"),
    [
        ("a", "b", "winked", 1), ("a", "b", "", 1), ("a", "b", "helped", -0.1),
        ("a", "b", "helped", 3.1), ("a", "b", "helped", float("nan")), ("a", "x", "helped", 1),
        ("x", "a", "helped", 1), ("a", "a", "helped", 1),
    ],
)  # fmt: skip
def test_wrong_events_are_refused_and_change_nothing(
    a: str, b: str, kind: str, intensity: float
) -> None:
    graph = adults()
    with pytest.raises(RelationshipError):
        graph.record(a, b, kind, intensity=intensity)
    assert len(graph) == 0


def test_a_wrong_intensity_is_what_the_error_says_was_found() -> None:
    with pytest.raises(RelationshipError) as caught:
        adults().record("a", "b", "helped", intensity=7.0)
    assert "7.0" in caught.value.problems[0].found


def test_an_unknown_axis_is_named() -> None:
    with pytest.raises(RelationshipError, match="love"):
        adults().change("a", "b", {"trust": 0.1, "love": 0.1})


# Minors


@pytest.mark.parametrize("age", MINORS)
@pytest.mark.parametrize("ends", [("a", "c"), ("c", "a")])
@pytest.mark.parametrize(
    "edge",
    [
        Relationship(attraction=0.1), Relationship(attraction=-0.1),
        *(Relationship(kinds=("friend", kind)) for kind in sorted(ROMANTIC_KINDS)),
    ],
    ids=lambda edge: f"{edge.kinds[-1]} {edge.attraction}",
)  # fmt: skip
def test_no_romance_with_a_minor_by_set(
    age: int | None, ends: tuple[str, str], edge: Relationship
) -> None:
    graph = with_minor(age)
    with pytest.raises(RelationshipError, match="under 18 or of unknown age"):
        graph.set(*ends, edge)
    assert len(graph) == 0


@pytest.mark.parametrize("age", MINORS)
@pytest.mark.parametrize("ends", [("a", "c"), ("c", "a")])
@pytest.mark.parametrize(
    "act",
    [
        lambda graph, a, b: graph.change(a, b, {"attraction": 0.01}),
        lambda graph, a, b: graph.change(a, b, {"attraction": -0.01}),
        lambda graph, a, b: graph.record(a, b, "flirted"),
    ],
)
def test_no_attraction_to_a_minor_by_events(
    age: int | None, ends: tuple[str, str], act: Callable[..., object]
) -> None:
    graph = with_minor(age)
    graph.set(*ends, Relationship(trust=0.4))
    with pytest.raises(RelationshipError):
        act(graph, *ends)
    assert graph.get(*ends) == Relationship(trust=0.4)


def test_all_but_romance_is_open_to_minors() -> None:
    graph = with_minor(9)
    for kind in EVENT_RULES.keys() - {"flirted"}:
        graph.record("c", "a", kind)
    for kind in KINDS.keys() - ROMANTIC_KINDS:
        graph.set("a", "c", Relationship(kinds=(kind,)))


@pytest.mark.parametrize("age", MINORS)
def test_nobody_in_a_romance_becomes_a_minor(age: int | None) -> None:
    graph = adults()
    graph.set("a", "b", Relationship(kinds=("spouse",)))
    with pytest.raises(RelationshipError):
        graph.add_person(Person("b", "Bo Birk", age))
    assert graph.person("b").age == 40


@pytest.mark.parametrize("age", MINORS)
def test_node_link_data_cannot_bring_romance_with_a_minor(age: int | None) -> None:
    data = with_minor(age).to_data()
    data["edges"] = [{"source": "a", "target": "c", "attraction": 0.2}]
    with pytest.raises(RelationshipError, match="under 18"):
        RelationshipGraph.from_data(data)


# Edges and kinds


@pytest.mark.parametrize("kinds", [[], ["pal"], ["friend", "pal"], "pal"])
def test_unknown_or_no_kinds_are_refused(kinds: object) -> None:
    data = adults().to_data()
    data["edges"] = [{"source": "a", "target": "b", "kinds": kinds}]
    with pytest.raises(RelationshipError, match="kinds"):
        RelationshipGraph.from_data(data)


def test_a_world_may_add_kinds() -> None:
    graph = adults(kinds=("pal",))
    graph.set("a", "b", Relationship(kinds=("pal",)))
    assert RelationshipGraph.from_data(graph.to_data()).get("a", "b") == graph.get("a", "b")


@pytest.mark.parametrize("kind", sorted(k for k, v in KINDS.items() if v))
def test_the_inverse_of_an_inverse_is_the_kind(kind: str) -> None:
    inverse = KINDS[kind]
    assert inverse is not None
    assert KINDS[inverse] == kind


@pytest.mark.parametrize("ends", [("a", "x"), ("x", "b"), ("a", "a")])
def test_edges_need_two_known_people(ends: tuple[str, str]) -> None:
    with pytest.raises(RelationshipError):
        adults().set(*ends, Relationship())


def test_an_unknown_person_is_an_error() -> None:
    with pytest.raises(RelationshipError, match="no such person"):
        adults().person("x")


# Node-link data

words = st.text(max_size=12)
names = words.map(clean_text).filter(bool)
identifiers = st.text("abyé李_09", min_size=1, max_size=8)
axis = st.floats(-1, 1)
moments = st.none() | st.datetimes(min_value=datetime(1900, 1, 1))
relationships = st.builds(
    Relationship,
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3).map(tuple),
    story=words, trust=axis, respect=axis, affection=axis, attraction=axis,
    familiarity=st.floats(0, 1),
    history=st.lists(
        st.builds(
            RelationshipEvent, kind=words, text=words, at=moments,
            changes=st.dictionaries(st.sampled_from(AXES), axis, max_size=2),
        ), max_size=3,
    ).map(tuple),
)  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> RelationshipGraph:
    graph = RelationshipGraph(["pal"])
    ids = draw(st.lists(identifiers, min_size=2, max_size=5, unique=True))
    for id in ids:
        aliases = draw(st.lists(names, max_size=2).map(tuple))
        occupation = draw(words.map(clean_text))
        graph.add_person(Person(id, draw(names), draw(st.integers(18, 99)), occupation, aliases))
    pairs = [(a, b) for a in ids for b in ids if a != b]
    for a, b in draw(st.lists(st.sampled_from(pairs), max_size=6, unique=True)):
        graph.set(a, b, draw(relationships))
    return graph


@given(graphs())
def test_node_link_data_is_lossless_through_json(graph: RelationshipGraph) -> None:
    data = graph.to_data()
    again = RelationshipGraph.from_data(json.loads(json.dumps(data)))
    assert again.to_data() == data
    assert list(again.people()) == list(graph.people())
    assert list(again.edges()) == list(graph.edges())
    assert again.extra_kinds == graph.extra_kinds


def broken(**parts: object) -> dict[str, object]:
    return {**adults().to_data(), **parts}


@pytest.mark.parametrize(
    "parts",
    [
        {"schema_version": 2}, {"schema_version": None}, {"nodes": None}, {"edges": None},
        {"nodes": [1]}, {"nodes": [{"id": "a"}]}, {"nodes": [{"name": "A"}]},
        {"nodes": [{"id": ["a"], "name": "A"}]}, {"edges": [{"source": "a"}]}, {"edges": [None]},
        {"edges": [{"source": "a", "target": "x"}]},
        {"edges": [{"source": "a", "target": "b", "trust": 2}]},
        {"edges": [{"source": "a", "target": "b", "trust": float("nan")}]},
        {"edges": [{"source": "a", "target": "b", "love": 1}]},
        {"graph": []}, {"graph": None}, {"graph": {"extra_kinds": 5}},
        {"graph": {"extra_kinds": [[]]}},
        {"nodes": [{"id": "a", "name": "A", "age": "nine"}]},
        {"nodes": [{"id": "a", "name": 5}]},
        {"nodes": [{"id": 5, "name": "A"}]},
        {"nodes": [{"id": "a", "name": "A", "aliases": "Al"}]},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_node_link_data_is_a_relationship_error(parts: dict[str, object]) -> None:
    with pytest.raises(RelationshipError):
        RelationshipGraph.from_data(broken(**parts), source="ties.json")


@pytest.mark.parametrize("data", [None, [], "graph", 1, {}, {"schema_version": 1}])
def test_what_is_no_node_link_data_is_a_relationship_error(data: object) -> None:
    with pytest.raises(RelationshipError, match=r"graph: .*expected"):
        RelationshipGraph.from_data(data)


def test_node_link_data_lists_all_that_is_wrong() -> None:
    edges = [{"source": "a", "target": "b", "trust": 2}, {"source": "a", "target": "x"}]
    with pytest.raises(RelationshipError) as caught:
        RelationshipGraph.from_data(broken(edges=edges))
    assert len(caught.value.problems) == 2


def test_who_sees_someone_and_whom_they_see_are_two_things() -> None:
    graph = adults(Person("c", "Cleo", 50))
    graph.set("a", "b", Relationship(trust=0.1))
    graph.set("c", "b", Relationship(trust=0.2))
    graph.set("b", "c", Relationship(trust=0.3))
    assert {a: rel.trust for a, rel in graph.seen_by("b")} == {"a": 0.1, "c": 0.2}
    assert {b: rel.trust for b, rel in graph.of("b")} == {"c": 0.3}
    assert list(graph.seen_by("a")) == list(graph.seen_by("nobody")) == []


# Who matters


def crowd(*edges: tuple[str, Relationship]) -> RelationshipGraph:
    graph = adults()
    for id, edge in edges:
        graph.add_person(Person(id, f"{id.title()} Quint", 50, aliases=(f"Old {id.title()}",)))
        graph.set("a", id, edge)
    return graph


def changed(hours_ago: float) -> Relationship:
    event = RelationshipEvent(kind="talked", at=NOW - timedelta(hours=hours_ago))
    return Relationship(history=(event,))


def order(graph: RelationshipGraph, **options: object) -> list[str]:
    return [tie.person.id for tie in graph.who_matters("a", **options)]  # type: ignore[arg-type]


def test_presence_then_naming_then_strength_then_recency_then_id() -> None:
    strong = Relationship(kinds=("friend",), affection=1, familiarity=1)
    graph = crowd(
        ("wes", Relationship()), ("val", Relationship()), ("une", changed(1)), ("tom", strong),
        ("sam", Relationship()), ("ray", Relationship()),
    )  # fmt: skip
    found = graph.who_matters("a", present=["ray"], text="Someone asks for sam.", now=NOW)
    assert [tie.person.id for tie in found] == ["ray", "sam", "tom", "une", "val", "wes"]
    assert [tie.reasons for tie in found[:4]] == [
        ("present",), ("named in what happens",), ("strong",), ("recent",)
    ]  # fmt: skip
    assert found[-1].reasons == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SAM QUINT is here", True), ("It was Sam's boat.", True), ("old sam sat", True),
        ("the same boat", False), ("Samuel came", False), ("", False), ("quint", False),
    ],
)  # fmt: skip
def test_naming_is_by_whole_words_of_any_name(text: str, named: bool) -> None:
    (tie,) = crowd(("sam", Relationship())).who_matters("a", text=text)
    assert ("named in what happens" in tie.reasons) is named


def test_recency_halves_every_48_hours_and_never_counts_the_future() -> None:
    weights = [
        crowd(("sam", changed(hours))).who_matters("a", now=NOW)[0].weight
        - crowd(("sam", Relationship())).who_matters("a", now=NOW)[0].weight
        for hours in (0, 48, 96, -10)
    ]
    assert weights == pytest.approx([0.6, 0.3, 0.15, 0.6])


@pytest.mark.parametrize("limit", [0, 1, 2, 9, None])
def test_the_limit(limit: int | None) -> None:
    graph = crowd(*((id, Relationship()) for id in ("sam", "tom", "una")))
    assert order(graph, limit=limit) == ["sam", "tom", "una"][:limit]


def test_nobody_matters_to_a_stranger_or_a_loner() -> None:
    assert adults().who_matters("a") == adults().who_matters("nobody") == []


def test_only_the_own_edges_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = crowd(("sam", Relationship()), ("tom", Relationship()))
    for n in range(5000):
        graph.add_person(Person(f"p{n}", f"P {n}", 30))
        graph.set(f"p{n}", "a", Relationship())
    asked: list[str] = []
    real = RelationshipGraph.person
    monkeypatch.setattr(RelationshipGraph, "people", None)
    monkeypatch.setattr(RelationshipGraph, "edges", None)
    monkeypatch.setattr(
        RelationshipGraph, "person", lambda self, id: asked.append(id) or real(self, id)
    )
    assert order(graph) == ["sam", "tom"]
    assert sorted(asked) == ["sam", "tom"]


def test_times_with_and_without_a_zone_are_compared_or_refused_in_our_words() -> None:
    graph = crowd(("sam", changed(1)))
    with contextlib.suppress(DaydreamError):
        graph.who_matters("a", now=datetime.fromisoformat("2024-06-14T08:00+00:00"))


def test_an_article_is_nobodys_name() -> None:
    graph = adults(Person("s", "The Stranger", 50))
    graph.set("a", "s", Relationship())
    (tie,) = graph.who_matters("a", text="A boat lies at the quay.")
    assert tie.reasons == ()


@given(st.text(max_size=30), st.text(max_size=8))
def test_mentions_never_fails_and_finds_a_name_that_is_the_text(text: str, name: str) -> None:
    mentions(text, name)
    assert mentions(name, name) is bool(name)


def test_a_person_of_a_sheet_shares_only_what_anyone_may_know() -> None:
    sheet = CharacterSheet(
        name="Ann Ash", age=30, occupation="cook", secrets=("s",), aliases=("A",)
    )
    person = Person.of("ann", sheet)
    assert person == Person("ann", "Ann Ash", 30, "cook", ("A",))
    assert person.names == ("Ann Ash", "Ann", "A")


@given(st.text(max_size=20))
def test_stories_are_cleaned(story: str) -> None:
    assert Relationship(story=story).story == clean_text(story)
