"""The record of a run: the contract between game and training.

A journal is a SQLite file in WAL mode, or the same records as JSON Lines (see records.py), which
a game in any language can write. Knows nothing of who writes it. Migrations are numbered, applied
in order, and never edited once released.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Self

from daydream_motives.errors import RunError
from daydream_motives.motives.purposes import Decision
from daydream_motives.motives.situation import Situation
from daydream_motives.records import SCHEMA_VERSION

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
    "CREATE UNIQUE INDEX decisions_by_number ON decisions (number);",
)
_VERSION = len(MIGRATIONS)  # of the tables; what a record holds has a version of its own


class Journal:
    """One run's SQLite file; writes are committed as they come.

    Opens or creates `path`. A run that is resumed writes again what it wrote after its checkpoint
    (see `rewind`). Raises RunError for a file that is no journal, is newer than this version, is
    locked, or lies where nothing can be written.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if read_only and not self.path.is_file():
            raise RunError(f"no journal at {self.path}", remedy="give the folder of a run")
        try:
            if not read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "ro" if read_only else "rwc"
            # Without a log beside it nobody writes: reading then leaves no files behind.
            if read_only and not self.path.with_name(f"{self.path.name}-wal").exists():
                mode = "ro&immutable=1"
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
            self._again: int | None = None  # the event to be written again next
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
        if version > _VERSION:
            raise RunError(
                f"{self.path} has schema {version}; this version knows {_VERSION}",
                remedy="upgrade daydream-motives",
            )
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables:
            raise RunError(
                f"{self.path} is another program's database", remedy="choose another file"
            )
        if version == 0 and read_only:
            raise RunError(f"{self.path} is no finished journal", remedy="give a run's folder")
        if read_only and version < _VERSION:  # an older journal is read in a copy of it
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._db.backup(copy)
            self._db.close()
            self._db = copy
            self._db.row_factory = sqlite3.Row
        for number in range(version, _VERSION):
            self._db.executescript(
                f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def _write(self, sql: str, values: Iterable[Any]) -> int:
        """Returns how many rows it changed."""
        try:
            return self._db.execute(sql, tuple(values)).rowcount
        except sqlite3.Error as exc:
            raise _run_error(self.path, exc) from exc

    def describe(self, manifest: Mapping[str, Any]) -> None:
        """Set keys of the run's manifest: world, model and adapter hash, settings, seed …"""
        rows = [(key, _json(value)) for key, value in manifest.items()]
        places = ", ".join(["(?, ?)"] * len(rows))  # one statement: all of it or none
        self._write(f"INSERT OR REPLACE INTO manifest VALUES {places}", chain(*rows))  # noqa: S608 - our words

    def manifest(self) -> dict[str, Any]:
        rows = self._read("SELECT key, value FROM manifest ORDER BY key")
        return {row["key"]: self._parse(row["value"]) for row in rows}

    def _read(self, sql: str, values: Iterable[Any] = ()) -> Iterator[sqlite3.Row]:
        try:
            yield from self._db.execute(sql, tuple(values))
        except sqlite3.Error as exc:
            raise _run_error(self.path, exc) from exc

    def _parse(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as exc:
            raise RunError(f"{self.path} is damaged: {exc}", remedy="use another run") from exc

    def position(self) -> dict[str, int]:
        """How many decisions and events it holds."""
        tables = ("decisions", "events")
        last = "SELECT coalesce(max(number), 0) FROM "
        counts = [next(self._read(last + name))[0] for name in tables]
        return dict(zip(tables, counts, strict=True))

    def settle(self) -> None:
        """Bring everything to the disk itself, so that it outlives a failure of power."""
        list(self._read("PRAGMA wal_checkpoint(FULL)"))

    def last_time(self) -> str | None:
        """The in-world time of the last decision or event."""
        rows = [
            next(self._read(f"SELECT world_time FROM {name} ORDER BY number DESC LIMIT 1"), None)  # noqa: S608 - our words
            for name in ("decisions", "events")
        ]
        return max((row[0] for row in rows if row and row[0]), default=None)

    def forget_description(self) -> None:
        """Empty the manifest: a copy is another run."""
        self._write("DELETE FROM manifest", ())

    def rewind(self, position: Mapping[str, int]) -> None:
        """From here on the same is written again as was after `position`: nothing is lost if it is
        cut off, and nothing is there twice when it is through."""
        self._again = position["events"] + 1

    def cut(self, position: Mapping[str, int], still_open: Iterable[str] = ()) -> None:
        """Remove all after `position`; what was `still_open` then has no outcome again."""
        for name in ("decisions", "events"):
            self._write(f"DELETE FROM {name} WHERE number > ?", (position[name],))  # noqa: S608 - our words
        for id in still_open:
            self._write("UPDATE decisions SET outcome = NULL WHERE id = ?", (id,))

    def copy(self, path: str | Path) -> Journal:
        """A journal of its own with the same content."""
        twin = Journal(path)
        try:
            self._db.backup(twin._db)
        except sqlite3.Error as exc:
            raise _run_error(twin.path, exc) from exc
        return twin

    def decided(self, decision: Decision, situation: Situation) -> None:
        """Keep a decision as it was made."""
        if self._again is not None:
            sql = "UPDATE decisions SET chosen = NULL, outcome = NULL WHERE id = ?"
            if self._write(sql, (decision.id,)):
                return
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
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._again, world_time, kind, text, _json(list(who)), place, decision),
        )
        if self._again is not None:
            self._again += 1

    def records(self, *, after: int = 0) -> Generator[dict[str, Any]]:
        """Every decision in order, but the first `after`, as objects of the JSON Lines format."""
        for row in self._read("SELECT * FROM decisions WHERE number > ? ORDER BY number", (after,)):
            yield self._record(row)

    def record(self, id: str) -> dict[str, Any]:
        """One decision; raises RunError where there is none of this id."""
        for row in self._read("SELECT * FROM decisions WHERE id = ?", (id,)):
            return self._record(row)
        raise RunError(f"{self.path} has no decision {id}", remedy="use another run")

    def _record(self, row: sqlite3.Row) -> dict[str, Any]:
        if row["chosen"] not in (None, 1, 2, 3):
            raise RunError(
                f"{self.path} is damaged: rank {row['chosen']}", remedy="use another run"
            )
        return {
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

    def events(self, *, after: int = 0) -> Generator[dict[str, Any]]:
        """Everything that happened, in order, but the first `after`."""
        for row in self._read("SELECT * FROM events WHERE number > ? ORDER BY number", (after,)):
            yield {**dict(row), "who": self._parse(row["who"])}


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
