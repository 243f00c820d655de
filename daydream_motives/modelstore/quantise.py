"""Rewriting a model file in other number formats, measuring them, and choosing the best.

Each file is judged by how it predicts the answers to our own prompts against the file as it ships,
and by how fast it decodes many characters at once, as the engine does.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import BackendError, StoreError
from daydream_motives.modelstore.catalogue import Limits

AS_SHIPPED = "as shipped"
CHOSEN = "chosen"
# A typical decision: tokens read afresh (what goes on, and scaffolding forced in between), tokens
# sampled, and how many characters are decoded at once.
_READ, _WRITE, _BATCH = 190 + 30, 75, 16
_AS_FAST = 0.9  # as alike as two measurements of one file on a shared machine


@dataclass(frozen=True, slots=True)
class Measured:
    """One file measured: size in bytes, bits per weight really stored, agreement with the shipped
    file, tokens/s (by sequences decoded at once; none where it was not timed), and the verdict."""

    format: str
    size: int
    bits_per_weight: float
    kl: float
    top1: float
    stored: str = ""
    prefill: float = 0.0
    decode: dict[str, float] = field(default_factory=dict)
    verdict: str = ""

    @property
    def seconds(self) -> float:
        """The time of a typical decision beside 15 others; infinite where it was not timed."""
        if not self.decode:
            return math.inf
        return _READ / self.prefill + _WRITE / self.decode[str(_BATCH)]

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def file_of(format: str) -> str:
    """What the file of a format is called."""
    return f"{format.replace('/', '-').lower()}.gguf"


def requantise(source: Path, target: Path, format: str) -> None:
    """Write `source` as `format` to `target`; "Q4_0/Q8_0" keeps the output head in Q8_0.

    Raises StoreError where llama.cpp refuses or has no such format; `target` then does not exist.
    """
    from daydream_motives.engine.llama import llama_cpp, quiet

    quiet()
    body, _, head = format.partition("/")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = _number(f"LLAMA_FTYPE_MOSTLY_{body}", format)
    params.allow_requantize = True
    params.nthread = os.cpu_count() or 1
    if head:
        kind = _number(f"GGML_TYPE_{head}", format)
        params.output_tensor_type = params.token_embedding_type = kind
    part = target.with_suffix(".part")
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(part).encode(), ctypes.byref(params)
    )
    if code != 0:
        part.unlink(missing_ok=True)
        raise StoreError(f"llama.cpp could not write {source.name} as {format} (code {code})")
    os.replace(part, target)


def _number(name: str, format: str) -> int:
    from daydream_motives.engine.llama import llama_cpp

    number = getattr(llama_cpp, name, None)
    if number is None:
        raise StoreError(
            f"llama.cpp knows no format {format!r}", remedy="write them like Q8_0 or Q4_0/Q8_0"
        )
    return int(number)


def choose(
    shipped: Path, formats: Sequence[str], limits: Limits, *, say: Callable[[str], None]
) -> tuple[Path, list[Measured]]:
    """The best file within the limits, and what was measured of all; others are removed."""
    table: list[Measured] = []
    held: dict[Path, Measured] = {}

    def drop_all_but(some: Sequence[Measured]) -> None:
        for path in [path for path, row in held.items() if row not in some]:
            del held[path]
            if path != shipped:
                path.unlink()

    for path, row in compare(shipped, formats, limits, shipped.parent, say=say):
        table.append(row)
        held[path] = row
        drop_all_but(_fast([row for row in held.values() if _within(row, limits)]))
    drop_all_but([best_of(list(held.values()))])
    return next(iter(held)), judged(table, limits)


def compare(
    shipped: Path,
    formats: Sequence[str],
    limits: Limits,
    folder: Path,
    *,
    say: Callable[[str], None],
    time_all: bool = False,
    original: NDArray[np.floating] | None = None,
) -> Iterator[tuple[Path, Measured]]:
    """Each file, the shipped one first and the others written to `folder`, with what was measured.

    Speeds are taken of those within the limits alone, or of all where `time_all`. With `original`,
    log-probabilities as `measure` takes them, all are compared with that, the shipped one too.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".measure-") as scratch:
        out = Path(scratch) / "out"
        reference: dict[str, Any] = {} if original is None else {"log_probs": original}
        for format in (AS_SHIPPED, *formats):
            target = shipped
            if format == AS_SHIPPED:
                say("measuring the file as it ships")
            else:
                say(f"writing and measuring {format}")
                target = folder / file_of(format)
                requantise(shipped, target, format)
            _run("measure", target, out.with_suffix(".npz"))
            with np.load(out.with_suffix(".npz")) as data:  # allow_pickle stays off
                found = {key: data[key] for key in data.files}
            reference = reference or found
            row = _row(format, target, reference, found)
            if time_all or _within(row, limits):
                _run("speed", target, out.with_suffix(".json"))
                timed = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
                row = replace(row, **timed)
            yield target, row


def judged(table: Sequence[Measured], limits: Limits) -> list[Measured]:
    """The rows with their verdicts: one is chosen, the best within the limits."""
    fit = [row for row in table if _within(row, limits)]
    best = best_of(fit)
    return [
        replace(row, verdict=verdict_of(row, best) if row in fit else "too far from the original")
        for row in table
    ]


def verdict_of(row: Measured, best: Measured) -> str:
    """What is said of a file within the limits beside the best of them."""
    if row is best:
        return CHOSEN
    return "slower" if row.seconds > best.seconds else "larger"


def best_of(rows: Sequence[Measured]) -> Measured:
    """The smallest of those that are as fast as the fastest, but for what a measurement errs."""
    return min(_fast(rows), key=lambda row: row.size)


def _fast(rows: Sequence[Measured]) -> list[Measured]:
    least = min(row.seconds for row in rows)
    return [row for row in rows if row.seconds * _AS_FAST <= least]


def _within(row: Measured, limits: Limits) -> bool:
    return row.kl <= limits.max_kl and row.top1 >= limits.min_top1


def stored(path: Path) -> str:
    """The formats of the layers' weights and of the output head in a GGUF file, as in
    "Q4_1 + Q8_0 head"; empty without the package `gguf`."""
    try:
        from gguf import GGUFReader
    except ImportError:
        return ""
    layers: dict[str, int] = {}
    heads: dict[str, str] = {}
    for tensor in GGUFReader(path).tensors:
        kind, weights = tensor.tensor_type.name, int(tensor.n_elements)
        if tensor.name in ("output.weight", "token_embd.weight"):
            heads[tensor.name] = kind
        elif len(tensor.shape) > 1:
            layers[kind] = layers.get(kind, 0) + weights
    body = "/".join(sorted(layers, key=lambda kind: -layers[kind]))
    head = heads.get("output.weight", heads.get("token_embd.weight", ""))
    return f"{body} + {head} head"


def measure_apart(program: str, path: Path, *out: Path) -> None:
    """One of the modules `measure`, `speed` or `greedy` of a file; see `_run`."""
    _run(program, path, *out)


def _run(program: str, path: Path, *out: Path) -> None:
    """Measure in a program of its own; raises BackendError where it fails or crashes."""
    command = [sys.executable, "-m", f"daydream_motives.modelstore.{program}", str(path)]
    command += map(str, out)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [""]
        crash = -done.returncode if done.returncode < 0 else 0
        if crash in (signal.SIGSEGV, signal.SIGILL):
            raise BackendError(
                f"llama.cpp crashed on this machine ({signal.Signals(crash).name}): it was built "
                "for processor features that do not work here",
                remedy="rebuild it for any processor: CMAKE_ARGS='-DGGML_NATIVE=OFF' pip install "
                "--force-reinstall --no-cache-dir --no-deps llama-cpp-python",
            )
        raise BackendError(f"{path.name} could not be measured: {why[0]}")


def _row(format: str, path: Path, reference: dict[str, Any], found: dict[str, Any]) -> Measured:
    p, q = reference["log_probs"], found["log_probs"]
    divergence = [
        float((np.exp(a.astype(np.float32)) * (a.astype(np.float32) - b)).sum())
        for a, b in zip(p, q, strict=True)
    ]
    top1 = float((p.argmax(axis=1) == q.argmax(axis=1)).mean())
    bits, kl = round(float(found["bits"]), 2), max(0.0, float(np.mean(divergence)))
    return Measured(format, path.stat().st_size, bits, kl, top1, stored(path))
