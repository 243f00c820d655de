"""Whether a file is still the model that was trained: limits, and what was measured against them.

Knows no torch: what the tuned model expects is given as numbers.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.characters.files import parse_json
from daydream_motives.modelstore.catalogue import Limits
from daydream_motives.modelstore.quantise import (
    AS_SHIPPED,
    CHOSEN,
    Measured,
    best_of,
    compare,
    measure_apart,
    verdict_of,
)
from daydream_motives.motives.prompt import KEYS
from daydream_motives.training.judging.texts import is_valid

HEAD = ["format", "stored", "MB", "bits/w", "KL", "top-1", "greedy", "valid", "verdict"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a file may be from the tuned model; see `REASONS`."""

    conversion_kl: float = 0.002
    conversion_top1: float = 0.96
    max_kl: float = 0.03
    min_top1: float = 0.92
    min_greedy: float = 0.92
    lost_answers: int = 1


# Measured on SmolLM2-135M with a random adapter: KL 0.0002 in F16, 0.0004 in BF16, 0.004 in Q8_0,
# 0.27 in Q4_0/Q8_0, and 4.4 with the rows of queries and keys in transformers' order.
REASONS = """\
- The unquantised file: KL at most {conversion_kl} nats a token and the same choice at \
{conversion_top1:.0%} of tokens. It differs from the tuned model by rounding alone (16-bit \
weights, and the 8-bit keys of the runtime's cache), which costs some 0.0004 nats; rows of queries \
or keys in a wrong order, a lost bias or a forgotten tie cost whole nats.
- The quantised file: KL at most {max_kl} nats a token and the same choice at {min_top1:.0%} of \
tokens, as for every model this machine keeps. A game samples, even the first purpose at 0.2 or \
more, where chance changes more tokens than that.
- Greedy agreement of at least {min_greedy:.0%}: the same share, along the tuned model's own \
answers rather than given ones, so that what it would really say is looked at.
- At most {lost_answers} answer fewer that is valid with nothing forced: one of so few may end \
otherwise after a tie; two are a loss. In the game the JSON is forced, and every answer valid."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: as measured, its greedy agreement and its valid answers of `answers`."""

    measured: Measured
    greedy: float
    valid: int
    answers: int
    verdict: str = ""

    def as_data(self) -> dict[str, Any]:
        data = asdict(self.measured)
        return data | {
            "greedy": self.greedy, "valid": self.valid, "answers": self.answers,
            "verdict": self.verdict,
        }  # fmt: skip


def check(
    file: Path,
    formats: Sequence[str],
    original: NDArray[np.floating],
    bounds: Bounds,
    *,
    say: Callable[[str], None],
) -> tuple[Path | None, list[Checked]]:
    """The fastest quantised file within the bounds (None: there is none), and what was measured.

    `file` is the tuned model unquantised; others are written beside it, and removed again but for
    the one that is chosen. Raises StoreError and BackendError where llama.cpp refuses or crashes.
    """
    limits = Limits(max_kl=bounds.max_kl, min_top1=bounds.min_top1)
    rows: list[tuple[Path, Checked]] = []
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".check-") as scratch:
        reference, answers = Path(scratch) / "reference.json", Path(scratch) / "answers.json"
        for path, row in compare(
            file, formats, limits, file.parent, say=say, original=original
        ):  # fmt: skip
            if path == file:
                measure_apart("greedy", path, reference)
                measure_apart("greedy", path, answers, reference)
            else:
                measure_apart("greedy", path, answers, reference)
            rows.append((path, _checked(row, json.loads(answers.read_text(encoding="utf-8")))))
    found = judged([row for _, row in rows], bounds)
    best = next((p for (p, _), row in zip(rows, found, strict=True) if row.verdict == CHOSEN), None)
    for path, _ in rows:
        if path not in (file, best):
            path.unlink()
    return best, found


def _checked(row: Measured, answers: Sequence[dict[str, Any]]) -> Checked:
    agreed, of = (sum(answer[key] for answer in answers) for key in ("agreed", "of"))
    valid = sum(valid_text(answer["text"]) for answer in answers)
    return Checked(row, agreed / max(1, of), valid, len(answers))


def valid_text(text: str) -> bool:
    """Whether it is the JSON of three purposes that the game could take as it is."""
    try:
        data = parse_json(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(data, dict) or tuple(data) != KEYS:
        return False
    purposes = list(data.values())
    return all(isinstance(one, str) for one in purposes) and is_valid(purposes)


def judged(rows: Sequence[Checked], bounds: Bounds) -> list[Checked]:
    """The rows with their verdicts: what is beyond the bounds, and the best of the others.

    The first row is the unquantised file: with it wrong, nothing that was made of it is right.
    """
    first = rows[0]
    faults = [_faults(row, first, bounds) for row in rows]
    if faults[0]:
        faults = [[*its] if i == 0 else ["made of a wrong file"] for i, its in enumerate(faults)]
    fit = [row for row, its in zip(rows[1:], faults[1:], strict=True) if not its]
    best = best_of([row.measured for row in fit]) if fit else first.measured
    verdicts = []
    for row, its in zip(rows, faults, strict=True):
        if its:
            verdicts.append("; ".join(its))
        elif row is first:
            verdicts.append("unquantised")
        else:
            verdicts.append(verdict_of(row.measured, best))
    return [
        Checked(row.measured, row.greedy, row.valid, row.answers, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _faults(row: Checked, first: Checked, bounds: Bounds) -> list[str]:
    measured, whole = row.measured, row is first
    max_kl = bounds.conversion_kl if whole else bounds.max_kl
    min_top1 = bounds.conversion_top1 if whole else bounds.min_top1
    told = []
    if not (math.isfinite(measured.kl) and measured.kl <= max_kl):
        told.append(f"KL {measured.kl:.4f} > {max_kl}")
    if not measured.top1 >= min_top1:
        told.append(f"top-1 {measured.top1:.1%} < {min_top1:.0%}")
    if not row.greedy >= bounds.min_greedy:
        told.append(f"greedy {row.greedy:.1%} < {bounds.min_greedy:.0%}")
    if row.valid < first.valid - bounds.lost_answers:
        told.append(f"valid {row.valid} of {row.answers}, were {first.valid}")
    return told


def cells(row: Mapping[str, Any]) -> list[str]:
    """A line of the table, below HEAD."""
    return [
        row["format"].replace(AS_SHIPPED, "unquantised"), row["stored"] or "–",
        f"{row['size'] / 1e6:.1f}", f"{row['bits_per_weight']:.2f}", f"{row['kl']:.4f}",
        f"{row['top1']:.1%}", f"{row['greedy']:.1%}", f"{row['valid']}/{row['answers']}",
        row["verdict"],
    ]  # fmt: skip


def as_markdown(rows: Sequence[dict[str, Any]], bounds: dict[str, Any]) -> str:
    """The table of what was measured, and why the bounds are where they are."""
    lines = [HEAD, ["---", "---", *["--:"] * 6, "---"], *map(cells, rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{table}\n\n{REASONS.format(**bounds)}\n"
