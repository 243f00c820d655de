"""`prefer`: what is learnt from pairs, what is left behind, and that a kill changes nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_school import RECIPE, record, write_dataset, write_gguf, write_school

from daydream_motives.training import folder
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main
from daydream_motives.training.folder import lines
from daydream_motives.training.preferring import trainer
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning.corpus import read_corpus, render_all
from daydream_motives.training.tuning.log import Log, read_log
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.model import load_tuned

ADAPTER = "adapter_model.safetensors"
PREFERENCE = "[preference]\nepochs = 2\nlearning_rate = 5e-3\n"
MANY = PREFERENCE.replace("epochs = 2", "epochs = 5")
LOUD = RECIPE.replace("epochs = 2", "epochs = 2\ncheckpoint_minutes = 0")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a busy machine is not waited for; equal bits need equal threads, too."""
    monkeypatch.setenv("DAYDREAM_THREADS", "1")


def pair(number: int, other: int = 0) -> dict[str, Any]:
    """A pair of the data's shape; what is rejected is generic, and so can be told apart."""
    question, chosen = record(number)["conversations"]
    who = json.loads(question["value"])["Character_name"]
    dull = {
        f"purpose_{key}": f"{who} {verb} {other} times because it is what one does."
        for key, verb in zip("abc", ("waits", "looks about", "walks"), strict=True)
    }
    return {
        "id": f"p{number}-{other}", "of": f"r{number}", "why": "generic",
        "conversations": [question], "chosen": chosen,
        "rejected": {"from": "assistant", "value": json.dumps(dull)},
    }  # fmt: skip


def pairs(*numbers: int) -> str:
    """Two pairs of each record."""
    return lines(pair(number, other) for number in numbers for other in (0, 1))


def write_pairs(data: Path, **parts: str | None) -> None:
    """Pairs in place of those of a dataset; those of a part that is None go."""
    given = {"train": pairs(*range(12)), "validation": pairs(12, 13, 14)} | parts
    names = ("train.jsonl", "validation.jsonl", "test.jsonl")
    files = {name: (data / name).read_text() for name in names}
    files |= {f"preferences-{part}.jsonl": text for part, text in given.items() if text is not None}
    folder.write_whole(data, files, {"schema_version": 1, "files": folder.described(files)})


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def begun(tmp_path: Path, recipe: str = RECIPE, architecture: str = "llama") -> list[str]:
    """A school with pairs and a trained adapter; the arguments of `prefer`."""
    args = write_school(tmp_path, architecture, recipe)
    write_pairs(tmp_path / "data")
    tuned = tmp_path / "tuned"
    assert run("train", *args, "-o", tuned).exit_code == 0
    wish = "" if "[preference]" in recipe else PREFERENCE
    Path(args[0]).write_text(recipe + wish)
    return [*args, "--from", str(tuned)]


def preferred(out: Path, args: list[str], *more: object) -> dict[str, Any]:
    result = run("prefer", *args, "-o", out, *more)
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


def adapter(out: Path) -> bytes:
    return (out / ADAPTER).read_bytes()


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_learns_what_is_preferred(tmp_path: Path, architecture: str) -> None:
    args, out = begun(tmp_path, architecture=architecture), tmp_path / "out"
    manifest = preferred(out, args)
    first, *_, last = manifest["losses"]
    print(manifest["losses"])
    assert first["margin"] == 0
    assert first["accuracy"] == 0.5
