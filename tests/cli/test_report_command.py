"""`daydream report`: what it writes where, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daydream_motives.cli import main

SMALL = {
    "name": "Kleine Brücke",
    "places": {"bridge": {"name": "The Bridge"}, "mill": {"name": "The Mill"}},
    "characters": {"ada": {"name": "Ada Marsh", "age": 40}, "bo": {"name": "Bo Lind", "age": 30}},
}


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SMALL))
    return file


@pytest.fixture
def lived(world: Path) -> Path:
    folder = world.parent / "lived"
    assert (
        run("simulate", world, "--ticks", 60, "--model", "scripted", "--run", folder).exit_code == 0
    )
    return folder


def test_the_page_lies_in_the_runs_folder(lived: Path) -> None:
    result = run("report", lived)
    assert result.exit_code == 0
    assert result.stdout == f"The report is in {lived / 'report.html'}\n"
    text = (lived / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Kleine Brücke" in text
    assert run("report", lived).exit_code == 0  # again, over the old one
    assert (lived / "report.html").read_text(encoding="utf-8") == text


def test_json_is_one_document_and_writes_no_page(lived: Path) -> None:
    result = run("report", lived, "--json")
    assert result.stdout.count("\n") == 1
    (one,) = json.loads(result.stdout)["runs"]
    assert one["run"] == "lived"
    assert one["complete"]
    assert set(one["figures"]) >= {"own_repetition", "distinct_2", "at_limit", "isolated"}
    assert not (lived / "report.html").exists()


def test_json_and_a_page_together(lived: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    result = run("report", lived, "--json", "-o", page)
    json.loads(result.stdout)
    assert page.exists()
    assert result.stderr == f"The report is in {page}\n"


def test_seeds_are_compared(world: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    assert run("simulate", world, "--ticks", 60, "--model", "scripted", "--seeds", "1..2",
               "--run", many).exit_code == 0  # fmt: skip
    data = json.loads(run("report", many, "--json").stdout)
    assert [one["facts"]["Seed"] for one in data["runs"]] == ["1", "2"]
    figure = next(c for c in data["comparison"] if c["key"] == "verb_variety")
    assert [cell[0] for cell in figure["cells"]] == ["seed-1", "seed-2"]
    assert run("report", many).exit_code == 0
    assert "2 runs compared" in (many / "report.html").read_text(encoding="utf-8")


def test_a_branch_says_where_it_came_from(lived: Path, tmp_path: Path) -> None:
    branch = tmp_path / "branch"
    assert run("simulate", "--branch", f"{lived}@48", "--ticks", 60, "--model", "scripted",
               "--run", branch).exit_code == 0  # fmt: skip
    facts = json.loads(run("report", branch, "--json").stdout)["runs"][0]["facts"]
    assert facts["Branched from"] == "lived at tick 48"


@pytest.mark.parametrize("name", ["page.sqlite", "page", "journal.jsonl"])
def test_nothing_but_a_page_is_written_over(lived: Path, name: str) -> None:
    target = lived / name
    target.write_text("precious")
    result = run("report", lived, "-o", target)
    assert result.exit_code == 6
    assert "ends in .html" in result.stderr
    assert target.read_text() == "precious"


def test_where_nothing_can_be_written(lived: Path) -> None:
    (lived / "taken").write_text("")
    result = run("report", lived, "-o", lived / "taken" / "page.html")
    assert result.exit_code == 6
    assert "cannot write" in result.stderr
    assert "-> choose another file with -o" in result.stderr


def test_a_world_is_no_run(world: Path) -> None:
    result = run("report", world)
    assert result.exit_code == 6
    assert "-> " in result.stderr


def test_a_run_has_to_be_named() -> None:
    assert run("report").exit_code == 2
