"""The comparison with TRL runs through on a tiny model, and refuses what cannot be compared."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))

import training_speed
from tiny_school import write_school

pytest.importorskip("peft")
NO_OTHERS = ["--trl", "false", "--llamafactory", "false"]  # a command that finds nothing


@pytest.fixture
def school(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Recipe, base and data as arguments, with one thread each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("DAYDREAM_THREADS", "1")
    recipe, *others = write_school(tmp_path)
    return ["--recipe", recipe, *others, "--records", "10", "--rounds", "1", "--epochs", "2"]


def row(report: str, name: str) -> list[str]:
    """The cells of a row, less its name."""
    line = next(line for line in report.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_ours_alone(tmp_path: Path, school: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.md"
    report = training_speed.main([*school, *NO_OTHERS, "-o", str(out)])
    assert "false has no trl with datasets: left out" in capsys.readouterr().err
    assert out.read_text() == report
    speed, peak, loss, steps = row(report, "`train`")
    assert float(speed) > 0
    assert float(peak.replace(",", "")) > 50
    assert float(loss) < float(row(report, "untuned")[2])
    assert steps == "4"  # ten records by eight, twice
    assert "10 records" in report
    assert "SFTTrainer" not in report


@pytest.mark.parametrize("other", ["trl", "llamafactory"])
def test_against(school: list[str], other: str) -> None:
    for name in (other, "datasets"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    title = training_speed.OTHERS[other]
    others = [f"--{name}=false" for name in training_speed.OTHERS if name != other]
    report = training_speed.main([*school, *others, "--set", "max_length=900"])
    ours, theirs = row(report, "`train`"), row(report, title)
    untuned = float(row(report, "untuned")[2])
    assert float(theirs[2]) < untuned
    assert abs(float(ours[2]) - float(theirs[2])) < (untuned - float(theirs[2])) / 2
    assert ours[3] == theirs[3]
    assert ("max_length 900" in report) == (other == "trl")
    assert f"Ours to {title}" in report


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--recipe", "nothing"], "no recipe named 'nothing'"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--set", "bf16=maybe"], "no JSON after bf16="),
        (["--records", "0"], "2"),
        (["--trl", "no/python"], "--trl no/python: No such file"),
    ],
)
def test_what_is_wrong_is_told(school: list[str], args: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        training_speed.main([*school, *NO_OTHERS, *args])
    assert message in str(caught.value)


def test_other_work_is_not_compared() -> None:
    one: dict[str, Any] = {"tokens": 10, "trained_parameters": 5}
    with pytest.raises(SystemExit, match="tokens differ"):
        training_speed.compare({"ours": [one], "trl": [one | {"tokens": 11}]})
    with pytest.raises(SystemExit, match="trained_parameters differ"):
        training_speed.compare({"ours": [one], "trl": [one, one | {"trained_parameters": 4}]})


def test_the_report_pairs_the_rounds() -> None:
    def found(seconds: float, peak: float, loss: float) -> dict[str, Any]:
        return {
            "tokens": 600, "seconds": seconds, "peak": peak, "loss": loss, "steps": 3,
            "given": {"seed": 0}, "stock": {"bf16": True}, "versions": {"trl": "9.8"},
        }  # fmt: skip

    ours = [found(2, 100, 1.0), found(3, 110, 1.1), found(4, 120, 1.2)]
    theirs = [found(6, 200, 1.0), found(6, 220, 1.0), found(6, 240, 1.0)]
    lora = {"targets": [], "rank": 8, "alpha": 16.0, "dropout": 0.0}
    plan = {
        "lora": lora, "train": {"epochs": 1, "learning_rate": 1e-3}, "records": 2, "tokens": 600,
        "learnt": 200, "name": "tiny", "held_out": 1,
    }  # fmt: skip
    report = training_speed.markdown(plan, {"ours": ours, "trl": theirs}, 2.0)
    cells = ["200 (150 to 300)", "110 (100 to 120)", "1.1000 (1.0000 to 1.2000)", "3"]
    assert row(report, "`train`") == cells
    assert row(report, "SFTTrainer of TRL 9.8")[0] == "100 (100 to 100)"
    assert "2.00 (1.50 to 3.00) times the tokens/s" in report
    assert "0.50 (0.50 to 0.50) times the memory" in report
    assert "+0.1000 (+0.0000 to +0.2000) in loss" in report
