"""The ladder: the same decisions made in ever faster ways, each in a process of its own.

Every rung answers the harbour town's decisions from the same prompts, with the same threads and as
many sampled tokens: first a fixed number of them, so that shorter answers win nothing, then as many
as the model wants. What is compared are ratios within one run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from daydream_motives.bench.figures import machine, middle, percentile, ratio, table
from daydream_motives.bench.rungs import RUNGS, Job, save_requests
from daydream_motives.bench.town import decisions
from daydream_motives.engine.backend import BackendSpec, Request
from daydream_motives.errors import BackendError, SettingsError
from daydream_motives.modelstore.store import ModelStore

BASE = "b"  # what the others are compared with
FIXED_TOKENS = 75
WARM = 25  # decisions made before the clock runs: about one of each character
NATURAL_ONLY = ("naive",)
FIXED_ONLY = ("ceiling",)
_BATCH = 16  # sequences under the ceiling where our own number is not known
_TIMEOUT = 3600.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What one rung took; tokens a decision as mean and median, times in ms.

    `latency_ms` runs from when all were asked, `work_ms` from when work on one began. `whole` is
    the share of answers with three purposes. `ratio` is decisions/s against rung (b). `error` is
    why there are no figures.
    """

    rung: str
    title: str
    length: str
    decisions: int = 0
    decisions_per_s: float = 0.0
    tokens_fresh: dict[str, float] = field(default_factory=dict)
    tokens_cached: dict[str, float] = field(default_factory=dict)
    tokens_out: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    work_ms: dict[str, float] = field(default_factory=dict)
    whole: float = 0.0
    peak_bytes: int | None = None
    ratio: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def row_of(rung: str, length: str, result: dict[str, Any]) -> Row:
    """A rung's figures from what its process wrote."""
    found, title = result["decisions"], RUNGS[rung][0]
    if not found:
        return Row(rung, title, length, peak_bytes=result["peak_bytes"], notes=result["notes"])
    seconds = max(one["latency_s"] for one in found)

    def times(key: str) -> dict[str, float]:
        values = [one[key] * 1000 for one in found]
        return {f"p{p}": percentile(values, p / 100) for p in (50, 95, 99)}

    return Row(
        rung, title, length, len(found), len(found) / seconds,
        tokens_fresh=middle(one["tokens_in"] - one["tokens_cached"] for one in found),
        tokens_cached=middle(one["tokens_cached"] for one in found),
        tokens_out=middle(one["tokens_out"] for one in found),
        latency_ms=times("latency_s"), work_ms=times("work_s"),
        whole=sum(one["whole"] for one in found) / len(found),
        peak_bytes=result["peak_bytes"], notes=result["notes"],
    )  # fmt: skip


def compared(rows: Sequence[Row]) -> list[Row]:
    """The rows with their ratio to rung (b) of the same length, where it was measured."""
    base = {row.length: row.decisions_per_s for row in rows if row.rung == BASE}
    return [
        replace(row, ratio=ratio(row.decisions_per_s, base.get(row.length, 0.0))) for row in rows
    ]


def summary(rows: Sequence[Row]) -> dict[str, float | None]:
    """What the ladder is for: ours against others, the share of the ceiling, the whole product."""
    rate = {(row.rung, row.length): row.decisions_per_s for row in rows}
    notes = {row.rung: row.notes for row in rows if row.length == "fixed"}
    limit = notes.get("ceiling", {}).get("tokens_per_s", 0.0)
    steps = notes.get("f", {}).get("steps", {})
    ours, naive = rate.get(("f", "natural"), 0.0), rate.get(("naive", "natural"), 0.0)
    fixed = rate.get(("f", "fixed"), 0.0)
    return {
        "ours_to_schema": ratio(fixed, rate.get((BASE, "fixed"), 0.0)),
        "ours_to_server": ratio(fixed, rate.get(("c", "fixed"), 0.0)),
        "share_of_ceiling": ratio(steps.get("full_tokens_per_s", 0.0), limit),
        "share_of_ceiling_all_steps": ratio(steps.get("tokens_per_s", 0.0), limit),
        "product_to_naive": ratio(ours, naive),
    }


class Ladder:
    """Runs rungs over the same decisions; raises BackendError where the model is no GGUF file."""

    def __init__(
        self, model: str | None = None, *, count: int = 64, threads: int = 2,
        tokens: int = FIXED_TOKENS,
    ) -> None:  # fmt: skip
        store = ModelStore()
        kind, self.spec = store.spec(model)
        if kind != "llama" or self.spec.path is None:
            raise BackendError(
                f"the ladder compares ways to run a GGUF file, and {self.spec.model} is none",
                remedy="give --model a catalogue name or a GGUF file",
            )
        self.path: Path = self.spec.path
        shipped = self.path.with_name("shipped.gguf")
        self.shipped = shipped if shipped.is_file() else self.path
        self.threads, self.tokens, self.parallel = threads, tokens, _BATCH
        self.count, self.warm = count, min(count, WARM)
        self.requests, self.depth = _requests(self.spec, self.warm + count)

    def run(
        self, rungs: Sequence[str] = (), *, lengths: Sequence[str] = ("fixed", "natural"),
        say: Say = lambda _: None,
    ) -> Iterator[Row]:  # fmt: skip
        """A row for each rung as it is done; a rung that fails gives its reason instead."""
        unknown = set(rungs) - set(RUNGS)
        if unknown:
            raise SettingsError(
                f"no rung {', '.join(sorted(unknown))}", remedy=f"one of {', '.join(RUNGS)}"
            )
        for path in {self.path, self.shipped}:
            _warm(path)
        with tempfile.TemporaryDirectory() as folder:
            for length in lengths:
                leave = NATURAL_ONLY if length == "fixed" else FIXED_ONLY
                for rung in [r for r in RUNGS if r in (rungs or RUNGS) and r not in leave]:
                    say(f"{length} length, ({rung}) {RUNGS[rung][0]}")
                    row = self._rung(rung, length, Path(folder))
                    if rung == "f":
                        self.parallel = row.notes.get("parallel", self.parallel)
                    yield row

    def _rung(self, rung: str, length: str, folder: Path) -> Row:
        requests = folder / "requests.json"
        save_requests(requests, self.spec, self.requests)
        path = self.shipped if rung == "naive" else self.path
        instructions = self.spec.style.instructions
        job = Job(
            rung, str(path), self.threads, self.tokens if length == "fixed" else 0,
            self.spec.temperature,
            [(instructions, r.context.as_json(), r.seed) for r in self.requests],
            str(requests), self.warm, self.parallel, self.depth,
        )  # fmt: skip
        asked, answer = folder / "job.json", folder / "result.json"
        answer.unlink(missing_ok=True)
        asked.write_text(json.dumps(asdict(job)), encoding="utf-8")
        command = [sys.executable, "-m", "daydream_motives.bench.rungs", str(asked), str(answer)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Row(rung, RUNGS[rung][0], length, error=f"not done after {_TIMEOUT:g} s")
        if done.returncode or not answer.is_file():
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()
            said = [line for line in last if "Error" in line or "Abort" in line] or last
            return Row(rung, RUNGS[rung][0], length, error=said[-1][:300])
        return row_of(rung, length, json.loads(answer.read_text(encoding="utf-8")))

    def about(self) -> dict[str, Any]:
        """What is measured and on what."""
        return {
            **machine(), "threads": self.threads, "model": self.spec.model,
            "file": self.path.name, "shipped_file": self.shipped.name,
            "decisions": self.count, "fixed_tokens": self.tokens,
            "prompt_tokens_median": self.depth,
            "versions": {n: _version(n) for n in ("llama-cpp-python", "xllamacpp")},
        }  # fmt: skip


def _requests(spec: BackendSpec, count: int) -> tuple[list[Request], int]:
    """The decisions, and how many tokens the middle one's prompt has."""
    from daydream_motives.engine.llama import Tokenizer

    if spec.path is None:
        raise BackendError("no model file", remedy="daydream models pull")
    tokenizer = Tokenizer(spec.path)
    try:
        found = decisions(count, tokenizer.count)
        own = median(tokenizer.count(request.context.as_json()) for request in found)
        return found, int(own) + tokenizer.count(spec.style.instructions)
    finally:
        tokenizer.close()


def _warm(path: Path) -> None:
    """Have the file in memory, so that the first rung pays for no disk."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def as_text(about: dict[str, Any], rows: Sequence[Row]) -> str:
    """The ladder as a table, what it comes to, and how the others were compiled."""
    lines = [
        f"{about['processor']}, {about['cores']} cores; {about['threads']} threads for each rung",
        f"{about['decisions']} decisions of the harbour town, prompts of "
        f"{about['prompt_tokens_median']} tokens; {about['model']} ({about['file']})",
    ]
    for length, title in (
        ("fixed", f"{about['fixed_tokens']} sampled tokens a decision, whatever the model would"),
        ("natural", "answers as long as the model wants"),
    ):
        of = [row for row in rows if row.length == length]
        if of:
            lines += ["", title, table([_HEAD, *(_cells(row) for row in of)], left=2)]
        lines += [f"({row.rung}) was not measured: {row.error}" for row in of if row.error]
    lines += ["", *_conclusions(summary(rows))]
    for row in rows:
        if row.rung == "ceiling" and row.notes:
            lines.append(f"ceiling: {row.notes['batch']} sequences of {row.notes['depth']} tokens:")
            lines += [f"  {n}: {speed:.0f} tokens/s" for n, speed in row.notes["layouts"].items()]
        if row.rung in ("b", "c") and row.notes.get("compiled") and row.length == rows[0].length:
            lines.append(f"({row.rung}) compiled as: {row.notes['compiled']}")
    return "\n".join(lines)


_HEAD = ["", "", "decisions/s", "x (b)", "fresh in", "cached in", "out", "p50 ms", "p95 ms",
         "p99 ms", "work p50", "whole", "peak MB"]  # fmt: skip


def _cells(row: Row) -> list[str]:
    head = [f"({row.rung})" if len(row.rung) == 1 else row.rung, row.title]
    peak = f"{row.peak_bytes / 1e6:.0f}" if row.peak_bytes else "-"
    if not row.decisions:
        speed = row.notes.get("tokens_per_s")
        return [*head, f"{speed:.0f} tok/s" if speed else "-", *["-"] * 9, peak]
    return [
        *head, f"{row.decisions_per_s:.2f}", f"{row.ratio:.2f}" if row.ratio else "-",
        *(f"{t['mean']:.0f}|{t['median']:.0f}"
          for t in (row.tokens_fresh, row.tokens_cached, row.tokens_out)),
        *(f"{row.latency_ms[p]:.0f}" for p in ("p50", "p95", "p99")),
        f"{row.work_ms['p50']:.0f}", f"{row.whole:.0%}", peak,
    ]  # fmt: skip


def _conclusions(found: dict[str, float | None]) -> Iterator[str]:
    words = {
        "ours_to_schema": "(f) makes {:.2f} times the decisions of (b)",
        "ours_to_server": "(f) makes {:.2f} times the decisions of (c)",
        "share_of_ceiling": "(f) writes at {:.0%} of the ceiling where its batch is full",
        "share_of_ceiling_all_steps": "(f) writes at {:.0%} of the ceiling over all its steps",
        "product_to_naive": "the whole product makes {:.2f} times the decisions of the naive way",
    }
    for name, text in words.items():
        if (value := found.get(name)) is not None:
            yield text.format(value)
