"""Reading foreign data with care: bounded files, and mappings in which any type may be wrong.

What is wrong is reported and read as nothing; the data itself is never changed. Knows no format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import MAX_BYTES, exists, read_document, shown
from daydream_motives.characters.sheet import clean_text
from daydream_motives.errors import ContentError, Problem, WorldError
from daydream_motives.exchange.report import Report

_DEPTH = 40  # deeper foreign data is kept as JSON text: see Extensions
_OLDEST = 100_000


class Source:
    """A file or folder to import from; reads what is inside it and nothing else."""

    def __init__(self, path: str | Path, what: str) -> None:
        self.path = Path(path)
        self.what = what
        if not exists(self.path):
            raise self.wrong("nothing there")

    def wrong(self, found: str, remedy: str = "") -> WorldError:
        """The error for a source that is not what it should be."""
        return WorldError(
            [Problem(str(self.path), "", found, self.what)],
            remedy=remedy or "give the path of the data with --source",
        )

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    def name_of(self, file: Path) -> str:
        """The file as reports call it: relative to the source."""
        return file.name if file == self.path else str(file.relative_to(self.path))

    def files(self, pattern: str) -> list[Path]:
        """What matches a glob inside the folder, in order."""
        return sorted(self.path.glob(pattern))

    def problem(self, file: Path) -> str:
        """Why `file` is not to be opened; empty where it may be."""
        if not exists(file):
            return "nothing there"
        if not file.is_file():
            return "a folder" if file.is_dir() else "not a regular file"
        root = self.path if self.is_folder else self.path.parent
        if file != self.path and not file.resolve().is_relative_to(root.resolve()):
            return "a link that leads out of the source"
        return ""

    def document(self, file: Path, report: Report) -> Any:
        """The parsed content of a JSON file; None, and a problem in the report, if it has none."""
        name = self.name_of(file)
        if problem := self.problem(file):
            report.refused.append(Problem(name, "", problem, "a JSON file"))
            return None
        try:
            return read_document(file, WorldError)
        except ContentError as exc:
            report.refused += [Problem(name, p.path, p.found, p.expected) for p in exc.problems]
            return None

    def text(self, file: Path, report: Report) -> str | None:
        """The text of a file (UTF-8, bounded); None, and a problem in the report, if unreadable."""
        found = self.problem(file)
        if not found:
            try:
                with file.open("rb") as stream:
                    raw = stream.read(MAX_BYTES + 1)
                if len(raw) <= MAX_BYTES:
                    return raw.decode("utf-8-sig")
                found = f"more than {MAX_BYTES} bytes"
            except UnicodeDecodeError as exc:
                found = f"byte {exc.start} is not UTF-8"
            except OSError as exc:
                found = f"a file that cannot be read ({exc.strerror})"
        report.refused.append(Problem(self.name_of(file), "", found, "text in UTF-8"))
        return None


def storable(value: Any, depth: int = 0) -> Any:
    """Foreign data as it is, but for what no file of ours can hold, which becomes text."""
    if isinstance(value, str):  # half of a surrogate pair cannot be encoded
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if depth >= _DEPTH and isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, dict):
        return {storable(str(k)): storable(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [storable(item, depth + 1) for item in value]
    return value


class Record:
    """A foreign mapping; every look at it says what type is wanted and reports any other."""

    def __init__(self, data: Any, report: Report, source: str, path: str = "") -> None:
        self.report, self.source, self.path = report, source, path
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        if not isinstance(data, dict) and data is not None:
            report.remark(source, path, shown(data), "a mapping was expected here")

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def where(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def misread(self, key: str, value: Any, why: str) -> None:
        """Report what stands under `key`."""
        self.report.remark(self.source, self.where(key), shown(value), why)

    def text(self, key: str) -> str:
        """The text under `key` on one line; empty where there is none."""
        value = self.data.get(key)
        if isinstance(value, str):
            return str(clean_text(value))
        if value is not None:
            self.misread(key, value, "text was expected here")
        return ""

    def texts(self, key: str) -> list[str]:
        """The list of texts under `key`; one text counts as a list of one."""
        value = self.data.get(key)
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            if items is not None:
                self.misread(key, value, "a list of texts was expected here")
            return []
        found = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                if text := clean_text(item):
                    found.append(str(text))
            else:
                self.misread(f"{key}[{index}]", item, "text was expected here")
        return found

    def record(self, key: str) -> Record:
        """The mapping under `key`; an empty one where there is none."""
        return Record(self.data.get(key), self.report, self.source, self.where(key))

    def records(self, key: str) -> list[Record]:
        """The mappings in the list under `key`."""
        value = self.data.get(key)
        if not isinstance(value, list):
            if value is not None:
                self.misread(key, value, "a list of mappings was expected here")
            return []
        found = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                where = self.where(f"{key}[{index}]")
                found.append(Record(item, self.report, self.source, where))
            else:
                self.misread(f"{key}[{index}]", item, "a mapping was expected here")
        return found

    def age(self, key: str = "age") -> int | None:
        """Whole years; None, and a remark, for anything else."""
        value = self.data.get(key)
        if value is None:
            return None
        years = value
        if isinstance(value, str) and re.fullmatch(r"\s*\d{1,6}\s*", value):
            years = int(value)
        if isinstance(years, float) and years.is_integer():
            years = int(years)
        if isinstance(years, int) and not isinstance(years, bool) and 0 <= years <= _OLDEST:
            return years
        self.misread(key, value, f"whole years from 0 to {_OLDEST} were expected here")
        return None
