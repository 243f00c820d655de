"""What `retrain` does not begin, or does not go on with, and what it says then."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
from click.testing import CliRunner
from filelock import FileLock
from journals import decision, jsonl
from journals import sqlite as journal_of
from rounds import retrain, run, school, write_journal

from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training import retrain_commands
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main
from daydream_motives.training.folder import described, lines, write_whole
from daydream_motives.training.recipe import read_recipe
from daydream_motives.training.retraining import models, pipeline
from daydream_motives.training.retraining import work as working
from daydream_motives.training.retraining.work import Order, choose_folder, opened
from daydream_motives.training.tuning import checks, loop, preflight

Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a school under `tmp_path`, which is also where it works."""
    monkeypatch.setenv("DAYDREAM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return school(tmp_path)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gets as far as training stops there."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run_training", stop)


# What does not fit


def test_too_little_memory_is_refused_in_numbers(
    args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "available", lambda *_: 1000)
        done = retrain(*args)
    assert done.exit_code == 7
    assert "preflight: memory: lora takes about 0.8 GiB of 0.0 available" in done.output
    assert "train.pass_tokens" in done.output
    assert not Path("runs/training/school-1/preflight").exists()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(10))
    monkeypatch.setattr(preflight, "available", lambda *_: 2**40)
    assert "memory: exporting takes" in retrain(*args, "-o", "other").output


def test_too_little_disk_is_refused_in_numbers(
    args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_base(args[2])
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: Disk(10**7, 0, 10**6))
    done = retrain(*args)
    assert done.exit_code == 7
    assert "disk: all stages take 0.00 GiB of 0.00 free" in done.output


def test_a_base_that_was_not_made_for_chat_is_refused(
    args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "SPECIAL", ("<|endoftext|>", "<|a|>", "<|b|>"))
    tiny.write_gguf(Path(args[2]), template="")
    done = retrain(*args)
    assert done.exit_code == 7
    assert "preflight: chat template: the base has none" in done.output
    assert "tune a base that was made for chat" in done.output


def test_a_base_without_a_template_but_with_its_marks_is_told(
    args: list[str], untrained: None
) -> None:
    tiny.write_gguf(Path(args[2]), template="")
    assert "mind: chat template: the base has none" in retrain(*args).output


@pytest.mark.parametrize("what", ["gone", "cut", "no model"])
def test_a_bad_base_is_told(args: list[str], what: str) -> None:
    base = Path(args[2])
    if what == "gone":
        base.unlink()
    elif what == "cut":
        base.write_bytes(base.read_bytes()[:1000])
    else:
        base.write_bytes(b"no model")
    done = retrain(*args)
    assert done.exit_code == 4
    assert "  -> " in done.output


# What is learnt from


def test_what_is_broken_in_journals_is_told_and_the_rest_goes_on(
    tmp_path: Path, args: list[str], untrained: None
) -> None:
    good = write_journal(tmp_path)
    rows = [json.dumps(decision(0)), "{broken", json.dumps(decision(schema_version=9)), "[]"]
    bad = jsonl(tmp_path, *rows, name="mixed.jsonl")
    done = retrain(*args, "--journal", good, "--journal", bad)
    assert done.exit_code == 130
    assert "25 decisions of 2 journals" in done.output
    assert "3 broken" in done.output
    assert "mixed.jsonl:3: schema_version: found 9; expected" in done.output


def test_a_journal_of_a_newer_schema_alone_is_an_error(tmp_path: Path, args: list[str]) -> None:
    file = journal_of(tmp_path, decision(0))
    with sqlite3.connect(file) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    done = retrain(*args, "--journal", file)
    assert done.exit_code == 6
    assert "this version knows" in done.output


@pytest.mark.parametrize("what", ["missing", "empty folder", "names"])
def test_what_is_not_there_is_told(tmp_path: Path, args: list[str], what: str) -> None:
    (tmp_path / "empty").mkdir()
    given = {"missing": ["--journal", "no.jsonl"], "empty folder": ["--journal", "empty"],
             "names": ["--journal", write_journal(tmp_path), "--names", "no.txt"]}  # fmt: skip
    done = retrain(*args, *given[what])
    assert done.exit_code == 6
    assert "  -> " in done.output


def test_broken_records_of_the_shipped_data_are_told(args: list[str]) -> None:
    data = Path(args[4])
    rows = (data / "train.jsonl").read_text().replace("purpose_b", "purpose_x", 1)
    files = {file.name: file.read_text() for file in data.glob("*.jsonl")} | {"train.jsonl": rows}
    write_whole(data, files, {"schema_version": 1, "files": described(files)})
    done = retrain(*args)
    assert done.exit_code == 6
    assert "train.jsonl:1" in done.output


def test_too_few_scenes_are_told_before_anything_is_trained(args: list[str]) -> None:
    data = Path(args[4])
    index = [json.loads(line) for line in (data / "index.jsonl").read_text().splitlines()]
    files = {file.name: file.read_text() for file in data.glob("*.jsonl")}
    files["index.jsonl"] = lines({**row, "scene": "one"} for row in index)
    write_whole(data, files, {"schema_version": 1, "files": described(files)})
    done = retrain(*args)
    assert done.exit_code == 6
    assert "has 1 scenes, which say nothing of noise" in done.output


def test_questions_that_are_learnt_from_are_refused(args: list[str]) -> None:
    data = Path(args[4])
    files = {file.name: file.read_text() for file in data.glob("*.jsonl")}
    asked = files["test.jsonl"].splitlines()[0]
    files["train.jsonl"] += asked.replace('"id": "r', '"id": "x') + "\n"
    write_whole(data, files, {"schema_version": 1, "files": described(files)})
    done = retrain(*args)
    assert done.exit_code == 7
    assert "preflight: overlap: test" in done.output


# The folder, the name, and whoever is asked


def test_stopped_it_says_how_to_go_on(args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(trainer: loop.Trainer, *_: Any) -> None:
        if trainer.progress.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Trainer, "_tell", stop)
    for _ in range(2):  # by default it goes on in the same folder
        done = retrain(*args)
        assert done.exit_code == 130
        last = done.output.splitlines()[-1].strip()
        assert last.startswith("stopped; the same command with -o runs/training/school-1 goes on")
    assert [path.name for path in Path("runs/training").iterdir()] == ["school-1"]
    assert retrain(*args, "--seed", "4").exit_code == 130
    assert {path.name for path in Path("runs/training").iterdir()} == {"school-1", "school-2"}


def test_a_fresh_start_drops_what_was_there(args: list[str], untrained: None) -> None:
    journal = write_journal(Path())
    assert retrain(*args, "-o", "work", "--journal", journal).exit_code == 130
    assert Path("work/harvest").exists()
    newer = retrain(*args, "-o", "work", "--journal", journal, "--game-version", "2")
    assert "is of another game version" in newer.output
    assert retrain(*args, "-o", "work").exit_code == 6
    assert retrain(*args, "-o", "work", "--fresh").exit_code == 130
    assert not Path("work/harvest").exists()


@pytest.mark.parametrize("what", ["foreign", "damaged", "newer", "busy"])
def test_a_folder_that_cannot_be_worked_in(args: list[str], untrained: None, what: str) -> None:
    work = Path("work")
    work.mkdir()
    if what == "busy":
        with FileLock(work / ".lock"):
            done = retrain(*args, "-o", work)
    else:
        text = '{"schema_version": 9}' if what == "newer" else "{"
        (work / ("mine.txt" if what == "foreign" else "state.json")).write_text(text)
        done = retrain(*args, "-o", work)
    assert done.exit_code == 6
    said = {"foreign": "is not empty", "damaged": "is damaged", "newer": "this version knows 1",
            "busy": "another retraining is at work"}  # fmt: skip
    assert said[what] in done.output
    if what in ("damaged", "newer"):
        assert retrain(*args, "-o", work, "--fresh").exit_code == 130


@pytest.mark.parametrize("name", ["smollm2-135m", "taken", ".hidden", "a/b", "ü"])
def test_a_name_that_cannot_be_given_is_told_first(args: list[str], name: str) -> None:
    (ModelStore().folder / "taken").mkdir(parents=True)
    done = retrain(*args, "--name", name)
    assert done.exit_code == 4
    assert not Path("runs/training/school-1/preflight").exists()


def test_whoever_does_not_agree_to_a_long_training_is_heard(
    args: list[str], untrained: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_LONG", -1.0)
    monkeypatch.setattr(retrain_commands, "_asked", lambda: True)
    without = [arg for arg in args if arg != "--yes"]
    said = CliRunner().invoke(main, ["retrain", *without], input="n\n")
    assert said.exit_code == 7
    assert "you did not agree" in said.output
    assert CliRunner().invoke(main, ["retrain", *without], input="").exit_code == 130  # Ctrl-C
    assert CliRunner().invoke(main, ["retrain", *without], input="y\n").exit_code == 130
    assert retrain(*args).exit_code == 130


def test_folders_are_numbered(tmp_path: Path, args: list[str]) -> None:
    order = Order("school", read_recipe(Path(args[0])), args[2], Path(args[4]))
    inputs = order.inputs()
    root = tmp_path / "runs"
    assert choose_folder(root, order, inputs).name == "school-1"
    (root / "school-7").mkdir(parents=True)
    (root / "school-more").mkdir()
    assert choose_folder(root, order, inputs).name == "school-8"
    with opened(root / "school-8", order, inputs, fresh=False) as work:
        assert choose_folder(root, order, inputs).name == "school-8"
        assert choose_folder(root, order, {**inputs, "base": "other"}).name == "school-9"
        # Its journals may be of an earlier round that is gone by now, but of no other.
        other = replace(order, earlier=tmp_path / "gone")
        assert choose_folder(root, other, inputs).name == "school-9"
        work.keep(earlier=str(tmp_path / "gone" / "dataset"))
        assert choose_folder(root, other, inputs).name == "school-8"
        work.keep(finished=True)
    assert choose_folder(root, order, inputs).name == "school-9"
    odd = replace(order, called="my[a]")
    (root / "my[a]-3").mkdir()
    assert choose_folder(root, odd, inputs).name == "my[a]-4"


def test_folders_of_others_are_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()

    def forbidden(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("is_file", "iterdir"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, forbidden)
            assert working._before(tmp_path / "mine") is None


def test_the_format_is_that_which_was_fastest_here(tmp_path: Path, args: list[str]) -> None:
    base = open_base(args[2])
    order = Order("school", read_recipe(Path(args[0])), args[2], Path(args[4]))
    assert models._formats(order, base) == ["Q8_0", "BF16"]
    folder = ModelStore().folder / "tiny"
    folder.mkdir(parents=True)
    shutil.copyfile(args[2], folder / "q4_0.gguf")
    told = {"file": "q4_0.gguf", "size": Path(args[2]).stat().st_size, "sha256": base.sha256,
            "measured": [{"format": "Q4_0", "verdict": "chosen"}]}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(told))
    assert models._formats(order, base) == ["Q4_0", "Q8_0", "BF16"]


def test_help_names_the_exit_code() -> None:
    said = run("retrain", "--help").output
    assert "Exits with 7" in said
