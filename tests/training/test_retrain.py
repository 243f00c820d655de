"""`retrain`: what it decides and why, what it refuses, and that a kill changes nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rounds import (
    SCHOOL,
    measured_here,
    put_default,
    read,
    retrain,
    run,
    school,
    write_data,
    write_journal,
)
from tiny_school import write_gguf

from daydream_motives.errors import RunError
from daydream_motives.modelstore import quantise
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.modelstore.promotion import promoted
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.cli import main
from daydream_motives.training.recipe import read_recipe
from daydream_motives.training.retraining import data
from daydream_motives.training.retraining import work as working
from daydream_motives.training.retraining.work import Order, Work

ADAPTER = "adapter_model.safetensors"
WORSE, BETTER = "worse/school-1", "better/school-1"
DEFAULT = Catalogue.load().default


@contextmanager
def at_home(root: Path) -> Iterator[None]:
    """In the tests' own folder, with one thread: equal bits need equal threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYDREAM_HOME", str(root / "home"))
        patch.setenv("DAYDREAM_THREADS", "1")
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(quantise, "_run", measured_here)
        put_default(write_gguf(root / "default.gguf"))
        yield


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str, str]:
    """A retraining by a journal and good data, and then one by answers that others gave, which
    ends early. The root, the arguments of the first, and what both said."""
    root = tmp_path_factory.mktemp("rounds")
    args = [*school(root / "school"), "--journal", str(write_journal(root))]
    bad = school(root / "bad", SCHOOL.replace("epochs = 4", "epochs = 1"))
    write_data(root / "bad" / "data", shuffled=True)
    with at_home(root):
        first = retrain(*args, "-o", root / BETTER, "--name", "better")
        assert first.exit_code == 0, first.output
        second = retrain(*bad, "-o", root / WORSE)
        assert second.exit_code == 7, second.output
    return root, args, first.output, second.output


@pytest.fixture
def home(rounds: tuple[Path, list[str], str, str]) -> Iterator[tuple[Path, list[str]]]:
    with at_home(rounds[0]):
        yield rounds[0], rounds[1]


Home = tuple[Path, list[str]]


# What is decided


def test_each_stage_says_what_it_kept_and_why(rounds: Any) -> None:
    lines = rounds[2].splitlines()
    heads = [line.split()[0] for line in lines if line[:1].strip()]
    assert heads == [
        "work", "harvest", "curate", "questions", "preflight", "train", "prefer", "export",
        "compare", "promote", "report",
    ]  # fmt: skip
    told = dict(line.split(maxsplit=1) for line in lines if line[:1].strip())
    assert "24 decisions of 1 journals: 24 teach (moved 24), 0 rejected" in told["harvest"]
    assert "(6 from journals)" in told["curate"]
    assert "quota 12" in told["curate"]
    assert "14 questions are frozen (12 shipped, 2 held out by school-1)" in told["questions"]
    assert "lora on cpu" in told["preflight"]
    assert f"{DEFAULT} -> candidate: loss" in told["compare"]
    assert "promoted: better beyond noise in Loss; better is this machine's default" in rounds[2]


def test_each_stage_leaves_a_whole_folder(home: Home) -> None:
    work = home[0] / BETTER
    stages = {name: read(work / name / "manifest.json").get("stage") for name in working.FOLDERS}
    assert stages == {
        "harvest": "harvest", "dataset": "dataset", "preflight": "preflight", "tuned": "train",
        "preferred": "prefer", "exported": "export", "compared": "compare",
        "promotion": "promotion",
    }  # fmt: skip
    assert not list((work / "compared").glob(".asked-*"))
    state = read(work / "state.json")
    assert (state["finished"], state["formats"]) == (True, ["Q8_0"])
    told = read(work / "promotion" / "manifest.json")
    assert told["incumbent"]["name"] == DEFAULT
    assert told["questions"] == state["questions"]["sha256"]
    assert "Decision" in (work / "report.html").read_text()


def test_one_made_worse_on_purpose_is_refused_and_the_incumbent_stays(rounds: Any) -> None:
    said, models = rounds[3], rounds[0] / "home" / "models"
    assert "better -> candidate: loss" in said
    assert "does not take the place of better: Loss worse by" in said
    assert "better goes on serving" in said
    assert promoted(models) == "better"
    assert [
        folder.name for folder in models.iterdir() if folder.is_dir() and folder.name != DEFAULT
    ] == ["better"]
    told = read(rounds[0] / WORSE / "promotion" / "manifest.json")
    assert (told["promoted"], told["placed"]) == (False, False)
    assert "Refused: Loss worse" in (rounds[0] / WORSE / "exported" / "README.md").read_text()


def test_the_better_one_is_rolled_back_and_others_are_judged_anew(home: Home) -> None:
    root, args = home
    models = ModelStore().folder
    card = (models / "better" / "README.md").read_text()
    assert "Fit to be promoted: better beyond noise in Loss" in card
    assert run("rollback").exit_code == 0
    assert promoted(models) is None
    # Against the base as it is the worse one is better: only that is asked, all else is there.
    bad = [*school(root / "bad", SCHOOL.replace("epochs = 4", "epochs = 1"))]
    write_data(root / "bad" / "data", shuffled=True)
    again = retrain(*bad, "-o", root / WORSE, "--no-promote")
    assert again.output.count("is done already") == 3
    assert f"{DEFAULT} -> candidate: loss" in again.output
    assert promoted(models) is None
    assert retrain(*args, "-o", root / BETTER, "--name", "better", "--no-promote").exit_code == 0
    assert promoted(models) is None
    # A default that was never fetched is not here to be asked, and keeps its place.
    (models / DEFAULT).rename(models / "away")
    done = retrain(*args, "-o", root / BETTER, "--name", "better")
    (models / "away").rename(models / DEFAULT)
    assert f"after `daydream models pull {DEFAULT}` the same command, with -o " in done.output
    assert (done.exit_code, promoted(models)) == (0, None)
    assert retrain(*args, "-o", root / BETTER, "--name", "better").exit_code == 0
    assert promoted(models) == "better"


def test_what_is_done_is_not_done_again(home: Home) -> None:
    root, args = home
    files = {p: p.stat().st_mtime_ns for p in (root / BETTER).rglob("*.safetensors")}
    files |= {p: p.stat().st_mtime_ns for p in (root / BETTER).rglob("*.gguf")}
    done = retrain(*args, "-o", root / BETTER, "--name", "better")
    assert done.exit_code == 0, done.output
    assert done.output.count("is done already") == 3
    assert files == {p: p.stat().st_mtime_ns for p in files}


# What is not gone on with


@pytest.mark.parametrize(
    ("more", "says"),
    [(["--seed", "5"], "recipe"), (["--format", "BF16"], "format"), (["--data"], "shipped data"),
     (["--base"], "base"), (["--journal"], "journals"), (["--names"], "names"),
     (["--earlier"], "earlier")],
)  # fmt: skip
def test_other_inputs_want_another_folder(home: Home, more: list[str], says: str) -> None:
    root, args = home
    values = {"--data": root / "bad" / "data", "--base": next((root / BETTER).rglob("q8_0.gguf")),
              "--journal": root / "more.jsonl", "--names": Path(__file__),
              "--earlier": root / "bad" / "data"}  # fmt: skip
    given = [*more, values[more[0]]] if len(more) == 1 else more
    done = retrain(*args, "-o", root / BETTER, *given)
    assert done.exit_code == 6
    assert f"is of another {says}" in done.output
    assert "--fresh" in done.output


def test_questions_that_are_not_what_they_were_are_refused(home: Home, tmp_path: Path) -> None:
    root, args = home
    shutil.copytree(root / BETTER, tmp_path / "copy")
    state = tmp_path / "copy" / "state.json"
    digest = read(state)["questions"]["sha256"]
    state.write_text(state.read_text().replace(digest, "00" * 32))
    done = retrain(*args, "-o", tmp_path / "copy")
    assert done.exit_code == 6
    assert "not those that this was begun with" in done.output


def test_what_was_altered_is_not_gone_on_with(home: Home, tmp_path: Path) -> None:
    root, args = home
    copy = tmp_path / "copy"
    shutil.copytree(root / BETTER, copy)
    (copy / "dataset" / "train.jsonl").write_bytes(b"other")
    done = retrain(*args, "-o", copy)
    assert done.exit_code == 6
    assert "is not as it was written" in done.output


def test_an_adapter_of_another_base_is_not_taken(home: Home, tmp_path: Path) -> None:
    root, args = home
    copy = tmp_path / "copy"
    shutil.copytree(root / BETTER, copy)
    shutil.rmtree(copy / "tuned")
    shutil.copytree(root / WORSE / "tuned", copy / "tuned")
    done = retrain(*args, "-o", copy)
    assert done.exit_code == 6
    assert "tuned holds what was made otherwise (train)" in done.output


def test_a_format_that_is_too_far_off_gives_way_to_a_nearer_one(home: Home, tmp_path: Path) -> None:
    root, args = home
    copy = tmp_path / "copy"
    shutil.copytree(root / BETTER, copy)
    shutil.rmtree(copy / "exported")
    told = read(copy / "state.json")
    for formats, said in ((["Q4_0"], "training: export: no file of Q4_0 is within the limits"),
                          (["Q4_0", "Q8_0"], "export     q8_0.gguf")):  # fmt: skip
        (copy / "state.json").write_text(json.dumps(told | {"formats": formats}))
        done = retrain(*args, "-o", copy, "--no-promote")
        assert said in done.output
        assert done.exit_code == (0 if len(formats) == 2 else 7)
    assert "export     no file of Q4_0 is within the limits" in done.output
    assert read(copy / "state.json")["formats"] == ["Q8_0"]


def test_journals_that_have_grown_are_told_of(home: Home) -> None:
    root, args = home
    journal = Path(args[-1])
    before = journal.read_bytes()
    journal.write_bytes(before + before.splitlines(keepends=True)[-1])
    try:
        done = retrain(*args, "-o", root / BETTER, "--name", "better")
    finally:
        journal.write_bytes(before)
    assert done.exit_code == 0, done.output
    assert "the journals have grown since" in done.output


def test_the_same_model_again_is_refused(home: Home, tmp_path: Path) -> None:
    root, args = home
    copy = tmp_path / "copy"
    shutil.copytree(root / BETTER, copy)
    shutil.rmtree(copy / "compared")
    done = retrain(*args, "-o", copy)
    assert done.exit_code == 7
    assert "which serves already" in done.output


# The next round


def next_round(root: Path, args: list[str], work: Path) -> Iterator[tuple[Work, Order]]:
    """A second retraining beside the first, with more from the same people."""
    more = write_journal(root / "school", range(3, 6))
    order = Order("school", read_recipe(Path(args[0])), args[2], root / "school" / "data",
                  (Path(args[-1]), more))  # fmt: skip
    with working.opened(work, order, order.inputs(), fresh=False) as opened:
        yield opened, order


def test_what_was_held_out_stays_so_in_the_next_round(home: Home) -> None:
    root, args = home
    before = root / BETTER
    said: list[str] = []
    for work, order in next_round(root, args, root / "better" / "school-2"):
        assert work.earlier == before / "dataset"
        samples = data.harvested(work, order, said.append)
        dataset = data.curated(work, order, samples, said.append)
        data.frozen(work, order, dataset, said.append)
        old, new = (read(f / "state.json")["questions"]["slices"] for f in (before, work.folder))
        assert new[: len(old)] == old
        assert [one["from"] for one in new[2:]] == ["held out by school-2"]
        # It is gone on with although the first has gone on, or is gone.
        work.state["earlier"] = str(root / "gone" / "dataset")
        data.frozen(work, order, dataset, said.append)
    held = [read(f / "manifest.json")["held_out"] for f in (before / "dataset", dataset)]
    assert set(held[0]) <= set(held[1])
    asked = [(f / "test.jsonl").read_bytes() for f in (before / "dataset", dataset)]
    assert asked[1].startswith(asked[0])
    assert "2 before" in said[-3]


def test_what_was_held_out_is_not_asked_otherwise_later(home: Home, tmp_path: Path) -> None:
    root, args = home
    shutil.copytree(root / BETTER, tmp_path / "school-1")
    state = tmp_path / "school-1" / "state.json"
    digest = read(state)["questions"]["slices"][1]["sha256"]
    state.write_text(state.read_text().replace(digest, "00" * 32))
    for work, order in next_round(root, args, tmp_path / "school-2"):
        dataset = data.curated(work, order, None, print)
        with pytest.raises(RunError, match="is not asked as it was"):
            data.frozen(work, order, dataset, print)


# Kills


KILLED_AT: dict[str, Callable[[Path], bool]] = {
    "in train": lambda w: _steps(w / "tuned") > 20,
    "in prefer": lambda w: (w / "preferred" / "checkpoint.pt").exists(),
    "in export": lambda w: (w / "exported" / "merged.gguf").exists(),
    "in compare": lambda w: any(
        file.stat().st_size > 2000 for file in (w / "compared").glob(".asked-*")
    ),
} | {
    name: lambda w, name=name: (w / name / "manifest.json").exists()  # type: ignore[misc]
    for name in working.FOLDERS
}


WARM = ["daydream_motives.training.retraining.pipeline", "peft", "transformers",
        "transformers.models.llama.modeling_llama", "torch.utils.tensorboard"]  # fmt: skip


def _steps(folder: Path) -> int:
    log = folder / "log.jsonl"
    return log.read_bytes().count(b'"step"') if log.exists() else 0


def _retrain(root: str, args: list[str]) -> None:
    """`retrain` in a process of its own."""
    with at_home(Path(root)), (Path(root) / "said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        main(["retrain", *args])


def test_killed_in_each_stage_it_ends_as_if_nothing_had_been(home: Home, tmp_path: Path) -> None:
    root, args = home
    work, whole = tmp_path / "killed" / "school-1", root / BETTER
    # One process that has imported everything has a child for each try.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_retrain", *WARM])
    left, codes = dict(KILLED_AT), []
    while True:
        given = [*args, "-o", str(work), "--name", "better"]
        process = context.Process(target=_retrain, args=(str(tmp_path), given))
        process.start()
        while process.is_alive():
            if reached := [name for name, there in left.items() if there(work)]:
                process.kill()
                for name in reached:
                    del left[name]
                break
            time.sleep(0.001)
        process.join()
        codes.append(process.exitcode)
        if process.exitcode != -9:
            break
    assert codes[-1] == 0, (tmp_path / "said.txt").read_text()
    assert not left, "it ended before it could be killed in each stage"
    assert len(codes) > len(working.FOLDERS)
    for name in (f"tuned/{ADAPTER}", f"preferred/{ADAPTER}", "exported/q8_0.gguf",
                 "compared/figures.json", "promotion/decision.md"):  # fmt: skip
        assert (work / name).read_bytes() == (whole / name).read_bytes(), name
    for file in (*whole.glob("harvest/*"), *whole.glob("dataset/*.jsonl")):
        assert (work / file.relative_to(whole)).read_bytes() == file.read_bytes(), file
    assert not list(work.rglob(".asked-*"))
    assert promoted(tmp_path / "home" / "models") == "better"
