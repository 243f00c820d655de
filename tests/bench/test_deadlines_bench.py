"""The bench of deadlines with tiny numbers: what it says, and that it can tell late from not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from daydream_motives.bench import deadlines
from daydream_motives.bench.deadlines import Lateness, Way, _lateness, measure
from daydream_motives.cli import main


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("daydream_motives.bench.scale.MEMORIES", 5)
    monkeypatch.setattr(deadlines, "_THINKS", 0.02)
    monkeypatch.setattr(deadlines, "_WORK", 0.001)
    return dict(measure(requests=40, deadline_ms=30, frames=5))


def test_the_figures_are_there_and_make_sense(found: dict[str, Any]) -> None:
    assert list(found) == ["engine", "timer", "ends", "calls", "composing"]
    for name in ("engine", "timer"):
        assert isinstance(found[name], Lateness)
        assert found[name].count == 40
    assert sum(found["ends"].values()) == 40
    assert found["ends"].keys() <= {"late", "model", "cache"}
    assert found["ends"]["late"]
    assert found["calls"]["submit"].count == 40
    assert found["calls"]["poll"].count >= 40
    assert list(found["composing"]) == ["nothing", "pump", "thread", "process"]
    for way in found["composing"].values():
        assert isinstance(way, Way)
        assert way.call.count == 5
        assert 0 < way.frame_p50_ms <= way.frame_p99_ms
    assert found["composing"]["pump"].call.p50_us > found["composing"]["nothing"].call.p50_us


def test_what_is_early_is_not_late() -> None:
    late = _lateness([-1.0, 0.002, -0.5])
    assert (late.p50_ms, late.max_ms, late.count) == (0.0, 2.0, 3)


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    made = _lateness([0.001])
    call = deadlines.Call(1, 2.0, 3.0, 4.0)
    figures = {
        "engine": made, "timer": made, "ends": {"late": 1}, "calls": {"submit": call},
        "composing": {"pump": Way(call, 5.0, 6.0)},
    }  # fmt: skip
    monkeypatch.setattr(deadlines, "measure", lambda **_: figures.items())
    args = ["bench", "deadlines", "--requests", "20"]
    done = CliRunner().invoke(main, [*args, "--json"] if as_json else args)
    assert done.exit_code == 0, done.output
    if as_json:
        assert json.loads(done.stdout)["composing"]["pump"]["call"]["p99_us"] == 3.0
    else:
        assert "answered: 1 late" in done.stdout


@pytest.mark.parametrize("wrong", [["--requests", "3"], ["--deadline", "0"], ["--frames", "x"]])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(main, ["bench", "deadlines", *wrong]).exit_code == 2
