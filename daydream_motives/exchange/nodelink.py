"""Node-link JSON, as networkx and d3 write it: our worlds without loss, and other people's graphs.

A world is the data of its graph with each sheet at its node and the rest under graph.world, so
that networkx reads it as any graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from daydream_motives.characters.files import shown
from daydream_motives.characters.kinds import KINDS
from daydream_motives.characters.relationships import Relationship
from daydream_motives.characters.sheet import Identifier
from daydream_motives.errors import Problem, WorldError
from daydream_motives.exchange.draft import Draft, Imported, fitting
from daydream_motives.exchange.foreign import Source, storable
from daydream_motives.exchange.report import Report
from daydream_motives.simulation.world import World

FORMAT = "node_link"
_WHAT = "node-link JSON: a mapping with 'nodes' and 'links' or 'edges'"
_NODE_FIELDS = ("age", "occupation", "aliases")
_EDGE_FIELDS = frozenset(Relationship.model_fields) - {"kinds", "extensions"}
_KIND_KEYS = ("kinds", "kind", "relation", "relationship", "type", "label")


class _Kinds(BaseModel):
    extra_kinds: tuple[Identifier, ...] = ()


def to_data(world: World) -> dict[str, Any]:
    """The world as node-link data that `read_data` reads back to an equal world."""
    data = world.relationships.to_data()
    rest = world.to_data()
    sheets = rest.pop("characters")
    del rest["relationships"]
    for node in data["nodes"]:
        node["sheet"] = sheets[node["id"]]
    data["graph"]["world"] = rest
    return data


def read(path: str | Path, base: World | None = None) -> Imported:
    """A world from a node-link file; with `base`, that world with the file's relationships."""
    source = Source(path, _WHAT)
    report = Report(FORMAT, str(path))
    data = source.document(source.path, report)
    if report.refused:
        raise WorldError(report.refused, remedy="mend the file, or give another with --source")
    return read_data(data, report, base, source.path.name, source.path.stem)


def read_data(
    data: Any, report: Report, base: World | None = None, source: str = "graph",
    name: str = "graph",
) -> Imported:  # fmt: skip
    """A world from parsed node-link data; raises WorldError where it is none."""
    links = data.get("edges", data.get("links")) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list) or not isinstance(
        links, list
    ):  # fmt: skip
        found = f"a {type(data).__name__}" + (
            f" with {', '.join(map(str, list(data)[:5])) or 'nothing'}"
            if isinstance(data, dict) else ""
        )  # fmt: skip
        raise WorldError([Problem(source, "", found, _WHAT)], remedy="give such a file")
    attributes = data.get("graph")
    whole = attributes.get("world") if isinstance(attributes, dict) else None
    if base is None and isinstance(whole, dict) and "schema_version" in data:
        return _own(data, whole, links, report, source)
    return _Foreign(data, links, report, source, base).read(name)


def _own(data: dict[str, Any], whole: dict[str, Any], links: list[Any], report: Report,
         source: str) -> Imported:  # fmt: skip
    """A world that `to_data` wrote: everything in it has its place, or it is an error."""
    known = {"schema_version", "directed", "multigraph", "graph", "nodes", "edges", "links"}
    problems = [
        Problem(source, str(key), "an unknown key", "what daydream export writes")
        for key in data.keys() - known
    ]
    characters: dict[str, Any] = {}
    for index, node in enumerate(data["nodes"]):
        if not isinstance(node, dict) or not isinstance(node.get("id"), str) or "sheet" not in node:
            problems.append(Problem(source, f"nodes[{index}]", "no sheet", "a node with its sheet"))
        elif node["id"] in characters:
            problems.append(Problem(source, f"nodes[{index}]", "a second of this id", "one"))
        else:
            characters[node["id"]] = node["sheet"]
    entries = []
    for index, edge in enumerate(links):
        if isinstance(edge, dict) and {"source", "target"} <= edge.keys():
            fields = {k: v for k, v in edge.items() if k not in ("source", "target")}
            entries.append({**fields, "from": edge["source"], "to": edge["target"]})
        else:
            problems.append(Problem(source, f"edges[{index}]", "no source and target", "an edge"))
    if problems:
        raise WorldError(problems)
    world = World.from_data({**whole, "characters": characters, "relationships": entries},
                            source=source)  # fmt: skip
    report.counts.update({"people": len(world.sheets), "places": len(world.places),
                          "relationships": len(world.relationships)})  # fmt: skip
    return Imported(world, report)


def _handle(value: Any) -> str | int | None:
    """What a node may be called by; None for what is no name."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return str(value) if isinstance(value, float) else None


class _Foreign:
    """Reads what others wrote; what has no place with us is kept where it belongs."""

    def __init__(self, data: dict[str, Any], links: list[Any], report: Report, source: str,
                 base: World | None) -> None:  # fmt: skip
        self.data, self.links, self.report = data, links, report
        self.source, self.base = source, base
        graph = data.get("graph")
        given = {"extra_kinds": graph["extra_kinds"]} if isinstance(graph, dict) and (
            "extra_kinds" in graph
        ) else {}  # fmt: skip
        kinds = fitting(_Kinds, given, report, source, "graph") or _Kinds()
        extra = base.relationships.extra_kinds if base else frozenset()
        self.draft = Draft(report, {*kinds.extra_kinds, *extra})
        self.ids: dict[str | int, str] = {}  # what an edge may call a node -> the person's id
        self.at: dict[int, str] = {}  # a node's index -> the person's id
        self.strangers: set[str | int] = set()

    def read(self, name: str) -> Imported:
        """The world of all nodes and edges."""
        if self.base is None:
            home = self.draft.place("The Place", self.source)
            self.report.note("everyone is in one place made up for them")
        else:
            self._begin_with(self.base)
            home = ""
        left_nodes = [
            node for index, node in enumerate(self.data["nodes"])
            if not self._node(index, node, home)
        ]  # fmt: skip
        left_edges = [edge for index, edge in enumerate(self.links) if not self._edge(index, edge)]
        kept = {**self._header(), **({"nodes": left_nodes} if left_nodes else {}),
                **({"edges": left_edges} if left_edges else {})}  # fmt: skip
        if self.base is not None:
            return self._with_base(self.base, kept)
        self.draft.extensions = kept
        title = self.data.get("graph")
        called = title.get("name") if isinstance(title, dict) else None
        return self.draft.finish(called if isinstance(called, str) and called else name)

    def _header(self) -> dict[str, Any]:
        """What the file says of itself that has no place with us."""
        rest = {k: v for k, v in self.data.items()
                if k not in ("nodes", "edges", "links", "schema_version")}  # fmt: skip
        if "schema_version" in self.data:
            rest.pop("directed", None)
            rest.pop("multigraph", None)
        if isinstance(graph := rest.get("graph"), dict):
            if graph.get("world") is not None and self.base is not None:
                self.report.note("sheets, places and lore are those of the base world, not of the "
                                 "file")  # fmt: skip
            rest["graph"] = {k: v for k, v in graph.items() if k not in ("extra_kinds", "world")}
            if not rest["graph"]:
                del rest["graph"]
        return rest

    def _begin_with(self, base: World) -> None:
        for person in base.relationships.people():
            self.draft.graph.add_person(person)
        self.draft.sheets.update(base.sheets)

    def _with_base(self, base: World, kept: dict[str, Any]) -> Imported:
        data = base.to_data()
        data["relationships"] = [
            {"from": a, "to": b, **edge.model_dump(mode="json", exclude_defaults=True)}
            for a, b, edge in self.draft.graph.edges()
        ]
        data["relationship_kinds"] = sorted(self.draft.graph.extra_kinds)
        before = data.get("extensions", {})
        if kept:
            data["extensions"] = {**before, FORMAT: storable(kept)}
            if FORMAT in before:
                data["extensions"][FORMAT]["before"] = before[FORMAT]
        world = World.from_data(data, source=self.source)
        self.report.counts.update({"people": len(world.sheets), "places": len(world.places),
                                   "relationships": len(world.relationships)})  # fmt: skip
        return Imported(world, self.report)

    def _node(self, index: int, node: Any, home: str) -> bool:
        """Make or find the person a node stands for."""
        where = f"nodes[{index}]"
        if not isinstance(node, dict):
            self.report.remark(self.source, where, shown(node), "a mapping was expected here")
            return False
        key = _handle(node.get("id", node.get("key")))
        named = next((node[k] for k in ("name", "label") if isinstance(node.get(k), str)), None)
        name = named or ("" if key is None else str(key))
        if self.base is not None:
            id = self._in_base(key, name)
            if id is None:
                self.report.remark(self.source, where, name or "a node", "not in the base world: "
                                   "kept in the world's extensions")  # fmt: skip
        else:
            id = self._make(node, key, name, where, home)
        handles = [key] if key is not None else [name]
        if id is None:
            self.strangers.update((*handles, index))
            return False
        self.at[index] = id
        for handle in handles:
            if self.ids.setdefault(handle, id) != id:
                self.report.remark(self.source, where, repr(handle), "a second node of this name: "
                                   "edges lead to the first")  # fmt: skip
        return self.base is None or not node.keys() - {"id", "name", "sheet", *_NODE_FIELDS}

    def _in_base(self, key: Any, name: str) -> str | None:
        """The person of the base world with this id or, if it is but one's, this name."""
        if isinstance(key, str) and key in self.draft.sheets:
            return key
        found = [id for id, sheet in self.draft.sheets.items()
                 if sheet.name.casefold() == name.casefold()]  # fmt: skip
        return found[0] if len(found) == 1 else None

    def _make(self, node: dict[str, Any], key: str | int | None, name: str, where: str,
              home: str) -> str | None:  # fmt: skip
        """A bare sheet; what of the node is not in it goes under its extensions."""
        known = {k: node[k] for k in _NODE_FIELDS if k in node}
        id = self.draft.person(name, f"{self.source}: {where}", like=str(key or ""), home=home,
                               **known)  # fmt: skip
        if id is None:
            return None
        sheet = self.draft.sheets[id].model_dump(mode="json")
        held = {**{k: sheet[k] for k in known}, "name": sheet["name"], "id": id}
        rest = {k: v for k, v in node.items() if k not in held or (v or None) != (held[k] or None)}
        if rest:
            self.draft.revise(id, extensions={FORMAT: storable(rest)})
        return id

    def _edge(self, index: int, edge: Any) -> bool:
        """Make the relationship an edge stands for, in both directions if the graph has none."""
        where = f"edges[{index}]"
        if not isinstance(edge, dict):
            self.report.remark(self.source, where, shown(edge), "a mapping was expected here")
            return False
        ends = [self._end(edge.get(side), where, side) for side in ("source", "target")]
        if None in ends:
            return False
        a, b = str(ends[0]), str(ends[1])
        fields = self._fields(edge, where)
        directed = self.data.get("directed", "schema_version" in self.data)
        pairs = [(a, b)] if directed is True or a == b else [(a, b), (b, a)]
        done = [self._tie(x, y, fields, where) for x, y in pairs]
        return all(done)

    def _end(self, handle: Any, where: str, side: str) -> str | None:
        if isinstance(handle, dict):  # d3 puts the node itself here once it has drawn it
            handle = handle.get("id", handle.get("name"))
        known = _handle(handle)
        if known in self.ids:
            return self.ids[known]
        if isinstance(known, int) and known in self.at:  # d3 counts nodes from 0
            return self.at[known]
        if known not in self.strangers:
            self.report.remark(self.source, f"{where}.{side}", shown(handle),
                               "no node is called so")  # fmt: skip
        return None

    def _fields(self, edge: dict[str, Any], where: str) -> dict[str, Any]:
        """What of an edge fits a relationship; the rest of it in `extensions`."""
        rest = {k: v for k, v in edge.items() if k not in ("source", "target")}
        known = {k: rest.pop(k) for k in list(rest) if k in _EDGE_FIELDS}
        kinds = self._edge_kinds(rest, where)
        if kinds:
            known["kinds"] = kinds
        own = rest.pop("extensions", None)
        fits = fitting(Relationship, known, self.report, self.source, where) or Relationship()
        told = fits.model_dump(exclude_unset=True)
        lost = {k: v for k, v in known.items() if k not in told}
        kept = storable({**rest, **lost})
        extensions = storable(own) if isinstance(own, dict) else (
            {"extensions": storable(own)} if own is not None else {}
        )  # fmt: skip
        if kept:
            held = extensions.get(FORMAT)
            extensions[FORMAT] = {**held, **kept} if isinstance(held, dict) else kept
        return {**told, "extensions": extensions}

    def _edge_kinds(self, rest: dict[str, Any], where: str) -> tuple[str, ...]:
        """The kinds an edge names in one of the usual places; unknown ones stay where they are."""
        known = KINDS.keys() | self.draft.graph.extra_kinds
        for key in _KIND_KEYS:
            value = rest.get(key)
            items = [value] if isinstance(value, str) else value
            if not isinstance(items, list) or not items:
                continue
            kinds = [str(item).strip().casefold().replace(" ", "_")
                     if str(item) not in known else str(item) for item in items]  # fmt: skip
            if all(kind in known for kind in kinds):
                del rest[key]
                return tuple(kinds)
            self.report.remark(self.source, f"{where}.{key}", shown(value),
                               "not kinds of relationship that are known")  # fmt: skip
        return ()

    def _tie(self, a: str, b: str, fields: dict[str, Any], where: str) -> bool:
        """Put the edge; a second one between the same two is kept with the first."""
        before = self.draft.graph.get(a, b)
        if before is None:
            return self.draft.tie(a, b, self.source, where, **fields)
        self.report.remark(self.source, where, f"{a} -> {b}", "a second edge of this direction: "
                           "kept in the extensions of the first")  # fmt: skip
        again = before.extensions.get("node_link_parallel", [])
        plain = Relationship.model_validate(fields).model_dump(mode="json", exclude_unset=True)
        extensions = {**before.extensions, "node_link_parallel": [*again, plain]}
        self.draft.graph.set(a, b, before.model_copy(update={"extensions": extensions}))
        return True
