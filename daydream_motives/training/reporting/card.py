"""The figures of a model card, as Markdown between its marks, from what the page is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from daydream_motives.training.dataset.card import fill
from daydream_motives.training.exporting.verify import as_markdown
from daydream_motives.training.judging.telling import figures, plain
from daydream_motives.training.reporting.learning import NAMES, Rows, facts, peak
from daydream_motives.training.reporting.page import WRONG, compared, decided, logs, why
from daydream_motives.training.reporting.parts import COMPARE, EXPORT, TRAIN, Found

FIGURES = "figures"
_PEAKS = {"Peak memory": ("memory", "memory_peak"), "Peak memory of the GPU": ("gpu_peak",)}


def write_card(path: Path, found: Found) -> list[str]:
    """Put the figures between the marks <!-- figures --> of a card; returns what is broken.

    Raises RunError where the card has no marks or cannot be written.
    """
    lines: list[str] = []
    broken: list[str] = []
    for title, stage, tell in _SECTIONS:
        try:
            some = list(tell(found))
        except WRONG as exc:
            broken.append(f"{title}: {why(exc, found.parts.get(stage))}")
            some = []
        lines += [f"### {title}", "", *(some or ["Missing here."]), ""]
    fill(path, {FIGURES: "\n".join(lines).rstrip()})
    return broken


def _learning(found: Found) -> Iterator[str]:
    for part, rows in logs(found):
        if part.manifest:
            yield f"**{NAMES[part.stage]}**"
            yield ""
            yield from _of(part.manifest, rows)


def _of(m: Mapping[str, Any], rows: Rows) -> Iterator[str]:
    told = [("Base", m["base"]["name"]), *facts(m)]
    for what, keys in _PEAKS.items():
        if most := peak(rows, *keys):
            told.append((what, f"{most / 2**30:.2f} GiB"))
    yield from (f"- {what}: {plain(text)}" for what, text in told)
    yield ""
    columns = list(dict.fromkeys(key for row in m["losses"] for key in row))
    yield f"| {' | '.join(key.replace('_', ' ') for key in columns)} |"
    yield "|" + " --: |" * len(columns)
    for row in m["losses"]:
        cells = (f"{v:.4f}" if isinstance(v, float) else plain(str(v)) for v in row.values())
        yield f"| {' | '.join(cells)} |"


def _figures(found: Found) -> Iterator[str]:
    if (data := compared(found)) is not None:
        yield from figures(data)


def _export(found: Found) -> Iterator[str]:
    if EXPORT in found.parts:
        m = found.parts[EXPORT].manifest
        yield as_markdown(m["measured"], m["bounds"]).rstrip()


def _decision(found: Found) -> Iterator[str]:
    if (decision := decided(found)) is not None:
        yield decision.as_markdown("the candidate", "the incumbent").rstrip()


_SECTIONS: tuple[tuple[str, str, Callable[[Found], Iterator[str]]], ...] = (
    ("Training", TRAIN, _learning),
    ("Figures", COMPARE, _figures),
    ("The file against the tuned model", EXPORT, _export),
    ("Decision", COMPARE, _decision),
)
