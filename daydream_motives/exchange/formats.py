"""The formats by name: what reads them, what writes them; each is imported when it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from daydream_motives.errors import Problem, WorldError

if TYPE_CHECKING:
    from daydream_motives.exchange.draft import Imported
    from daydream_motives.simulation.world import World

_READERS = ("smallville", "light", "tinytroupe")
_SUFFIXES = {".json": "node-link", ".graphml": "graphml", ".gexf": "gexf"}
IMPORTS = (*_READERS, "node-link")
EXPORTS = tuple(_SUFFIXES.values())


def import_world(form: str, source: str, base: str | None = None) -> Imported:
    """The world in `source`, and the report; raises WorldError where there is none."""
    from daydream_motives.exchange import nodelink
    from daydream_motives.simulation.world import World

    if form not in IMPORTS:
        raise WorldError([Problem(form, "", "an unknown format", f"one of {', '.join(IMPORTS)}")])
    if form == "node-link":
        return nodelink.read(source, World.load(base) if base else None)
    if base:
        raise WorldError(
            [Problem(base, "", f"a base world for {form}", "a base only with node-link")],
            remedy="leave out --world: this format brings a whole world",
        )
    imported: Imported = import_module(f"daydream_motives.exchange.{form}").read(source)
    return imported


def world_at(path: str, tick: int | None = None) -> World:
    """The world whose graph is to be written: a world as written, or as a run left it (at its last
    checkpoint up to `tick`)."""
    from daydream_motives.simulation.folder import RunFolder
    from daydream_motives.simulation.world import World

    if not (Path(path) / "journal.sqlite").exists():
        return World.load(path)
    held = RunFolder(path)
    data = next(held.whole(tick), None)
    if data is None:
        return held.world()
    return replace(held.world_of(data), relationships=held.graph_of(data))


def export_text(world: World, form: str) -> tuple[str, list[str]]:
    """The text of a file in a format of EXPORTS, and a sentence for all it could not hold."""
    from daydream_motives.exchange import graphs, nodelink

    if form == "node-link":
        return json.dumps(nodelink.to_data(world), ensure_ascii=False, indent=1) + "\n", []
    return graphs.as_xml(world, form)


def form_of(output: str) -> str:
    """The format a file's name asks for; raises WorldError for none."""
    suffix = Path(output).suffix.lower()
    if suffix not in _SUFFIXES:
        expected = f"a name that ends in {', '.join(_SUFFIXES)}"
        raise WorldError([Problem(output, "", f"the ending {suffix!r}", expected)],
                         remedy="or say which with --format")  # fmt: skip
    return _SUFFIXES[suffix]
