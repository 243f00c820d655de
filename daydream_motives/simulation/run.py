"""A run's folder: `journal.sqlite` as it goes, and `manifest.json`, written last, for "complete".

Knows nothing of terminals.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import write_atomic
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.motives.purposes import Decision
from daydream_motives.simulation.runner import Happening, Simulation
from daydream_motives.simulation.summary import Summary, summarise
from daydream_motives.simulation.world import World

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that, with a world and a model, decides a run."""

    ticks: int
    seed: int = 0
    max_decisions: int | None = None
    budget: int | None = None


class Run:
    """One simulation of a world into a folder of its own.

    Raises RunError where the folder already holds a run, or cannot be written.
    """

    def __init__(
        self, world: World, engine: MotiveEngine, scenario: Scenario, folder: str | Path
    ) -> None:
        self.folder = Path(folder)
        if (self.folder / "journal.sqlite").exists():
            raise RunError(
                f"{self.folder} already holds a run", remedy="choose another folder with --run DIR"
            )
        self.world, self.engine, self.scenario = world, engine, scenario
        backend = engine.backend
        self.manifest: dict[str, Any] = {
            "schema_version": MANIFEST_VERSION,
            "world": {"name": world.name, "hash": world.hash},
            "model": {
                "name": backend.model if backend else None,
                "hash": backend.model_hash if backend else None,
                "adapter_hash": backend.adapter_hash if backend else None,
            },
            "scenario": {
                "ticks": scenario.ticks, "seed": scenario.seed,
                "max_decisions": scenario.max_decisions, "budget": engine.budget,
            },
            "versions": versions(),
        }  # fmt: skip
        key = json.dumps(self.manifest, sort_keys=True)
        engine.seed, engine.namespace = scenario.seed, key
        self.journal = Journal(self.folder / "journal.sqlite")
        self.journal.describe({**self.manifest, "started": _now()})
        engine.recorder = self.journal
        self.simulation = Simulation(
            world, engine, seed=scenario.seed, journal=self.journal, ticks=scenario.ticks,
            max_decisions=scenario.max_decisions,
        )  # fmt: skip
        self.decisions: list[Decision] = []

    def steps(self) -> Iterator[list[Happening]]:
        """What happened in each tick, until the scenario's end; then the manifest is written."""
        try:
            for _ in range(self.scenario.ticks):
                told = self.simulation.step()
                self.decisions += [h.decision for h in told if h.decision]
                yield told
            summary = self.summary()
            self.manifest["summary"] = summary.as_data()
            self.manifest["finished"] = _now()
            self.journal.describe({"finished": self.manifest["finished"]})
            text = json.dumps(self.manifest, ensure_ascii=False, indent=2) + "\n"
            try:
                write_atomic(self.folder / "manifest.json", text)
            except OSError as exc:
                raise RunError(f"cannot write {self.folder}: {exc}", remedy="free space") from exc
        finally:
            self.journal.close()
            self.engine.recorder = None

    def summary(self) -> Summary:
        """Figures of the decisions so far."""
        return summarise(self.decisions)


def journal_of(path: str | Path) -> Path:
    """The journal of a run's folder, or the file itself."""
    given = Path(path)
    return given / "journal.sqlite" if given.is_dir() else given


def versions() -> dict[str, str]:
    """What a repetition of the run would need."""
    found = {"python": platform.python_version()}
    for package in ("daydream-motives", "llama-cpp-python", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
