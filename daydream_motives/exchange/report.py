"""What an import has to tell: counts, what was refused, what was not understood, what is invented.

Knows no format and builds no world.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from daydream_motives.errors import Problem

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Remark:
    """Something foreign that was kept but not understood: where it stands, the text, and why."""

    source: str
    path: str
    text: str
    why: str

    def __str__(self) -> str:
        where = f"{self.source}: {self.path}" if self.path else self.source
        return f"{where}: {self.text} ({self.why})"


@dataclass(slots=True)
class Report:
    """What became of everything in a source; `notes` say what the importer made up or changed."""

    format: str
    source: str
    counts: Counter[str] = field(default_factory=Counter)
    not_understood: list[Remark] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say once what was made up or changed."""
        if text not in self.notes:
            self.notes.append(text)

    def remark(self, source: str, path: str, text: str, why: str) -> None:
        """Keep a record of what was not understood."""
        self.not_understood.append(Remark(source, path, text, why))

    def as_data(self) -> dict[str, Any]:
        """The whole report as plain data (JSON)."""
        return {
            "format": self.format,
            "source": self.source,
            "counts": dict(self.counts),
            "not_understood": [
                {"file": r.source, "path": r.path, "text": r.text, "why": r.why}
                for r in self.not_understood
            ],
            "refused": [
                {"file": p.source, "path": p.path, "found": p.found, "expected": p.expected}
                for p in self.refused
            ],
            "notes": list(self.notes),
        }

    def as_text(self, limit: int = _SHOWN, *, refused: bool = True) -> str:
        """The report for a reader: at most `limit` of the things not understood."""
        lines = [f"{count:6} {noun}" for noun, count in self.counts.items()]
        lines += [f"  note: {text}" for text in self.notes]
        if self.refused:
            lines.append(f"{len(self.refused)} refused" + (":" if refused else ", as said above"))
            lines += [f"  {problem}" for problem in self.refused if refused]
        if self.not_understood:
            lines.append(f"{len(self.not_understood)} not understood (kept as they are):")
            lines += [f"  {remark}" for remark in self.not_understood[:limit]]
            if len(self.not_understood) > limit:
                lines.append(f"  … and {len(self.not_understood) - limit} more")
        else:
            lines.append("nothing was left that was not understood")
        return "\n".join(lines)
