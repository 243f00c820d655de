"""Branches: a new run where another was, which stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from lasting import HOUR, NEVER, engine, go, killed_at, lived, rows, story, world
from small import small

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import RunError, WorldError
from daydream_motives.simulation.folder import RunFolder
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import verify
from daydream_motives.simulation.run import branch, resume, start
from daydream_motives.simulation.world import World

TICKS = 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lived(tmp_path_factory.mktemp("source") / "run", TICKS)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def branched(
    source: Path, tick: int, folder: Path, until: int | None = None, **options: Any
) -> Path:
    with engine() as mind:
        go(branch(source, tick, mind, folder, **options), until)
    return folder


def before(found: list[Any], tick: int) -> list[Any]:
    """The rows of a run before a tick."""
    now = world().clock.start.isoformat()
    minutes = 6 * 60 + 30 * tick
    return [
        row
        for row in found
        if row["world_time"] < f"{now[:11]}{minutes // 60:02}:{minutes % 60:02}"
    ]


def verified(folder: Path) -> bool:
    with engine() as mind:
        return verify(folder, mind) is None


@pytest.mark.parametrize("tick", [0, 7, 8, 9, 19, 20])
def test_without_a_change_the_story_is_the_same(source: Path, tmp_path: Path, tick: int) -> None:
    kept = files(source)
    folder = branched(source, tick, tmp_path / "other", ticks=TICKS + 4)
    assert files(source) == kept
    told, whole = story(folder), story(source)
    assert [line for line in told if line in whole] == whole
    for old, new in zip(rows(source), rows(folder), strict=True):
        if tick < TICKS:
            assert before(new, tick) == [
                {**row, **({"outcome": mine["outcome"]} if "outcome" in row else {})}
                for row, mine in zip(before(old, tick), new, strict=False)
            ]  # fmt: skip
    manifest = RunFolder(folder).manifest
    assert manifest["branched_from"] == {"run": "run", "tick": tick}
    assert manifest["namespace"] != RunFolder(source).manifest["namespace"]
    assert verified(folder)


def test_the_ids_of_what_comes_after_are_its_own(source: Path, tmp_path: Path) -> None:
    folder = branched(source, 9, tmp_path / "other")
    old, new = ([r["id"] for r in rows(f)[0]] for f in (source, folder))
    shared = len(before(rows(source)[0], 9))
    assert old[:shared] == new[:shared]
    assert set(old[shared:]).isdisjoint(new)


@pytest.mark.parametrize("tick", [0, 8, 9])
def test_another_seed_tells_another_story_from_there_on(
    source: Path, tmp_path: Path, tick: int
) -> None:
    one, two = (branched(source, tick, tmp_path / name, seed=7) for name in ("one", "two"))
    assert rows(one) == rows(two)
    assert story(one) != story(source)
    assert len(before(rows(one)[0], tick)) == len(before(rows(source)[0], tick))
    assert RunFolder(one).manifest["scenario"]["seed"] == 7
    assert verified(one)


def changed() -> World:
    data = small()
    data["characters"]["dee"] = {"name": "Dee Orr", "age": 50, "home": "house"}
    data["events"].append({"id": "fair", "text": "A fair.", "at": "2024-06-14T11:00"})
    return World.from_data(data)


@pytest.mark.parametrize("tick", [0, 8, 9])
def test_an_edited_world_is_taken_up_there(source: Path, tmp_path: Path, tick: int) -> None:
    folder = branched(source, tick, tmp_path / "other", world=changed())
    decisions, events = rows(folder)
    edits = [e for e in events if e["kind"] == "edited"]
    assert {e["text"] for e in edits} == {
        "the writer added the character dee", "the writer added the event fair",
    }  # fmt: skip
    assert {e["world_time"] for e in edits} == {RunFolder(folder).clock().at(tick).isoformat()}
    assert any(d["character"] == "dee" for d in decisions)
    assert any(e["text"] == "A fair." for e in events)
    assert verified(folder)


@pytest.mark.parametrize("tick", [0, 8, 9])
@pytest.mark.parametrize("until", [10, 15])
def test_a_branch_that_was_broken_off_goes_on(
    source: Path, tmp_path: Path, tick: int, until: int
) -> None:
    options: dict[str, Any] = {"world": changed(), "seed": 3, "max_decisions": 25}
    whole = branched(source, tick, tmp_path / "whole", **options)
    folder = branched(source, tick, tmp_path / "cut", until, **options)
    with engine() as mind:
        go(resume(folder, mind))
    assert rows(folder) == rows(whole)


def test_a_branch_of_a_branch(source: Path, tmp_path: Path) -> None:
    first = branched(source, 6, tmp_path / "first", seed=5, world=changed())
    for tick in (6, 7, 12):
        folder = branched(first, tick, tmp_path / f"second-{tick}", seed=6)
        assert before(story_rows(folder), tick) == before(story_rows(first), tick)
        assert verified(folder)
    with engine() as mind, pytest.raises(RunError, match="whole checkpoint"):
        branch(first, 3, mind, tmp_path / "too early")


def story_rows(folder: Path) -> list[Any]:
    return [{"world_time": e["world_time"], "text": e["text"]} for e in rows(folder)[1]]


def test_edits_of_the_other_run_are_in_the_branch(tmp_path: Path) -> None:
    with engine() as mind:
        run = start(world(), mind, Scenario(TICKS), tmp_path / "run", checkpoint_minutes=NEVER)
        run.before_tick = lambda run: (
            run.edit(changed()) if run.simulation.clock.tick == 5 else None
        )
        go(run)
    folder = branched(tmp_path / "run", 9, tmp_path / "other")
    assert story(folder) == story(tmp_path / "run")
    assert before(rows(folder)[1], 9) == before(rows(tmp_path / "run")[1], 9)
    assert "dee" in RunFolder(folder).world().sheets
    assert verified(folder)


def test_longer_branches_keep_the_pace_and_more_thoughts_are_taken(
    tmp_path: Path,
) -> None:
    source = lived(tmp_path / "run", 10, max_decisions=6)
    longer = branched(source, 10, tmp_path / "longer", ticks=TICKS)
    more = branched(source, 10, tmp_path / "more", ticks=TICKS, max_decisions=30)
    counts = [len(rows(folder)[0]) for folder in (source, longer, more)]
    assert counts == sorted(set(counts))
    assert verified(longer)
    assert verified(more)


@pytest.mark.parametrize(
    ("until", "tick", "words"), [(None, 21, "tick 20"), (None, 99_999_999, "tick 20"),
                                 (11, 15, "tick 10"), (11, 40, "tick 10")]
)  # fmt: skip
def test_beyond_the_record(tmp_path: Path, until: int | None, tick: int, words: str) -> None:
    source = lived(tmp_path / "run", TICKS, until=until)
    with engine() as mind, pytest.raises(RunError, match=f"did not come that far.* {words}"):
        branch(source, tick, mind, tmp_path / "other")
    assert files(tmp_path / "other") == {} or not (tmp_path / "other").exists()


def test_a_branch_that_would_be_over_before_it_begins(source: Path, tmp_path: Path) -> None:
    with engine() as mind, pytest.raises(RunError, match="over at tick 5") as caught:
        branch(source, 9, mind, tmp_path / "other", ticks=5)
    assert "from the start" in caught.value.remedy


def test_a_used_folder_is_refused_and_left_as_it_is(source: Path, tmp_path: Path) -> None:
    used = lived(tmp_path / "used", 3)
    for folder in (used, source):
        kept = files(folder)
        with engine() as mind, pytest.raises(RunError, match="already holds a run"):
            branch(source, 9, mind, folder)
        assert files(folder) == kept


def test_a_world_that_does_not_fit_leaves_the_folder_free(source: Path, tmp_path: Path) -> None:
    data = small()
    data["places"]["yard"]["connects"] = {}
    del data["places"]["well"]
    with engine() as mind, pytest.raises(WorldError, match="every place"):
        branch(source, 9, mind, tmp_path / "other", world=World.from_data(data))
    assert verified(branched(source, 9, tmp_path / "other"))


@pytest.mark.parametrize("write", [1, 2, 4, 9])
def test_a_branch_killed_as_it_began_begins_again(source: Path, tmp_path: Path, write: int) -> None:
    whole = branched(source, 9, tmp_path / "whole", world=changed())
    folder = tmp_path / "other"
    with killed_at(write):
        branched(source, 9, folder, world=changed())
    assert not (folder / "journal.sqlite").exists()
    folder.mkdir(exist_ok=True)
    shutil.copy(source / "journal.sqlite", folder / "branch.sqlite")  # as a kill -9 leaves it
    shutil.copytree(source / "checkpoints", folder / "checkpoints", dirs_exist_ok=True)
    with engine() as mind, pytest.raises(RunError):
        resume(folder, mind)
    branched(source, 9, folder, world=changed())
    assert rows(folder) == rows(whole)


class Other(ScriptedBackend):
    """Another model of the same manners."""

    def __init__(self) -> None:
        super().__init__(BackendSpec("scripted"))
        self.model, self.model_hash = "other", "5eed"


def test_another_model_takes_over_where_a_checkpoint_is(source: Path, tmp_path: Path) -> None:
    with MotiveEngine(Other()) as mind:
        with pytest.raises(RunError, match="here is other") as caught:
            branch(source, 19, mind, tmp_path / "other")
        assert "branch at 18" in caught.value.remedy
        go(branch(source, 18, mind, tmp_path / "other"), None)
        assert verify(tmp_path / "other", mind) is None
    models = {d["provenance"]["model"] for d in rows(tmp_path / "other")[0]}
    assert "scripted" in models
    assert RunFolder(tmp_path / "other").manifest["model"]["name"] == "other"


def test_a_branch_without_its_checkpoints_has_no_beginning(source: Path, tmp_path: Path) -> None:
    folder = branched(source, 9, tmp_path / "other", 12)
    shutil.rmtree(folder / "checkpoints")
    with engine() as mind, pytest.raises(RunError, match="no whole checkpoint") as caught:
        resume(folder, mind)
    assert "anew" in caught.value.remedy


def test_an_incomplete_run_can_be_branched(tmp_path: Path) -> None:
    source = lived(tmp_path / "run", TICKS, until=13, minutes=HOUR)
    folder = branched(source, 11, tmp_path / "other")
    assert story(folder) == story(lived(tmp_path / "whole", TICKS))
