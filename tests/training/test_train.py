"""`train`: what is learnt, what is left behind, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_school import RECIPE, record, write_dataset, write_gguf, write_school

from daydream_motives.errors import RunError
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.training.base import Base, open_base
from daydream_motives.training.cli import main
from daydream_motives.training.folder import lines
from daydream_motives.training.recipe import default_folder, read_recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning import checkpoint, log, loop, model
from daydream_motives.training.tuning.corpus import read_corpus, render_all
from daydream_motives.training.tuning.log import Log, read_log
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.model import load_tuned


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a busy machine is not waited for; equal bits need equal threads, too."""
    monkeypatch.setenv("DAYDREAM_THREADS", "1")


class Uncompiled(RuntimeError):
    """As torch's compilers raise it."""

    __module__ = "torch._inductor.exc"


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
    "paged": spoilt('"lora"', '"qlora"') + 'optimizer = "paged_adamw_8bit"\n',
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


def _stop(trainer: loop.Trainer, *_: object) -> None:
    if trainer.progress.step == 3:
        raise KeyboardInterrupt


def test_qlora_with_a_paged_optimizer_goes_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, out = write_school(tmp_path, recipe=METHODS["paged"]), tmp_path / "out"
    whole = trained(tmp_path / "whole", args)
    monkeypatch.setattr(loop.Trainer, "_tell", _stop)
    Path(args[0]).write_text(METHODS["paged"] + "checkpoint_minutes = 0\n")
    assert run("train", *args, "-o", out).exit_code == 130
    monkeypatch.undo()
    monkeypatch.setenv("DAYDREAM_THREADS", "1")
    monkeypatch.setenv("DAYDREAM_HOME", str(tmp_path / "home"))
    resumed = trained(out, args)
    assert resumed["losses"] == whole["losses"]
    assert adapter(out) == adapter(tmp_path / "whole")


@pytest.mark.parametrize("at", [1, 3, 6])
@pytest.mark.parametrize("kind", ["step", "evaluation"])
def test_stopped_anywhere_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, kind: str
) -> None:
    text = MANY.replace("epochs = 12", "epochs = 3")
    args, out = write_school(tmp_path, recipe=text), tmp_path / "out"
    whole = trained(tmp_path / "whole", args)
    real, seen = Log.add, list[int]()

    def add(self: Log, what: str, step: int, values: dict[str, float]) -> None:
        real(self, what, step, values)
        seen.append(step)
        if what == kind and sum(1 for _ in seen) > at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Log, "add", add)
    assert run("train", *args, "-o", out).exit_code == 130
    monkeypatch.setattr(Log, "add", real)
    resumed = trained(out, args)
    assert adapter(out) == adapter(tmp_path / "whole")
    assert resumed["losses"] == whole["losses"]
    assert [(r["kind"], r["step"]) for r in read_log(out)] == [
        (r["kind"], r["step"]) for r in read_log(tmp_path / "whole")
    ]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    args, out = write_school(tmp_path), tmp_path / "out"
    first = trained(out, args)
    result = run("train", *args, "-o", out)
    assert "is done already" in result.output
    assert json.loads((out / "manifest.json").read_text()) == first
    # A kill may have left the checkpoint, and a bad disk an adapter that is none.
    learnt = adapter(out)
    for name in ("checkpoint.pt", "adapter_model.safetensors"):
        (out / name).write_bytes(b"other")
        result = run("train", *args, "-o", out)
        assert result.exit_code == 0, result.output
        assert not (out / "checkpoint.pt").exists()
    assert "is not as it was written, and is made again" in result.output
    assert adapter(out) == learnt


def test_another_seed_wants_another_folder_or_a_fresh_start(tmp_path: Path) -> None:
    args, out = write_school(tmp_path), tmp_path / "out"
    trained(out, args)
    first = adapter(out)
    result = run("train", *args, "-o", out, "--seed", 1)
    assert result.exit_code == 6
    assert "--fresh" in result.output
    assert trained(out, args, "--seed", 1, "--fresh")["seed"] == 1
    assert adapter(out) != first
    assert trained(out, args, "--fresh")["seed"] == 0
    assert adapter(out) == first


def test_an_unfinished_training_of_another_recipe_is_not_gone_on_with(tmp_path: Path) -> None:
    args, out = write_school(tmp_path), tmp_path / "out"
    trained(out, args)
    (out / "manifest.json").unlink()
    (out / "checkpoint.pt").write_bytes(b"PK nonsense")
    result = run("train", *args, "-o", out)
    assert result.exit_code == 6
    assert "checkpoint.pt is damaged" in result.output
    trained(out, args, "--fresh")


def test_a_damaged_manifest_is_for_the_user_to_remove(tmp_path: Path) -> None:
    args, out = write_school(tmp_path), tmp_path / "out"
    trained(out, args)
    first = adapter(out)
    (out / "manifest.json").write_text("{")
    result = run("train", *args, "-o", out, "--fresh")
    assert result.exit_code == 6
    assert "is damaged" in result.output
    assert f"remove {out / 'manifest.json'}" in " ".join(result.output.split())
    assert adapter(out) == first
    (out / "manifest.json").unlink()
    trained(out, args, "--fresh")


def test_the_best_is_kept_and_it_ends_early(tmp_path: Path) -> None:
    text = spoilt("epochs = 2", "epochs = 60\npatience = 2\nevaluate_every = 2").replace(
        "learning_rate = 1e-2", "learning_rate = 8e-2"
    )
    manifest = trained(tmp_path / "out", write_school(tmp_path, recipe=text))
    losses = {row["step"]: row["loss"] for row in manifest["losses"]}
    assert manifest["steps"]["done"] < manifest["steps"]["planned"]
    assert losses[manifest["best"]["step"]] == min(list(losses.values())[1:])
    assert list(losses)[-1] == manifest["best"]["step"] + 4
    assert all(step % 2 == 0 for step in losses)


def test_what_is_kept_is_what_was_measured(tmp_path: Path) -> None:
    args, out = write_school(tmp_path, "qwen2", METHODS["dora"]), tmp_path / "out"
    manifest = trained(out, args)
    base, corpus = open_base(args[2]), read_corpus(args[4])
    records = render_all(Rendering(base.words()), corpus.parts["validation"], 600)
    batch, whole = batch_of(records, packed=False), load_tuned(base, out, "float32")
    with torch.no_grad():
        loss = float(summed_loss(whole, batch)) / len(batch.targets)
    assert loss == pytest.approx(manifest["best"]["loss"], rel=0.02)
    other = open_base(str(write_gguf(tmp_path / "other.gguf", "qwen2", seed=5)))
    with pytest.raises(RunError, match="not from other"):
        load_tuned(other, out)


@pytest.mark.parametrize(
    ("error", "said", "remedy"),
    [
        (RuntimeError("CUDA error: device lost\nmore"), "the device failed: CUDA", "goes on"),
        (RuntimeError("can't allocate memory: 9 bytes"), "not enough memory", "train.pass_tokens"),
        (MemoryError(), "not enough memory", "train.recompute"),
        (RuntimeError(), "the device failed: RuntimeError", "goes on"),
        (OSError(28, "No space left on device"), "No space left", "free some space"),
        (Uncompiled("no Python.h\nmore"), "layers cannot be compiled: no", "compile = false"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory", "qlora"),
    ],
)
def test_a_device_that_fails_ends_it_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str, remedy: str
) -> None:
    args, out = write_school(tmp_path, recipe=MANY), tmp_path / "out"
    real, calls = loop.summed_loss, list[int]()

    def fail(*given: Any) -> Any:
        calls.append(1)
        if len(calls) > 7:
            raise error
        return real(*given)

    monkeypatch.setattr(loop, "summed_loss", fail)
    result = run("train", *args, "-o", out)
    assert result.exit_code == 6
    assert said in result.output
    assert remedy in result.output
    assert not (out / "manifest.json").exists()
    monkeypatch.setattr(loop, "summed_loss", real)
    assert "going on at step" in run("train", *args, "-o", out).output


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.summed_loss
    monkeypatch.setattr(loop, "summed_loss", lambda *given: real(*given) * float("nan"))
    result = run("train", *write_school(tmp_path), "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "loss is nan" in result.output
    assert "lower train.learning_rate" in result.output


def test_what_fails_while_it_loads_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = spoilt("epochs = 2", "epochs = 2\ncheckpoint_minutes = 0")
    args, out = write_school(tmp_path, recipe=text), tmp_path / "out"
    for owner, name in ((Base, "load"), (loop, "optimizer_of"), (torch, "load")):
        with monkeypatch.context() as patch:
            if owner is torch:  # what was saved is read again
                patch.setattr(loop.Trainer, "_tell", stopped)
                assert run("train", *args, "-o", out).exit_code == 130
            error = torch.OutOfMemoryError("CUDA out of memory")
            patch.setattr(owner, name, lambda *_, error=error, **__: raised(error))
            result = run("train", *args, "-o", out)
        assert result.exit_code == 6
        assert "there is not enough memory: CUDA" in result.output


def stopped(trainer: loop.Trainer, *_: object) -> None:
    if trainer.progress.step == 2:
        raise KeyboardInterrupt


def raised(error: Exception) -> None:
    raise error


def test_no_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args, out = write_school(tmp_path, recipe=MANY), tmp_path / "out"
    full = OSError(28, "No space left on device")
    for module in (log, checkpoint):
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_atomic", lambda *_: raised(full))
            result = run("train", *args, "-o", out)
        assert result.exit_code == 6
        assert "No space left on device" in result.output
        assert "the same command goes on" in result.output
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_tell", stopped)
        said = run("train", *args, "-o", out)
    assert said.exit_code == 130
    assert "the same command goes on in" in said.output
    (out / "log.jsonl").write_bytes(b"\xff cut\n" + (out / "log.jsonl").read_bytes())
    trained(out, args)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('device = "cpu"', 'device = "cuda"', "torch sees none"),
        ("rank = 4", 'rank = 4\ntargets = ["nonsense"]', "no linear layer nonsense"),
        ('"lora"', '"frozen"', "trains 4 layers of 1"),
        ("max_tokens = 600", "max_tokens = 20", "no record of train is left"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    result = run("train", *write_school(tmp_path, recipe=spoilt(old, new)), "-o", tmp_path / "out")
    assert result.exit_code == 6, result.output
    assert said in result.output
    assert "->" in result.output


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("train", "", "holds no records"),
        ("validation", "", "holds no records"),
        ("train", "{broken\n", "broken JSON"),
        ("train", lines([record(0), record(0)]), "the id of another record"),
        ("validation", lines([{"id": "x"}]), "neither of conversations and messages"),
    ],
)
def test_a_bad_dataset_is_told(tmp_path: Path, part: str, text: str, said: str) -> None:
    args = write_school(tmp_path)
    write_dataset(tmp_path / "data", **{part: text})
    result = run("train", *args, "-o", tmp_path / "out")
    assert result.exit_code == 6, result.output
    assert said in result.output


@pytest.mark.parametrize("harm", ["altered", "no manifest", "nowhere", "part"])
def test_a_damaged_dataset_is_told(tmp_path: Path, harm: str) -> None:
    args = write_school(tmp_path)
    data = tmp_path / "data"
    if harm == "altered":
        (data / "train.jsonl").write_text((data / "train.jsonl").read_text() + "\n")
    elif harm == "no manifest":
        (data / "manifest.json").unlink()
    elif harm == "part":
        manifest = json.loads((data / "manifest.json").read_text())
        del manifest["files"]["test.jsonl"]
        (data / "manifest.json").write_text(json.dumps(manifest))
    else:
        args[-1] = str(tmp_path / "nowhere")
    assert run("train", *args, "-o", tmp_path / "out").exit_code == 6


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    args = write_school(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for out in (tmp_path / "mine", tmp_path / "data"):
        before = sorted(out.iterdir())
        for more in ([], ["--fresh"]):
            assert run("train", *args, "-o", out, *more).exit_code == 6
        assert sorted(out.iterdir()) == before


@pytest.mark.parametrize("file", sorted(default_folder().glob("*.toml")), ids=lambda f: f.stem)
def test_every_shipped_recipe_trains_a_tiny_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    recipe = read_recipe(file)
    architecture = Catalogue.load().entry(recipe.base.model).architecture
    _, *args = write_school(tmp_path, architecture)
    monkeypatch.setattr(model, "compiler", lambda: None)  # it takes longer than all the rest
    manifest = trained(tmp_path / "out", [str(file), *args], "--device", "cpu")
    losses = [row["loss"] for row in manifest["losses"]]
    assert losses[-1] < losses[0]
    assert manifest["method"] == recipe.train.method
    assert manifest["recipe"]["lora"]["rank"] == recipe.lora.rank


def test_the_curves_and_the_log_tell_the_same(tmp_path: Path) -> None:
    manifest = trained(tmp_path / "out", write_school(tmp_path))
    rows = read_log(tmp_path / "out")
    losses = [row["loss"] for row in rows if row["kind"] == "evaluation"]
    assert losses == [row["loss"] for row in manifest["losses"]]
    assert rows[-2]["tokens"] == manifest["tokens"]
    if find_spec("tensorboard"):
        assert list((tmp_path / "out" / "curves").glob("events.*"))
