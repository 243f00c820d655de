"""`python -m daydream_motives.training data`: what it says, writes, and ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scene_texts import SCENE, save, spoilt
from test_figures import letters

from daydream_motives.training.cli import main
from daydream_motives.training.dataset import card, similarity


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_check_says_that_all_is_well_and_what_is_there(tmp_path: Path) -> None:
    result = run("data", "check", save(tmp_path, SCENE))
    assert result.exit_code == 0, result.output
    assert "decisions: 3\nin contrast sets: 2 in 1 sets\nwith rejected: 1" in result.output
    assert result.output.endswith("0 problems in 1 file\n")


def test_check_lists_everything_and_ends_with_3(tmp_path: Path) -> None:
    bad = save(tmp_path, "id: [", "b.yaml")
    result = run("data", "check", save(tmp_path, spoilt("Oddny chains", "She chains")), bad)
    assert result.exit_code == 3
    told = [line for line in result.output.splitlines() if line.startswith(str(tmp_path))]
    assert len(told) == 2
    assert result.output.endswith("2 problems in 2 files\n")


def test_check_holds_a_file_against_the_rest_of_its_folder(tmp_path: Path) -> None:
    save(tmp_path, SCENE)
    result = run("data", "check", save(tmp_path, SCENE, "b01.yaml"))
    assert result.exit_code == 3
    assert f"the id of another scene ({tmp_path}/a01.yaml:1)" in result.output


def test_check_reads_records_too(tmp_path: Path) -> None:
    run("data", "build", save(tmp_path, SCENE), "-o", tmp_path / "out")
    built = tmp_path / "out" / "test.jsonl"
    assert run("data", "check", built).output == f"{built}: 3 records\n0 problems in 1 file\n"
    built.write_text(built.read_text().replace("Oddny chains", "Halldor chains"))
    result = run("data", "check", built)
    assert result.exit_code == 3
    assert f"{built}:1: " in result.output
    assert "names Halldor" in result.output


def test_check_shows_shortcuts(tmp_path: Path) -> None:
    result = run("data", "check", "--shortcut", save(tmp_path, SCENE))
    assert result.exit_code == 0, result.output
    assert "word overlap in contrast sets, names masked: " in result.output


def test_build_writes_nothing_of_what_is_wrong(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("data", "build", save(tmp_path, spoilt("Oddny chains", "She chains")), "-o", out)
    assert result.exit_code == 3
    assert "nothing was made of it" in result.output
    assert not out.exists()


def test_build_says_what_it_wrote_and_what_is_too_small(tmp_path: Path) -> None:
    result = run("data", "build", save(tmp_path, SCENE), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "pairs 3, train 0, validation 0, test 3" in result.output
    assert "test has 3 of the 250 pairs" in result.output
    assert (tmp_path / "out" / "manifest.json").exists()


def test_report_draws_a_page_that_needs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similarity, "minilm", lambda: letters)
    scene = spoilt("[frugal, proud]", "['<script>alert(1)</script>']")
    target = tmp_path / "page.html"
    result = run("data", "report", save(tmp_path, scene), "-o", target)
    assert result.exit_code == 0, result.output
    text = target.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "src=" not in text
    assert "url(" not in text
    assert text.count("<svg") == 5
    assert "The two most alike of other decisions" in text
    run("data", "report", save(tmp_path, scene), "-o", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_a_page_may_lack_what_the_scenes_lack(tmp_path: Path) -> None:
    start, end = SCENE.index("    rejected:"), SCENE.index("  - who: ketill")
    scene = save(tmp_path, SCENE[:start] + SCENE[end:])
    target = tmp_path / "page.html"
    result = run("data", "report", "--no-embeddings", scene, "-o", target)
    assert result.exit_code == 0, result.output
    assert "Similarities in meaning were left out" in target.read_text(encoding="utf-8")


def test_report_gives_plain_figures_without_a_model(tmp_path: Path) -> None:
    result = run("data", "report", "--json", "--no-embeddings", save(tmp_path, SCENE))
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert figures["similarity"] is None
    assert figures["splits"] == {"train": 0, "validation": 0, "test": 3}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["report", "-o", "page.txt"], 6, "no name for a page"),
        (["report", "--card", "--no-embeddings"], 6, "leave out --no-embeddings"),
        (["build", "missing.yaml"], 3, "cannot be read"),
        (["check", "missing.yaml"], 3, "cannot be read"),
        (["check", "missing.jsonl"], 3, "cannot be read"),
        (["harvest"], 2, "No such command"),
    ],
)
def test_what_cannot_be_is_told(args: list[str], code: int, said: str) -> None:
    result = run("data", *args)
    assert result.exit_code == code
    assert said in result.output


def test_the_card_is_filled_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "CARD.md"
    file.write_text("# Card\n<!-- counts -->\nold\n<!-- /counts -->\nkept\n<!-- measured -->\n"
                    "<!-- /measured -->\n")  # fmt: skip
    monkeypatch.setattr(similarity, "minilm", lambda: letters)
    monkeypatch.setattr(card, "default_card", lambda: file)
    args = ("data", "report", "--card", save(tmp_path, SCENE), "-o", tmp_path / "page.html")
    assert run(*args).exit_code == 0
    once = file.read_text(encoding="utf-8")
    assert "| pairs | 3 in 1 scenes with 2 people |" in once
    assert "old" not in once
    assert "kept" in once
    assert run(*args).exit_code == 0
    assert file.read_text(encoding="utf-8") == once


@pytest.mark.parametrize("text", ["# Card\n", "<!-- counts -->\n<!-- measured -->\n"])
def test_a_card_without_marks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "CARD.md"
    file.write_text(text)
    monkeypatch.setattr(similarity, "minilm", lambda: lambda texts: np.eye(len(texts)))
    monkeypatch.setattr(card, "default_card", lambda: file)
    result = run("data", "report", "--card", save(tmp_path, SCENE), "-o", tmp_path / "page.html")
    assert result.exit_code == 6
    assert "the card has no marks for counts" in result.output
    assert file.read_text() == text


def test_training_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daydream_motives.training", "data", "check"]
    done = subprocess.run(
        [*command, str(save(tmp_path, SCENE))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("0 problems in 1 file\n")
