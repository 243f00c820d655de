"""A run that was broken off goes on as if nothing had happened, wherever it was broken off."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasting import (
    HARBOUR,
    HOUR,
    NEVER,
    TICK,
    Killed,
    content,
    engine,
    go,
    killed_at,
    lived,
    rows,
    story,
    world,
)

from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import RunError
from daydream_motives.simulation.checkpoint import ticks_in
from daydream_motives.simulation.folder import RunFolder
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import verify
from daydream_motives.simulation.run import resume, start
from daydream_motives.simulation.world import World

TICKS = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The uninterrupted run."""
    found = content(lived(tmp_path_factory.mktemp("whole") / "run", TICKS))
    assert len(found["decisions"]) > 15
    assert {"gossip", "event", "done"} <= {event["kind"] for event in found["events"]}
    return found


class Mortal(ScriptedBackend):
    """Counts what it is asked; its process ends at the `last`-th question."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__(BackendSpec("scripted"))
        self.last, self.asked = last, 0

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.asked += len(requests)
        if self.last is not None and self.asked >= self.last:
            raise Killed
        return super().decide_many(requests, cancelled)


def begun(folder: Path) -> bool:
    """Whether there is a run to go on with."""
    with suppress(RunError):
        return bool(RunFolder(folder).manifest)
    return False


def try_on(folder: Path, minutes: int, backend: ScriptedBackend | None = None) -> None:
    """What whoever starts the command again would do: begin, or go on with what is there."""
    with MotiveEngine(backend or Mortal()) as mind:
        if begun(folder):
            if not RunFolder(folder).complete:
                go(resume(folder, mind))
        else:
            go(start(world(), mind, Scenario(TICKS), folder, checkpoint_minutes=minutes))


def test_broken_off_after_every_tick(tmp_path: Path, whole: object) -> None:
    for until in range(TICKS):
        folder = lived(tmp_path / str(until), TICKS, until=until, minutes=(TICK, HOUR)[until % 2])
        with engine() as mind:
            go(resume(folder, mind))
        assert content(folder) == whole, until


@settings(max_examples=16)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=4), st.sampled_from([TICK, HOUR, NEVER]))
def test_broken_off_at_any_writes(whole: object, writes: list[int], minutes: int) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        for write in writes:  # also while it lives again what it lived before
            with killed_at(write):
                try_on(folder, minutes)
        try_on(folder, minutes)
        assert content(folder) == whole


@settings(max_examples=10)
@given(st.lists(st.integers(1, 18), min_size=1, max_size=3), st.sampled_from([TICK, HOUR, NEVER]))
def test_broken_off_while_the_model_thinks(
    whole: object, questions: list[int], minutes: int
) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        for last in questions:
            with suppress(Killed):
                try_on(folder, minutes, Mortal(last))
        try_on(folder, minutes)
        assert content(folder) == whole


@pytest.mark.parametrize("until", [1, 7, 13])
def test_broken_off_between_a_checkpoint_and_its_file(
    tmp_path: Path, whole: object, until: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: object, target: object) -> None:
        raise Killed

    with engine() as mind:
        run = start(world(), mind, Scenario(TICKS), tmp_path / "run", checkpoint_minutes=TICK)
        steps = run.steps()
        for _ in range(until):
            next(steps)
        with monkeypatch.context() as patch:
            patch.setattr("daydream_motives.characters.files.os.replace", cut)
            with pytest.raises(Killed):
                next(steps)
    with engine() as mind:
        go(resume(tmp_path / "run", mind))
    assert content(tmp_path / "run") == whole


def test_only_what_is_not_recorded_is_asked_and_told(tmp_path: Path, whole: object) -> None:
    folder = lived(tmp_path / "run", TICKS, until=9, minutes=NEVER)
    recorded = len(rows(folder)[0])
    with MotiveEngine(backend := Mortal()) as mind:
        run = resume(folder, mind)
        told = [happening for tick in run.steps() for happening in tick]
    assert backend.asked == len(rows(folder)[0]) - recorded > 0
    assert min(h.time for h in told) >= run.simulation.clock.at(8)
    assert content(folder) == whole


@pytest.mark.parametrize("limit", [1, 7, 11])
def test_with_few_decisions_for_the_whole_run(tmp_path: Path, limit: int) -> None:
    whole = content(lived(tmp_path / "whole", TICKS, max_decisions=limit, seed=3))
    assert len(whole["decisions"]) <= limit
    for until in (2, 8, 15):
        folder = lived(tmp_path / str(until), TICKS, until=until, max_decisions=limit, seed=3)
        with engine() as mind:
            go(resume(folder, mind))
        assert content(folder) == whole


def test_a_town(tmp_path: Path) -> None:
    town = World.load(HARBOUR)
    options = {"of": town, "max_decisions": 40, "seed": 1}
    whole = content(lived(tmp_path / "whole", 24, **options))
    folder = lived(tmp_path / "run", 24, until=14, **options)
    with engine() as mind:
        go(resume(folder, mind), 19)
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_one_engine_for_all_of_it(tmp_path: Path, whole: object) -> None:
    with engine() as mind:
        folder = tmp_path / "run"
        go(start(world(), mind, Scenario(TICKS), folder), 9)
        go(resume(folder, mind))
        assert content(folder) == whole
        assert verify(folder, mind) is None


def test_a_complete_run_goes_on_when_it_is_given_more(tmp_path: Path) -> None:
    folder = lived(tmp_path / "run", 8)
    for ticks in (None, 3, 8):
        with engine() as mind, pytest.raises(RunError, match="is complete: 8 ticks") as caught:
            resume(folder, mind, ticks=ticks)
        assert "--branch" in caught.value.remedy
    with engine() as mind:
        go(resume(folder, mind, ticks=TICKS), 12)
    assert not RunFolder(folder).complete
    with engine() as mind, pytest.raises(RunError, match="only go on to its 20 ticks"):
        resume(folder, mind, ticks=30)
    with engine() as mind:
        go(resume(folder, mind))
        assert verify(folder, mind) is None
    assert story(folder) == story(lived(tmp_path / "at once", TICKS))


@pytest.mark.parametrize("limit", [3, 6])
def test_a_run_that_goes_on_keeps_the_pace_of_its_thoughts(tmp_path: Path, limit: int) -> None:
    folder = lived(tmp_path / "run", 10, max_decisions=limit)
    before = len(rows(folder)[0])
    with engine() as mind:
        go(resume(folder, mind, ticks=TICKS))
        assert verify(folder, mind) is None
        assert verify(folder, mind, from_tick=10) is None
    assert before <= limit
    assert limit < len(rows(folder)[0]) <= 3 * limit


def test_another_model_is_refused_and_the_run_is_as_it_was(tmp_path: Path, whole: object) -> None:
    class Other(ScriptedBackend):
        def __init__(self) -> None:
            super().__init__(BackendSpec("scripted"))
            self.model, self.model_hash = "other", "5eed"

    folder = lived(tmp_path / "run", TICKS, until=9)
    with MotiveEngine(Other()) as mind, pytest.raises(RunError, match="here is other") as caught:
        resume(folder, mind)
    assert "--branch" in caught.value.remedy
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_a_folder_in_use_is_refused(tmp_path: Path, whole: object) -> None:
    folder = tmp_path / "run"
    with engine() as mind, engine() as other:
        run = start(world(), mind, Scenario(TICKS), folder)
        go_on = run.steps()
        for _ in range(5):
            next(go_on)
        for begin in (lambda: resume(folder, other),
                      lambda: start(world(), other, Scenario(TICKS), folder)):  # fmt: skip
            with pytest.raises(RunError, match="another process is writing"):
                begin()
        list(go_on)
    assert content(folder) == whole


@pytest.mark.parametrize("left", ["lock", "world", "empty journal", "journal", "draft", "states"])
def test_a_run_killed_as_it_began_begins_again(tmp_path: Path, whole: object, left: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if left == "lock":
        (folder / "run.lock").touch()
    elif left == "world":
        (folder / "world.json.gz").write_bytes(b"half of it")
    elif left == "empty journal":
        (folder / "journal.sqlite").touch()
    elif left == "journal":
        with killed_at(1):
            lived(folder)
        assert (folder / "journal.sqlite").exists()
    elif left == "draft":
        (folder / "branch.sqlite").write_bytes(b"")
    else:
        lived(folder, until=7, seed=5, minutes=TICK)
        (folder / "journal.sqlite").unlink()
    with engine() as mind, pytest.raises(RunError):
        resume(folder, mind)
    lived(folder, TICKS, until=3)
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


@pytest.mark.parametrize("missing", ["checkpoints", "last", "first"])
def test_checkpoints_that_are_gone_are_lived_again(
    tmp_path: Path, whole: object, missing: str
) -> None:
    folder = lived(tmp_path / "run", TICKS, until=15)
    kept = ticks_in(folder / "checkpoints")
    gone = {"checkpoints": kept, "last": kept[-1:], "first": kept[:1]}[missing]
    for tick in gone:
        (folder / "checkpoints" / f"{tick:08d}.json.gz").unlink()
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_a_clock_on_the_wall_that_is_set_back_changes_nothing(
    tmp_path: Path, whole: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    folder = lived(tmp_path / "run", TICKS, until=11)
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_a_world_made_in_python_in_any_order(tmp_path: Path) -> None:
    town = world()
    sheets = dict(reversed(town.sheets.items()))
    graph = RelationshipGraph(town.relationships.extra_kinds)
    for person in reversed(list(town.relationships.people())):
        graph.add_person(person)
    for a, b, tie in town.relationships.edges():
        graph.set(a, b, tie)
    made = replace(town, sheets=sheets, relationships=graph)
    whole = content(lived(tmp_path / "whole", TICKS, of=made))
    folder = lived(tmp_path / "run", TICKS, of=made, until=9)
    with engine() as mind:
        go(resume(folder, mind))
    assert content(folder) == whole


def test_old_checkpoints_are_thinned_out(tmp_path: Path) -> None:
    folder = lived(tmp_path / "run", 110, minutes=HOUR)
    assert ticks_in(folder / "checkpoints") == [0, 48, 96, 106, 108, 110]


@pytest.mark.parametrize("seed", range(2))
def test_kill_minus_nine(tmp_path: Path, whole_town: dict[str, object], seed: int) -> None:
    """The real thing: a process that ends where it happens to be, twice."""
    rng, folder = random.Random(seed), tmp_path / "run"
    simulate = [sys.executable, "-m", "daydream_motives", "simulate"]
    fresh = [str(HARBOUR), "--ticks=28", "--run", str(folder), "--model=scripted",
             "--checkpoint-minutes=45"]  # fmt: skip
    for _ in range(2):
        args = ["--resume", str(folder)] if begun(folder) else fresh
        process = subprocess.Popen([*simulate, *args], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        at = len(rows(folder)[0]) if begun(folder) else 0
        while process.poll() is None and time.monotonic() < deadline:
            if begun(folder) and len(rows(folder)[0]) > at + rng.randrange(12):
                break
            time.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    if not RunFolder(folder).complete:
        subprocess.run([*simulate, "--resume", str(folder)], check=True, capture_output=True)
    assert content(folder) == whole_town


@pytest.fixture(scope="module")
def whole_town(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("town") / "run"
    return content(lived(folder, 28, of=World.load(HARBOUR)))
