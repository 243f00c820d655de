"""`daydream import` and `daydream export`: what is printed where, exit codes, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from invented import LIGHT, agent, smallville, troupe, write

from daydream_motives.cli import main
from daydream_motives.simulation.world import World


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_an_imported_world_validates_and_its_report_lies_beside_it(tmp_path: Path) -> None:
    source, out = smallville(tmp_path / "in"), tmp_path / "out"
    result = run("import", "smallville", "--source", source, "-o", out)
    assert result.exit_code == 0
    assert "3 people" in result.stdout
    assert "not understood" in result.stdout
    assert str(out / "import-report.json") in result.stdout
    report = json.loads((out / "import-report.json").read_text())
    assert report["counts"]["people"] == 3
    assert {"file", "path", "text", "why"} == report["not_understood"][0].keys()
    assert run("validate", out).exit_code == 0


def test_the_folder_is_named_after_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "old mill.json", LIGHT)
    assert run("import", "light", "--source", "old mill.json").exit_code == 0
    assert World.load(tmp_path / "worlds" / "old_mill").name == "Old Mill"


def test_json_is_one_document(tmp_path: Path) -> None:
    source = troupe(tmp_path / "in", agent("Ida Ross"))
    (source / "broken.json").write_text("{")
    result = run("import", "tinytroupe", "--source", source, "-o", tmp_path / "out", "--json")
    told = json.loads(result.stdout)
    assert told["counts"]["people"] == 1
    assert told["refused"][0]["file"] == "broken.json"
    assert "broken.json" in result.stderr
    assert result.exit_code == 0


def test_strict_writes_nothing_where_a_file_is_broken(tmp_path: Path) -> None:
    source = troupe(tmp_path / "in", agent("Ida Ross"))
    (source / "broken.json").write_text('{"a":\n}')
    out = tmp_path / "out"
    result = run("import", "tinytroupe", "--source", source, "-o", out, "--strict")
    assert result.exit_code == 3
    assert "broken.json: line 2" in result.stderr
    assert not out.exists()


def test_one_file_can_be_the_world(tmp_path: Path) -> None:
    file = write(tmp_path / "mill.json", LIGHT)
    assert run("import", "light", "--source", file, "-o", tmp_path / "w.json").exit_code == 0
    assert (tmp_path / "w.import-report.json").exists()
    assert run("validate", tmp_path / "w.json").exit_code == 0
    again = run("import", "light", "--source", file, "-o", tmp_path / "w.json")
    assert again.exit_code == 3
    assert "-o" in again.stderr


@pytest.mark.parametrize("form", ["smallville", "light", "tinytroupe", "node-link"])
@pytest.mark.parametrize("what", ["nothing", "empty folder", "text", "list", "binary"])
def test_bad_sources_exit_with_3_and_a_remedy(tmp_path: Path, form: str, what: str) -> None:
    source = tmp_path / "in.json"
    if what == "empty folder":
        source.mkdir()
    elif what != "nothing":
        source.write_bytes({"text": b"hello", "list": b"[]", "binary": b"\xff\x00"}[what])
    result = run("import", form, "--source", source, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "->" in result.stderr
    assert str(source) in result.stderr or source.name in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_folder_is_not_written_to(tmp_path: Path) -> None:
    file = write(tmp_path / "mill.json", LIGHT)
    result = run("import", "light", "--source", file, "-o", tmp_path)
    assert result.exit_code == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mill.json"]


def test_a_base_world_is_for_node_link_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "mill.json", LIGHT)
    result = run("import", "light", "--source", file, "--world", "x", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "--world" in result.stderr


def test_an_unknown_format_is_wrong_usage() -> None:
    assert run("import", "sims", "--source", "x").exit_code == 2


def test_out_and_in_again_is_the_same_world(tmp_path: Path) -> None:
    source = tmp_path / "mill"
    run("import", "light", "--source", write(tmp_path / "mill.json", LIGHT), "-o", source)
    out = tmp_path / "graph.json"
    assert run("export", source, out).exit_code == 0
    assert run("import", "node-link", "--source", out, "-o", tmp_path / "again").exit_code == 0
    assert World.load(tmp_path / "again").hash == World.load(source).hash


@pytest.mark.parametrize("form", ["graphml", "gexf"])
def test_what_a_graph_cannot_hold_is_said_on_stderr(tmp_path: Path, form: str) -> None:
    run("import", "light", "--source", write(tmp_path / "m.json", LIGHT), "-o", tmp_path / "w")
    result = run("export", tmp_path / "w", tmp_path / "out", "--format", form)
    assert result.exit_code == 0
    assert "extensions are written as JSON text" in result.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8").startswith("<")


@pytest.mark.parametrize("out", ["x.txt", "folder.json"])
def test_a_bad_output_exits_with_3(tmp_path: Path, out: str) -> None:
    run("import", "light", "--source", write(tmp_path / "m.json", LIGHT), "-o", tmp_path / "w")
    (tmp_path / "folder.json").mkdir()
    result = run("export", tmp_path / "w", tmp_path / out)
    assert result.exit_code == 3
    assert "->" in result.stderr


def test_export_of_nothing_exits_with_3(tmp_path: Path) -> None:
    assert run("export", tmp_path / "nothing", tmp_path / "x.gexf").exit_code == 3
