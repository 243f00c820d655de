"""`tune`: what is tried, what is found, and that a kill changes nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_school import RECIPE, write_school

from daydream_motives.errors import RunError, SettingsError
from daydream_motives.training.cli import main
from daydream_motives.training.recipe import Recipe, default_folder, read_recipe
from daydream_motives.training.searching import search
from daydream_motives.training.searching.search import ask, distributions, importance
from daydream_motives.training.searching.trials import Trial, as_text, as_toml, read_trials
from daydream_motives.training.tuning import checkpoint, loop

RANGES = """
[tune]
trials = 3
[tune.ranges]
"train.learning_rate" = [1e-4, 5e-2]
"lora.rank" = [2, 8]
"""
SHORT = RECIPE.replace("epochs = 2", "epochs = 1") + RANGES


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYDREAM_THREADS", "1")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def tuned(out: Path, args: list[str], *more: object) -> dict[str, Any]:
    result = run("tune", *args, "-o", out, *more)
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


def recipe(text: str = SHORT) -> Recipe:
    return Recipe.model_validate(tomllib.loads(text))


def states(out: Path) -> list[str]:
    return [row["state"] for row in json.loads((out / "trials.json").read_text())["trials"]]


def whole(out: Path) -> dict[str, bytes]:
    names = ("trials.json", "trials.md", "best.toml", "manifest.json")
    return {name: (out / name).read_bytes() for name in names}


def test_the_best_recipe_trains_to_what_the_search_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, *args = write_school(tmp_path, recipe=SHORT)
    told = SHORT.replace('"tiny"', '"tiny.gguf"\n[data]\nfolder = "data"')
    Path(recipe).write_text(told, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    args, out = [recipe], tmp_path / "out"  # with a base and a dataset that are found from here
    manifest = tuned(out, args)
    monkeypatch.chdir("/")
    trials = json.loads((out / "trials.json").read_text())["trials"]
    best = manifest["best"]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert trials[0]["params"] == {"train.learning_rate": 1e-2, "lora.rank": 4}
    assert best["loss"] == min(min(trial["losses"]) for trial in trials)
    assert [p.name for p in (out / "trials").iterdir()] == [f"{best['trial']:03}"]
    assert "[preference]" not in (out / "best.toml").read_text()  # nor had the recipe it
    result = run("train", out / "best.toml", "-o", tmp_path / "again")
    assert result.exit_code == 0, result.output
    again = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert again["best"]["loss"] == best["loss"]
    adapter = "adapter_model.safetensors"
    kept = out / "trials" / f"{best['trial']:03}" / adapter
    assert kept.read_bytes() == (tmp_path / "again" / adapter).read_bytes()
    monkeypatch.chdir(tmp_path)
    assert "is done already" in run("tune", *args, "-o", out).output
    # More trials go on with what was tried, to what all of them at once would have been.
    tuned(tmp_path / "two", args, "--trials", 1)
    tuned(tmp_path / "two", args, "--trials", 3)
    assert whole(tmp_path / "two") == whole(out)


def test_killed_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    text = SHORT.replace("epochs = 1", "epochs = 2\ncheckpoint_minutes = 0")
    args, out = write_school(tmp_path, recipe=text), tmp_path / "out"
    tuned(tmp_path / "whole", args)
    command = [sys.executable, "-m", "daydream_motives.training", "tune", *args, "-o", str(out)]
    point = out / "trials" / "001" / "checkpoint.pt"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not point.exists():
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert not (out / "manifest.json").exists()
    result = run("tune", *args, "-o", out)
    assert "going on after 1 trials" in result.output
    assert "going on at step" in result.output
    assert whole(out) == whole(tmp_path / "whole")


# The recipe's own learning rate is the best there is, so what comes after it is not worth ending.
PRUNED = """
[tune]
trials = 3
[tune.ranges]
"train.learning_rate" = [1e-7, 1e-2]
"""


def test_stopped_it_goes_on_and_prunes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_RANDOM", 1)
    args = write_school(tmp_path, recipe=RECIPE + "checkpoint_minutes = 0\n" + PRUNED)
    manifest = tuned(tmp_path / "whole", args)
    assert manifest["trials"]["pruned"] >= 1
    assert manifest["best"]["trial"] == 0
    pruned = next(
        row
        for row in json.loads((tmp_path / "whole" / "trials.json").read_text())["trials"]
        if row["state"] == "pruned"
    )
    assert len(pruned["losses"]) == 1
    out, real, seen = tmp_path / "out", loop.Trainer._tell, list[int]()

    def stop(trainer: loop.Trainer, *given: Any) -> None:
        real(trainer, *given)
        seen.append(1)
        if len(seen) in (2, 6):
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Trainer, "_tell", stop)
    for _ in range(2):
        result = run("tune", *args, "-o", out)
        assert result.exit_code == 130
        assert "the same command goes on" in result.output
    monkeypatch.setattr(loop.Trainer, "_tell", real)
    tuned(out, args)
    assert whole(out) == whole(tmp_path / "whole")


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = (
        RECIPE.replace("epochs = 2", "epochs = 1")
        + """
[tune]
trials = 4
[tune.ranges]
"train.max_tokens" = [600, 1200]
"train.batch_tokens" = [600, 1200]
"""
    )
    out = tmp_path / "out"
    manifest = tuned(out, write_school(tmp_path, recipe=text))
    assert set(states(out)) == {"complete", "failed"}
    assert manifest["trials"]["failed"] == states(out).count("failed")
    assert "max_tokens of at most a pass" in (out / "trials.md").read_text()


def test_all_failing_is_an_error(tmp_path: Path) -> None:
    text = RECIPE + "[tune]\ntrials = 2\n[tune.ranges]\n'train.max_tokens' = [10, 20]\n"
    args, out = write_school(tmp_path, recipe=text), tmp_path / "out"
    for _ in range(2):
        result = run("tune", *args, "-o", out)
        assert result.exit_code == 6
        assert "every one of 2 trials failed; the last: no record of train is left" in result.output
        assert not (out / "manifest.json").exists()
    assert states(out) == ["failed", "failed"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 0, "trial 2 failed: there is not enough memory"),
        (RuntimeError("CUDA error: device lost"), 6, "the device failed"),
    ],
)
def test_no_memory_fails_a_trial_and_a_lost_device_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    args, out = write_school(tmp_path, recipe=SHORT), tmp_path / "out"
    real = loop.Trainer._step

    def fail(trainer: loop.Trainer, *given: Any) -> Any:
        if trainer.folder.name == "001":
            raise error
        return real(trainer, *given)

    monkeypatch.setattr(loop.Trainer, "_step", fail)
    result = run("tune", *args, "-o", out)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert states(out) == (["complete"] if code else ["complete", "failed", "complete"])


def test_a_loss_that_is_no_number_fails_every_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.summed_loss
    monkeypatch.setattr(loop, "summed_loss", lambda *given: real(*given) * float("nan"))
    result = run("tune", *write_school(tmp_path, recipe=SHORT), "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "loss is nan" in result.output


def test_no_disk_is_not_the_fault_of_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    args, out = write_school(tmp_path, recipe=SHORT), tmp_path / "out"
    for module in (checkpoint, search):
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_atomic", full)
            result = run("tune", *args, "-o", out)
        assert result.exit_code == 6
        assert "No space left on device" in result.output
    assert states(out) == []


def test_another_search_wants_another_folder_or_a_fresh_start(tmp_path: Path) -> None:
    args, out = write_school(tmp_path, recipe=SHORT), tmp_path / "out"
    tuned(out, args, "--trials", 1)
    before = whole(out)
    result = run("tune", *args, "-o", out, "--seed", 3)
    assert result.exit_code == 6
    assert "--fresh" in result.output
    assert whole(out) == before
    assert tuned(out, args, "--seed", 3, "--trials", 1, "--fresh")["recipe"]["train"]["seed"] == 3


@pytest.mark.parametrize(
    "text", ["{broken", "[]", '{"plan": "x", "trials": [{"number": 1, "state": "complete"}]}']
)
def test_a_damaged_search_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "trials.json").write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        read_trials(tmp_path / "trials.json", "x")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    args = write_school(tmp_path, recipe=SHORT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    for out in (tmp_path / "mine", tmp_path / "data"):
        before = sorted(out.iterdir())
        for more in ([], ["--fresh"]):
            assert run("tune", *args, "-o", out, *more).exit_code == 6
        assert sorted(out.iterdir()) == before


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ("", "no ranges to search"),
        ("'train.learning_rate' = [0.0, 0.2]", "train.learning_rate: found 0.0"),
        ("'lora.dropout' = [0.0, 1.5]", "lora.dropout: found 1.5"),
        ("'lora.rank' = [1.5, 4]", "lora.rank: found 1.5"),
        ("'train.batch_tokens' = [100, 2000]", "max_tokens of at most a pass"),
    ],
)
def test_ranges_that_cannot_be_searched_are_told(ranges: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        distributions(recipe(RECIPE + f"[tune.ranges]\n{ranges}\n"))
    assert said in caught.value.message
    if "no ranges" in said:
        assert '"train.learning_rate" = [1e-4, 1e-3]' in caught.value.remedy


def test_a_recipe_without_ranges_is_refused(tmp_path: Path) -> None:
    result = run("tune", *write_school(tmp_path), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "[tune.ranges]" in result.output
    assert not (tmp_path / "out").exists()


def made_up(count: int) -> list[Trial]:
    """As if the loss came of the learning rate alone, best at 1e-3, with what `ask` asks for."""
    told, trials = recipe(), list[Trial]()
    for number in range(count):
        params = ask(told, distributions(told), trials).params
        loss = (math.log10(params["train.learning_rate"]) + 3) ** 2
        trials.append(Trial(number, "complete", params, (loss,)))
    return trials


def test_it_searches_where_the_loss_is_low() -> None:
    trials = made_up(20)
    assert all(isinstance(trial.params["lora.rank"], int) for trial in trials)
    late = [abs(math.log10(t.params["train.learning_rate"]) + 3) for t in trials[10:]]
    early = [abs(math.log10(t.params["train.learning_rate"]) + 3) for t in trials[:5]]
    assert sum(late) / len(late) < sum(early) / len(early)
    assert len({trial.params["train.learning_rate"] for trial in trials}) == 20


def test_what_mattered_is_found_where_there_are_enough_trials() -> None:
    trials, ranges = made_up(12), distributions(recipe())
    assert importance(ranges, trials)["train.learning_rate"] > 0.5
    assert importance(ranges, trials[:5]) == {}


def test_what_was_tried_is_read_as_it_was_written(tmp_path: Path) -> None:
    trials = [*made_up(2), Trial(2, "failed", {"lora.rank": 3}, why="it | broke")]
    file = tmp_path / "trials.json"
    file.write_text(as_text("plan", trials))
    assert read_trials(file, "plan") == trials
    with pytest.raises(RunError, match="another recipe"):
        read_trials(file, "other")


@pytest.mark.parametrize("file", sorted(default_folder().glob("*.toml")), ids=lambda f: f.stem)
def test_every_shipped_recipe_can_be_searched_from_itself(file: Path, tmp_path: Path) -> None:
    told = read_recipe(file)
    first = ask(told, distributions(told), [])
    assert told.with_values(first.params) == told
    (tmp_path / "again.toml").write_text(as_toml(told, ["What came of it"]), encoding="utf-8")
    assert read_recipe(tmp_path / "again.toml") == told


def test_any_recipe_is_written_as_it_is(tmp_path: Path) -> None:
    told = recipe().with_values(
        {"base.model": 'C:\\a "b"\\ü.gguf', "lora.targets": ["q_proj"], "train.weight_decay": 1e-7}
    )
    (tmp_path / "again.toml").write_text(as_toml(told, ["a", "b"]), encoding="utf-8")
    assert read_recipe(tmp_path / "again.toml") == told
