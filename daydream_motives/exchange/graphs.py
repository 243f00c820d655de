"""GraphML and GEXF, for Gephi and its like: they hold a graph but not a world.

What they cannot hold is flattened into text or numbers, and everything flattened is said.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx as nx

from daydream_motives.characters.kinds import AXES
from daydream_motives.simulation.world import World

# All that XML 1.0 does not allow, whatever the encoding (section 2.2, Char).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WRITERS: dict[str, Callable[[Any], Any]] = {
    "graphml": nx.generate_graphml,
    "gexf": nx.generate_gexf,
}


def as_xml(world: World, form: str) -> tuple[str, list[str]]:
    """The world's graph as `graphml` or `gexf`, and a sentence for each thing it does not hold."""
    lost: Counter[str] = Counter()
    graph: nx.DiGraph[str] = nx.DiGraph()
    for person in world.relationships.people():
        node: dict[str, Any] = {
            "label": person.name, "name": person.name, "occupation": person.occupation,
            "aliases": "|".join(person.aliases),
        }  # fmt: skip
        if person.age is not None:
            node["age"] = person.age
        sheet = world.sheets.get(person.id)
        if sheet is not None and sheet.extensions:
            node["extensions"] = json.dumps(sheet.extensions, ensure_ascii=False)
            lost["extensions"] += 1
        lost["aliases"] += bool(person.aliases)
        graph.add_node(_legal(person.id, lost), **_written(node, lost))
    for a, b, rel in world.relationships.edges():
        edge: dict[str, Any] = {
            "kinds": "|".join(rel.kinds), "story": rel.story, "weight": round(rel.strength, 4),
            **{axis: float(getattr(rel, axis)) for axis in AXES},
            "events": len(rel.history), "last_event": rel.history[-1].text if rel.history else "",
        }  # fmt: skip
        if rel.extensions:
            edge["extensions"] = json.dumps(rel.extensions, ensure_ascii=False)
            lost["extensions"] += 1
        lost["kinds"] += len(rel.kinds) > 1
        lost["history"] += len(rel.history) > 1
        graph.add_edge(_legal(a, lost), _legal(b, lost), **_written(edge, lost))
    text = "\n".join(_WRITERS[form](graph)) + "\n"
    return text, _said(world, lost)


def _written(attributes: dict[str, Any], lost: Counter[str]) -> dict[str, Any]:
    return {k: _legal(v, lost) if isinstance(v, str) else v for k, v in attributes.items()}


def _legal(text: str, lost: Counter[str]) -> str:
    """The text with what XML forbids replaced."""
    kept, count = _NOT_XML.subn("\ufffd", text)
    lost["characters"] += count
    return kept


def _said(world: World, lost: Counter[str]) -> list[str]:
    sentences = {
        "kinds": "{} relationships have several kinds, joined with '|'",
        "history": "{} histories are written as a count and the last text",
        "aliases": "the aliases of {} people are joined with '|'",
        "extensions": "{} extensions are written as JSON text",
        "characters": "{} characters that XML cannot hold are replaced by U+FFFD",
    }
    said = [text.format(lost[key]) for key, text in sentences.items() if lost[key]]
    apart = {
        "places": len(world.places), "notes of lore": len(world.lore),
        "events": len(world.events), "sheets beyond name, age, occupation and aliases":
        len(world.sheets),
    }  # fmt: skip
    left = ", ".join(f"{count} {noun}" for noun, count in apart.items() if count)
    return [*said, f"left out, which only node-link holds: {left}"]
