"""The record of a run: the contract between game and training.

A journal is a SQLite file in WAL mode, or the same records as JSON Lines (see JSONL_FIELDS), which
a game in any language can write. Knows nothing of who writes it. Migrations are numbered, applied
in order, and never edited once released.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from daydream_motives.characters.files import parse_json, problems_of
from daydream_motives.errors import Problem, RunError, SituationError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.prompt import KEYS
from daydream_motives.motives.purposes import Decision, Outcome
from daydream_motives.motives.situation import Situation

MIGRATIONS = (
    """
    CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE decisions (
        id TEXT PRIMARY KEY, number INTEGER NOT NULL, character TEXT NOT NULL,
        world_time TEXT, context TEXT NOT NULL, situation TEXT NOT NULL,
        purposes TEXT NOT NULL, provenance TEXT NOT NULL, receipt TEXT NOT NULL,
        chosen INTEGER, outcome TEXT, wall_time REAL NOT NULL
    ) STRICT;
    CREATE INDEX decisions_by_character ON decisions (character, number);
    CREATE TABLE events (
        number INTEGER PRIMARY KEY, world_time TEXT, kind TEXT NOT NULL, text TEXT NOT NULL,
        who TEXT NOT NULL, place TEXT, decision TEXT REFERENCES decisions (id)
    ) STRICT;
    """,
)
SCHEMA_VERSION = len(MIGRATIONS)
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


class Journal:
    """One run's SQLite file; writes are committed as they come.

    Opens or creates `path`. Raises RunError for a file that is no journal, is newer than this
    version, is locked, or lies where nothing can be written.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise RunError(f"no journal at {self.path}", remedy="give the folder of a run")
        try:
            if not read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "ro" if read_only else "rwc"
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True,
                isolation_level=None, check_same_thread=False,
            )  # fmt: skip
            self._db.row_factory = sqlite3.Row
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
            self._migrate(read_only)
            self._db.execute("SELECT number FROM decisions LIMIT 1").fetchone()
        except (sqlite3.Error, OSError) as exc:
            raise _run_error(self.path, exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def _migrate(self, read_only: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise RunError(
                f"{self.path} has schema {version}; this version knows {SCHEMA_VERSION}",
                remedy="upgrade daydream-motives",
            )
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables:
            raise RunError(
                f"{self.path} is another program's database", remedy="choose another file"
            )
        if version < SCHEMA_VERSION and read_only:
            raise RunError(f"{self.path} is no finished journal", remedy="give a run's folder")
        for number in range(version, SCHEMA_VERSION):
            self._db.executescript(
                f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def _write(self, sql: str, values: Iterable[Any]) -> None:
        try:
            self._db.execute(sql, tuple(values))
        except sqlite3.Error as exc:
            raise _run_error(self.path, exc) from exc

    def describe(self, manifest: Mapping[str, Any]) -> None:
        """Set keys of the run's manifest: world, model and adapter hash, settings, seed …"""
        for key, value in manifest.items():
            self._write("INSERT OR REPLACE INTO manifest VALUES (?, ?)", (key, _json(value)))

    def manifest(self) -> dict[str, Any]:
        rows = self._read("SELECT key, value FROM manifest ORDER BY key")
        return {row["key"]: self._parse(row["value"]) for row in rows}

    def _read(self, sql: str) -> Iterator[sqlite3.Row]:
        try:
            yield from self._db.execute(sql)
        except sqlite3.Error as exc:
            raise _run_error(self.path, exc) from exc

    def _parse(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as exc:
            raise RunError(f"{self.path} is damaged: {exc}", remedy="use another run") from exc

    def decided(self, decision: Decision, situation: Situation) -> None:
        """Keep a decision as it was made."""
        data = decision.ranked.as_data()
        receipt = [asdict(entry) for entry in decision.provenance.receipt]
        self._write(
            "INSERT INTO decisions SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?, "
            "NULL, NULL, ? FROM decisions",
            (
                decision.id, decision.character,
                situation.time.isoformat() if situation.time else None,
                _json(decision.context.fields), situation.model_dump_json(exclude_defaults=True),
                _json(data["purposes"]), _json(data["provenance"]), _json(receipt), time.time(),
            ),
        )  # fmt: skip

    def chosen(self, decision: Decision) -> None:
        """Keep which rank was acted on."""
        self._write("UPDATE decisions SET chosen = ? WHERE id = ?", (decision.chosen, decision.id))

    def resolved(self, decision: Decision) -> None:
        """Keep how it went."""
        outcome = decision.outcome.model_dump_json() if decision.outcome else None
        self._write("UPDATE decisions SET outcome = ? WHERE id = ?", (outcome, decision.id))

    def event(
        self,
        kind: str,
        text: str,
        *,
        world_time: str | None = None,
        who: Iterable[str] = (),
        place: str | None = None,
        decision: str | None = None,
    ) -> None:
        """Keep something that happened in the world."""
        self._write(
            "INSERT INTO events (world_time, kind, text, who, place, decision) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (world_time, kind, text, _json(list(who)), place, decision),
        )

    def records(self) -> Iterator[dict[str, Any]]:
        """Every decision in order, as the objects of the JSON Lines format."""
        for row in self._read("SELECT * FROM decisions ORDER BY number"):
            yield {
                "schema_version": SCHEMA_VERSION,
                "id": row["id"],
                "character": row["character"],
                "world_time": row["world_time"],
                "context": self._parse(row["context"]),
                "situation": self._parse(row["situation"]),
                "purposes": self._parse(row["purposes"]),
                "provenance": self._parse(row["provenance"]),
                "receipt": self._parse(row["receipt"]),
                "chosen": row["chosen"],
                "outcome": self._parse(row["outcome"]) if row["outcome"] else None,
                "wall_time": row["wall_time"],
            }

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything that happened, in order."""
        for row in self._read("SELECT * FROM events ORDER BY number"):
            yield {**dict(row), "who": self._parse(row["who"])}


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


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _run_error(path: Path, exc: Exception) -> RunError:
    text = str(exc)
    if "disk is full" in text or "No space" in text:
        return RunError(f"the disk is full: {path}", remedy="free some space; nothing is lost")
    if "readonly" in text or "unable to open" in text or isinstance(exc, OSError):
        return RunError(
            f"cannot write {path}: {text}", remedy="choose a folder you may write with --run DIR"
        )
    if "locked" in text:
        return RunError(f"{path} is in use by another process", remedy="wait, or use another --run")
    if "not a database" in text or "malformed" in text:
        return RunError(f"{path} is no journal, or a damaged one", remedy="give a run's folder")
    return RunError(f"{path}: {text}", remedy="give the folder of a run")
