"""Many runs in one folder: planned first, summed up last, and gone on with in between."""

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
from filelock import FileLock
from lasting import lived, rows, world
from small import small

from daydream_motives.errors import RunError, SettingsError
from daydream_motives.simulation import ensemble
from daydream_motives.simulation.ensemble import Ended, plan, read_plan, run_all, seeds_of
from daydream_motives.simulation.folder import RunFolder, members


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1..3", [1, 2, 3]), ("5", [5]), ("1,5,9", [1, 5, 9]), ("1..2,9,2", [1, 2, 9]),
     (" 1 .. 2 , 4", [1, 2, 4]), ("-1..1", [-1, 0, 1]), ("7..7", [7]),
     ("1..10000", list(range(1, 10_001)))],
)  # fmt: skip
def test_lists_of_seeds(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "8..1", "1..", "..3", "1...3", "1..2..3", "1,", ",", "1.5", "1-3", "٣..٤x",
     "1..10001", "1..999999999", "9" * 5000, "1;2", "1..b"],
)  # fmt: skip
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(SettingsError, match="no list of seeds") as caught:
        seeds_of(text)
    assert "1..8" in caught.value.remedy


def planned(folder: Path, seeds: str = "1..3", **options: Any) -> Path:
    options = {"model": "scripted", "ticks": 8, **options}
    plan(folder, seeds_of(seeds), options)
    world().save(folder / "world.json")
    return folder


def lived_through(folder: Path, jobs: int = 2) -> list[Ended]:
    heard: list[Ended] = []
    ended = run_all(folder, jobs=jobs, threads=1, tell=heard.append)
    assert heard == ended
    return ended


def test_each_seed_is_a_run_like_any_other(tmp_path: Path) -> None:
    folder = planned(tmp_path / "many", "1..3,7")
    assert json.loads((folder / "ensemble.json").read_text())["seeds"] == [1, 2, 3, 7]
    assert not (folder / "manifest.json").exists()
    ended = lived_through(folder)
    assert sorted((end.seed, end.code, end.error) for end in ended) == [
        (seed, 0, "") for seed in (1, 2, 3, 7)
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["figures"]) == {"seed-1", "seed-2", "seed-3", "seed-7"}
    assert manifest["figures"]["seed-7"]["scenario"]["seed"] == 7
    assert rows(folder / "seed-7") == rows(lived(tmp_path / "alone", 8, seed=7))
    assert members(folder) == [folder / f"seed-{seed}" for seed in (1, 2, 3, 7)]
    assert not list(folder.rglob("errors.log"))
    assert lived_through(folder) == []  # all is done


def test_one_that_fails_does_not_stop_the_others_and_is_mended(tmp_path: Path) -> None:
    folder = planned(tmp_path / "many")
    (folder / "seed-2").mkdir()
    with FileLock(folder / "seed-2" / "run.lock"):
        ended = {end.seed: end for end in lived_through(folder, jobs=3)}
    assert {seed: end.code for seed, end in ended.items()} == {1: 0, 2: 6, 3: 0}
    assert "another process is writing" in ended[2].error
    assert (folder / "seed-2" / "errors.log").exists()
    assert not (folder / "manifest.json").exists()
    (again,) = lived_through(folder)
    assert (again.seed, again.code) == (2, 0)
    assert (folder / "manifest.json").exists()
    assert not (folder / "seed-2" / "errors.log").exists()


@pytest.mark.parametrize("left", ["half a run", "an empty journal", "a world"])
def test_runs_that_were_broken_off_go_on(tmp_path: Path, left: str) -> None:
    folder = planned(tmp_path / "many", "4")
    run = folder / "seed-4"
    if left == "half a run":
        lived(run, 8, until=5, seed=4)
    else:
        run.mkdir()
        name = "journal.sqlite" if left == "an empty journal" else "world.json.gz"
        (run / name).touch()
    (end,) = lived_through(folder)
    assert (end.code, end.error) == (0, "")
    assert rows(run) == rows(lived(tmp_path / "alone", 8, seed=4))


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Bo")
    with pytest.raises(RunError, match="not empty") as caught:
        planned(tmp_path)
    assert "--resume" in caught.value.remedy
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "{}", '{"schema_version": 2, "seeds": [1], "options": {}}',
     '{"schema_version": 1, "seeds": ["a"], "options": {}}',
     '{"schema_version": 1, "seeds": 3, "options": {}}',
     '{"schema_version": 1, "seeds": [1], "options": []}', "\x00"],
)  # fmt: skip
def test_a_damaged_plan_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(RunError, match=r"ensemble\.json cannot be read") as caught:
        read_plan(tmp_path)
    assert caught.value.remedy
    with pytest.raises(RunError):
        RunFolder(tmp_path)


def test_an_ensemble_is_no_single_run(tmp_path: Path) -> None:
    folder = planned(tmp_path / "many", "1,2")
    with pytest.raises(RunError, match=r"holds several runs: .*seed-1, .*seed-2") as caught:
        RunFolder(folder)
    assert "one of them" in caught.value.remedy


def test_no_more_than_so_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are counted as they begin and end."""
    open_now: set[int] = set()
    most = []

    class Child:
        """A run that ends when it is looked at for the third time."""

        def __init__(self, command: list[str], **_: Any) -> None:
            self.seed = next(int(a.split("=")[1]) for a in command if a.startswith("--seed="))
            self.looks, self.returncode = 0, 3
            open_now.add(self.seed)
            most.append(len(open_now))

        def poll(self) -> int | None:
            self.looks += 1
            if self.looks < 3:
                return None
            open_now.discard(self.seed)
            return self.returncode

    monkeypatch.setattr(ensemble.subprocess, "Popen", Child)
    monkeypatch.setattr(ensemble.time, "sleep", lambda _: None)
    ended = lived_through(planned(tmp_path / "many", "1..7"), jobs=3)
    assert max(most) == 3
    assert {end.code for end in ended} == {3}


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that still run."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_ctrl_c_leaves_no_child_running_and_the_rest_can_be_resumed(tmp_path: Path) -> None:
    data = small()
    file = tmp_path / "world.json"
    file.write_text(json.dumps(data))
    folder = tmp_path / "many"
    command = [sys.executable, "-m", "daydream_motives", "simulate"]
    process = subprocess.Popen(
        [*command, str(file), "--seeds=1..4", "--jobs=2", "--ticks=30000", "--run", str(folder),
         "--model=scripted"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # Where the tests themselves run in the background, SIGINT is ignored from the start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    children: list[int] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        children = [int(pid) for pid in listed]
        if len(children) == 2 and all(
            any((folder / f"seed-{n}/checkpoints").glob("*.gz")) for n in (1, 2)
        ):
            break
        time.sleep(0.05)
    assert len(children) == 2
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert alive(children) == []
    assert not (folder / "manifest.json").exists()
    assert RunFolder(folder / "seed-1").ticks()
