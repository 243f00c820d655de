"""Rewriting a model file in another number format, and choosing the best by measuring.

Each file is judged by how fast it decodes and how it predicts the answers to our own prompts
against the file as it ships.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daydream_motives.errors import BackendError, StoreError
from daydream_motives.modelstore.catalogue import Limits

# Tokens of a typical decision: what has to be read, and what has to be written.
_READ, _WRITE = 300, 75


@dataclass(frozen=True, slots=True)
class Measured:
    """One file measured: size in bytes, tokens/s, agreement with the shipped file, the verdict."""

    format: str
    size: int
    bits_per_weight: float
    prefill: float
    decode: float
    kl: float
    top1: float
    verdict: str = ""

    @property
    def seconds(self) -> float:
        """The time of a typical decision: 300 tokens read, 75 written."""
        return _READ / self.prefill + _WRITE / self.decode

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def requantise(source: Path, target: Path, format: str) -> None:
    """Write `source` as `format` to `target`; "Q4_0/Q8_0" keeps the output head in Q8_0.

    Raises StoreError where llama.cpp refuses; `target` then does not exist.
    """
    from daydream_motives.engine.llama import llama_cpp, quiet

    quiet()
    body, _, head = format.partition("/")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{body}")
    params.allow_requantize = True
    params.nthread = os.cpu_count() or 1
    if head:
        kind = getattr(llama_cpp, f"GGML_TYPE_{head}")
        params.output_tensor_type = params.token_embedding_type = kind
    part = target.with_suffix(".part")
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(part).encode(), ctypes.byref(params)
    )
    if code != 0:
        part.unlink(missing_ok=True)
        raise StoreError(f"llama.cpp could not write {source.name} as {format} (code {code})")
    os.replace(part, target)


def choose(
    shipped: Path,
    formats: Sequence[str],
    limits: Limits,
    parameters: int,
    *,
    say: Callable[[str], None],
) -> tuple[Path, list[Measured]]:
    """The fastest file within the limits, and what was measured of all; others are removed."""
    folder = shipped.parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=".measure-") as scratch:
        say("measuring the file as it ships")
        reference = _measure(shipped, Path(scratch) / "shipped.npz")
        table = [_row("as shipped", shipped, reference, reference, parameters)]
        files = [shipped]
        for format in formats:
            target = folder / f"{format.replace('/', '-').lower()}.gguf"
            say(f"writing and measuring {format}")
            requantise(shipped, target, format)
            found = _measure(target, Path(scratch) / "other.npz")
            table.append(_row(format, target, reference, found, parameters))
            files.append(target)
    fit = [row.kl <= limits.max_kl and row.top1 >= limits.min_top1 for row in table]
    best = min((row.seconds, i) for i, row in enumerate(table) if fit[i])[1]
    judged = []
    for i, row in enumerate(table):
        verdict = "chosen" if i == best else "slower" if fit[i] else "too far from the original"
        judged.append(replace(row, verdict=verdict))
        if i not in (best, 0):
            files[i].unlink()
    return files[best], judged


def _measure(path: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "daydream_motives.modelstore.measure", str(path), str(out)]
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
    with np.load(out) as data:  # allow_pickle stays off
        return {key: data[key] for key in data.files}


def _row(
    format: str, path: Path, reference: dict[str, Any], found: dict[str, Any], parameters: int
) -> Measured:
    size = path.stat().st_size
    p, q = reference["log_probs"], found["log_probs"]
    divergence = [
        float((np.exp(a.astype(np.float32)) * (a.astype(np.float32) - b)).sum())
        for a, b in zip(p, q, strict=True)
    ]
    top1 = float((p.argmax(axis=1) == q.argmax(axis=1)).mean())
    prefill, decode = (float(speed) for speed in found["speeds"])
    return Measured(
        format, size, round(size * 8 / parameters, 2), prefill, decode,
        max(0.0, float(np.mean(divergence))), top1,
    )  # fmt: skip
