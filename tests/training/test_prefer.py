"""`prefer`: what is learnt from pairs, what is left behind, and that a kill changes nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_school import RECIPE, record, write_gguf, write_school

from daydream_motives.modelstore.adapter import read_adapter
from daydream_motives.modelstore.gguf_file import open_gguf
from daydream_motives.training import folder
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main
from daydream_motives.training.folder import lines
from daydream_motives.training.preferring import trainer
from daydream_motives.training.preferring.pairs import questions_of, read_pairs
from daydream_motives.training.preferring.run import learner_of, open_tuned
from daydream_motives.training.recipe import read_recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning.corpus import read_corpus, render_all
from daydream_motives.training.tuning.log import Log, read_log
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.model import load_tuned

ADAPTER = "adapter_model.safetensors"
PREFERENCE = "[preference]\nepochs = 2\nlearning_rate = 5e-3\n"
MANY = PREFERENCE.replace("epochs = 2", "epochs = 3")
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


def test_a_rejected_answer_is_as_likely_as_if_it_were_alone(tmp_path: Path) -> None:
    args = begun(tmp_path)
    tuned, base = open_tuned(tmp_path / "tuned"), open_base(args[2])
    recipe = tuned.continued(read_recipe(Path(args[0])))
    rendering, given = Rendering(base.words()), read_pairs(tmp_path / "data")["validation"]
    questions, _ = questions_of(rendering, given, 600, 1200)
    learner = learner_of(tuned, base, recipe, "cpu")
    found = trainer.ask(learner, questions, recipe.train).view(3, 3)
    rejected = [batch_of([rendering.record(bad)], packed=False) for _, bad in given]
    with torch.no_grad(), learner.precision():
        alone = [-float(summed_loss(learner.causal, batch)) for batch in rejected]
    assert found[:, 1:].flatten().tolist() == pytest.approx(alone, rel=3e-3)


def losses(manifest: dict[str, Any], key: str) -> list[float]:
    return [row[key] for row in manifest["losses"]]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_learns_what_is_preferred(tmp_path: Path, architecture: str) -> None:
    args, out = begun(tmp_path, architecture=architecture), tmp_path / "out"
    manifest = preferred(out, args)
    tuned = json.loads((tmp_path / "tuned" / "manifest.json").read_text())
    first, *others = manifest["losses"]
    assert (first["margin"], first["accuracy"]) == (0, 0.5)
    assert first["loss"] == pytest.approx(tuned["best"]["loss"], rel=0.01)
    # The chosen answers are those of the validation part.
    assert first["preference_loss"] - math.log(2) == pytest.approx(first["loss"], rel=0.01)
    assert [row["epoch"] for row in others] == [1, 2]
    assert manifest["best"] == others[-1]
    assert manifest["best"]["accuracy"] == 1
    assert manifest["best"]["margin"] > 1
    assert manifest["best"]["preference_loss"] < first["preference_loss"] - 0.5


def test_it_leaves_what_train_leaves(tmp_path: Path) -> None:
    args, out = begun(tmp_path), tmp_path / "out"
    manifest, tuned = preferred(out, args), tmp_path / "tuned"
    before = json.loads((tuned / "manifest.json").read_text())
    assert manifest.keys() - before.keys() == {"from"}
    assert not before.keys() - manifest.keys()
    assert manifest["files"].keys() == before["files"].keys()
    assert manifest["from"] == folder.sha256((tuned / "manifest.json").read_bytes())
    assert {p.name for p in out.iterdir()} == {p.name for p in tuned.iterdir()}
    assert manifest["dataset"]["train"] == 24
    assert manifest["dataset"]["validation"] == 6
    base, corpus = open_base(args[2]), read_corpus(args[4])
    records = render_all(Rendering(base.words()), corpus.parts["validation"], 600)
    batch, model = batch_of(records, packed=False), load_tuned(base, out, "float32")
    with torch.no_grad():
        loss = float(summed_loss(model, batch)) / len(batch.targets)
    assert loss == pytest.approx(manifest["best"]["loss"], rel=0.02)
    again = preferred(tmp_path / "again", [*args[:-1], str(out)])  # a second round
    assert again["losses"][0]["loss"] == pytest.approx(manifest["best"]["loss"], rel=0.01)
    assert read_adapter(out, open_gguf(base.file)).parts  # as `export` does


def test_the_log_has_curves_of_margin_and_accuracy(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = preferred(out, begun(tmp_path))
    rows = read_log(out)
    steps = [row["step"] for row in rows if row["kind"] == "step"]
    told = [row for row in rows if row["kind"] == "preference"]
    assert steps == [row["step"] for row in told] == list(range(1, manifest["steps"]["done"] + 1))
    assert told[0]["margin"] == pytest.approx(0, abs=0.2)
    assert told[-1]["margin"] > 1
    shown = [row["accuracy"] for row in rows if row["kind"] == "evaluation"]
    assert shown == losses(manifest, "accuracy")


METHODS = {
    "dora": RECIPE.replace("rank = 4", "rank = 4\ndora = true"),
    "qlora": RECIPE.replace('"lora"', '"qlora"'),
    "otherwise": RECIPE.replace("rank = 4", "rank = 4\ndropout = 0.5")
    + 'recompute = true\npass_tokens = 600\nlayout = "packed"\ndtype = "float32"\n',
}


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_on_with_every_adapter(tmp_path: Path, method: str) -> None:
    args, out = begun(tmp_path, METHODS[method]), tmp_path / "out"
    # Neither the method nor the adapter's shape is this recipe's to say.
    Path(args[0]).write_text(METHODS[method].replace("rank = 4", "rank = 2") + PREFERENCE)
    manifest = preferred(out, args)
    assert manifest["recipe"]["lora"]["rank"] == 4
    assert manifest["method"] == ("qlora" if method == "qlora" else "lora")
    assert manifest["losses"][0]["margin"] == 0
    assert manifest["best"]["accuracy"] == 1


def test_without_its_own_loss_the_chosen_answer_is_forgotten_too(tmp_path: Path) -> None:
    args = begun(tmp_path, RECIPE.replace("epochs = 2", "epochs = 20"))
    text = Path(args[0]).read_text()
    found = {}
    for weight in (1, 0):
        Path(args[0]).write_text(f"{text}sft = {weight}\n")
        found[weight] = preferred(tmp_path / f"out{weight}", args)
    assert all(manifest["losses"][-1]["accuracy"] == 1 for manifest in found.values())
    plain = {weight: losses(manifest, "loss") for weight, manifest in found.items()}
    assert plain[0][0] == plain[1][0]
    assert plain[0][-1] > plain[0][0] + 0.5
    assert plain[1][-1] < plain[1][0] + 0.25
    # What `promote` would refuse is not kept, however well it tells the answers apart.
    assert losses(found[0], "preference_loss")[-1] < 0.1
    assert found[0]["best"]["step"] == 0
    assert adapter(tmp_path / "out0") == adapter(tmp_path / "tuned")
    assert "Nothing was better" in run("prefer", *args, "-o", tmp_path / "out0").output


def steps(out: Path) -> int:
    log = out / "log.jsonl"
    return log.read_text().count('"kind": "step"') if log.exists() else 0


def test_killed_within_an_epoch_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    args = begun(tmp_path, LOUD + MANY)
    whole = preferred(tmp_path / "whole", args)
    out, command = tmp_path / "out", [sys.executable, "-m", "daydream_motives.training", "prefer"]
    with subprocess.Popen([*command, *args, "-o", str(out)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and steps(out) < 6:
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "manifest.json").exists()
    assert 6 <= steps(out) < whole["steps"]["planned"]
    resumed = preferred(out, args)
    assert adapter(out) == adapter(tmp_path / "whole")
    assert resumed["losses"] == whole["losses"]
    assert resumed["tokens"] == whole["tokens"]
    assert steps(out) == whole["steps"]["planned"]
    assert not (out / "checkpoint.pt").exists()


def test_stopped_anywhere_it_goes_on_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = begun(tmp_path, LOUD + PREFERENCE)
    whole = preferred(tmp_path / "whole", args)
    rows = [(row["kind"], row["step"]) for row in read_log(tmp_path / "whole")]
    real, ask, asked = Log.add, trainer.ask, list[int]()

    def counted(learner: Any, questions: Any, train: Any) -> torch.Tensor:
        asked.append(len(questions))
        return ask(learner, questions, train)

    monkeypatch.setattr(trainer, "ask", counted)
    for at in (0, 1, len(rows) // 2, len(rows) - 1):
        out, seen = tmp_path / f"out{at}", list[int]()

        def add(self: Log, what: str, step: int, values: dict[str, float]) -> None:
            real(self, what, step, values)
            if len(seen) == at:  # noqa: B023 - called before the next round
                raise KeyboardInterrupt
            seen.append(step)  # noqa: B023

        monkeypatch.setattr(Log, "add", add)
        result = run("prefer", *args, "-o", out)
        assert result.exit_code == 130
        assert "the same command goes on from the last checkpoint" in result.output
        monkeypatch.setattr(Log, "add", real)
        asked.clear()
        resumed = preferred(out, args)
        assert 12 not in asked  # questions to learn from
        assert adapter(out) == adapter(tmp_path / "whole")
        assert resumed["losses"] == whole["losses"]
        assert [(row["kind"], row["step"]) for row in read_log(out)] == rows


def test_what_is_done_is_not_done_again_and_other_wishes_want_another_folder(
    tmp_path: Path,
) -> None:
    args, out = begun(tmp_path), tmp_path / "tuned-prefer"
    assert run("prefer", *args).exit_code == 0
    first = (out / "manifest.json").read_text()
    assert "is done already" in run("prefer", *args).output
    assert (out / "manifest.json").read_text() == first
    recipe = Path(args[0]).read_text()
    for changed in (recipe + "beta = 0.2\n", recipe + "sft = 0.5\n"):
        Path(args[0]).write_text(changed)
        result = run("prefer", *args)
        assert result.exit_code == 6
        assert "made otherwise (prefer)" in result.output
    Path(args[0]).write_text(recipe)
    before = adapter(out)
    assert run("prefer", *args, "--seed", 1).exit_code == 6
    assert preferred(out, args, "--seed", 1, "--fresh")["seed"] == 1
    assert adapter(out) != before
    preferred(out, args, "--fresh")
    assert adapter(out) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    args = begun(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    shutil.copytree(tmp_path / "tuned", tmp_path / "unfinished")
    (tmp_path / "unfinished" / "manifest.json").unlink()
    torch.save({"stage": "train"}, tmp_path / "unfinished" / "checkpoint.pt")
    for name in ("mine", "data", "tuned", "unfinished"):
        before = sorted((tmp_path / name).rglob("*"))
        for more in ([], ["--fresh"]):
            assert run("prefer", *args, "-o", tmp_path / name, *more).exit_code == 6
        assert sorted((tmp_path / name).rglob("*")) == before


def test_an_adapter_of_another_base_or_shape_is_told(tmp_path: Path) -> None:
    args, tuned = begun(tmp_path), tmp_path / "tuned"
    other = write_gguf(tmp_path / "other.gguf", seed=5)
    result = run("prefer", *args, "--base", other, "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "was tuned from tiny" in result.output
    assert "give --base tiny" in result.output
    manifest = json.loads((tuned / "manifest.json").read_text())
    manifest["recipe"]["lora"]["rank"] = 8
    (tuned / "manifest.json").write_text(json.dumps(manifest))
    result = run("prefer", *args, "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "is not the adapter that its manifest tells of" in result.output
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args, real = begun(tmp_path), trainer.judged

    def spoilt(*given: Any) -> Any:
        found, margin = real(*given)
        return (found * math.nan if found.requires_grad else found), margin

    monkeypatch.setattr(trainer, "judged", spoilt)
    result = run("prefer", *args, "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "loss is nan" in result.output
    assert "lower preference.learning_rate" in result.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_tokens = 600", "max_tokens = 260\npass_tokens = 260", "no pair of train is left"),
        ("max_tokens = 600", "max_tokens = 20", "no record of validation is left"),
        ('device = "cpu"', 'device = "cuda"', "torch sees none"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    args = begun(tmp_path)
    Path(args[0]).write_text(Path(args[0]).read_text().replace(old, new))
    result = run("prefer", *args, "-o", tmp_path / "out")
    assert result.exit_code == 6, result.output
    assert said in result.output
    assert "->" in result.output
