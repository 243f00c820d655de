"""Journals of any game, SQLite or JSON Lines, read record by record: what is broken is told, and
the rest goes on.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import MAX_BYTES
from daydream_motives.errors import DaydreamError, RunError, SituationError
from daydream_motives.journal import Journal
from daydream_motives.records import check_record
from daydream_motives.training.dataset.findings import Finding

_SQLITE = b"SQLite format 3\0"
_NAME = "journal.sqlite"


@dataclass(slots=True)
class JournalFile:
    """One journal: where it is, what it says of itself, and what is wrong with it once read."""

    path: Path
    sha256: str
    run: str
    game_version: str
    world: str
    is_sqlite: bool
    findings: list[Finding] = field(default_factory=list)

    def records(self) -> Iterator[dict[str, Any]]:
        """Every decision that can be read, in order; `findings` gets the others."""
        yield from self._rows() if self.is_sqlite else self._lines()

    def _rows(self) -> Iterator[dict[str, Any]]:
        with Journal(self.path, read_only=True) as journal:
            at, last = 0, journal.position()["decisions"]
            while at < last:
                try:
                    for record in journal.records(after=at):
                        at += 1
                        where = f"decision {record['id']}"
                        if checked := self._checked(json.dumps(record), 0, where):
                            yield checked
                    return
                except RunError as exc:  # one row is damaged, or the whole file from here on
                    self._note(f"decision number {at + 1}", exc)
                    at = last if isinstance(exc.__cause__, sqlite3.Error) else at + 1

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as stream:
            number = 0
            while row := stream.readline(MAX_BYTES + 1):
                number += 1
                if len(row) > MAX_BYTES:
                    what = f"a line of more than {MAX_BYTES} bytes"
                    remedy = "write one decision a line; what follows was not read"
                    self.findings.append(Finding(str(self.path), number, "", what, remedy))
                    return
                try:
                    line = row.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as exc:
                    what = f"byte {exc.start} is not UTF-8"
                    self.findings.append(
                        Finding(str(self.path), number, "", what, "write it as UTF-8")
                    )
                    continue
                if line.strip() and (checked := self._checked(line, number, "")):
                    yield checked

    def _checked(self, line: str, number: int, where: str) -> dict[str, Any] | None:
        try:
            return check_record(line, str(self.path))
        except SituationError as exc:
            for problem in exc.problems:
                place = f"{where}: {problem.path}" if where and problem.path else where
                self.findings.append(
                    Finding(str(self.path), number, place or problem.path,
                            f"found {problem.found}", f"expected {problem.expected}")
                )  # fmt: skip
            return None

    def _note(self, where: str, exc: DaydreamError) -> None:
        self.findings.append(Finding(str(self.path), 0, where, exc.message, exc.remedy))


def open_journal(path: Path, *, game_version: str = "", world: str = "") -> JournalFile:
    """A journal by its file, SQLite or JSON Lines as its first bytes say.

    What it says of its game and world comes before what is given. Raises RunError for a file that
    cannot be read, or whose schema is newer than this version.
    """
    try:
        with path.open("rb") as stream:
            is_sqlite = stream.read(len(_SQLITE)) == _SQLITE
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as exc:
        raise RunError(
            f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}",
            remedy="give a run's folder, its journal.sqlite, or a JSON Lines journal",
        ) from exc
    run = digest[:16]
    if is_sqlite:
        with Journal(path, read_only=True) as journal:
            said = journal.manifest()
        if isinstance(said.get("namespace"), str):
            run = hashlib.sha256(said["namespace"].encode()).hexdigest()[:16]
        game_version = _version(said) or game_version
        named = said.get("world")
        world = str(named["name"]) if isinstance(named, Mapping) and "name" in named else world
    return JournalFile(path, digest, run, game_version, world, is_sqlite)


def _version(said: Mapping[str, Any]) -> str:
    """The game's version as a journal gives it; our simulation's is that of the package."""
    if isinstance(said.get("game_version"), str):
        return str(said["game_version"])
    versions = said.get("versions")
    ours = versions.get("daydream-motives") if isinstance(versions, Mapping) else None
    return f"daydream-motives {ours}" if isinstance(ours, str) else ""


def files_of(given: Iterable[Path]) -> list[Path]:
    """The journals of files, of runs' folders, and of folders of runs, each once."""
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
        elif (path / _NAME).exists():
            found.append(path / _NAME)
        elif runs := sorted(path.glob(f"*/{_NAME}")):
            found += runs
        else:
            raise RunError(
                f"{path} holds no {_NAME}",
                remedy="give a run's folder, a folder of runs, or a journal's file",
            )
    return list({path.resolve(): path for path in found}.values())
