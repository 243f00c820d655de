"""Node-link JSON: our graphs and worlds without loss, other people's with everything kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from graph_strategies import graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import ODD, lives, write
from sheet_strategies import json_values, names, sheets, texts

from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.errors import RelationshipError, WorldError
from daydream_motives.exchange import nodelink
from daydream_motives.exchange.draft import Imported
from daydream_motives.exchange.report import Report
from daydream_motives.simulation.world import World


@st.composite
def worlds(draw: st.DrawFn) -> World:
    graph = draw(graphs())
    characters = {}
    for person in graph.people():
        sheet = draw(sheets).model_copy(update={"age": person.age, "home": None, "routine": ()})
        characters[person.id] = sheet.to_data()
    edges = [{"from": a, "to": b, **rel.model_dump(mode="json")} for a, b, rel in graph.edges()]
    return World.from_data(
        {"name": draw(names), "description": draw(texts), "relationship_kinds": ["moon_twin"],
         "places": {"here": {"name": "Here", "extensions": draw(st.dictionaries(texts,
                                                                                json_values))}},
         "characters": characters, "relationships": edges,
         "extensions": draw(st.dictionaries(texts, json_values, max_size=2)),
         "lore": [{"id": "a", "text": "b"}], "events": [{"id": "e", "text": "t",
                                                         "chance_per_day": 1}]}
    )  # fmt: skip


def imported(data: Any, base: World | None = None) -> Imported:
    return nodelink.read_data(data, Report("node_link", "test"), base)


@settings(max_examples=30)
@given(graphs())
def test_a_graph_comes_back_as_it_was(graph: RelationshipGraph) -> None:
    data = json.loads(json.dumps(graph.to_data()))
    again = RelationshipGraph.from_data(data)
    assert list(again.people()) == list(graph.people())
    assert list(again.edges()) == list(graph.edges())
    assert again.extra_kinds == graph.extra_kinds


@settings(max_examples=25)
@given(worlds())
def test_a_world_comes_back_as_it_was(world: World) -> None:
    data = json.loads(json.dumps(nodelink.to_data(world)))
    result = imported(data)
    assert result.world.hash == world.hash
    assert not result.report.not_understood


def test_the_example_world_comes_back_and_networkx_reads_it(town: World) -> None:
    data = nodelink.to_data(town)
    assert imported(json.loads(json.dumps(data))).world.hash == town.hash
    graph = nx.node_link_graph(data, edges="edges")
    assert (len(graph), graph.number_of_edges()) == (len(town.sheets), len(town.relationships))


def test_a_bare_graph_of_ours_becomes_a_world_with_the_same_relationships(town: World) -> None:
    result = imported(town.relationships.to_data())
    assert list(result.world.relationships.edges()) == list(town.relationships.edges())
    assert not result.report.not_understood


def test_relationships_are_put_into_a_base_world(town: World) -> None:
    result = imported(json.loads(json.dumps(town.relationships.to_data())), town)
    assert result.world.hash == town.hash


def test_strangers_to_the_base_world_are_kept_and_reported(town: World) -> None:
    ines = town.sheets["ines"].name
    nodes = [{"id": 1, "name": ines, "team": "red"}, {"id": 2, "name": "Nobody Here"}]
    data = {"nodes": nodes, "links": [{"source": 1, "target": 2}]}
    result = imported(data, town)
    kept = result.world.extensions["node_link"]
    assert kept["nodes"] == nodes
    assert kept["edges"] == data["links"]
    assert len(result.world.relationships) == 0
    assert result.world.sheets == town.sheets
    assert [r.text for r in result.report.not_understood] == ["Nobody Here"]


D3: dict[str, Any] = {
    "nodes": [{"name": "ADA", "value": 3, "colour": "#fff"}, {"name": "BO", "value": 1}],
    "links": [{"source": 0, "target": 1, "value": 7}],
}


def test_a_drawing_of_d3_becomes_a_world(tmp_path: Path) -> None:
    world = nodelink.read(write(tmp_path / "net.json", D3)).world
    assert world.sheets["ada"].extensions == {"node_link": {"value": 3, "colour": "#fff"}}
    there, back = world.relationships.get("ada", "bo"), world.relationships.get("bo", "ada")
    assert there == back
    assert there is not None
    assert there.extensions == {"node_link": {"value": 7}}
    assert there.kinds == ("acquaintance",)
    lives(world, tmp_path / "out")


def test_a_graph_of_networkx_becomes_a_world() -> None:
    graph: nx.DiGraph[Any] = nx.DiGraph(name="Fen", year=1900)
    graph.add_node("x-1", name="Ada", age=30)
    graph.add_edge("x-1", 7, kind="Best friend", trust=0.5, weight=2)
    graph.add_edge(7, "x-1", kind="mortal enemy", trust=5)
    result = imported(json.loads(json.dumps(nx.node_link_data(graph, edges="links"))))
    world = result.world
    assert world.name == "Fen"
    assert world.extensions["node_link"]["graph"]["year"] == 1900
    assert {id: s.name for id, s in world.sheets.items()} == {"7": "7", "x-1": "Ada"}
    there = world.relationships.get("x-1", "7")
    assert there is not None
    assert (there.kinds, there.trust) == (("best_friend",), 0.5)
    assert there.extensions == {"node_link": {"weight": 2}}
    back = world.relationships.get("7", "x-1")
    assert back is not None
    assert back.extensions == {"node_link": {"kind": "mortal enemy", "trust": 5}}
    assert len(result.report.not_understood) == 2


def test_parallel_edges_are_kept_with_the_first() -> None:
    nodes = [{"id": "a"}, {"id": "b"}]
    edges = [{"source": "a", "target": "b", "key": k, "story": f"No. {k}"} for k in (0, 1, 2)]
    world = imported({"directed": True, "multigraph": True, "nodes": nodes, "edges": edges}).world
    edge = world.relationships.get("a", "b")
    assert edge is not None
    assert edge.story == "No. 0"
    assert [e["story"] for e in edge.extensions["node_link_parallel"]] == ["No. 1", "No. 2"]


@pytest.mark.parametrize(
    "edge",
    [{"source": "a", "target": "x"}, {"source": "a"}, {"source": "a", "target": "a"}, 5, None,
     {"source": ["a"], "target": {}}, {"source": "a", "target": "b", "kinds": ["crush"]},
     {"source": True, "target": "b"}],
    ids=repr,
)  # fmt: skip
def test_an_edge_that_cannot_be_is_kept_with_the_world(edge: Any) -> None:
    result = imported({"directed": True, "nodes": [{"id": "a"}, {"id": "b"}], "edges": [edge]})
    assert len(result.world.relationships) == 0
    assert result.world.extensions["node_link"]["edges"] == [edge]
    assert result.report.not_understood


@pytest.mark.parametrize("key", ["name", "age", "occupation", "aliases", "sheet", "extensions",
                                 "home"])  # fmt: skip
def test_node_attributes_of_any_type_are_kept(key: str) -> None:
    for value in ODD:
        world = imported({"nodes": [{"id": "a", key: value}], "links": []}).world
        [sheet] = world.sheets.values()
        if value not in (None, "", [], {}):
            kept = {**sheet.to_data(), **sheet.extensions.get("node_link", {})}
            assert kept[key] == value or kept[key] == str(value)


@pytest.mark.parametrize("key", ["kinds", "trust", "story", "history", "extensions", "type"])
def test_edge_attributes_of_any_type_are_kept(key: str) -> None:
    for value in ODD:
        edge = {"source": "a", "target": "b", key: value}
        nodes = [{"id": "a"}, {"id": "b"}]
        world = imported({"directed": True, "nodes": nodes, "links": [edge]}).world
        found = world.relationships.get("a", "b")
        assert found is not None
        if value not in (None, "", [], {}, True):
            assert json.dumps(value) in json.dumps(found.model_dump(mode="json"))


@pytest.mark.parametrize("nodes", [[5, {"id": "a"}], [{}, {"id": "a"}], [{"id": None, "name": "A"}],
                                   [{"id": "a"}, {"id": "a"}],
                                   [{"name": "A"}, {"name": "A"}]])  # fmt: skip
def test_odd_nodes_among_good_ones(nodes: list[Any]) -> None:
    result = imported({"nodes": nodes, "links": []})
    assert result.world.sheets
    report = result.report
    assert report.not_understood or report.refused or len(nodes) == 1


@pytest.mark.parametrize(
    "data",
    [None, [], 5, {}, {"nodes": []}, {"nodes": [], "links": []}, {"nodes": {}, "links": []},
     {"nodes": [{}], "edges": []}, {"nodes": [5], "edges": None}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_graph_is_an_error_with_a_remedy(data: Any) -> None:
    with pytest.raises(WorldError) as caught:
        imported(data)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["nodes"].append(d["nodes"][0]), lambda d: d["nodes"][0].pop("sheet"),
        lambda d: d["edges"].append(5), lambda d: d["edges"][0].pop("source"),
        lambda d: d.update(mood="blue"), lambda d: d["edges"].append(d["edges"][0]),
        lambda d: d["nodes"][0]["sheet"].update(mood="blue"),
        lambda d: d["graph"]["world"].pop("name"),
    ],
)  # fmt: skip
def test_a_spoiled_world_of_ours_is_an_error_and_never_a_loss(town: World, spoil: Any) -> None:
    data = json.loads(json.dumps(nodelink.to_data(town)))
    spoil(data)
    with pytest.raises(WorldError):
        imported(data)


@pytest.mark.parametrize(
    "spoil",
    [lambda d: d.update(mood="blue"), lambda d: d["graph"].update(mood="blue"),
     lambda d: d["nodes"].append(d["nodes"][0]), lambda d: d["edges"].append(d["edges"][0]),
     lambda d: d.update(directed=False), lambda d: d.update(multigraph=True)],
)  # fmt: skip
def test_a_graph_drops_nothing_silently(graph: RelationshipGraph, spoil: Any) -> None:
    data = json.loads(json.dumps(graph.to_data()))
    spoil(data)
    with pytest.raises(RelationshipError):
        RelationshipGraph.from_data(data)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\ud800", object()], ids=repr)
def test_extensions_that_no_file_can_hold_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="plain data"):
        Relationship.model_validate({"extensions": {"x": value}})
