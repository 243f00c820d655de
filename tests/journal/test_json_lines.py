"""The JSON Lines journal that games in any language write: hostile until it is checked."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daydream_motives.errors import RunError, SituationError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.records import as_sharegpt, check_record, read_jsonl

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "id": "b1c5",
    "character": "ines",
    "world_time": None,
    "context": dict.fromkeys(FIELDS, "some text"),
    "purposes": [{"rank": rank, "text": f"do {rank}"} for rank in (1, 2, 3)],
    "provenance": {"source": "model"},
    "chosen": None,
    "outcome": None,
    "wall_time": None,
}
TEXTS = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too: JSON can write them
SCALARS = st.none() | st.booleans() | st.integers(-2, 4) | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
PATHS = st.sampled_from(
    [(key,) for key in GOOD]
    + [("context", "Context"), ("purposes", 0), ("purposes", 1, "text"), ("purposes", 2, "rank")]
    + [("provenance", "source")]
)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    record = copy.deepcopy(GOOD)
    inner: Any = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return record


def checked(line: str) -> dict[str, Any] | None:
    """The record, or None where the check refuses it; any other error is a bug."""
    try:
        return check_record(line, "f: line 1")
    except SituationError as exc:
        refused = exc
    assert {problem.source for problem in refused.problems} == {"f: line 1"}
    str(refused).encode()
    return None


def test_a_good_record_is_returned_as_it_is() -> None:
    assert checked(json.dumps(GOOD)) == GOOD


@given(JSON)
def test_any_json_value_is_checked_without_another_error(value: Any) -> None:
    checked(json.dumps(value))


@given(st.text(max_size=30))
@example("\ufeff{}")
def test_any_text_is_checked_without_another_error(line: str) -> None:
    assert checked(line) is None


@pytest.mark.parametrize(
    ("text", "count"), [("[", 100_000), ('{"a":', 100_000), ("9", 5000), ('{"id": ', 2)]
)
def test_hostile_text_is_refused(text: str, count: int) -> None:
    try:
        refused = checked(text * count) is None
    except RecursionError as exc:
        refused = False
        reason = str(exc)
    assert refused, reason


@settings(max_examples=300)
@given(PATHS, JSON)
@example(("id",), "\ud800")
@example(("context", "Context"), "\ud800")
@example(("purposes", 1, "text"), "\ud800")
def test_what_passes_the_check_can_be_exported_for_training(
    path: tuple[Any, ...], value: Any
) -> None:
    if record := checked(json.dumps(changed(path, value))):
        json.dumps(as_sharegpt(record), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(((key,), None) for key in ("schema_version", "id", "character", "context", "purposes")),
        (("schema_version",), 2),
        (("schema_version",), "1"),
        (("schema_version",), [1]),
        (("id",), ""),
        (("character",), 7),
        (("context",), {"Context": "only this"}),
        (("context", "Background"), None),
        (("purposes",), []),
        (("purposes",), [{"rank": 1, "text": "only one"}]),
        (("purposes", 1), "do 2"),
        (("purposes", 1, "text"), None),
        (("purposes", 1, "rank"), 1),
        (("purposes", 1, "text"), ""),
        (("provenance",), None),
        (("provenance", "source"), "guess"),
        (("provenance", "source"), []),
        (("chosen",), 0),
        (("chosen",), 4),
        (("chosen",), "1"),
        (("chosen",), True),
        (("outcome",), {}),
        (("outcome",), {"status": "maybe"}),
        (("outcome",), {"status": ["done"]}),
        (("outcome",), {"status": "done", "grade": "well"}),
        (("outcome",), {"status": "done", "needs": [1]}),
        (("world_time",), 5),
        (("world_time",), "yesterday"),
        (("wall_time",), "noon"),
    ],
)
def test_wrong_fields_are_named(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(SituationError) as caught:
        check_record(json.dumps(changed(path, value)), "f: line 3")
    assert [p.path.split(".")[0].split("[")[0] for p in caught.value.problems] == [path[0]]
    assert "f: line 3" in str(caught.value)


@pytest.mark.parametrize("status", ["done", "failed", "interrupted", "overruled"])
@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_every_documented_outcome_is_accepted(status: str, chosen: int) -> None:
    outcome = {"status": status, "needs": {"food": 0.1}, "grade": None}
    line = json.dumps({**GOOD, "chosen": chosen, "outcome": outcome})
    assert check_record(line, "here")["outcome"] == outcome


def test_all_that_is_wrong_with_a_record_is_said_at_once() -> None:
    with pytest.raises(SituationError) as caught:
        check_record("{}", "here")
    paths = {p.path for p in caught.value.problems}
    assert paths == {"schema_version", "id", "character", "context", "purposes", "provenance"}


def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path) -> None:
    file = tmp_path / "game.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps({**GOOD, 'id': 5})}\n")
    reading = read_jsonl(file)
    assert next(reading) == GOOD
    with pytest.raises(SituationError, match=r"game\.jsonl: line 3: id: found 5; expected text"):
        next(reading)


@pytest.mark.parametrize("content", [None, b"\xff\xfe{}"])
def test_files_that_cannot_be_read_are_run_errors(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=r"x\.jsonl cannot be read"):
        list(read_jsonl(tmp_path / "x.jsonl"))


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("\n \n")
    assert list(read_jsonl(tmp_path / "x.jsonl")) == []


def test_the_documented_example_is_valid() -> None:
    text = (REPOSITORY / "sim_examples" / "JOURNAL.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    assert check_record(example, "example")["character"] == "karl"
