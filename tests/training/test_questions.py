"""Questions of a dataset, of ShareGPT records and of characters with candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from judged import BREAD, NETS, choice, record, save_rows, three
from scene_texts import SCENE, save

from daydream_motives.errors import RunError
from daydream_motives.training.cli import main
from daydream_motives.training.judging.questions import of_dataset, of_file

LIGHT = Path(__file__).parents[3] / "shared" / "inputs" / "light" / "missions.jsonl"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    done = CliRunner().invoke(
        main, ["data", "build", str(save(tmp_path, SCENE)), "-o", str(tmp_path / "set")]
    )
    assert done.exit_code == 0, done.output
    return tmp_path / "set"


def test_a_dataset_tells_scenes_worlds_and_contrast_sets(dataset: Path) -> None:
    found = of_dataset(dataset)
    assert len(found.items) == 3
    assert {(q.scene, q.world) for q in found.items} == {("sluice-at-lower-mill", "village")}
    assert found.items[0].gold[0].startswith("Oddny sends Ketill")
    assert found.sets == ((0, 2),)
    assert found.summary["scenes"] == 1


@pytest.mark.parametrize(
    ("part", "said"), [("train", "nothing in train"), ("tests", "no part 'tests'")]
)
def test_a_part_that_is_not_there_is_told(dataset: Path, part: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        of_dataset(dataset, part)


@pytest.mark.parametrize("name", ["manifest.json", "test.jsonl", "index.jsonl"])
def test_a_dataset_that_is_not_whole_is_refused(dataset: Path, name: str) -> None:
    (dataset / name).unlink()
    with pytest.raises(RunError):
        of_dataset(dataset)


def test_records_are_scenes_of_their_own(tmp_path: Path) -> None:
    path = save_rows(tmp_path / "q.jsonl", record("a", BREAD), record("b", NETS, "Bo"))
    found, findings = of_file(path)
    assert [(q.id, q.scene, q.gold) for q in found.items] == [("a", "a", BREAD), ("b", "b", NETS)]
    assert findings == []


def test_broken_mixed_and_repeated_records_are_left_out_and_told(tmp_path: Path) -> None:
    path = save_rows(
        tmp_path / "q.jsonl", record("a", BREAD), "{broken", choice(), record("a", NETS),
        {"id": "x"}, record("b", NETS, "Bo"),
    )  # fmt: skip
    found, findings = of_file(path)
    assert [(q.id, q.gold) for q in found.items] == [("a", BREAD), ("b", NETS)]
    # Ada's nets are Bo's: the text itself is a finding, too.
    assert {finding.line for finding in findings} == {2, 3, 4, 5}


def test_characters_with_candidates_are_asked_like_any_other(tmp_path: Path) -> None:
    found, findings = of_file(save_rows(tmp_path / "m.jsonl", choice()))
    (one,) = found.items
    assert findings == []
    assert dict(one.fields) == {
        "Character_name": "Ada", "Character_description": "Ada is tall. I bake.",
        "Context": "Bakery: it is warm. With them: Bo and Cy.", "Background": "",
    }  # fmt: skip
    assert (one.gold, one.right, one.world) == (("To bake bread.",), 1, "isle")
    assert one.candidates[one.right] == one.gold[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gold": 2}, "gold is 2"),
        ({"gold": True}, "gold is True"),
        ({"gold": -1}, "gold is -1"),
        ({"candidates": ["one"]}, "candidates is"),
        ({"candidates": ["same", "same"]}, "candidates is"),
        ({"candidates": ["a", ""]}, "candidates is"),
        ({"candidates": "ab"}, "candidates is"),
        ({"gold_text": "To fly."}, "another text than"),
        ({"name": " "}, "name is ' '"),
        ({"name": None}, "name is None"),
        ({"id": 7}, "id is 7"),
        ({"persona": []}, "persona is"),
        ({"others_present": "Bo"}, "others_present is"),
        ({"description": "long " * 4000}, "bytes"),
        ({"name": "A" * 500}, "name"),
    ],
)
def test_what_is_wrong_with_a_choice_is_told(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = save_rows(tmp_path / "m.jsonl", choice(id="good"), choice(**changes))
    found, findings = of_file(path)
    assert [q.id for q in found.items] == ["good"]
    assert any(said in str(finding) for finding in findings), findings
    assert {finding.line for finding in findings} == {2}


def test_the_same_choice_twice_is_told(tmp_path: Path) -> None:
    found, findings = of_file(save_rows(tmp_path / "m.jsonl", choice(), choice(), [1]))
    assert len(found.items) == 1
    assert ["id of another" in str(f) for f in findings] == [True, False]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[[[", b"{}\n{}\n"])
def test_a_file_without_questions_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    assert of_file(path)[0].items == ()
    assert of_file(tmp_path / "missing.jsonl")[0].items == ()


def test_some_are_whole_scenes_and_always_the_same() -> None:
    questions = three()
    for most, sizes in ((1, {1, 2}), (3, {3}), (99, {3})):
        found = questions.some(most)
        assert len(found.items) in sizes
        scenes = {q.scene for q in found.items}
        assert [q for q in questions.items if q.scene in scenes] == list(found.items)
        assert found.sets == (((0, 1),) if "quay" in scenes else ())
        assert questions.some(most).sha256 == found.sha256


def test_the_hash_is_of_what_is_asked() -> None:
    questions = three()
    again = type(questions)("another file", questions.items)
    changed = type(questions)("by hand", questions.items[:2])
    assert questions.sha256 == again.sha256 != changed.sha256


@pytest.mark.skipif(not LIGHT.exists(), reason="the real input files are not here")
def test_the_missions_of_light_can_all_be_asked() -> None:
    found, findings = of_file(LIGHT)
    assert (len(found.items), findings) == (375, [])
    assert json.loads(LIGHT.read_text().split("\n")[0])["gold_text"] == found.items[0].gold[0]
