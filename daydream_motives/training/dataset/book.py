"""Reading a book of scenes: files, documents, scenes; each knows where it stands.

A scene that is wrong in one decision is kept without it, so that one slip does not hide the next.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daydream_motives.characters.files import shown
from daydream_motives.settings import shipped
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.nodes import Document, Steps, documents
from daydream_motives.training.dataset.scenes import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A scene where it stands in a file; `dropped` are keys of decisions that could not be read."""

    scene: Scene
    document: Document
    numbers: tuple[int, ...]  # of each kept decision among those of the document
    whole: bool = True

    def steps_of(self, index: int) -> Steps:
        """The path in the document of a decision of the scene."""
        return ("decisions", self.numbers[index])

    def finding(self, steps: Sequence[str | int], where: str, what: str, remedy: str) -> Finding:
        place = f"{self.scene.id}/{where}" if where else self.scene.id
        line = self.document.line_of(steps)
        return Finding(self.document.file, line, place, what, remedy)


@dataclass(slots=True)
class Book:
    """Scenes in the order of their files, and what kept others from being read."""

    written: list[Written] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def scenes(self) -> list[Scene]:
        return [one.scene for one in self.written]


def default_folder() -> Path:
    """Where the scenes of the project are."""
    return shipped("training") / "data" / "scenes"


def scene_files(folder: Path) -> list[Path]:
    """The scene files of a folder, by name; as seen from here, if they are below."""
    found = sorted(path for path in folder.glob("*.yaml") if path.is_file())
    here = Path.cwd()
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in found]


def read_book(files: Iterable[Path]) -> Book:
    """Every scene of the files that can be read."""
    book = Book()
    for file in files:
        found, problems = documents(file)
        book.findings += problems
        for document in found:
            written, problems = _scene(document)
            book.findings += problems
            if written:
                book.written.append(written)
    return book


def folded(name: str) -> str:
    """A name without case and marks, to compare by."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def dotted(steps: Sequence[str | int]) -> str:
    """A path for people: they count from one."""
    return ".".join(str(step + 1 if isinstance(step, int) else step) for step in steps)


def _scene(document: Document) -> tuple[Written | None, list[Finding]]:
    data = document.data
    if not isinstance(data, dict):
        what = f"a document that is a {type(data).__name__}"
        return None, [
            Finding(document.file, document.line, "", what, "write a mapping: id, world …")
        ]
    try:
        scene = Scene.model_validate(data)
        return Written(scene, document, tuple(range(len(scene.decisions)))), []
    except ValidationError as exc:
        findings = [_finding(document, item) for item in exc.errors(include_url=False)]
        bad = {item["loc"][1] for item in exc.errors() if item["loc"][0] == "decisions"
               and len(item["loc"]) > 1}  # fmt: skip
    decisions = data.get("decisions")
    if not bad or not isinstance(decisions, list):
        return None, findings
    kept = [i for i in range(len(decisions)) if i not in bad]
    try:
        scene = Scene.model_validate({**data, "decisions": [decisions[i] for i in kept]})
    except ValidationError:
        return None, findings
    return Written(scene, document, tuple(kept), whole=False), findings


def _finding(document: Document, item: Any) -> Finding:
    """One of pydantic's findings in our words."""
    steps: Steps = tuple(item["loc"])
    data = document.data
    id = data.get("id") if isinstance(data, dict) else None
    where = f"{id if isinstance(id, str) else '?'}/{dotted(steps)}".rstrip("/")
    if item["type"] == "missing":
        what, remedy = "is missing", "give it"
    elif item["type"] == "extra_forbidden":
        what, remedy = "an unknown key", "see the format; inside { } quote a text that has a comma"
    else:
        what = f"found {shown(item['input'])}"
        remedy = f"expected: {item['msg'].removeprefix('Value error, ')}"
    return Finding(document.file, document.line_of(steps), where, what, remedy)
