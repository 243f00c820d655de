"""GraphML and GEXF: what is written can be read, whatever is in it, and what is lost is said."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from graph_strategies import graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.errors import WorldError
from daydream_motives.exchange.formats import EXPORTS, export_text, form_of, world_at
from daydream_motives.exchange.graphs import as_xml
from daydream_motives.simulation.world import World

READERS: dict[str, Any] = {"graphml": nx.read_graphml, "gexf": nx.read_gexf}
forms = st.sampled_from(sorted(READERS))


def world_of(graph: RelationshipGraph) -> World:
    """A world of bare sheets around a graph."""
    characters = {p.id: {"name": p.name, "age": p.age, "extensions": {"odd": "\ufffe\x0b"}}
                  for p in graph.people()}  # fmt: skip
    edges = [{"from": a, "to": b, **rel.model_dump(mode="json")} for a, b, rel in graph.edges()]
    return World.from_data(
        {"name": "W", "relationship_kinds": sorted(graph.extra_kinds),
         "places": {"p": {"name": "P"}}, "characters": characters, "relationships": edges}
    )  # fmt: skip


@settings(max_examples=40)
@given(graphs(), forms)
def test_any_graph_is_written_as_xml_that_networkx_reads(
    graph: RelationshipGraph, form: str
) -> None:
    text, _ = as_xml(world_of(graph), form)
    again = READERS[form](io.BytesIO(text.encode("utf-8")))
    assert len(again) == len(list(graph.people()))
    assert again.number_of_edges() == len(graph)
    assert set(again.nodes) == {person.id for person in graph.people()}


@pytest.mark.parametrize("form", READERS)
def test_the_example_world_keeps_what_a_graph_can_hold(town: World, form: str) -> None:
    text, _ = as_xml(town, form)
    again = READERS[form](io.BytesIO(text.encode("utf-8")))
    a, b, rel = next(iter(town.relationships.edges()))
    edge = again.edges[a, b]
    assert edge["kinds"] == "|".join(rel.kinds)
    assert edge["trust"] == rel.trust
    assert edge["story"] == rel.story
    assert again.nodes[a]["age"] == town.sheets[a].age
    assert again.is_directed()


def test_what_is_flattened_is_said(town: World) -> None:
    town.relationships.record("ines", "karl", "argued", text="A door slammed.")
    town.relationships.record("ines", "karl", "helped", text="He held the lamp.")
    text, lost = as_xml(town, "graphml")
    said = "\n".join(lost)
    assert "1 histories are written as a count" in said
    assert "joined with '|'" in said
    assert f"{len(town.places)} places" in said
    assert "He held the lamp." in text
    assert "A door slammed." not in text


def test_node_link_loses_nothing_and_says_so(town: World) -> None:
    text, lost = export_text(town, "node-link")
    assert lost == []
    assert json.loads(text)["graph"]["world"]["name"] == town.name


@pytest.mark.parametrize(
    ("name", "form"), [("a.json", "node-link"), ("a.GEXF", "gexf"), ("b/a.x.graphml", "graphml")]
)
def test_the_ending_says_which_format(name: str, form: str) -> None:
    assert form_of(name) == form
    assert form in EXPORTS


@pytest.mark.parametrize("name", ["a", "a.txt", "", ".gexf.zip"])
def test_an_unknown_ending_is_an_error_with_a_remedy(name: str) -> None:
    with pytest.raises(WorldError) as caught:
        form_of(name)
    assert "--format" in caught.value.remedy


def test_only_a_world_has_a_graph(tmp_path: Path) -> None:
    with pytest.raises(WorldError):
        world_at(str(tmp_path / "nothing"))
