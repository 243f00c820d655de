"""Many runs of one world that differ in their seed, several at a time, in one folder.

`ensemble.json`, written first, says what is to be run; `manifest.json`, written last, holds the
figures of every run. Each run is a process of its own. Knows nothing of models and terminals.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import RunError, SettingsError
from daydream_motives.journal import Journal
from daydream_motives.simulation.folder import ENSEMBLE, held

SCHEMA_VERSION = 1
MOST = 10_000
WORLD = "world.json"
OPTIONS = frozenset({"model", "days", "ticks", "max-decisions", "checkpoint-minutes"})
_POLL = 0.05  # seconds
_LAST_WORDS = 600  # characters of a failed run's error that are shown


def seeds_of(text: str) -> list[int]:
    """`1..8`, `1,5,9` or both joined by commas; raises SettingsError."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,9})(?:\s*\.\.\s*(-?\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= MOST:
            raise SettingsError(
                f"--seeds {text!r} is no list of seeds", remedy="write 1..8, or 1,5,9"
            )
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run of an ensemble ended."""

    seed: int
    folder: Path
    code: int
    error: str = ""


def refuse_used(folder: Path) -> None:
    """Raises RunError where a folder holds anything but a world left by a plan that was cut off."""
    if folder.exists() and any(file.name != WORLD for file in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty",
            remedy="choose another folder with --run DIR, or go on with --resume DIR",
        )


def plan(folder: Path, seeds: Sequence[int], options: Mapping[str, Any]) -> None:
    """Write what is to be run: `options` are those of `daydream simulate`, without dashes.

    The world itself lies there as `world.json`. Raises RunError where the folder holds runs.
    """
    refuse_used(folder)
    data = {
        "schema_version": SCHEMA_VERSION,
        "seeds": list(seeds),
        "options": dict(options),
    }
    _write(folder / ENSEMBLE, data)


def read_plan(folder: Path) -> dict[str, Any]:
    """What `plan` wrote; raises RunError."""
    file = folder / ENSEMBLE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        version, seeds, options = data["schema_version"], data["seeds"], data["options"]
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema {version}; this version knows {SCHEMA_VERSION}")
        if not seeds or not all(isinstance(s, int) for s in seeds):
            raise ValueError("seeds that are no numbers")
        if not isinstance(options, dict) or not options.keys() <= OPTIONS:
            raise ValueError(f"options that are none of {', '.join(sorted(OPTIONS))}")
        return dict(data)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RunError(f"{file} cannot be read: {exc}", remedy="plan the runs anew") from exc


def run_all(folder: Path, *, jobs: int, threads: int, tell: Callable[[Ended], None]) -> list[Ended]:
    """Run what is planned and not yet complete, `jobs` at a time; `tell` hears of each end.

    A run that fails does not stop the others. The children end with this process where it ends
    in an orderly way.
    """
    planned = read_plan(folder)
    with held(folder / "ensemble.lock", folder):
        return _run_all(folder, planned, jobs, threads, tell)


def _run_all(
    folder: Path, planned: Mapping[str, Any], jobs: int, threads: int, tell: Callable[[Ended], None]
) -> list[Ended]:
    waiting = [s for s in planned["seeds"] if not _complete(folder, s)]
    running: dict[int, subprocess.Popen[bytes]] = {}
    ended: list[Ended] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                seed = waiting.pop(0)
                running[seed] = _begin(folder, seed, planned["options"], threads)
            for seed, process in list(running.items()):
                if process.poll() is not None:
                    del running[seed]
                    end = _ended(folder, seed, process.returncode)
                    ended.append(end)
                    tell(end)
            time.sleep(_POLL)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    _summarise(folder, planned)
    return ended


def _begin(
    folder: Path, seed: int, options: Mapping[str, Any], threads: int
) -> subprocess.Popen[bytes]:
    run = folder / f"seed-{seed}"
    given = [f"--threads={threads}", "--json"]
    if options.get("model"):
        given.append(f"--model={options['model']}")
    if _begun(run):
        given += ["--resume", str(run)]
    else:
        given += [str(folder / WORLD), f"--seed={seed}", f"--run={run}"]
        given += [
            f"--{name}={value}" for name, value in options.items() if name != "model" and value
        ]
    run.mkdir(parents=True, exist_ok=True)
    with (run / "errors.log").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "daydream_motives", "simulate", *given],
            stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _complete(folder: Path, seed: int) -> bool:
    return (folder / f"seed-{seed}" / "manifest.json").exists()


def _begun(run: Path) -> bool:
    """Whether there is something to go on with."""
    try:
        with Journal(run / "journal.sqlite", read_only=True) as journal:
            return "scenario" in journal.manifest()
    except RunError:
        return False


def _ended(folder: Path, seed: int, code: int) -> Ended:
    run = folder / f"seed-{seed}"
    words = (run / "errors.log").read_text(encoding="utf-8", errors="replace").strip()
    if code == 0 and not words:
        (run / "errors.log").unlink()
    if code == 0 and not _complete(folder, seed):
        code, words = 1, words or "it ended without a manifest"
    return Ended(seed, run, code, words[-_LAST_WORDS:] if code else "")


def _summarise(folder: Path, planned: Mapping[str, Any]) -> None:
    """The ensemble's manifest, once every run is complete."""
    runs = {}
    for seed in planned["seeds"]:
        file = folder / f"seed-{seed}" / "manifest.json"
        if not file.exists():
            return
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            kept = {key: manifest[key] for key in ("world", "model", "scenario", "summary")}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            remedy = f"remove it and resume {folder}"
            raise RunError(f"{file} is damaged: {exc}", remedy=remedy) from exc
        runs[f"seed-{seed}"] = kept
    _write(folder / "manifest.json", {**planned, "figures": runs})


def _write(file: Path, data: Mapping[str, Any]) -> None:
    try:
        write_atomic(file, json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    except OSError as exc:
        raise RunError(
            f"cannot write {file}: {exc.strerror or exc}",
            remedy="choose a folder you may write with --run DIR",
        ) from exc
