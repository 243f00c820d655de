"""From a recipe to a file in the game: each method of training, through the real stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from random_lora import logits_of
from test_merge import NOISE, TOKENS, read_logits
from tiny_school import RECIPE, write_school

from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main

METHODS = {
    "lora": RECIPE,
    "dora": RECIPE.replace("rank = 4", "rank = 4\ndora = true"),
    "full": RECIPE.replace('method = "lora"', 'method = "full"').replace("1e-2", "1e-3"),
    "frozen": RECIPE.replace('"lora"', '"frozen"\ntrained_layers = 1').replace("1e-2", "1e-3"),
}


@pytest.mark.parametrize(
    ("method", "architecture"),
    [("lora", "llama"), ("lora", "qwen2"), ("dora", "llama"), ("full", "qwen2"),
     ("frozen", "llama")],
)  # fmt: skip
def test_what_was_learnt_is_what_the_game_loads(
    method: str, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daydream_motives.training.tuning.model import load_tuned

    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    recipe, *args = write_school(tmp_path, architecture, METHODS[method])
    tuned, out, base = tmp_path / "tuned", tmp_path / "out", str(tmp_path / "tiny.gguf")

    def run(*words: Any) -> None:
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output

    run("train", recipe, *args, "-o", tuned)
    run("export", tuned, "--base", base, "-o", out, "--format", "Q8_0", "--merged", "F32")
    expected = logits_of(load_tuned(open_base(base), tuned, "float32").eval(), TOKENS)
    assert np.abs(read_logits(out / "merged.gguf") - expected).max() < 2 * NOISE
    manifest = json.loads((out / "manifest.json").read_text())
    assert ("adapter.gguf" in manifest["files"]) is (method == "lora")
    assert manifest["method"] == {"dora": "lora"}.get(method, method)
    assert ModelStore().spec(str(out / manifest["file"]))[1].style.instructions == ""
