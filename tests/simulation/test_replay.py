"""A run told again, and computed again: the first difference is found and named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
from lasting import HOUR, NEVER, engine, go, lived, rows, world
from small import small

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import Difference, refused, retell, verify
from daydream_motives.simulation.run import branch, resume, start
from daydream_motives.simulation.world import World

TICKS = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lived(tmp_path_factory.mktemp("made") / "run", TICKS)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A complete run, to be spoiled."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def found(folder: Path, from_tick: int = 0) -> Difference | None:
    with engine() as mind:
        return verify(folder, mind, from_tick=from_tick)


def spoil(folder: Path, sql: str, *values: object) -> None:
    db = sqlite3.connect(folder / "journal.sqlite")
    assert db.execute(sql, values).rowcount == 1
    db.commit()
    db.close()


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("from_tick", [0, 1, 15, 16, 19, 20])
def test_what_is_as_it_was_comes_out_the_same(made: Path, from_tick: int) -> None:
    kept = files(made)
    assert found(made, from_tick) is None
    assert files(made) == kept


@pytest.mark.parametrize("until", range(0, TICKS, 3))
def test_a_run_that_was_broken_off_comes_out_the_same(tmp_path: Path, until: int) -> None:
    folder = lived(tmp_path / "run", TICKS, until=until)
    assert found(folder) is None
    with engine() as mind:
        go(resume(folder, mind), until + 4)
    assert found(folder) is None


def busy() -> World:
    """The small world after an afternoon's editing."""
    data = small()
    data["characters"]["dee"] = {"name": "Dee Orr", "age": 50, "home": "house"}
    data["relationships"][0]["trust"] = -0.9
    data["events"].append({"id": "fair", "text": "A fair.", "at": "2024-06-14T13:00"})
    return World.from_data(data)


@pytest.mark.parametrize("minutes", [HOUR, NEVER])
@pytest.mark.parametrize("limit", [None, 12])
def test_an_edited_run_comes_out_the_same(tmp_path: Path, minutes: int, limit: int | None) -> None:
    edits = {0: busy(), 6: world(), 9: busy()}
    with engine() as mind:
        begun = start(world(), mind, Scenario(TICKS, 0, limit), tmp_path / "run",
                      checkpoint_minutes=minutes)  # fmt: skip
        begun.before_tick = lambda run: run.edit(
            edits.get(run.simulation.clock.tick, run.simulation.world)
        )
        go(begun)
    assert sum(e["kind"] == "edited" for e in rows(tmp_path / "run")[1]) == 12
    assert [found(tmp_path / "run", tick) for tick in (0, 6, 7, 16)] == [None] * 4
    spoil(tmp_path / "run", "UPDATE events SET text = 'the writer slept' WHERE number = 1")
    difference = found(tmp_path / "run")
    assert difference
    assert difference.recorded == "the writer slept"


def nested(text: str, *path: str | int) -> str:
    """JSON in which the value at a path is another."""
    data = json.loads(text)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    last = inner[path[-1]]
    inner[path[-1]] = last + 1 if isinstance(last, int | float) else f"{last}?" if last else "?"
    return json.dumps(data)


NESTED = [
    ("context", "Character_name"), ("context", "Character_description"), ("context", "Context"),
    ("context", "Background"), ("situation", "time"), ("situation", "present", 0, "id"),
    ("situation", "verbs", 3, "name"), ("situation", "happened", 0), ("purposes", 0, "text"),
    ("purposes", 2, "text"), ("purposes", 1, "score"), ("purposes", 0, "targets"),
    ("purposes", 0, "verb"), ("purposes", 2, "unknown_names"), ("provenance", "source"),
    ("provenance", "model"), ("provenance", "model_hash"), ("provenance", "adapter_hash"),
    ("provenance", "prompt_hash"), ("provenance", "seed"), ("provenance", "tokens_in"),
    ("provenance", "tokens_out"), ("provenance", "filled"), ("provenance", "reason"),
    ("receipt", 0, "status"), ("receipt", 0, "tokens"), ("outcome", "status"),
    ("outcome", "note"),
]  # fmt: skip


@pytest.mark.parametrize("path", NESTED, ids=lambda path: ".".join(map(str, path)))
def test_a_change_in_a_decision_is_named(run: Path, path: tuple[str, ...]) -> None:
    column = path[0]
    db = sqlite3.connect(run / "journal.sqlite")
    (text,) = db.execute(f"SELECT {column} FROM decisions WHERE number = 10").fetchone()  # noqa: S608
    db.close()
    changed = nested(text, *path[1:])
    spoil(run, f"UPDATE decisions SET {column} = ? WHERE number = 10", changed)  # noqa: S608
    difference = found(run)
    decision = rows(run)[0][9]
    assert difference
    assert difference.where == f"decision at {decision['world_time']} of {decision['character']}"
    where = path[0] + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path[1:])
    assert difference.field == where
    assert difference.recorded != difference.computed


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "another"), ("character", "zoe"), ("world_time", "2024-06-14T11:01:00"),
     ("world_time", None), ("chosen", 2), ("chosen", None), ("outcome", None)],
)  # fmt: skip
def test_a_change_in_a_column_of_a_decision_is_named(run: Path, column: str, value: object) -> None:
    spoil(run, f"UPDATE decisions SET {column} = ? WHERE number = 4", value)  # noqa: S608
    difference = found(run)
    assert difference
    assert difference.field.split(".")[0] == column
    assert difference.recorded == value


@pytest.mark.parametrize(
    ("column", "value"),
    [("world_time", "2024-06-14T09:59:00"), ("kind", "miracle"), ("text", "It snows."),
     ("who", '["zoe"]'), ("place", "moon"), ("decision", None)],
)  # fmt: skip
def test_a_change_in_an_event_is_named(run: Path, column: str, value: object) -> None:
    number = next(e["number"] for e in rows(run)[1] if e["decision"])
    spoil(run, f"UPDATE events SET {column} = ? WHERE number = ?", value, number)  # noqa: S608
    difference = found(run)
    assert difference
    assert difference.where.startswith("event at ")
    assert difference.field.split("[")[0] == column
    words = str(refused(difference, run))
    assert difference.where in words
    assert str(difference.computed) in words


@pytest.mark.parametrize("table", ["decisions", "events"])
@pytest.mark.parametrize("number", [5, "last"])
def test_a_row_that_is_gone_is_noticed(run: Path, table: str, number: object) -> None:
    count = len(rows(run)[table == "events"])
    db = sqlite3.connect(run / "journal.sqlite")
    where = count if number == "last" else number
    db.execute(f"DELETE FROM {table} WHERE number = ?", (where,))  # noqa: S608
    db.commit()
    db.close()
    assert found(run)


def test_a_row_too_many_is_noticed(run: Path) -> None:
    with Journal(run / "journal.sqlite") as journal:
        journal.event("event", "An afterthought.", world_time="2024-06-14T15:30:00")
    difference = found(run)
    assert difference
    assert (difference.recorded, difference.computed) == ("there", None)


def test_a_change_before_the_checkpoint_is_for_an_earlier_one(run: Path) -> None:
    spoil(run, "UPDATE events SET text = 'It snows.' WHERE number = 2")
    assert found(run, 18) is None
    assert found(run, 0)


@pytest.mark.parametrize("until", [9, 15])
def test_a_change_in_a_run_that_was_broken_off_is_named(tmp_path: Path, until: int) -> None:
    folder = lived(tmp_path / "run", TICKS, until=until)
    spoil(folder, "UPDATE events SET text = 'It snows.' WHERE number = 3")
    difference = found(folder)
    assert difference
    assert (difference.field, difference.recorded) == ("text", "It snows.")


def test_a_branch_is_verified_from_where_it_began(made: Path, tmp_path: Path) -> None:
    with engine() as mind:
        go(branch(made, 11, mind, tmp_path / "other", world=busy(), seed=3))
    assert found(tmp_path / "other") is None
    last = len(rows(tmp_path / "other")[1])
    spoil(tmp_path / "other", "UPDATE events SET text = 'It snows.' WHERE number = ?", last)
    assert found(tmp_path / "other")


def test_beyond_the_end_nothing_is_claimed(made: Path) -> None:
    with engine() as mind, pytest.raises(RunError, match="ends at tick 20"):
        verify(made, mind, from_tick=21)


def test_another_model_cannot_verify(made: Path) -> None:
    backend = ScriptedBackend(BackendSpec("scripted"))
    backend.model_hash = "5eed"
    with MotiveEngine(backend) as mind, pytest.raises(RunError, match="was made with scripted"):
        verify(made, mind)


def test_all_is_told_in_order(made: Path) -> None:
    told = list(retell(made))
    decisions, events = rows(made)
    assert len(told) == len(decisions) + len(events)
    assert [t.time for t in told] == sorted(t.time for t in told if t.time)
    assert [t.record["id"] for t in told if t.kind == "decision"] == [d["id"] for d in decisions]
    assert [t.text for t in told if t.kind != "decision"] == [e["text"] for e in events]
    chosen = [d["purposes"][d["chosen"] - 1]["text"] for d in decisions]
    assert [t.text for t in told if t.kind == "decision"] == chosen


def test_of_one_person_between_two_times(made: Path) -> None:
    since, until = datetime(2024, 6, 14, 9), datetime(2024, 6, 14, 13, 30)
    everything = list(retell(made))
    for who in ("ada", "bo", None):
        expected = [
            t for t in everything
            if t.time and since <= t.time <= until and (who is None or who in t.who)
        ]  # fmt: skip
        assert list(retell(made, who=who, since=since, until=until)) == expected
        assert expected
    assert list(retell(made, who="zoe")) == []
    assert list(retell(made, since=until, until=since)) == []


def test_a_world_with_a_time_zone_is_told_by_the_hands_of_its_clock(tmp_path: Path) -> None:
    clock = {"start": "2024-06-14T06:00+09:00", "minutes_per_tick": 30}
    zoned = world(clock=clock, events=[])
    folder = lived(tmp_path / "run", 12, of=zoned)
    times = [t.time for t in retell(folder, since=datetime(2024, 6, 14, 8))]
    assert times
    assert min(t for t in times if t) >= datetime(2024, 6, 14, 8)
    assert found(folder) is None


def test_a_clock_that_is_set_back_is_said_and_keeps_its_place(tmp_path: Path) -> None:
    """A game's own journal: its clock may jump, stand still, or be no clock at all."""
    times = ["2024-06-14T09:00", "2024-06-14T10:00", "2024-06-14T07:00", "2024-06-14T07:30+02:00",
             None, "dawn", "2024-06-14T11:00"]  # fmt: skip
    with Journal(tmp_path / "journal.sqlite") as journal:
        for number, at in enumerate(times):
            journal.event("event", f"{number}", world_time=at)
    told = [(t.kind, t.text) for t in retell(tmp_path)]
    assert [text for kind, text in told if kind == "event"] == [str(n) for n in range(7)]
    assert [text for kind, text in told if kind == "clock"] == [
        "the clock goes back from 2024-06-14 10:00:00 to 2024-06-14 07:00:00"
    ]
    assert told.index(("event", "1")) + 1 == [kind for kind, _ in told].index("clock")


def test_what_is_no_run_is_not_verified(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.event("event", "A game.")
    with engine() as mind:
        with pytest.raises(RunError, match="no run of `daydream simulate`"):
            verify(tmp_path, mind)
        with pytest.raises(RunError, match="no journal"):
            verify(tmp_path / "nowhere", mind)
