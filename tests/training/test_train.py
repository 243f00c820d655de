"""`train`: what is learnt, what is left behind, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_school import RECIPE, write_school

from daydream_motives.training.cli import main


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def trained(out: Path, args: list[str], *more: object) -> dict[str, Any]:
    result = run("train", *args, "-o", out, *more)
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_learns(tmp_path: Path, architecture: str) -> None:
    manifest = trained(tmp_path / "out", write_school(tmp_path, architecture))
    losses = [row["loss"] for row in manifest["losses"]]
    assert len(losses) == 3
    assert losses[-1] < losses[0] - 0.5
    assert manifest["best"]["loss"] == min(losses[1:])
    assert manifest["base"]["architecture"] == architecture
    assert {p.name for p in (tmp_path / "out").iterdir()} - {"curves"} == {
        "adapter_model.safetensors", "adapter_config.json", "log.jsonl", "manifest.json",
    }  # fmt: skip


def spoilt(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new)


METHODS = {
    "dora": spoilt("rank = 4", "rank = 4\ndora = true"),
    "targets": spoilt("rank = 4", 'rank = 4\ntargets = ["q_proj", "v_proj"]'),
    "dropout": spoilt("rank = 4", "rank = 4\ndropout = 0.1"),
    "full": spoilt('"lora"', '"full"'),
    "frozen": spoilt('"lora"', '"frozen"') + "trained_layers = 1\n",
    "qlora": spoilt('"lora"', '"qlora"'),
    "packed": RECIPE + 'layout = "packed"\n',
    "recompute": RECIPE + "recompute = true\npass_tokens = 600\n",
    "float32": RECIPE + 'dtype = "float32"\n',
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(tmp_path: Path, method: str) -> None:
    manifest = trained(tmp_path / "out", write_school(tmp_path, recipe=METHODS[method]))
    losses = [row["loss"] for row in manifest["losses"]]
    assert losses[-1] < losses[0] - 0.3
    weights = method in ("full", "frozen")
    assert ("tensors.safetensors" in manifest["files"]) == weights


MANY = spoilt("epochs = 2", "epochs = 12\nwarmup = 0.2\ncheckpoint_minutes = 0").replace(
    "rank = 4", "rank = 4\ndropout = 0.1"
)


def adapter(out: Path) -> bytes:
    return (out / "adapter_model.safetensors").read_bytes()


def steps(out: Path) -> list[int]:
    file = out / "log.jsonl"
    if not file.exists():
        return []
    rows = [json.loads(row) for row in file.read_text().splitlines() if row.endswith("}")]
    return [row["step"] for row in rows if row["kind"] == "step"]


def test_killed_within_an_epoch_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    args = write_school(tmp_path, recipe=MANY)
    whole = trained(tmp_path / "whole", args)
    out, command = tmp_path / "out", [sys.executable, "-m", "daydream_motives.training", "train"]
    with subprocess.Popen([*command, *args, "-o", str(out)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(steps(out)) < 10:
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "manifest.json").exists()
    assert (out / "checkpoint.pt").exists()
    killed = steps(out)[-1]
    resumed = trained(out, args)
    assert adapter(out) == adapter(tmp_path / "whole")
    assert resumed["losses"] == whole["losses"]
    assert resumed["tokens"] == whole["tokens"]
    assert steps(out) == list(range(1, whole["steps"]["planned"] + 1))
    assert 0 < killed < whole["steps"]["planned"]
    assert not (out / "checkpoint.pt").exists()
