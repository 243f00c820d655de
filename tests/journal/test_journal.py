"""The SQLite journal: what is written comes back, and what is no journal is refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from daydream_motives.characters.character import Character
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError, SituationError
from daydream_motives.journal import MIGRATIONS, Journal
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.prompt import KEYS
from daydream_motives.motives.purposes import Decision, Outcome
from daydream_motives.motives.situation import Situation
from daydream_motives.records import (
    JSONL_FIELDS,
    SCHEMA_VERSION,
    WALL_CLOCK_FIELDS,
    as_sharegpt,
    check_record,
    read_jsonl,
)
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.run import start
from daydream_motives.simulation.world import World

HARBOUR = Path(__file__).parents[2] / "sim_examples" / "harbour_town"
NOON = Situation(time=datetime(2024, 6, 14, 12), happened=("Die Glocke läutet 🔔.",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.sqlite"


def decide(path: Path, character: Character, count: int = 1, **outcome: Any) -> list[Decision]:
    """Decisions of a character kept at `path`; the last one is acted on if an outcome is given."""
    with Journal(path) as journal, MotiveEngine("scripted", recorder=journal) as engine:
        made = [engine.decide(character, NOON) for _ in range(count)]
        if outcome:
            made[-1].choose(2)
            made[-1].resolve(Outcome(**outcome))
    return made


def records(path: Path) -> list[dict[str, Any]]:
    with Journal(path, read_only=True) as journal:
        return list(journal.records())


def test_a_decision_is_read_back_as_it_was_made(path: Path, ines: Character) -> None:
    (made,) = decide(path, ines)
    (kept,) = records(path)
    assert kept["id"] == made.id
    assert kept["character"] == "ines"
    assert kept["world_time"] == "2024-06-14T12:00:00"
    assert kept["context"] == made.context.fields
    assert "🔔" in kept["context"]["Context"]
    assert Situation.from_data(kept["situation"]) == NOON
    assert [(p["rank"], p["text"]) for p in kept["purposes"]] == [(p.rank, p.text) for p in made]
    assert kept["provenance"]["seed"] == made.provenance.seed
    assert [r["key"] for r in kept["receipt"]] == [r.key for r in made.provenance.receipt]
    assert (kept["chosen"], kept["outcome"]) == (None, None)


@pytest.mark.parametrize("status", ["done", "failed", "interrupted", "overruled"])
def test_what_became_of_a_decision_is_kept(path: Path, ines: Character, status: str) -> None:
    decide(path, ines, status=status, needs={"food": 0.5}, grade=-1, note="so it went")
    (kept,) = records(path)
    assert kept["chosen"] == 2
    assert Outcome.model_validate(kept["outcome"]).status == status
    assert kept["outcome"]["needs"] == {"food": 0.5}


def test_decisions_keep_their_order_over_sessions(path: Path, ines: Character) -> None:
    ids = [d.id for d in decide(path, ines, 3) + decide(path, ines, 2)]
    assert [record["id"] for record in records(path)] == ids


def test_the_same_decision_twice_is_an_error(path: Path, ines: Character) -> None:
    (made,) = decide(path, ines)
    with Journal(path) as journal, pytest.raises(RunError, match="UNIQUE"):
        journal.decided(made, NOON)


def test_events_come_back_in_order(path: Path) -> None:
    with Journal(path) as journal:
        journal.event("event", "a bell", world_time="t", who=("ines", "mo"), place="quay")
        journal.event("done", "a deed")
        first, second = journal.events()
    assert (first["who"], first["place"], first["world_time"]) == (["ines", "mo"], "quay", "t")
    assert (second["number"], second["who"], second["place"]) == (2, [], None)


def test_the_manifest_is_merged_key_by_key(path: Path) -> None:
    with Journal(path) as journal:
        journal.describe({"seed": 1, "world": {"name": "Brennick"}})
        journal.describe({"seed": 2})
        assert journal.manifest() == {"seed": 2, "world": {"name": "Brennick"}}


def test_every_record_has_the_documented_fields_and_passes_the_check(
    path: Path, ines: Character
) -> None:
    decide(path, ines, 3, status="done")
    for record in records(path):
        assert JSONL_FIELDS.keys() <= record.keys()
        assert check_record(json.dumps(record), "here") == record


def test_json_lines_round_trip(path: Path, ines: Character, tmp_path: Path) -> None:
    decide(path, ines, 3, status="failed")
    file = tmp_path / "export.jsonl"
    text = "\n\n".join(json.dumps(r, ensure_ascii=False) for r in records(path))
    file.write_text(text, encoding="utf-8")
    assert list(read_jsonl(file)) == records(path)


def test_sharegpt_records_have_the_shape_of_the_source_documents(
    path: Path, ines: Character
) -> None:
    (made,) = decide(path, ines)
    record = as_sharegpt(records(path)[0])
    user, assistant = record["conversations"]
    assert record.keys() == {"id", "conversations"}
    assert (user["from"], assistant["from"]) == ("user", "assistant")
    assert tuple(json.loads(user["value"])) == FIELDS
    assert user["value"] == made.context.as_json()
    assert list(json.loads(assistant["value"]).items()) == [
        (key, purpose.text) for key, purpose in zip(KEYS, made, strict=True)
    ]
    assert as_sharegpt(records(path)[0]) == record


def test_runs_of_the_same_seed_differ_only_in_wall_clock_fields(
    tmp_path: Path, town: World
) -> None:
    def run(name: str, world: World, seed: int) -> list[dict[str, Any]]:
        with MotiveEngine("scripted") as engine:
            list(start(world, engine, Scenario(12, seed, 40), tmp_path / name).steps())
        kept = records(tmp_path / name / "journal.sqlite")
        for record in kept:
            for field in WALL_CLOCK_FIELDS:
                assert field in record or field in record["provenance"]
                record.pop(field, None)
                record["provenance"].pop(field, None)
        return kept

    first = run("a", town, 1)
    assert len(first) > 20
    assert run("b", World.load(HARBOUR), 1) == first
    other = run("c", World.load(HARBOUR), 2)
    assert {r["id"] for r in other}.isdisjoint(r["id"] for r in first)


READER = """
import sys
from daydream_motives.journal import Journal
with Journal(sys.argv[1], read_only=True) as journal:
    print(len(list(journal.records())))
"""


def test_a_second_process_reads_while_the_first_writes(path: Path, ines: Character) -> None:
    with Journal(path) as journal, MotiveEngine("scripted", recorder=journal) as engine:
        engine.decide(ines, NOON)
        command = [sys.executable, "-c", READER, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        engine.decide(ines, NOON)
    assert done.stdout.strip() == "1"
    assert len(records(path)) == 2


def test_two_journals_on_one_file_number_their_decisions_on(path: Path, ines: Character) -> None:
    with Journal(path) as one, Journal(path) as two, MotiveEngine("scripted") as engine:
        for journal in (one, two, one):
            journal.decided(engine.decide(ines, NOON), NOON)
    numbers = [row[0] for row in rows(path, "SELECT number FROM decisions ORDER BY rowid")]
    assert numbers == [1, 2, 3]


def rows(path: Path, sql: str) -> list[Any]:
    db = sqlite3.connect(path)
    try:
        found = db.execute(sql).fetchall()
        db.commit()
    finally:
        db.close()
    return found


def test_a_journal_locked_by_another_says_so(path: Path) -> None:
    with Journal(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        journal._db.execute("PRAGMA busy_timeout = 10")  # five seconds otherwise
        with pytest.raises(RunError, match="in use by another process"):
            journal.event("event", "a bell")
        other.close()
        journal.event("event", "a bell")


def test_a_newer_schema_is_refused(path: Path) -> None:
    Journal(path).close()
    rows(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for read_only in (True, False):
        with pytest.raises(RunError, match=f"has schema {len(MIGRATIONS) + 1}") as caught:
            Journal(path, read_only=read_only)
        assert "upgrade" in caught.value.remedy


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("content", [b"not a database" * 50, b"SQLite format 3\0" + bytes(2000)])
def test_what_is_no_database_is_refused(path: Path, content: bytes, read_only: bool) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(RunError):
        Journal(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
def test_the_database_of_another_program_is_refused(
    path: Path, version: int, read_only: bool
) -> None:
    path.parent.mkdir()
    rows(path, "CREATE TABLE songs (title TEXT)")
    rows(path, f"PRAGMA user_version = {version}")
    with pytest.raises(RunError):
        Journal(path, read_only=read_only)
    assert rows(path, "SELECT name FROM sqlite_master") == [("songs",)]


def test_a_journal_that_was_cut_is_a_run_error_when_read(path: Path, ines: Character) -> None:
    decide(path, ines, 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError):
        records(path)


def test_a_field_that_was_damaged_is_a_run_error_when_read(path: Path, ines: Character) -> None:
    decide(path, ines)
    rows(path, "UPDATE decisions SET purposes = '{'")
    with pytest.raises(RunError):
        records(path)


def test_reading_what_is_not_there_creates_nothing(path: Path) -> None:
    with pytest.raises(RunError, match="no journal at"):
        Journal(path, read_only=True)
    assert not path.parent.exists()


def test_an_empty_file_is_no_finished_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(RunError, match="no finished journal"):
        Journal(path, read_only=True)


def test_reading_only_cannot_write(path: Path) -> None:
    Journal(path).close()
    with Journal(path, read_only=True) as journal, pytest.raises(RunError, match="cannot write"):
        journal.event("event", "a bell")


@pytest.mark.parametrize("place", ["file/journal.sqlite", "folder"])
def test_where_no_file_can_be_the_error_names_the_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="cannot write") as caught:
        Journal(tmp_path / place)
    assert "--run" in caught.value.remedy


def test_a_wrong_outcome_is_not_kept(path: Path, ines: Character) -> None:
    with Journal(path) as journal, MotiveEngine("scripted", recorder=journal) as engine:
        decision = engine.decide(ines, NOON)
        with pytest.raises(SituationError):
            decision.resolve({"status": "maybe"})
        decision.resolve({"status": "done"})
        with pytest.raises(SituationError):
            decision.resolve({"status": "failed"})
    assert records(path)[0]["outcome"]["status"] == "done"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_journal_of_the_first_schema_is_read_and_written(path: Path, read_only: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
    db.execute("INSERT INTO manifest VALUES ('name', '\"old\"')")
    db.commit()
    db.close()
    with Journal(path, read_only=read_only) as journal:
        assert journal.manifest() == {"name": "old"}
        assert list(journal.records()) == []
    version = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0]
    assert version == (1 if read_only else len(MIGRATIONS))
