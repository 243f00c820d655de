"""What is built from scenes: the records, the preferences, the manifest, and what can go wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from scene_texts import SCENE, save, spoilt

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import RunError
from daydream_motives.training.dataset.book import read_book
from daydream_motives.training.dataset.build import products, write
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.rules import check
from daydream_motives.training.dataset.sharegpt import read_records
from daydream_motives.training.folder import MANIFEST


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    found, findings = check(read_book([save(tmp_path, SCENE)]))
    assert findings == []
    return found


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_written_is_read_back(tmp_path: Path, pairs: list[Pair]) -> None:
    write(pairs, tmp_path / "out")
    records, findings = read_records(tmp_path / "out" / "test.jsonl")
    assert findings == []
    assert [r.purposes for r in records] == [pair.record.purposes for pair in pairs]
    assert [r.fields for r in records] == [pair.context.fields for pair in pairs]


def test_ids_are_of_the_scene_and_the_decision_alone(tmp_path: Path, pairs: list[Pair]) -> None:
    before = [row["id"] for row in rows(products(pairs)["test.jsonl"])]
    other = spoilt("Oddny chains the wheel", "Oddny jams the wheel")
    after, _ = check(read_book([save(tmp_path, other)]))
    assert [row["id"] for row in rows(products(after)["test.jsonl"])] == before
    assert len(set(before)) == 3


def test_a_rejected_answer_stands_beside_the_right_one(pairs: list[Pair]) -> None:
    files = products(pairs)
    good, found = rows(files["test.jsonl"]), rows(files["preferences-test.jsonl"])
    assert [row["why"] for row in found] == ["generic", "invented_name"]
    assert {row["of"] for row in found} == {good[0]["id"]}
    for row in found:
        assert row["conversations"] == good[0]["conversations"][:1]
        assert row["chosen"] == good[0]["conversations"][1]
        assert json.loads(row["rejected"]["value"]) != json.loads(row["chosen"]["value"])
    assert len({row["id"] for row in (*found, *good)}) == 5


def test_contrast_sets_and_the_index_name_the_records(pairs: list[Pair]) -> None:
    files = products(pairs)
    ids = [row["id"] for row in rows(files["test.jsonl"])]
    (one,) = rows(files["contrast.jsonl"])
    assert (one["ids"], one["kind"]) == ([ids[0], ids[2]], "tie")
    index = rows(files["index.jsonl"])
    assert [row["id"] for row in index] == ids
    assert [row["decision"] for row in index] == ["oddny", "ketill", "oddny-trusting"]


def test_the_manifest_says_what_is_there(tmp_path: Path, pairs: list[Pair]) -> None:
    target = tmp_path / "out"
    manifest = write(pairs, target)
    assert json.loads((target / MANIFEST).read_text()) == manifest
    assert manifest["counts"] == {
        "scenes": 1, "pairs": 3, "train": 0, "validation": 0, "test": 3, "contrast_sets": 1,
        "preferences": 2,
    }  # fmt: skip
    on_disk = {file.name for file in target.iterdir()} - {MANIFEST}
    assert set(manifest["files"]) == on_disk
    for name, told in manifest["files"].items():
        data = (target / name).read_bytes()
        assert told["sha256"] == hashlib.sha256(data).hexdigest()
        assert (told["bytes"], told["records"]) == (len(data), data.count(b"\n"))
    source = hashlib.sha256((tmp_path / "a01.yaml").read_bytes()).hexdigest()
    assert manifest["sources"] == {"a01.yaml": source}


def test_the_same_scenes_give_the_same_bytes(tmp_path: Path, pairs: list[Pair]) -> None:
    again, _ = check(read_book([save(tmp_path, SCENE)]))
    assert products(again) == products(pairs)


def test_there_is_no_manifest_while_files_are_replaced(
    tmp_path: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    write(pairs, target)

    def full(path: Path, content: str) -> None:
        if path.name == ".unfinished":  # there is room for this much
            return write_atomic(path, content)
        assert not (target / MANIFEST).exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daydream_motives.training.folder.write_atomic", full)
    with pytest.raises(RunError, match="No space left"):
        write(pairs, target)
    assert not (target / MANIFEST).exists()


def test_a_folder_that_is_a_file_is_told(tmp_path: Path, pairs: list[Pair]) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write(pairs, tmp_path / "a01.yaml")
