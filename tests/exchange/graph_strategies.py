"""Hypothesis strategies for whole graphs of relationships, in any script."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from hypothesis import strategies as st

from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import (
    Relationship,
    RelationshipEvent,
    RelationshipGraph,
)
from daydream_motives.characters.sheet import clean_text

sys.path.insert(0, str(Path(__file__).parent.parent / "characters"))
from sheet_strategies import json_values, names, texts

axes = st.floats(-1, 1)
events = st.builds(
    RelationshipEvent, kind=texts, text=texts,
    at=st.none() | st.datetimes(min_value=datetime(2, 1, 1)),
    changes=st.dictionaries(texts, st.floats(-1, 1), max_size=2),
)  # fmt: skip
relationships = st.builds(
    Relationship,
    kinds=st.lists(st.sampled_from(["friend", "rival", "spouse", "moon_twin"]), min_size=1,
                   max_size=3).map(tuple),
    story=texts, trust=axes, respect=axes, affection=axes, attraction=axes,
    familiarity=st.floats(0, 1), history=st.lists(events, max_size=2).map(tuple),
    extensions=st.dictionaries(texts, json_values, max_size=2),
)  # fmt: skip
ids = st.sampled_from(["李雷", "Ärger", "a.b-c", "_x", "7"]) | st.from_regex(
    r"\A[a-z0-9_][a-z0-9_.\-]{0,8}\Z"
)
clean_names, clean_texts = names.map(clean_text), texts.map(clean_text)


@st.composite
def graphs(draw: st.DrawFn) -> RelationshipGraph:
    graph = RelationshipGraph(["moon_twin"])
    people = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    for id in people:
        aliases = tuple(draw(st.lists(clean_names, max_size=2)))
        age = draw(st.integers(18, 99))
        graph.add_person(Person(id, draw(clean_names), age, draw(clean_texts), aliases))
    for a in people:
        for b in people:
            if a != b and draw(st.booleans()):
                graph.set(a, b, draw(relationships))
    return graph
