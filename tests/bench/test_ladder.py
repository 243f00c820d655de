"""The ladder of `bench engine`: its figures, its table, and what it does when a rung fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.bench import ladder as ladder_module
from daydream_motives.bench.figures import middle, peak_bytes, percentile, ratio, spread, table
from daydream_motives.bench.ladder import Ladder, Row, as_text, compared, row_of, summary
from daydream_motives.bench.rungs import KEYS, RUNGS, is_whole
from daydream_motives.bench.steps import Steps
from daydream_motives.bench.town import crowd, decisions, harbour_town
from daydream_motives.cli import main
from daydream_motives.errors import BackendError, SettingsError
from daydream_motives.motives.budget import rough_count

FLOATS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([3], 0.99, 3), ([4, 1, 3, 2], 0.5, 2), ([1, 2, 3], 0, 1), ([1, 2, 3], 1, 3),
     (range(1, 101), 0.99, 99), (range(1, 101), 0.95, 95), (range(1, 1001), 0.999, 999)],
)  # fmt: skip
def test_percentiles(values: Sequence[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize("share", [-0.1, 1.1, 50, float("nan")])
def test_a_percentile_of_no_share_is_refused(share: float) -> None:
    with pytest.raises(SettingsError, match="share"):
        percentile([1.0], share)


@given(st.lists(FLOATS, min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_percentiles_are_values_and_rise(values: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert min(values) <= percentile(values, low) <= percentile(values, high) <= max(values)
    assert percentile(values, low) in values
    within = sum(value <= percentile(values, low) for value in values) / len(values)
    assert within >= low - 1e-6


def test_spread_scales_and_names() -> None:
    assert spread([0.001, 0.002], 0.5, 0.999, scale=1000) == {"p50": 1, "p99.9": 2, "max": 2}
    assert spread([], 0.5) == {"p50": 0, "max": 0}


def test_middle() -> None:
    assert middle([1, 2, 9]) == {"mean": 4, "median": 2}
    assert middle([]) == {"mean": 0, "median": 0}


@pytest.mark.parametrize(
    ("of", "to", "expected"), [(3, 2, 1.5), (1, 0, None), (0, 1, None), (1, -1, None)]
)
def test_a_ratio_to_nothing_is_none(of: float, to: float, expected: float | None) -> None:
    assert ratio(of, to) == expected


def test_memory_of_this_process_and_of_none() -> None:
    own = peak_bytes()
    assert own is None or own > 1e7
    assert peak_bytes(2**22 + 1) is None


def test_a_table_lines_up() -> None:
    assert table([["a", "x"], ["long", "12"]]) == "a      x\nlong  12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(json.dumps(dict.fromkeys(KEYS, "to go")), True), ("", False), ("[]", False), ("{}", False),
     (json.dumps(dict.fromkeys(KEYS, " ")), False), (json.dumps(dict.fromkeys(KEYS, 1)), False),
     ('{"purpose_a": "cut o', False)],
)  # fmt: skip
def test_what_counts_as_a_whole_answer(text: str, expected: bool) -> None:
    assert is_whole(text) is expected


def one(latency: float, **changes: Any) -> dict[str, Any]:
    return {"tokens_in": 700, "tokens_cached": 500, "tokens_out": 75, "latency_s": latency,
            "work_s": 0.5, "whole": True, **changes}  # fmt: skip


def result(*found: dict[str, Any], **notes: Any) -> dict[str, Any]:
    return {"decisions": list(found), "notes": notes, "peak_bytes": 10**8}


def row(rung: str, rate: float, length: str = "fixed", **notes: Any) -> Row:
    found = [one((n + 1) / rate) for n in range(4)] if rate else []
    return row_of(rung, length, result(*found, **notes))


def test_a_row_of_a_rung() -> None:
    found = row_of("b", "fixed", result(one(1.0), one(2.0, tokens_cached=0, whole=False)))
    assert found.decisions_per_s == 1.0  # two decisions, the last one there after two seconds
    assert found.tokens_fresh == {"mean": 450, "median": 450}
    assert found.latency_ms == {"p50": 1000, "p95": 2000, "p99": 2000}
    assert found.work_ms["p50"] == 500
    assert found.whole == 0.5
    assert found.title == RUNGS["b"][0]


def test_ratios_are_to_rung_b_of_the_same_length() -> None:
    rows = compared([row("f", 6), row("b", 2), row("f", 3, "natural"), row("ceiling", 0)])
    assert [r.ratio for r in rows] == [pytest.approx(3), pytest.approx(1), None, None]


def test_the_summary_takes_what_was_measured() -> None:
    steps = {"tokens_per_s": 60.0, "full_tokens_per_s": 80.0}
    rows = [row("b", 2), row("c", 3), row("f", 12, steps=steps),
            row("ceiling", 0, tokens_per_s=100), row("f", 10, "natural"),
            row("naive", 1, "natural")]  # fmt: skip
    assert summary(rows) == pytest.approx(
        {"ours_to_schema": 6, "ours_to_server": 4, "share_of_ceiling": 0.8,
         "share_of_ceiling_all_steps": 0.6, "product_to_naive": 10}
    )  # fmt: skip
    assert set(summary([row("b", 2)]).values()) == {None}
    assert set(summary([]).values()) == {None}


ABOUT = {"processor": "P", "cores": 2, "threads": 2, "decisions": 4, "prompt_tokens_median": 700,
         "model": "m", "file": "m.gguf", "fixed_tokens": 75}  # fmt: skip


def test_the_table_shows_every_rung_and_why_one_is_missing() -> None:
    layouts = {"1 x 2 threads, one cache": 90.0, "2 x 1 threads": 100.0}
    rows = compared(
        [row("a", 3), row("b", 2, compiled="AVX2"),
         Row("c", RUNGS["c"][0], "fixed", error="xllamacpp is not installed"),
         row("ceiling", 0, tokens_per_s=100.0, batch=16, depth=700, layouts=layouts),
         row("f", 10, "natural")]
    )  # fmt: skip
    text = as_text(ABOUT, rows)
    assert "(c) was not measured: xllamacpp is not installed" in text
    assert "100 tok/s" in text
    assert "(b) compiled as: AVX2" in text
    assert "1 x 2 threads, one cache: 90 tokens/s" in text
    for line in ("(a)", "(b)", "(c)", "(f)", "ceiling"):
        assert any(row.startswith(line) for row in text.splitlines())
    widths = {len(line.split("  ")) for line in text.splitlines() if line.startswith("(a)")}
    assert widths
    assert "(f) makes" not in text  # nothing of the same length to compare with


def test_steps_tell_writing_from_reading() -> None:
    steps = Steps()
    for n in range(20):  # two threads, each a step of 8 tokens every 0.1 s
        for thread in (1, 2):
            steps.add(thread, n / 10, n / 10 + 0.08, 8, True)
    steps.add(1, 2.0, 9.0, 128, False)
    steps.add(1, 9.0, 9.1, 8, True)
    found = steps.figures()
    assert found["threads"] == 2
    assert found["full_batch"] == 8
    assert found["full_tokens_per_s"] == pytest.approx(160)
    assert found["tokens_per_s"] == pytest.approx(160)  # the seven seconds of reading are not in it
    assert found["reading_s"] == pytest.approx(7)


def test_steps_of_nothing() -> None:
    assert Steps().figures()["tokens_per_s"] == 0


def test_the_decisions_are_the_same_each_time() -> None:
    first, again = (decisions(5, rough_count) for _ in range(2))
    assert [r.context.as_json() for r in first] == [r.context.as_json() for r in again]
    assert [r.seed for r in first] == [r.seed for r in again]
    assert len({r.context.as_json() for r in first}) == 5


@pytest.mark.parametrize("count", [1, 24, 25, 26, 60])
def test_a_crowd_of_any_size_keeps_its_ties(count: int) -> None:
    town = harbour_town()
    made = crowd(town, count)
    assert len(made.sheets) == count
    assert all(id in made.relationships for id in made.sheets)
    if count == 60:
        again = {id for id in made.sheets if id.endswith("-2")}
        assert len(again) == len(town.sheets)
        for id in again:
            own = {other for other, _ in made.relationships.of(id)}
            was = {f"{other}-2" for other, _ in town.relationships.of(id.removesuffix("-2"))}
            assert own == was
    assert len(town.relationships) == len(harbour_town().relationships)  # left as it was


def test_a_rung_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no rung z"):
        list(made_ladder(monkeypatch, tmp_path).run(["f", "z"]))


def made_ladder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Ladder:
    """A ladder over a file that is no model: every rung has to fail."""
    file = folder / "broken.gguf"
    file.write_bytes(b"GGUF but not really")
    found = decisions(2, rough_count)
    monkeypatch.setattr(ladder_module, "_requests", lambda *_: (found, 700))
    return Ladder(str(file), count=2)


def test_a_rung_that_fails_says_why_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = list(made_ladder(monkeypatch, tmp_path).run(["a", "ceiling"], lengths=["fixed"]))
    assert [r.rung for r in rows] == ["a", "ceiling"]
    for found in rows:
        assert found.error
        assert "broken.gguf" in found.error
        assert found.decisions == 0
    assert "was not measured" in as_text(ABOUT, rows)


@pytest.mark.parametrize("model", ["scripted", "http://127.0.0.1:1/v1"])
def test_only_a_file_can_be_measured(model: str) -> None:
    with pytest.raises(BackendError, match="GGUF"):
        Ladder(model, count=2)


@pytest.mark.parametrize(
    "options", [["--decisions", "0"], ["--threads", "0"], ["--length", "short"], ["--tokens", "x"]]
)
def test_wrong_options_are_wrong_usage(options: list[str]) -> None:
    assert CliRunner().invoke(main, ["bench", "engine", *options]).exit_code == 2


def test_a_model_that_is_not_here_is_an_error_of_the_store() -> None:
    done = CliRunner().invoke(main, ["bench", "engine", "--rung", "a"])
    assert done.exit_code == 4
    assert "daydream models pull" in done.output


@pytest.mark.model
def test_every_rung_runs_on_the_real_model(real_model: str) -> None:
    ladder = Ladder(real_model, count=2, tokens=9)
    rows = {(r.rung, r.length): r for r in ladder.run(lengths=["fixed"])}
    assert set(rows) == {(rung, "fixed") for rung in RUNGS if rung != "naive"}
    for (rung, _), found in rows.items():
        assert not found.error, rung
        assert found.peak_bytes is None or found.peak_bytes > 5e7
        if rung != "ceiling":
            assert found.decisions == 2
            assert found.tokens_out == {"mean": 9, "median": 9}, rung
            assert 0 < found.work_ms["p50"] <= found.latency_ms["p99"] + 1
            assert 400 < found.tokens_fresh["mean"] + found.tokens_cached["mean"] < 1000
    layouts = rows["ceiling", "fixed"].notes["layouts"]
    assert rows["ceiling", "fixed"].notes["tokens_per_s"] == max(layouts.values())
    assert rows["f", "fixed"].notes["steps"]["tokens_per_s"] > 0
    assert as_text(ladder.about(), compared(list(rows.values())))
    assert replace(rows["a", "fixed"], ratio=1.0).ratio == 1.0
