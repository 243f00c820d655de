"""YAML documents with the line of everything in them. Knows nothing of scenes.

The same strict YAML as `characters.files` reads (1.2 scalars, no aliases, no foreign tags, no key
twice), parsed by libyaml where there is one: a book is a hundred times a character sheet. Each
document of a file is parsed by itself, so that a broken one does not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from daydream_motives.characters.files import MAX_BYTES, SCALARS, shown
from daydream_motives.training.dataset.findings import Finding

Steps = tuple[str | int, ...]
_BREAK = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_DEEPEST = 32
_TAG = "tag:yaml.org,2002:"
_Reader: Any = type(
    "_Reader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    {"yaml_implicit_resolvers": SCALARS},
)


@dataclass(slots=True)
class Document:
    """One document: plain data, the file it is from, and the line of each value by its path."""

    file: str
    line: int
    data: Any = None
    lines: dict[Steps, int] = field(default_factory=dict)

    def line_of(self, steps: Sequence[str | int]) -> int:
        """The line of the value at this path, or of the nearest thing around it."""
        path = tuple(steps)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


class _Wrong(Exception):
    """Something that this YAML may not hold: line (from 0), what, remedy."""


def documents(path: Path) -> tuple[list[Document], list[Finding]]:
    """Every document of a YAML file that can be read, and what is wrong with the others."""
    file = str(path)

    def wrong(line: int, what: str, remedy: str) -> Finding:
        return Finding(file, line, "", what, remedy)

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            return [], [wrong(0, f"more than {MAX_BYTES} bytes", "split it into several files")]
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        return [], [wrong(line, f"byte {exc.start} is not UTF-8", "save it as UTF-8")]
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        return [], [wrong(0, f"cannot be read ({why})", "give a file of scenes")]
    found: list[Document] = []
    problems: list[Finding] = []
    for line, part in _parts(text):
        try:
            document = _read(file, line, part)
        except yaml.MarkedYAMLError as exc:
            at = exc.problem_mark.line if exc.problem_mark else 0
            problems.append(wrong(line + at, f"broken YAML: {exc.problem}", "mend it here"))
        except _Wrong as exc:
            at, what, remedy = exc.args
            problems.append(wrong(line + at, what, remedy))
        except (yaml.YAMLError, RecursionError) as exc:
            what = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            problems.append(wrong(line, f"broken YAML: {what}", "mend this document"))
        else:
            if document.data is not None:
                found.append(document)
    return found, problems


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The text between the lines `---`, each with the number of its first line."""
    start, line = 0, 1
    for mark in _BREAK.finditer(text):
        yield line, text[start : mark.start()]
        line += text.count("\n", start, mark.end()) + 1
        start = min(mark.end() + 1, len(text))
    yield line, text[start:]


def _read(file: str, line: int, text: str) -> Document:
    document = Document(file, line)
    reader = _Reader(text)
    try:
        node = reader.get_single_node()
    finally:
        reader.dispose()
    if node is not None:
        document.line = line + int(node.start_mark.line)
        document.data = _plain(node, document, (), line, set())
    return document


def _plain(node: Any, document: Document, steps: Steps, first: int, seen: set[int]) -> Any:
    """The node as plain data; notes the line of everything in it."""
    at: int = node.start_mark.line
    if id(node) in seen:
        raise _Wrong(at, "a YAML alias", "write it out")
    if len(steps) > _DEEPEST:
        raise _Wrong(at, f"nested deeper than {_DEEPEST}", "nest less")
    seen.add(id(node))
    document.lines.setdefault(steps, first + at)
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        data: dict[str, Any] = {}
        for key_node, value in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line
            if key is None:
                raise _Wrong(line, "a key that is no text", "use plain words as keys")
            if key in data:
                raise _Wrong(line, f"the key {key!r} appears twice", "keep one of them")
            document.lines[(*steps, key)] = first + line
            data[key] = _plain(value, document, (*steps, key), first, seen)
        return data
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [
            _plain(value, document, (*steps, index), first, seen)
            for index, value in enumerate(node.value)
        ]
    return _scalar(node, kind, at)


def _scalar(node: Any, kind: str, at: int) -> Any:
    if isinstance(node, yaml.ScalarNode):
        try:
            match kind:
                case "str":
                    return node.value
                case "int":
                    return int(node.value, 10)
                case "float":
                    return float(node.value)
                case "bool":
                    return node.value.casefold() == "true"
                case "null":
                    return None
        except ValueError:
            raise _Wrong(at, f"{shown(node.value)} is no {kind}", "quote it") from None
    raise _Wrong(at, f"the YAML tag {node.tag!r}", "leave tags out")
