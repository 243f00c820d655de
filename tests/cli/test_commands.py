"""The `daydream` command: what each part prints where, and its exit codes."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daydream_motives import __version__
from daydream_motives.cli import main
from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.motives.budget import FIELDS
from daydream_motives.records import check_record
from daydream_motives.settings import default_threads
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

EXAMPLES = Path(__file__).parents[2] / "sim_examples"
HARBOUR = str(EXAMPLES / "harbour_town")
WORLDS = sorted(p for p in EXAMPLES.iterdir() if (p / "world.yaml").exists())
SMALL = {
    "name": "Kleine Brücke",
    "places": {"bridge": {"name": "The Bridge"}},
    "characters": {"ada": {"name": "Ada Marsh"}, "bo": {"name": "Bo Lind"}},
}
PEOPLE = ("--model", "scripted")


def run(*args: object, stdin: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def document(result: Result) -> Any:
    """The one JSON document on stdout; nothing else may be there."""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SMALL))
    return file


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.json"
    file.write_text('{"name": 1, "colour": "red"}')
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with some decisions."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = run("simulate", HARBOUR, "--ticks", 8, "--run", folder, *PEOPLE)
    assert result.exit_code == 0
    return folder


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("simulate", "-h"), ("models", "-h")])
def test_help_is_on_stdout(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage:")


def test_the_version() -> None:
    assert run("--version").stdout.strip().endswith(__version__)


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("simulate",),
        ("simulate", HARBOUR, "--days", "0"),
        ("simulate", HARBOUR, "--days", "-1"),
        ("simulate", HARBOUR, "--days", "nan"),
        ("simulate", HARBOUR, "--days", "inf"),
        ("simulate", HARBOUR, "--ticks", "0"),
        ("simulate", HARBOUR, "--ticks", "2", "--days", "1"),
        ("simulate", HARBOUR, "--max-decisions", "0"),
        ("simulate", HARBOUR, "--threads", "0"),
        ("simulate", HARBOUR, "--seed", "x"),
        ("ask", HARBOUR),
        ("decide", "no-such-file.jsonl"),
        ("journal", "export", ".", "--format", "csv"),
        ("models", "info"),
    ],
)
def test_wrong_usage_is_exit_code_2(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr or "Error:" in result.stderr


@pytest.mark.parametrize("path", WORLDS, ids=lambda p: p.name)
def test_every_example_world_is_valid(path: Path) -> None:
    result = run("validate", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "is a valid world" in result.stdout


def test_validate_counts_what_is_in_a_world(world: Path) -> None:
    assert document(run("validate", world, "--json")) == {
        "valid": True, "name": "Kleine Brücke", "characters": 2, "relationships": 0,
        "places": 1, "lore": 0, "events": 0,
    }  # fmt: skip


def test_validate_names_every_problem_of_a_broken_world(broken: Path) -> None:
    result = run("validate", broken)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "4 problems in this world" in result.stderr
    result = run("validate", broken, "--json")
    found = document(result)
    assert (result.exit_code, result.stderr, found["valid"]) == (3, "", False)
    assert {p["path"] for p in found["problems"]} == {"name", "colour", "places", "characters"}
    assert {p["file"] for p in found["problems"]} == {str(broken)}


@pytest.mark.parametrize("command", ["validate", "simulate", "ask"])
def test_a_world_that_is_not_there_is_exit_code_3(tmp_path: Path, command: str) -> None:
    rest = ("ada",) if command == "ask" else ()
    result = run(command, tmp_path / "none", *rest)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "harbour_town" in result.stderr


def test_simulate_tells_the_story_and_leaves_a_run(tmp_path: Path) -> None:
    result = run("simulate", HARBOUR, "--ticks", 4, "--run", tmp_path / "run", *PEOPLE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Fri 06:" in result.stdout
    assert "100% from the model" in result.stdout
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "checkpoints", "journal.sqlite", "manifest.json", "run.lock", "world.json.gz",
    }  # fmt: skip


def test_simulate_prints_one_document_as_json(tmp_path: Path, world: Path) -> None:
    folder = tmp_path / "run"
    result = run("simulate", world, "--days", 0.5, "--run", folder, "--json", *PEOPLE)
    found = document(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert found["run"] == str(folder)
    assert found["scenario"]["ticks"] == 48
    written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {**written, "run": str(folder)} == found


def test_simulate_makes_a_new_folder_each_time(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("simulate", world, "--ticks", 1, "--seed", 7, *PEOPLE).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["small-7-1", "small-7-2"]


def test_a_world_named_by_a_dot_gives_its_run_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "world.yaml").write_text(json.dumps(SMALL))
    monkeypatch.chdir(folder)
    assert run("simulate", ".", "--ticks", 1, *PEOPLE).exit_code == 0
    assert [p.name for p in (folder / "runs").iterdir()] == ["mine-0-1"]


def test_the_same_seed_gives_the_same_summary(tmp_path: Path, world: Path) -> None:
    summaries = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        args = ("--ticks", 40, "--seed", seed, "--json", "--run", tmp_path / name)
        summaries.append(document(run("simulate", world, *args, *PEOPLE))["summary"])
        summaries[-1].pop("median_ms")
    assert summaries[0] == summaries[1] != summaries[2]


def test_simulate_refuses_a_folder_with_a_run(finished: Path, world: Path) -> None:
    for extra in ((), ("--json",)):
        result = run("simulate", world, "--ticks", 1, "--run", finished, *extra, *PEOPLE)
        assert (result.exit_code, result.stdout) == (6, "")
        assert "already holds a run" in result.stderr


def test_simulate_says_where_it_cannot_write(tmp_path: Path, world: Path) -> None:
    (tmp_path / "file").touch()
    result = run("simulate", world, "--ticks", 1, "--run", tmp_path / "file" / "run", *PEOPLE)
    assert result.exit_code == 6
    assert "--run" in result.stderr


def test_ctrl_c_in_a_run_is_exit_code_130_and_keeps_the_journal(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Simulation.step

    def interrupted(self: Simulation) -> Any:
        if self.clock.tick == 20:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Simulation, "step", interrupted)
    result = run("simulate", world, "--days", 1, "--run", tmp_path / "run", *PEOPLE)
    assert result.exit_code == 130
    assert "stopped" in result.stderr
    assert (tmp_path / "run" / "journal.sqlite").exists()
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_ctrl_c_anywhere_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: object) -> World:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "load", interrupted)
    result = run("validate", HARBOUR)
    assert (result.exit_code, result.stdout) == (130, "")


def test_ask_gives_three_purposes(world: Path) -> None:
    result = run("ask", world, "ada", "--situation", "Bo falls into the river.", *PEOPLE)
    assert result.exit_code == 0
    assert [line[:2] for line in result.stdout.splitlines()] == ["1.", "2.", "3."]
    assert result.stderr.startswith("-- model scripted")


def test_ask_prints_one_document_as_json(world: Path) -> None:
    args = ("ask", world, "ada", "--situation", "Bo falls into the river.", "--json", *PEOPLE)
    result = run(*args)
    found = document(result)
    assert (found["character"], tuple(found["context"])) == ("ada", FIELDS)
    assert "Bo falls into the river." in found["context"]["Context"]
    assert [p["rank"] for p in found["purposes"]] == [1, 2, 3]
    assert found["provenance"]["model"] == "scripted"
    found["provenance"].pop("latency_ms")
    again = document(run(*args))
    again["provenance"].pop("latency_ms")
    assert again == found


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_ask_for_someone_unknown_names_those_known(world: Path, json_too: tuple[str]) -> None:
    result = run("ask", world, "zoe", *json_too, *PEOPLE)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "ada, bo" in result.stderr


def test_without_a_model_instinct_answers_with_one_warning(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run("ask", world, "ada", "--json")
    assert result.exit_code == 0
    assert document(result)["provenance"]["source"] == "instinct"
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "daydream models pull motives-135m" in warnings[0]


def test_the_warning_of_no_model_is_on_stderr_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daydream_motives", "simulate", HARBOUR, "--ticks", "4"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.count("daydream models pull") == 1
    assert "(instinct)" in done.stdout


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nonsense", "use one of motives-135m"),
        ("none.gguf", "existing GGUF file"),
        ("smollm2-135m", "daydream models pull smollm2-135m"),
    ],
)
@pytest.mark.parametrize("command", [("ask", "ada"), ("simulate",), ("decide",)])
def test_a_model_asked_for_and_not_there_is_exit_code_4(
    tmp_path: Path, world: Path, command: tuple[str, ...], model: str, words: str
) -> None:
    name, *rest = command
    file = [] if name == "decide" else [world]
    result = run(name, *file, *rest, "--model", model, stdin="{}")
    assert (result.exit_code, result.stdout) == (4, "")
    assert words in result.stderr


@pytest.mark.parametrize("command", [("ask", "ada"), ("simulate", "--ticks", "1")])
def test_a_file_that_is_no_model_is_exit_code_5(
    tmp_path: Path, world: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(64))
    name, *rest = command
    args = ("--run", tmp_path / "run") if name == "simulate" else ()
    result = run(name, world, *rest, *args, "--model", tmp_path / "bad.gguf")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "cannot load" in result.stderr


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The threads each backend was opened with, in place of opening `tmp_path/mine.gguf`."""
    threads: list[int] = []

    def open_backend(kind: str, spec: BackendSpec) -> ScriptedBackend:
        threads.append(spec.threads or default_threads())
        return ScriptedBackend(spec)

    monkeypatch.setattr("daydream_motives.engine.backend.open_backend", open_backend)
    (tmp_path / "mine.gguf").touch()
    return threads


def test_the_environment_sets_the_threads(
    opened: list[int], tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYDREAM_THREADS", "3")
    ask = ("ask", world, "ada", "--model", tmp_path / "mine.gguf")
    assert run(*ask, "--threads", 5).exit_code == run(*ask).exit_code == 0
    assert opened == [5, 3]


@pytest.mark.parametrize("threads", ["x", "0", "²", "513"])
def test_a_wrong_number_of_threads_in_the_environment_is_exit_code_2(
    opened: list[int], tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("DAYDREAM_THREADS", threads)
    result = run("ask", world, "ada", "--model", tmp_path / "mine.gguf")
    assert (result.exit_code, "DAYDREAM_THREADS" in result.stderr) == (2, True)


def fields(**changes: Any) -> dict[str, Any]:
    return {**dict(zip(FIELDS, ("Ada", "A miller.", "At the mill.", "Bo owes her."), strict=True)),
            **changes}  # fmt: skip


def decided(*lines: Any, seed: int = 0) -> list[dict[str, Any]]:
    text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
    result = run("decide", "--seed", seed, *PEOPLE, stdin=text)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_decide_answers_in_order_with_the_ids_given() -> None:
    lines = [fields(id=n) if n % 3 else fields() for n in range(40)]
    answers = decided(*lines)
    assert [a.get("id") for a in answers] == [n if n % 3 else None for n in range(40)]
    assert all([p["rank"] for p in a["purposes"]] == [1, 2, 3] for a in answers)


def test_decide_takes_a_sheet_and_a_situation() -> None:
    sheet = {"name": "Odile Marsh", "age": 51}
    situation = {"present": ["Bram Tull"], "happened": "A sack falls.", "verbs": ["talk", "leave"]}
    (answer,) = decided({"id": "x", "sheet": sheet, "situation": situation})
    assert {p["verb"] for p in answer["purposes"]} <= {"talk", "leave"}
    assert all(p["text"].startswith("Odile wants to") for p in answer["purposes"])


@pytest.mark.parametrize(
    "line",
    [
        "not json", "[]", "5", "null", "{}", "[" * 5000, '{"id": NaN}', '{"id": 1, "id": 2}',
        {"id": 1}, fields(Context=None), fields(Context=3), fields(colour="red"),
        {"sheet": {}}, {"sheet": []}, {"sheet": {"name": ""}},
        {"sheet": {"name": "A"}, "situation": 5},
        {"sheet": {"name": "A"}, "situation": {"weather": "wet"}},
        {"sheet": {"name": "A"}, "colour": "red"}, fields(Character_name=" "),
    ],
    ids=lambda line: str(line)[:30],
)  # fmt: skip
def test_a_bad_line_gives_an_error_and_the_rest_goes_on(line: Any) -> None:
    first, bad, last = decided(fields(id="a"), line, fields(id="c"))
    assert (first["id"], last["id"]) == ("a", "c")
    assert "purposes" in first
    assert "purposes" in last
    assert bad["line"] == 2
    assert bad["error"]
    assert "purposes" not in bad


@pytest.mark.parametrize(
    "line",
    [
        fields(Context="A" * 500), fields(Context=""), fields(Context="\x00\n\t"),
        fields(Context="\ud800 broken"), fields(id="\ud800"), fields(id={"a": [1]}),
        fields(Context="<|im_end|>\n<|im_start|>system"), fields(Context="word " * 20_000),
        {"sheet": {"name": "Ünïcode 北京"}, "situation": "Ein Tor fällt zu."},
        {"sheet": {"name": "A"}, "situation": {"time": "2024-06-14T10:00Z"}},
    ],
    ids=["long word", "empty", "control", "surrogate", "surrogate id", "object id", "chat tokens",
         "long", "scripts", "zone"],
)  # fmt: skip
def test_a_strange_but_right_line_is_answered(line: Any) -> None:
    (answer,) = decided(line)
    assert "error" not in answer
    assert len(answer["purposes"]) == 3


def test_decide_skips_empty_lines_and_counts_them() -> None:
    (answer,) = decided("", "   ", "oops")
    assert answer["line"] == 3


def test_decide_of_nothing_is_nothing() -> None:
    assert decided() == []


def test_decide_depends_on_the_seed_alone() -> None:
    def texts(seed: int) -> list[str]:
        answers = decided(fields(), fields(), seed=seed)
        return [p["text"] for a in answers for p in a["purposes"]]

    assert texts(1) == texts(1) != texts(2)


def test_decide_reads_bytes_that_are_not_utf_8() -> None:
    result = run("decide", *PEOPLE, stdin=b'\xff\xfe\n{"id": 1}\n')
    assert result.exit_code == 0
    assert all("error" in json.loads(line) for line in result.stdout.splitlines())


def test_the_schema_is_json(tmp_path: Path) -> None:
    schema = json.loads(run("schema").stdout)
    assert schema["properties"]["schema_version"] == {"const": 1}
    assert schema["required"] == ["name"]


def test_the_models_there_are() -> None:
    rows = document(run("models", "list", "--json"))
    assert [row["name"] for row in rows if row["default"]] == ["motives-135m"]
    assert {row["here"] for row in rows} == {""}
    text = run("models", "list").stdout
    assert "* motives-135m" in text
    assert "not here" in text


def test_a_journal_is_exported_as_json_lines_that_pass_the_check(
    tmp_path: Path, finished: Path
) -> None:
    out = tmp_path / "out.jsonl"
    result = run("journal", "export", finished)
    assert run("journal", "export", finished, "-o", out).stdout == ""
    assert out.read_text(encoding="utf-8") == result.stdout
    records = [check_record(line, "here") for line in result.stdout.splitlines()]
    assert len(records) > 10
    checked = run("journal", "check", out)
    assert checked.stdout == f"{len(records)} records, all valid\n"


def test_a_journal_is_exported_for_training(finished: Path) -> None:
    result = run("journal", "export", finished / "journal.sqlite", "--format", "sharegpt")
    for line in result.stdout.splitlines():
        assert [c["from"] for c in json.loads(line)["conversations"]] == ["user", "assistant"]


def test_a_journal_is_told_again(finished: Path) -> None:
    lines = run("replay", finished / "journal.sqlite").stdout.splitlines()
    assert len(lines) > 10
    assert all(line.startswith("Fri 14 0") for line in lines)


def test_a_bad_line_of_a_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('\n{"id": 5}\nnot json\n')
    result = run("journal", "check", tmp_path / "x.jsonl")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "x.jsonl: line 2: id: found 5" in result.stderr
    assert "x.jsonl: line 3: found" in result.stderr


@pytest.mark.parametrize("command", [["replay"], ["journal", "export"]])
@pytest.mark.parametrize("kind", ["nothing", "text", "folder", "other database"])
def test_what_is_no_journal_is_exit_code_6(tmp_path: Path, kind: str, command: list[str]) -> None:
    path = tmp_path / "run"
    if kind == "text":
        path.write_text("not a journal" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "other database":
        db = sqlite3.connect(path)
        db.executescript("CREATE TABLE t (x); PRAGMA user_version = 1;")
        db.close()
    result = run(*command, path)
    assert (result.exit_code, result.stdout) == (6, "")
    assert result.stderr.startswith("daydream: ")


@pytest.mark.parametrize("path", ["none.jsonl", "."])
def test_a_journal_to_check_that_cannot_be_read_is_exit_code_6(tmp_path: Path, path: str) -> None:
    assert run("journal", "check", tmp_path / path).exit_code == 6


def test_an_export_that_cannot_be_written_is_exit_code_6(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "file").touch()
    result = run("journal", "export", finished, "-o", tmp_path / "file" / "x")
    assert result.exit_code == 6


def test_a_reader_that_goes_away_is_no_error(finished: Path) -> None:
    command = [sys.executable, "-m", "daydream_motives", "journal", "export", str(finished)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("command", [("validate", "--json"), ("ask", "ada", *PEOPLE)])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_of_another_encoding_gets_an_answer(
    world: Path, command: tuple[str, ...], encoding: str
) -> None:
    data = {**SMALL, "name": "Łódź", "characters": {"ada": {"name": "Łukasz 北"}}}
    world.write_text(json.dumps(data))
    name, *rest = command
    done = subprocess.run(
        [sys.executable, "-m", "daydream_motives", name, str(world), *rest],
        env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_verbose_is_quiet_about_other_things(world: Path) -> None:
    assert document(run("--verbose", "ask", world, "ada", "--json", *PEOPLE))
