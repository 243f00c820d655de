"""The records of a journal as objects: checked, read from JSON Lines, turned into other shapes.

A game in any language can write them (see JSONL_FIELDS). Knows nothing of databases.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daydream_motives.characters.files import parse_json, problems_of
from daydream_motives.errors import Problem, RunError, SituationError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.prompt import KEYS
from daydream_motives.motives.purposes import (
    Decision,
    Outcome,
    Provenance,
    Purpose,
    RankedPurposes,
)

SCHEMA_VERSION = 1
WALL_CLOCK_FIELDS = ("wall_time", "latency_ms")
JSONL_FIELDS = {
    "schema_version": "1",
    "id": "unique text, a UUID for choice",
    "character": "the character's id",
    "world_time": "in-world ISO 8601 time, or null",
    "context": f"the model's input: an object with {', '.join(FIELDS)}",
    "purposes": "three objects: rank 1-3, text, score, targets, verb, unknown_names",
    "provenance": "source (model, cache or instinct), model, model_hash, prompt_hash, seed …",
    "chosen": "the rank acted on, or null",
    "outcome": "null, or status (done, failed, interrupted, overruled), needs, grade …",
    "wall_time": "seconds since 1970 when it was written, or null",
}


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Decisions from a JSON Lines journal; raises SituationError naming the bad line."""
    for line, where in _lines(path, errors="strict"):
        yield check_record(line, where)


def check_file(path: str | Path) -> tuple[int, list[Problem]]:
    """How many records a JSON Lines journal holds, and everything wrong with them."""
    count = 0
    problems: list[Problem] = []
    for line, where in _lines(path, errors="replace"):
        count += 1
        try:
            check_record(line, where)
        except SituationError as exc:
            problems += exc.problems
    return count, problems


def _lines(path: str | Path, *, errors: str) -> Iterator[tuple[str, str]]:
    """Each line that holds something, and its place; `errors` as for `open`."""
    try:
        with Path(path).open(encoding="utf-8", errors=errors) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield line, f"{path}: line {number}"
    except (OSError, UnicodeDecodeError) as exc:
        raise RunError(f"{path} cannot be read: {exc}", remedy="give a JSON Lines file") from exc


def check_record(line: str, where: str) -> dict[str, Any]:
    """One line of a JSON Lines journal, checked; raises SituationError listing what is wrong."""

    def fail(path: str, found: object, expected: str) -> None:
        problems.append(Problem(where, path, repr(found)[:80], expected))

    problems: list[Problem] = []
    try:
        line.encode()
        record = parse_json(line)
        json.dumps(record, ensure_ascii=False).encode()  # no half characters, escaped or not
    except (ValueError, RecursionError) as exc:
        raise SituationError([Problem(where, "", str(exc), "one JSON object a line")]) from exc
    if not isinstance(record, dict):
        raise SituationError([Problem(where, "", type(record).__name__, "a JSON object")])
    version = record.get("schema_version")
    if version not in range(1, SCHEMA_VERSION + 1):
        fail("schema_version", version, f"1 to {SCHEMA_VERSION}")
    for key in ("id", "character"):
        if not isinstance(record.get(key), str) or not record[key]:
            fail(key, record.get(key), "text")
    context = record.get("context")
    if not isinstance(context, dict) or not all(isinstance(context.get(f), str) for f in FIELDS):
        fail("context", context, f"an object with the texts {', '.join(FIELDS)}")
    purposes = record.get("purposes")
    rows = purposes if isinstance(purposes, list) else []
    texts = [p["text"] for p in rows if isinstance(p, dict) and isinstance(p.get("text"), str)]
    ranks = [p.get("rank") for p in rows if isinstance(p, dict)]
    if not all(t.strip() for t in texts) or len(texts) != len(rows) or ranks != [1, 2, 3]:
        fail("purposes", purposes, "three objects with rank 1, 2, 3 and a text")
    provenance = record.get("provenance")
    if not isinstance(provenance, dict) or provenance.get("source") not in (
        "model", "cache", "instinct",
    ):  # fmt: skip
        fail("provenance", provenance, "an object whose source is model, cache or instinct")
    chosen, when, wall = (record.get(key) for key in ("chosen", "world_time", "wall_time"))
    if isinstance(chosen, bool) or chosen not in (None, 1, 2, 3):
        fail("chosen", chosen, "1, 2, 3 or null")
    if not (when is None or (isinstance(when, str) and _is_time(when))):
        fail("world_time", when, "an ISO 8601 time or null")
    if isinstance(wall, bool) or not (wall is None or isinstance(wall, int | float)):
        fail("wall_time", wall, "seconds or null")
    if record.get("outcome") == {}:
        fail("outcome", {}, "an object with a status, or null")
    elif record.get("outcome") is not None:
        try:
            Outcome.model_validate(record["outcome"])
        except ValidationError as exc:
            problems += problems_of(exc, where, "outcome")
    if problems:
        raise SituationError(problems)
    return record


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def as_sharegpt(record: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as one ShareGPT training record, most likely purpose first."""
    texts = [purpose["text"] for purpose in record["purposes"]]
    answer = dict(zip(KEYS, texts, strict=True))
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, record["id"])),
        "conversations": [
            {"from": "user", "value": _json({f: record["context"][f] for f in FIELDS})},
            {"from": "assistant", "value": _json(answer)},
        ],
    }


def as_decision(record: Mapping[str, Any]) -> Decision:
    """The decision of a record; its context holds the four fields alone."""
    kept = {field.name for field in fields(Provenance)} - {"receipt"}
    given = {key: value for key, value in record["provenance"].items() if key in kept}
    provenance = Provenance(**{**given, "filled": tuple(given.get("filled", ()))})
    a, b, c = (
        Purpose(
            p["rank"], p["text"], p["score"], tuple(p["targets"]), p["verb"],
            tuple(p["unknown_names"]),
        )
        for p in record["purposes"]
    )  # fmt: skip
    name, description, context, background = (record["context"][field] for field in FIELDS)
    outcome = record["outcome"]
    return Decision(
        record["id"], record["character"],
        MotiveContext(name, description, context, background),
        RankedPurposes((a, b, c), provenance),
        chosen=record["chosen"],
        outcome=Outcome.model_validate(outcome) if outcome else None,
    )  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
