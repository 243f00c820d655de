"""The report of a model: one HTML page that needs nothing else. The same folders, the same bytes.

Each section stands by itself: one whose part is missing says so, and one that cannot be told is
left out, named with its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from markupsafe import Markup

from daydream_motives.characters.files import parse_json
from daydream_motives.errors import DaydreamError, RunError
from daydream_motives.modelstore.quantise import CHOSEN
from daydream_motives.training.exporting.verify import HEAD, REASONS, cells
from daydream_motives.training.folder import read_whole
from daydream_motives.training.judging.page import variables
from daydream_motives.training.pages import templates
from daydream_motives.training.promoting import MARGINS, Decision, decide
from daydream_motives.training.reporting.learning import Rows, learning, log_of, using
from daydream_motives.training.reporting.parts import (
    COMPARE,
    DATASET,
    EXPORT,
    PROMOTION,
    TRAIN,
    Found,
    Part,
    find,
)
from daydream_motives.training.reporting.teaching import teaching
from daydream_motives.training.searching.trials import toml_of
from daydream_motives.training.tuning.corpus import hash_of

View = Mapping[str, Any] | None
# What a damaged part of any shape may lead to.
WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
          OSError, TemplateError, DaydreamError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """A section: what it tells (None where it is missing) and the stage that would make it."""

    key: str
    title: str
    stage: str
    view: Callable[[Found], View]


def page(folders: Sequence[Path]) -> tuple[str, Found]:
    """The page of a model, and what it was made from; raises RunError where there is nothing."""
    found = find(folders)
    environment = templates()
    drawn: list[tuple[Section, Markup]] = []
    missing: list[Section] = []
    for section in _SECTIONS:
        try:
            view = section.view(found)
            if view is None:
                missing.append(section)
                continue
            html = environment.get_template(f"report_{section.key}.html").render(view)
        except WRONG as exc:
            found.broken.append(f"{section.title}: {why(exc, found.parts.get(section.stage))}")
            continue
        drawn.append((section, Markup(html)))  # noqa: S704 - escaped by its template
    title = _called(found)
    text = environment.get_template("model.html").render(
        title=title, sections=drawn, missing=missing, broken=found.broken
    )
    return text, found


def why(exc: BaseException, part: Part | None) -> str:
    """What is wrong, and with which part."""
    if isinstance(exc, DaydreamError):
        return exc.message
    where = f"{part.folder} is damaged: " if part else ""
    return f"{where}{type(exc).__name__}: {exc}"


def _called(found: Found) -> str:
    for part in (*reversed(found.learnt), *found.parts.values()):
        base = part.manifest.get("base")
        if isinstance(base, dict) and isinstance(base.get("name"), str):
            return f"{base['name']}, tuned"
    return "A model"


def compared(found: Found) -> dict[str, Any] | None:
    """What `compare` found, or, where it was not run, what `evaluate` did; None without both."""
    if COMPARE in found.parts:
        return _figures(found.parts[COMPARE], COMPARE)
    every = [_figures(part, "evaluate") for part in found.judged]
    if not every:
        return None
    alike = [one for one in every if one["questions"] == every[0]["questions"]]
    return {
        "questions": alike[0]["questions"], "controls": alike[0]["controls"], "examples": [],
        "embedded": any("mrr" in one["figures"] for one in alike),
        "models": [{**one, "against_first": {}} for one in alike],
    }  # fmt: skip


def _figures(part: Part, stage: str) -> dict[str, Any]:
    _, files = read_whole(part.folder, stage, 1)
    return dict(parse_json(files["figures.json"]))


def decided(found: Found) -> Decision | None:
    """What the comparison says of the export against the model that was asked first."""
    export, data = found.parts.get(EXPORT), compared(found)
    if export is None or COMPARE not in found.parts or data is None:
        return None
    return decide(data, export.manifest, data["models"][0]["model"]["sha256"])


def _decision(found: Found) -> View:
    part, decision = found.parts.get(PROMOTION), decided(found)
    if part is None and decision is None:
        return None
    return {
        "promotion": part.manifest if part else None, "decision": decision, "margins": MARGINS,
    }  # fmt: skip


def _data(found: Found) -> View:
    part, tuned = found.parts.get(DATASET), found.tuned
    if part is None:
        return None
    wanted = tuned.manifest["dataset"]["sha256"] if tuned else None
    other = wanted not in (None, hash_of(part.manifest))
    return teaching(part) | {"name": part.name, "other": other}


def logs(found: Found) -> Iterator[tuple[Part, Rows]]:
    """Each training with the rows of its log; none of one that is broken, which is told."""
    for part in found.learnt:
        rows: Rows = []
        try:
            rows = log_of(part)
        except RunError as exc:
            if exc.message not in found.broken:
                found.broken.append(exc.message)
        yield part, rows


def _learning(found: Found) -> View:
    every = [learning(part, rows) for part, rows in logs(found)]
    return {"every": every} if every else None


def _machine(found: Found) -> View:
    every = [(part.name, using(part, rows)) for part, rows in logs(found)]
    return {"every": every} if any(pictures for _, pictures in every) else None


def _compared(found: Found) -> View:
    data = compared(found)
    return None if data is None else variables(data)


def _answers(found: Found) -> View:
    view = _compared(found)
    return view if view and view["c"]["examples"] else None


def _export(found: Found) -> View:
    if EXPORT not in found.parts:
        return None
    m = found.parts[EXPORT].manifest
    return {
        "file": m["file"], "size": m["size"], "sha256": m["sha256"], "head": HEAD,
        "rows": [(row["verdict"] == CHOSEN, cells(row)) for row in m["measured"]],
        "reasons": [line.lstrip("- ") for line in REASONS.format(**m["bounds"]).splitlines()],
    }  # fmt: skip


def _origin(found: Found) -> View:
    tuned = found.tuned
    manifests = {stage: part.manifest for stage, part in found.parts.items()}
    rows: list[tuple[str, str]] = []
    if tuned:
        m = tuned.manifest
        rows += [(f"Base {m['base']['name']}", m["base"]["sha256"]),
                 ("Dataset, all files", m["dataset"]["sha256"])]  # fmt: skip
    data = manifests.get(DATASET, {})
    if data.get("version"):
        rows.append((f"Dataset, version {data['version']}", data["hash"]))
    journals = data.get("sources", {}).get("journals", [])
    rows += [("Journal", sha) for sha in journals if isinstance(sha, str)]
    rows += [
        (f"Manifest of {part.name}", part.sha256) for part in found.parts.values() if part.text
    ]
    if EXPORT in manifests:
        rows.append((f"File {manifests[EXPORT]['file']}", manifests[EXPORT]["sha256"]))
    if COMPARE in manifests:
        rows.append(("Questions", manifests[COMPARE]["questions"]["sha256"]))
    return {
        "rows": [(what, str(sha)) for what, sha in rows],
        "versions": tuned.manifest["versions"] if tuned else {},
        "recipe": "\n".join(toml_of(tuned.manifest["recipe"])) if tuned else "",
        "others": [(part.stage, part.name) for part in (*found.judged, *found.others)],
    }


_SECTIONS = (
    Section("decision", "Decision", PROMOTION, _decision),
    Section("data", "Data", DATASET, _data),
    Section("learning", "Learning", TRAIN, _learning),
    Section("machine", "Machine", TRAIN, _machine),
    Section("figures", "Figures", COMPARE, _compared),
    Section("answers", "Answers", COMPARE, _answers),
    Section("export", "Export", EXPORT, _export),
    Section("origin", "Origin", TRAIN, _origin),
)
