"""Records of any tool: read both ways of writing them, and told where one is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daydream_motives.training.dataset.sharegpt import read_records

FIELDS = {
    "Character_name": "Oddny Hallsdottir",
    "Character_description": "Oddny Hallsdottir is a 61-year-old miller.",
    "Context": "She is at the lower mill. With her: Ketill.",
    "Background": "Ketill is her grandchild.",
}
PURPOSES = {
    "purpose_a": "Oddny sends Ketill up to the weir.",
    "purpose_b": "Oddny chains the wheel, because nobody gave her leave.",
    "purpose_c": "Oddny walks down to warn the farms herself.",
}


def record(
    id: str = "1", question: object = FIELDS, answer: object = PURPOSES, **more: object
) -> dict[str, Any]:
    texts = [t if isinstance(t, str) else json.dumps(t) for t in (question, answer)]
    turns = [{"from": "user", "value": texts[0]}, {"from": "assistant", "value": texts[1]}]
    return {"id": id, "conversations": turns, **more}


def saved(folder: Path, *rows: object, name: str = "a.jsonl") -> Path:
    file = folder / name
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


def as_messages(one: dict[str, Any]) -> dict[str, Any]:
    turns = one.pop("conversations")
    return {**one, "messages": [{"role": t["from"], "content": t["value"]} for t in turns]}


def as_human(one: dict[str, Any]) -> dict[str, Any]:
    one["conversations"][0]["from"], one["conversations"][1]["from"] = "human", "gpt"
    return one


@pytest.mark.parametrize("shape", [dict, as_human, as_messages], ids=lambda f: f.__name__)
def test_a_good_record_is_read_whichever_way_it_is_written(tmp_path: Path, shape: Any) -> None:
    records, findings = read_records(saved(tmp_path, shape(record())))
    assert findings == []
    assert records[0].fields == FIELDS
    assert records[0].purposes == tuple(PURPOSES.values())


def test_an_array_over_many_lines_is_read_with_the_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps([record("1"), record("2")], indent=1), encoding="utf-8")
    records, findings = read_records(file)
    assert findings == []
    assert [r.id for r in records] == ["1", "2"]
    lines = file.read_text().splitlines()
    assert [lines[r.line - 1].strip() for r in records] == ["{", "{"]
    assert [lines[r.line].strip() for r in records] == ['"id": "1",', '"id": "2",']


A, B, C = PURPOSES.values()
BAD: list[tuple[str, object, str, str]] = [
    ("two purposes", record(answer={"purpose_a": A, "purpose_b": B}), "no purpose_c", "the answer"),
    ("a fourth", record(answer={**PURPOSES, "purpose_d": "x"}), "also purpose_d", "the answer"),
    ("an empty one", record(answer={**PURPOSES, "purpose_b": " "}), "empty", "purpose_b"),
    ("a list", record(answer={**PURPOSES, "purpose_b": [B]}), "found", "purpose_b"),
    ("twice the key", record(answer='{"purpose_a": "x", "purpose_a": "y"}'), "twice", "the answer"),
    ("plain text", record(answer="She goes home."), "broken JSON", "the answer"),
    ("an array", record(answer=[A, B, C]), "a list", "the answer"),
    ("no background", record(question={k: v for k, v in FIELDS.items() if k != "Background"}),
     "no Background", "the question"),
    ("no name", record(question={**FIELDS, "Character_name": ""}), "empty", "Character_name"),
    ("50 kB", record(question={**FIELDS, "Context": "x" * 50_000}), "bytes", "context"),
    ("a name", record(answer={**PURPOSES, "purpose_c": "Oddny runs to Halldor for help."}),
     "names Halldor", "purpose_c"),
    ("alike", record(answer={**PURPOSES, "purpose_c": B}), "too like purpose 2", "purpose_c"),
    ("lines", record(answer={**PURPOSES, "purpose_a": "Oddny sends\nKetill."}), "a line break",
     "purpose_a"),
    ("endless", record(answer={**PURPOSES, "purpose_a": "Oddny " + "x " * 60}), "61 words",
     "purpose_a"),
    ("roles turned", {"id": "1", "conversations": record()["conversations"][::-1]}, "the roles",
     "conversations"),
    ("a system turn", {"id": "1", "conversations": [{"from": "system", "value": "x"},
                                                    *record()["conversations"]]}, "the roles", ""),
    ("a tool's turn", {"id": "1", "messages": [{"role": "tool", "content": "x"}] * 2}, "the roles",
     "messages"),
    ("one turn", {"id": "1", "conversations": record()["conversations"][:1]}, "the roles", ""),
    ("text for turns", {"id": "1", "conversations": "x"}, "found 'x'", "conversations"),
    ("no turns", {"id": "1"}, "neither", ""),
    ("both", record(messages=[]), "both", ""),
    ("no text", {"id": "1", "conversations": [{"from": "user"}, {"from": "gpt"}]}, "without text",
     ""),
    ("no id", {k: v for k, v in record().items() if k != "id"}, "found None", "id"),
    ("a number for id", {**record(), "id": 7}, "found 7", "id"),
    ("a number", 7, "a record that is a int", ""),
    ("half JSON", '{"id": "1", "conv', "broken JSON", ""),
    ("half a character", '{"id": "\\ud800"}', "broken JSON", ""),
    ("not a number", '{"id": NaN}', "broken JSON", ""),
    ("deep", "[" * 5000, "broken JSON", ""),
]  # fmt: skip


@pytest.mark.parametrize(("row", "what", "where"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_wrong_record_is_told_and_the_others_are_read(
    tmp_path: Path, row: object, what: str, where: str
) -> None:
    file = saved(tmp_path, record("first"), row, record("last"))
    records, findings = read_records(file)
    assert [r.id for r in records if r.id != "1"] == ["first", "last"]
    assert [f.line for f in findings] == [2]
    assert what in findings[0].what
    assert where in findings[0].where
    assert findings[0].remedy


def test_an_id_twice_is_told_in_whichever_file(tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    one = saved(tmp_path, record("1"), record("1"))
    two = saved(tmp_path, record("1"), name="b.jsonl")
    findings = [f for file in (one, two) for f in read_records(file, seen)[1]]
    assert [(Path(f.file).name, f.line) for f in findings] == [("a.jsonl", 2), ("b.jsonl", 1)]
    assert all(f"{one}:1" in f.what for f in findings)


@pytest.mark.parametrize(
    ("text", "line", "kept"),
    [("[\n{}, {", 2, 0), ('[\n{"id"', 2, 0), (f"[{json.dumps(record())}\n{{}}]", 1, 1),
     (f"[{json.dumps(record())},\n nonsense]", 2, 1)],
)  # fmt: skip
def test_a_broken_array_is_told_where_it_breaks(
    tmp_path: Path, text: str, line: int, kept: int
) -> None:
    records, findings = read_records(saved(tmp_path, text))
    assert len(records) == kept
    assert findings[-1].line == line
    assert "broken JSON" in findings[-1].what


@pytest.mark.parametrize(("raw", "what"), [(b'{"id": "\xff"}', "not UTF-8"), (None, "cannot be")])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, raw: bytes | None, what: str) -> None:
    file = tmp_path / "a.jsonl"
    if raw is not None:
        file.write_bytes(raw)
    records, findings = read_records(file)
    assert records == []
    assert what in findings[0].what


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    assert read_records(saved(tmp_path, "", "  ")) == ([], [])
