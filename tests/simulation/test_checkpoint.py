"""Checkpoints: the whole state, there and back; and what becomes of damaged ones."""

from __future__ import annotations

import copy
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasting import HOUR, TICK, content, engine, go, lived, world
from small import small, split

from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.motives.purposes import Decision
from daydream_motives.simulation import checkpoint
from daydream_motives.simulation.checkpoint import (
    file_of,
    read_checkpoint,
    read_packed,
    restore,
    snapshot,
    ticks_in,
    write_packed,
)
from daydream_motives.simulation.edit import adopt
from daydream_motives.simulation.folder import RunFolder
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.run import resume, start
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

TICKS = 20
NOWHERE = {"decisions": 0, "events": 0}


def edited() -> World:
    """The small world with somebody new, somebody gone, and another routine."""
    data = small()
    del data["characters"]["kit"]
    data["characters"]["dee"] = {"name": "Dee Orr", "age": 50, "home": "house"}
    data["characters"]["bo"]["routine"][0]["at"] = "05:00"
    data["relationships"] = data["relationships"][:1]
    return World.from_data(data)


def simulated(seed: int, ticks: int, edit: int | None) -> tuple[Simulation, dict[str, Decision]]:
    """A simulation some ticks old, edited on the way, and every decision in it."""
    with engine() as mind:
        mind.seed = seed
        simulation = Simulation(world(), mind, seed=seed, ticks=60, max_decisions=25)
        made: dict[str, Decision] = {}
        for tick in range(ticks):
            if tick == edit:
                adopt(simulation, edited())
            made |= {h.decision.id: h.decision for h in simulation.step() if h.decision}
    return simulation, made


def restored(data: Any, of: World, seed: int, made: dict[str, Decision]) -> Simulation:
    with engine() as mind:
        mind.seed = seed
        simulation = Simulation(of, mind, seed=99, ticks=60, max_decisions=25)
        restore(simulation, data, lambda id: copy.copy(made[id]))
    return simulation


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(0, 70), st.none() | st.integers(0, 40))
def test_there_and_back(seed: int, ticks: int, edit: int | None) -> None:
    simulation, made = simulated(seed, ticks, edit)
    data = json.loads(json.dumps(snapshot(simulation, NOWHERE), default=checkpoint._plain))
    twin = restored(data, simulation.world, seed, made)
    again = json.loads(json.dumps(snapshot(twin, NOWHERE), default=checkpoint._plain))
    assert again == data
    with engine() as one, engine() as two:
        for mind, side in ((one, simulation), (two, twin)):
            mind.seed = seed
            mind.lore = side.engine.lore
            side.engine = mind
        told = [
            [(h.kind, h.time, h.text) for h in side.run(8)] for side in (simulation, twin)
        ]  # fmt: skip
    assert told[0] == told[1]


def test_a_snapshot_holds_what_is_under_way() -> None:
    """What the property above goes through is really there."""
    found = [snapshot(simulated(seed, 14, 7)[0], NOWHERE) for seed in range(6)]
    people = [person for data in found for person in data["people"].values()]
    assert any(person["action"] and person["action"]["person"] for person in people)
    assert any(person["calls"] for person in people)
    assert any(person["way"] for person in people)
    assert any(one.get("source") for person in people for one in person["state"]["memory"])
    assert all("dee" in data["people"] and "kit" not in data["people"] for data in found)


def test_a_snapshot_of_another_world_is_refused() -> None:
    simulation, made = simulated(0, 10, None)
    data = snapshot(simulation, NOWHERE)
    with pytest.raises(RunError, match="does not fit its world") as caught:
        restored(data, edited(), 0, made)
    assert "--branch" in caught.value.remedy
    for wrong in (
        {"due": ["no such event"]}, {"rng": [3, [1, 2], None]}, {"people": {}},
        {"relationships": {"schema_version": 1, "nodes": [], "edges": [{"source": "x"}]}},
    ):  # fmt: skip
        with pytest.raises(RunError):
            restored({**data, **wrong}, world(), 0, made)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return content(lived(tmp_path_factory.mktemp("whole") / "run", TICKS))


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A run that was broken off, with checkpoints at 0, 8, 10 and 12."""
    folder = lived(tmp_path / "run", TICKS, until=13)
    assert ticks_in(folder / "checkpoints") == [0, 8, 10, 12]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Any]:
    """One checkpoint: a place to write it, its bytes, its content."""
    folder = lived(tmp_path_factory.mktemp("one") / "run", TICKS, until=9)
    file = file_of(folder / "checkpoints", 8)
    return file, file.read_bytes(), read_checkpoint(file)


@settings(max_examples=40)
@given(st.data())
def test_damage_anywhere_is_noticed(one: tuple[Path, bytes, Any], data: st.DataObject) -> None:
    file, raw, content = one
    where = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "zeros", "inserted", "appended"]))
    some = data.draw(st.binary(min_size=1, max_size=4))
    file.write_bytes({
        "cut": raw[:where],
        "flip": raw[:where] + bytes([raw[where] ^ (some[0] or 1)]) + raw[where + 1 :],
        "zeros": raw[:where] + bytes(len(raw) - where),
        "inserted": raw[:where] + some + raw[where:],
        "appended": raw + some,
    }[kind])  # fmt: skip
    try:
        found = read_checkpoint(file)
    except RunError as exc:
        found, said = content, str(exc)
        assert str(file) in said
    assert found == content  # what is damaged does not count


def wrong(kind: str, data: dict[str, Any]) -> Any:
    return {
        "list": [], "empty": {}, "text": "x", "newer": {**data, "schema_version": 2},
        "no version": {k: v for k, v in data.items() if k != "schema_version"},
        "no position": {**data, "journal": {}}, "odd position": {**data, "journal": "all"},
        "odd tick": {**data, "tick": "now"}, "no world": {**data, "world": None},
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["list", "empty", "text", "newer", "no version", "no position", "odd position", "odd tick",
     "no world"],
)  # fmt: skip
def test_an_earlier_checkpoint_does(
    cut: Path, whole: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    last = file_of(cut / "checkpoints", 12)
    write_packed(last, wrong(kind, read_checkpoint(last)))
    with engine() as mind:
        run = resume(cut, mind)
        assert run.simulation.clock.tick == 10
        go(run)
    assert "an earlier checkpoint is used" in caplog.text
    assert content(cut) == whole


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"not gzip", gzip.compress(b'{"tick": 1')])
def test_with_all_checkpoints_damaged_the_record_is_lived_again(
    cut: Path, whole: Any, damage: bytes
) -> None:
    for tick in ticks_in(cut / "checkpoints"):
        file_of(cut / "checkpoints", tick).write_bytes(damage)
    with engine() as mind:
        run = resume(cut, mind)
        assert run.simulation.clock.tick == 0
        go(run)
    assert content(cut) == whole


def test_a_state_that_contradicts_its_world_is_an_error_and_nothing_is_lost(
    cut: Path, whole: Any
) -> None:
    last = file_of(cut / "checkpoints", 12)
    kept, data = last.read_bytes(), read_checkpoint(last)
    data["people"]["ada"]["state"]["place"] = "moon"
    write_packed(last, data)
    with engine() as mind, pytest.raises(RunError, match="moon") as caught:
        resume(cut, mind)
    assert str(last) in caught.value.message
    last.write_bytes(kept)
    with engine() as mind:
        go(resume(cut, mind))
    assert content(cut) == whole


def test_a_journal_shorter_than_its_checkpoint(
    cut: Path, whole: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A power loss may take the journal's end, but not a checkpoint."""
    for tick, length in ((10, 3), (0, 0)):
        position = read_checkpoint(file_of(cut / "checkpoints", tick))["journal"]
        with Journal(cut / "journal.sqlite") as journal:
            journal.cut({name: count + length for name, count in position.items()})
        with engine() as mind:
            run = resume(cut, mind)
            assert run.simulation.clock.tick == tick
            run.close()
        assert "the journal is shorter than a checkpoint" in caplog.text
    with engine() as mind:
        go(resume(cut, mind))
    assert content(cut) == whole


def test_a_journal_of_a_newer_version_is_named_and_left_alone(cut: Path) -> None:
    db = sqlite3.connect(cut / "journal.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with engine() as mind, pytest.raises(RunError, match="has schema 99") as caught:
        resume(cut, mind)
    assert "upgrade" in caught.value.remedy


@pytest.mark.parametrize("damage", ["tampered", "cut", "gone", "newer"])
def test_the_world_in_the_folder_must_be_whole(cut: Path, whole: Any, damage: str) -> None:
    file = cut / "world.json.gz"
    kept = file.read_bytes()
    if damage == "tampered":
        write_packed(file, edited().to_data())
    elif damage == "cut":
        file.write_bytes(kept[:-9])
    elif damage == "newer":
        write_packed(file, {**world().to_data(), "schema_version": 9})
    else:
        file.unlink()
    with engine() as mind, pytest.raises(RunError) as caught:
        resume(cut, mind)
    assert str(cut) in caught.value.message
    assert "remove it" not in caught.value.remedy
    file.write_bytes(kept)
    with engine() as mind:
        go(resume(cut, mind))
    assert content(cut) == whole


def test_the_writers_files_do_not_bend_a_run_that_goes_on(tmp_path: Path) -> None:
    source = split(tmp_path / "world", small())
    whole = content(lived(tmp_path / "whole", TICKS, of=World.load(source)))
    folder = lived(tmp_path / "run", TICKS, of=World.load(source), until=11)
    (source / "characters" / "bo.yaml").unlink()
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_older_versions_are_brought_up_step_by_step(
    cut: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {("rng" if key == "dice" else key): value for key, value in data.items()}

    def counted(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "decided": data["decided"] - 1000}

    for tick in ticks_in(cut / "checkpoints"):
        data = read_packed(file_of(cut / "checkpoints", tick))
        data["dice"], data["decided"] = data.pop("rng"), data["decided"] + 1000
        write_packed(file_of(cut / "checkpoints", tick), data)
    monkeypatch.setattr(checkpoint, "MIGRATIONS", (renamed, counted))
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 3)
    with engine() as mind:
        run = resume(cut, mind)
        assert run.simulation.clock.tick == 12
        go(run)
    found = content(cut)
    assert found["checkpoint"].pop("schema_version") == 3
    assert found["checkpoint"] == {
        k: v for k, v in whole["checkpoint"].items() if k != "schema_version"
    }
    assert read_packed(file_of(cut / "checkpoints", 0))["schema_version"] == 1  # as it was written


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_spoils_nothing(
    tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "run"
    with engine() as mind:
        run = start(world(), mind, Scenario(TICKS), folder, checkpoint_minutes=HOUR)
        steps = run.steps()
        for _ in range(5):
            next(steps)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "write_atomic", full)
            with pytest.raises(RunError, match="No space left") as caught:
                list(steps)
    assert "free some space" in caught.value.remedy
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_checkpoints_of_every_tick_or_few_give_the_same_state(tmp_path: Path, whole: Any) -> None:
    assert content(lived(tmp_path / "often", TICKS, minutes=TICK)) == whole
    folder = RunFolder(tmp_path / "often")
    assert folder.graph_at(0).to_data() == world().relationships.to_data()
    assert folder.graph_at().to_data() == whole["checkpoint"]["relationships"]
