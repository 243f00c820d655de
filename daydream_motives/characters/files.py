"""Reading and writing the files authors edit (YAML and JSON). Knows nothing of what they mean.

Such files are hostile input: size is bounded, YAML aliases (which can grow without bound) and
duplicate keys (which lose what was written) are refused, and no tag can build a Python object.
YAML follows the 1.2 core schema, so that `07:30` stays a time and `no` stays a word.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from daydream_motives.errors import ContentError, Problem

MAX_BYTES = 32 * 1024 * 1024

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars, no aliases, no tags and no duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stub
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, f"the YAML tag {event.tag!r} is not allowed", event.start_mark
            )
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "YAML aliases are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} appears twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    for _char in [*_first, *([""] if _tag == "null" else [])]:
        _Loader.yaml_implicit_resolvers.setdefault(_char, []).append(
            (f"tag:yaml.org,2002:{_tag}", re.compile(_pattern))
        )
SCALARS = _Loader.yaml_implicit_resolvers  # for other readers of the same YAML


def read_document(path: Path, error: type[ContentError] = ContentError) -> Any:
    """Parse one YAML or JSON file (UTF-8, at most 32 MiB); raises `error` naming file and line."""

    def fail(found: str, expected: str, where: str = "") -> ContentError:
        return error([Problem(str(path), where, found, expected)])

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise fail(f"more than {MAX_BYTES} bytes", "a smaller file")
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise fail("no such file", "a YAML or JSON file") from None
    except IsADirectoryError:
        raise fail("a folder", "a YAML or JSON file") from None
    except OSError as exc:
        raise fail(f"a file that cannot be read ({exc.strerror})", "a readable file") from exc
    except UnicodeDecodeError as exc:
        raise fail(f"byte {exc.start} is not UTF-8", "text in UTF-8") from exc
    except ValueError as exc:  # a path that no system can have
        raise fail(str(exc), "a file's path") from exc
    try:
        if path.suffix.lower() == ".json":
            return parse_json(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as exc:
        raise fail(exc.msg, "valid JSON", f"line {exc.lineno}") from exc
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise fail(str(exc.problem), "valid YAML", f"line {line}") from exc
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as exc:
        raise fail(str(exc).splitlines()[0] or type(exc).__name__, "valid YAML or JSON") from exc


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever any YAML version would not read back as text."""


_NUMBERISH = re.compile(r"^[-+.\d].*|^(?:y|n|yes|no|on|off|true|false|null|~)$", re.IGNORECASE)


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    odd = _NUMBERISH.match(text) or not text.isprintable()
    style = '"' if odd else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value, 10))


def parse_json(text: str) -> Any:
    """`json.loads` that refuses duplicate keys and the non-JSON constants NaN and Infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                raise ValueError(f"the key {key!r} appears twice")
            result[key] = value
        return result

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


def dump_yaml(data: Any) -> str:
    """YAML with keys in order and any script readable."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def exists(path: Path) -> bool:
    """Whether `path` is there; False, not an error, for what nothing can be called."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write bytes, or text as UTF-8; a crash leaves the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)  # mkstemp's files are the owner's alone
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def shown(value: Any, limit: int = 80) -> str:
    """`repr` of a value, cut to `limit` characters, for error texts."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def problems_of(exc: ValidationError, source: str, prefix: str = "") -> list[Problem]:
    """Pydantic's findings in our words: a dotted path, what was found, what was expected."""
    found = []
    for item in exc.errors(include_url=False):
        path = ".".join(str(part) for part in (prefix, *item["loc"]) if part != "")
        expected = item["msg"].removeprefix("Value error, ")
        value = shown(item["input"])
        if item["type"] == "extra_forbidden":
            value, expected = "an unknown key", "a known key (foreign data goes under 'extensions')"
        elif item["type"] == "missing":
            value, expected = "nothing", "a value: this key is required"
        found.append(Problem(source, path, value, expected))
    return found


def validated(
    kind: type[ModelT],
    data: Any,
    source: str,
    error: Callable[[list[Problem]], ContentError],
    prefix: str = "",
) -> ModelT:
    """`data` as a `kind`, or `error` listing every problem with its path under `prefix`."""
    try:
        return kind.model_validate(data)
    except ValidationError as exc:
        raise error(problems_of(exc, source, prefix)) from None


def migrated(
    data: Any,
    steps: Sequence[Callable[[dict[str, Any]], dict[str, Any]]],
    source: str,
    error: Callable[..., ContentError],
) -> dict[str, Any]:
    """A save brought to the newest version, `1 + len(steps)`; the data given stays as it was.

    `steps[i]` leads from version i + 1 to i + 2. Raises `error` for a version that none leads from.
    """
    newest = 1 + len(steps)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= newest:
        raise error(
            [Problem(source, "schema_version", shown(version), f"1 to {newest}")],
            remedy="load it with the version of daydream-motives that wrote it, or a newer one",
        )
    data = dict(data)
    for step in steps[version - 1 :]:
        data = step(data)
    return {**data, "schema_version": newest}
