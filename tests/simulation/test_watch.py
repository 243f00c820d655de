"""Edits of a world's files are noticed, whatever the clock of the files says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from lasting import engine, go, rows
from small import small, split

from daydream_motives.errors import WorldError
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import verify
from daydream_motives.simulation.run import Run, resume, start
from daydream_motives.simulation.watch import Watch
from daydream_motives.simulation.world import World


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return split(tmp_path / "world", small())


def older(folder: Path, name: str = "bo", age: int = 36) -> None:
    """Edit one sheet."""
    file = folder / "characters" / f"{name}.yaml"
    data = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**data, "age": age}))


def test_nothing_is_nothing(folder: Path) -> None:
    watch = Watch(folder)
    assert watch.edited() is None
    (folder / "notes.txt").write_text("not of the world")
    (folder / "characters" / ".bo.yaml.swp").write_text("an editor's")
    assert watch.edited() is None


def test_an_edit_is_noticed_once(folder: Path) -> None:
    watch = Watch(folder)
    older(folder)
    world = watch.edited()
    assert world
    assert world.sheets["bo"].age == 36
    assert watch.edited() is None


def test_a_file_that_is_older_than_before_is_an_edit_too(folder: Path) -> None:
    watch = Watch(folder)
    older(folder)
    os.utime(folder / "characters" / "bo.yaml", (10, 10))  # long ago
    world = watch.edited()
    assert world
    assert world.sheets["bo"].age == 36
    os.utime(folder / "characters" / "bo.yaml", (5, 5))
    again = watch.edited()
    assert again
    assert again.hash == world.hash  # looked at again; nothing will come of it


def test_a_file_put_in_place_of_another_is_noticed(folder: Path) -> None:
    """As editors save: same size, same time, another file."""
    file = folder / "characters" / "bo.yaml"
    stat = file.stat()
    watch = Watch(folder)
    other = folder / "characters" / "bo.new"
    other.write_text(file.read_text().replace("35", "53"))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    world = watch.edited()
    assert world
    assert world.sheets["bo"].age == 53


def test_files_that_come_and_go(folder: Path) -> None:
    watch = Watch(folder)
    new = folder / "characters" / "dee.yaml"
    new.write_text(yaml.safe_dump({"name": "Dee Orr"}))
    world = watch.edited()
    assert world
    assert "dee" in world.sheets
    new.unlink()
    world = watch.edited()
    assert world
    assert "dee" not in world.sheets


def test_an_invalid_edit_is_said_once_and_mended_later(folder: Path) -> None:
    watch = Watch(folder)
    file = folder / "characters" / "bo.yaml"
    kept = file.read_text()
    file.write_text(kept[:9])  # half saved
    with pytest.raises(WorldError, match=r"bo\.yaml"):
        watch.edited()
    assert watch.edited() is None
    file.write_text(kept.replace("35", "36"))
    world = watch.edited()
    assert world
    assert world.sheets["bo"].age == 36


def test_a_single_file_is_watched_too(tmp_path: Path) -> None:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(small()))
    watch = Watch(file)
    assert watch.edited() is None
    file.write_text(json.dumps(small(events=[])))
    world = watch.edited()
    assert world
    assert world.events == ()
    file.unlink()
    with pytest.raises(WorldError):
        watch.edited()


def test_what_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="nothing there") as caught:
        Watch(tmp_path / "none")
    assert caught.value.remedy


def test_a_watched_run_takes_edits_in_and_can_be_verified(tmp_path: Path, folder: Path) -> None:
    ages = {3: 36, 4: 37, 9: 38}
    watch = Watch(folder)
    said: list[Any] = []

    def look(run: Run) -> None:
        if age := ages.get(run.simulation.clock.tick):
            older(folder, age=age)
        try:
            if world := watch.edited():
                said.extend(run.edit(world))
        except WorldError as exc:
            said.append(exc)

    def wreck(run: Run) -> None:
        if run.simulation.clock.tick == 14:
            (folder / "places.yaml").write_text("yard: 7\n")
        look(run)

    with engine() as mind:
        run = start(World.load(folder), mind, Scenario(20), tmp_path / "run")
        run.before_tick = look
        go(run, 12)
    with engine() as mind:
        run = resume(tmp_path / "run", mind)
        run.before_tick = wreck
        go(run)
        assert verify(tmp_path / "run", mind) is None
    *changes, refused = said
    assert changes == ["the writer changed the character bo"] * 3
    assert isinstance(refused, WorldError)
    edits = [e for e in rows(tmp_path / "run")[1] if e["kind"] == "edited"]
    assert [e["world_time"][11:16] for e in edits] == ["07:30", "08:00", "10:30"]
