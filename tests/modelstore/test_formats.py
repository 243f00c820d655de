"""Comparing formats: what is measured of each file, and which one is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tiny import catalogue, entry_data, write_gguf

from daydream_motives.cli import main
from daydream_motives.errors import BackendError, StoreError
from daydream_motives.modelstore import quantise
from daydream_motives.modelstore.catalogue import Catalogue, Limits
from daydream_motives.modelstore.quantise import Measured, choose, judged, requantise, stored
from daydream_motives.modelstore.speed import BATCHES, speeds

LIMITS = Limits(max_kl=0.03, min_top1=0.92)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("tiny") / "shipped.gguf")


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store's folder in which the model `tiny` was pulled, with two formats to compare."""
    folder = tmp_path / "home" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "shipped.gguf").write_bytes(data := model.read_bytes())
    row = Measured("as shipped", len(data), 16, 0, 1, verdict="chosen").as_data()
    manifest = {"file": "shipped.gguf", "size": len(data), "sha256": "", "measured": [row]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    wheel = {"package": "x", "version": "1", "member": "x", "size": 1, "sha256": "0" * 64}
    entry = entry_data(data, wheels=[wheel], formats=["Q8_0"], compared=["Q4_0/F16"])
    found = catalogue(tiny=entry)
    monkeypatch.setattr(Catalogue, "load", classmethod(lambda cls: found))
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # threads that wait for each other are slow
    return folder


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["models", "formats", *args])
    return result.exit_code, result.stdout, result.stderr


def row(
    kl: float, top1: float, read: float, write: float, *, timed: bool = True, size: int = 1
) -> Measured:
    decode = {str(batch): write for batch in BATCHES} if timed else {}
    return Measured("Q", size, 1.0, kl, top1, prefill=read if timed else 0, decode=decode)


# The choice

SHIPPED = row(0, 1, 300, 200)


def test_a_decision_is_what_it_reads_and_writes_beside_fifteen_others() -> None:
    one = Measured("Q", 1, 1.0, 0, 1, prefill=220, decode={"1": 1, "8": 2, "16": 75, "32": 3})
    assert one.seconds == 2
    assert row(0, 1, 1, 1, timed=False).seconds == math.inf


@pytest.mark.parametrize(
    ("other", "verdicts"),
    [
        (row(0.01, 0.95, 600, 300), ["slower", "chosen"]),
        (row(0.01, 0.95, 600, 20), ["chosen", "slower"]),
        (row(0.01, 0.95, 310, 205, size=2), ["chosen", "larger"]),
        (row(0.01, 0.95, 290, 195, size=0), ["larger", "chosen"]),
        (row(0.01, 0.95, 200, 130, size=0), ["chosen", "slower"]),
        (row(0.031, 0.95, 600, 300), ["chosen", "too far from the original"]),
        (row(0.01, 0.91, 600, 300), ["chosen", "too far from the original"]),
        (row(0.5, 0.5, 9, 9, timed=False), ["chosen", "too far from the original"]),
    ],
)
def test_the_fastest_within_the_limits_is_chosen_and_of_equals_the_smallest(
    other: Measured, verdicts: list[str]
) -> None:
    assert [one.verdict for one in judged([SHIPPED, other], LIMITS)] == verdicts


rows = st.builds(
    row, st.floats(0, 0.06), st.floats(0.85, 1), st.floats(1, 999), st.floats(1, 999)
)  # fmt: skip


@given(st.lists(rows, max_size=6))
def test_one_is_chosen_and_none_that_is_clearly_faster_was_near_enough(
    others: list[Measured],
) -> None:
    table = judged([SHIPPED, *others], LIMITS)
    (best,) = [one for one in table if one.verdict == "chosen"]
    near = [one for one in table if one.kl <= 0.03 and one.top1 >= 0.92]
    assert best.seconds <= min(one.seconds for one in near) / 0.9
    assert {one.verdict for one in table if one not in near} <= {"too far from the original"}


@pytest.mark.parametrize(("fast", "kept"), [("Q8_0", "q8_0.gguf"), ("none", "shipped.gguf")])
def test_only_the_shipped_file_and_the_chosen_one_are_left(
    here: Path, monkeypatch: pytest.MonkeyPatch, fast: str, kept: str
) -> None:
    """Which of the tiny files is fastest is chance: here the clock says so."""
    measured: list[str] = []

    def timed(program: str, path: Path, out: Path) -> None:
        if program == "measure":
            real(program, path, out)
        else:
            measured.append(path.name)
            quick = path.name.startswith(fast.lower())
            speed = 9.0 if quick else 2.0 if path.name == "shipped.gguf" else 1.0
            out.write_text(json.dumps({"prefill": speed, "decode": {"16": speed}}))

    real = quantise._run
    monkeypatch.setattr(quantise, "_run", timed)
    loose = Limits(max_kl=1, min_top1=0.5)
    best, table = choose(here / "shipped.gguf", ["BF16", "Q8_0"], loose, say=lambda _: None)
    assert best.name == kept
    assert {p.name for p in here.iterdir()} == {"manifest.json", "shipped.gguf", kept}
    assert [one.format for one in table] == ["as shipped", "BF16", "Q8_0"]
    assert measured == ["shipped.gguf", "bf16.gguf", "q8_0.gguf"]


def test_what_is_too_far_is_not_timed(here: Path) -> None:
    tight = Limits(max_kl=0, min_top1=1)
    _, table = choose(here / "shipped.gguf", ["Q4_0"], tight, say=lambda _: None)
    assert [bool(one.decode) for one in table] == [True, False]
    assert table[1].verdict == "too far from the original"


# What is measured


def test_speeds_are_of_all_batches_and_in_tokens_a_second(model: Path) -> None:
    found = speeds(model, threads=1)
    assert found["prefill"] > 0
    assert list(found["decode"]) == [str(batch) for batch in BATCHES]
    assert min(found["decode"].values()) > 0


def test_the_speed_of_what_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(BackendError, match="cannot load"):
        speeds(tmp_path / "bad.gguf", threads=1)


@pytest.mark.parametrize("format", ["Q8_0", "Q8_0/Q4_0", "F16/Q8_0", "IQ4_NL/F16"])
def test_the_head_is_stored_as_asked(model: Path, tmp_path: Path, format: str) -> None:
    body, _, head = format.partition("/")
    requantise(model, tmp_path / "other.gguf", format)
    assert stored(tmp_path / "other.gguf") == f"{body} + {head or body} head"


@pytest.mark.parametrize("format", ["Q9", "", "Q8_0/Q9", "q8_0", "../Q8_0"])
def test_a_format_that_is_none_is_refused(model: Path, tmp_path: Path, format: str) -> None:
    with pytest.raises(StoreError, match="knows no format") as caught:
        requantise(model, tmp_path / "other.gguf", format)
    assert "Q4_0/Q8_0" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


# The command


def test_formats_prints_a_table_and_changes_nothing(here: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in here.iterdir()}
    code, out, err = run("tiny")
    assert code == 0
    lines = out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| as shipped", "| Q8_0", "| Q4_0/F16"]
    assert len({line.count("|") for line in lines}) == 1
    assert "writing and measuring Q8_0" in err
    assert {p.name: p.stat().st_mtime_ns for p in here.iterdir()} == before
    assert [p.name for p in here.parent.iterdir()] == ["tiny"]


def test_formats_as_json_times_all_of_those_asked_for(here: Path) -> None:
    code, out, _ = run("--format", "Q4_0", "--json")
    found: list[dict[str, Any]] = json.loads(out)
    assert (code, [one["format"] for one in found]) == (0, ["as shipped", "Q4_0"])
    assert all(one["decode"]["32"] > 0 and one["seconds"] > 0 for one in found)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("tiny", "--format", "Q9"), "knows no format 'Q9'"),
        (("nonsense",), "use one of tiny"),
    ],
)
def test_wrong_words_are_refused(here: Path, args: tuple[str, ...], words: str) -> None:
    code, out, err = run(*args)
    assert (code, out) == (4, "")
    assert words in err


def test_a_model_that_is_not_here_cannot_be_compared(here: Path) -> None:
    (here / "manifest.json").unlink()
    code, _, err = run("tiny")
    assert code == 4
    assert "daydream models pull tiny" in err
