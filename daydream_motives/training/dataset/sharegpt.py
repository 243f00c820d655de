"""ShareGPT records: written from pairs, read from any tool, checked. Knows no scenes.

One record holds one question and one answer, as `conversations` (`from`, `value`; user or human,
assistant or gpt) or as `messages` (`role`, `content`). Files are JSON Lines, or one JSON array.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import MAX_BYTES, parse_json, shown
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.names import allowed_words, unknown_names
from daydream_motives.motives.prompt import KEYS
from daydream_motives.motives.purposes import MAX_WORDS
from daydream_motives.training.dataset import wording
from daydream_motives.training.dataset.findings import Finding

MOST_BYTES = 16 * 1024  # of one context: a small model's window holds no more
_SHAPES = (("conversations", "from", "value"), ("messages", "role", "content"))
_ROLES = ({"user", "human"}, {"assistant", "gpt"})
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Record:
    """One question and its answer: the four fields, and three purposes, most likely first."""

    file: str
    line: int
    id: str
    fields: Mapping[str, str]
    purposes: tuple[str, str, str]


class _Wrong(Exception):
    """What keeps a record from being read: where, what, remedy."""


def read_records(
    path: Path, seen: dict[str, str] | None = None
) -> tuple[list[Record], list[Finding]]:
    """Every record that can be read, and everything wrong with any; the order is the file's.

    `seen` holds the ids of files read before (id -> place), and is added to.
    """
    file, places = str(path), {} if seen is None else seen
    records: list[Record] = []
    findings: list[Finding] = []
    for line, data, problem in values(path):
        if problem:
            findings.append(Finding(file, line, "", *problem))
            continue
        record, wrong = read_record(file, line, data)
        if record:
            if record.id in places:
                what = f"the id of another record ({places[record.id]})"
                findings.append(Finding(file, line, record.id, what, "give each record its own id"))
            places.setdefault(record.id, f"{file}:{line}")
            records.append(record)
        findings += wrong
    return records, findings


def read_record(file: str, line: int, data: Any) -> tuple[Record | None, list[Finding]]:
    """One parsed value as a record, if it can be read as one, and everything wrong with it."""
    try:
        record = _record(file, line, data)
    except _Wrong as exc:
        id = data.get("id") if isinstance(data, dict) else None
        where, what, remedy = exc.args
        name = f"{id}.{where}" if isinstance(id, str) and where else where or str(id or "")
        return None, [Finding(file, line, name, what, remedy)]
    return record, list(_of_texts(record))


def values(path: Path) -> Iterator[tuple[int, Any, tuple[str, str] | None]]:
    """Each value with its line; or what is wrong there, and what to do."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES * 4 + 1)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        yield line, None, (f"byte {exc.start} is not UTF-8", "save it as UTF-8")
        return
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        yield 0, None, (f"cannot be read ({why})", "give a file of records")
        return
    if len(raw) > MAX_BYTES * 4:
        yield 0, None, (f"more than {MAX_BYTES * 4} bytes", "split it into several files")
    elif text.lstrip().startswith("["):
        yield from _array(text)
    else:
        for number, row in enumerate(text.split("\n"), 1):
            if row.strip():
                yield number, *_parsed(row)


def _parsed(text: str) -> tuple[Any, tuple[str, str] | None]:
    try:
        data = parse_json(text)
        json.dumps(data, ensure_ascii=False).encode()  # no half characters, escaped or not
    except (ValueError, RecursionError) as exc:
        return None, (f"broken JSON: {exc}", "write one JSON object a line")
    return data, None


def _array(text: str) -> Iterator[tuple[int, Any, tuple[str, str] | None]]:
    """The values of one JSON array; what follows a broken one cannot be told from it."""
    decoder = json.JSONDecoder()
    at = text.index("[") + 1
    while True:
        at = _after_space(text, at)
        line = text.count("\n", 0, at) + 1
        if text[at : at + 1] == "]":
            return
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as exc:
            yield line, None, (f"broken JSON: {exc}", "mend it; what follows was not read")
            return
        yield line, *_parsed(text[at:end])
        at = _after_space(text, end)
        if text[at : at + 1] not in (",", "]"):
            yield line, None, ("broken JSON: no comma after this record", "put one")
            return
        at += text[at] == ","


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _record(file: str, line: int, data: Any) -> Record:
    if not isinstance(data, dict):
        raise _Wrong("", f"a record that is a {type(data).__name__}", "write a JSON object")
    id = data.get("id")
    if not isinstance(id, str) or not id.strip():
        raise _Wrong("id", f"found {shown(id)}", "give each record an id of its own")
    question, answer = _turns(data)
    if (size := len(question.encode())) > MOST_BYTES:
        raise _Wrong("context", f"{size} bytes", f"keep a context below {MOST_BYTES}")
    fields = _texts(question, FIELDS, "the question")
    if not fields[FIELDS[0]].strip():
        raise _Wrong(FIELDS[0], "empty", "name the character")
    purposes = _texts(answer, KEYS, "the answer")
    for key, text in purposes.items():
        if not text.strip():
            raise _Wrong(key, "an empty purpose", "write what the character would do, and why")
    a, b, c = purposes.values()
    return Record(file, line, id, fields, (a, b, c))


def _turns(data: Mapping[str, Any]) -> tuple[str, str]:
    """The two texts of a record, whichever way its turns are written."""
    shapes = [shape for shape in _SHAPES if shape[0] in data]
    if len(shapes) != 1:
        found = "neither" if not shapes else "both"
        raise _Wrong("", f"{found} of conversations and messages", "give one of them")
    (name, role, value), turns = shapes[0], data[shapes[0][0]]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _Wrong(name, f"found {shown(turns)}", f"give a list of objects with {role}, {value}")
    roles = [turn.get(role) for turn in turns]
    if len(turns) != 2 or any(
        not isinstance(r, str) or r not in known for r, known in zip(roles, _ROLES, strict=True)
    ):
        raise _Wrong(name, f"the roles {shown(roles)}", "give a user's turn, then an assistant's")
    texts = [turn.get(value) for turn in turns]
    if not all(isinstance(text, str) for text in texts):
        raise _Wrong(name, f"a turn without text under {value!r}", "give each turn its text")
    return str(texts[0]), str(texts[1])


def _texts(text: str, keys: Sequence[str], what: str) -> dict[str, str]:
    """A turn's JSON: exactly these keys, each a text."""
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as exc:
        raise _Wrong(what, f"broken JSON: {exc}", f"write an object of {', '.join(keys)}") from None
    if not isinstance(data, dict):
        raise _Wrong(what, f"a {type(data).__name__}", f"write an object of {', '.join(keys)}")
    if missing := [key for key in keys if key not in data]:
        raise _Wrong(what, f"no {', '.join(missing)}", f"give {', '.join(keys)}")
    if extra := [key for key in data if key not in keys]:
        raise _Wrong(what, f"also {', '.join(extra)}", f"give {', '.join(keys)} and nothing else")
    for key in keys:
        if not isinstance(data[key], str):
            raise _Wrong(f"{what}.{key}", f"found {shown(data[key])}", "write text")
    return {key: data[key] for key in keys}


def _of_texts(record: Record) -> Iterator[Finding]:
    """What can be said of the three texts without their scene."""
    told = "\n".join(record.fields.values())
    allowed = allowed_words(told, [record.fields[FIELDS[0]]])

    def finding(index: int, what: str, remedy: str) -> Finding:
        return Finding(record.file, record.line, f"{record.id}.{KEYS[index]}", what, remedy)

    for index, text in enumerate(record.purposes):
        if "\n" in text:
            yield finding(index, "a line break", "write it on one line")
        if (count := len(text.split())) > MAX_WORDS:
            yield finding(index, f"{count} words", f"say it in at most {MAX_WORDS}")
        if unknown := unknown_names(text, allowed, told):
            what = f"names {', '.join(unknown)}, which the context lacks"
            yield finding(index, what, "leave it out, or tell it in the context")
    for index, (what, remedy) in wording.distinct(record.purposes):
        yield finding(index, what, remedy)
