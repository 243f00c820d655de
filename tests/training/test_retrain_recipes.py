"""Each shipped recipe through every stage, on a tiny model of its architecture.

What it says stays, but for the base, the epochs and the lengths, and that nothing is compiled. A
recipe for a GPU runs on the processor.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rounds import measured_here, read, retrain, school, write_data, write_journal

from daydream_motives.modelstore import quantise
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.training.recipe import default_folder, read_recipe
from daydream_motives.training.retraining.work import FOLDERS

RECIPES = sorted(default_folder().glob("*.toml"))
# Compiling takes longer than all the rest.
SMALLER = {"epochs": 1, "batch_tokens": 1600, "pass_tokens": 800, "max_tokens": 800,
           "compile": "false"}  # fmt: skip


def smaller(file: Path, target: Path) -> Path:
    """The recipe with less to do, and pairs to learn from."""
    lines, section, left = [], "", dict(SMALLER)
    for line in file.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0].strip()
        section = line.strip() if line.startswith("[") else section
        if section == "[train]" and key in left:
            lines.append(f"{key} = {left.pop(key)}")
            continue
        lines.append(line)
    at = lines.index("[train]") + 1
    lines[at:at] = [f"{key} = {value}" for key, value in left.items()]
    if "[preference]" not in lines:
        lines += ["[preference]", "epochs = 1"]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_shipped_recipe_runs_through_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("DAYDREAM_THREADS", "1")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(quantise, "_run", measured_here)
    recipe = read_recipe(file)
    entry = Catalogue.load().models[recipe.base.model]
    args = school(tmp_path, architecture=entry.architecture)[1:]
    small = smaller(file, tmp_path / file.name)
    write_data(tmp_path / "data", few=True)
    journal, work = write_journal(tmp_path, range(1)), tmp_path / "work"
    done = retrain(small, *args, "--journal", journal, "--device", "cpu", "-o", work)
    assert done.exit_code in (0, 7), done.output  # so little may teach something, or nothing
    assert ("it would" in done.output or "goes on serving" in done.output
            or "machine's default" in done.output)  # fmt: skip
    for name in FOLDERS:
        assert (work / name / "manifest.json").exists(), f"{name}: {done.output}"
    told = read(work / "tuned" / "manifest.json")
    assert told["base"]["architecture"] == entry.architecture
    assert told["method"] == recipe.train.method
    assert told["recipe"]["lora"] == recipe.lora.model_dump(mode="json")
    assert told["losses"][-1]["loss"] < told["losses"][0]["loss"]
