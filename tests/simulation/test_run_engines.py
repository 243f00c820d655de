"""One engine, several runs: the one being recorded is left in peace by the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import load, small

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import DaydreamError
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import verify
from daydream_motives.simulation.run import resume, start


def test_a_run_refused_by_an_engine_at_work_takes_nothing_from_the_other(tmp_path: Path) -> None:
    world = load(tmp_path, small())
    with MotiveEngine("scripted") as engine:
        list(start(world, engine, Scenario(4), tmp_path / "done").steps())
        first = start(world, engine, Scenario(8), tmp_path / "first")
        with pytest.raises(DaydreamError, match="records another run"):
            start(world, engine, Scenario(8), tmp_path / "second")
        with pytest.raises(DaydreamError, match="records another run"):
            resume(tmp_path / "done", engine, ticks=8)
        with pytest.raises(DaydreamError, match="records another run"):
            verify(tmp_path / "done", engine)
        assert engine.recorder is first.journal
        list(first.steps())
        assert first.summary().decisions > 0


def test_a_run_closed_twice_takes_nothing_from_the_next(tmp_path: Path) -> None:
    world = load(tmp_path, small())
    with MotiveEngine("scripted") as engine:
        first = start(world, engine, Scenario(4), tmp_path / "first")
        first.close()
        second = start(world, engine, Scenario(8), tmp_path / "second")
        first.close()
        assert engine.recorder is second.journal
        list(second.steps())
        assert second.summary().decisions > 0
