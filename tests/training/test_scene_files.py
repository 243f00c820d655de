"""Reading files of scenes: what is broken is told with its line, and hides nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from scene_texts import SCENE, line_of, save, spoilt

from daydream_motives.training.dataset import nodes
from daydream_motives.training.dataset.book import read_book, scene_files
from daydream_motives.training.dataset.nodes import documents


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("id: a\nid: b\n", 2, "the key 'id' appears twice"),
        ("id: &x a\nworld: *x\n", 0, "alias"),
        ("id: a\nworld: !!python/name:os.system\n", 2, "tag"),
        ("id: a\n  bad: [1\n", 2, "broken YAML"),
        ("id: a\nwhen: 1:2: 3\n", 2, "broken YAML"),
        ("? [a]\n: b\n", 1, "a key that is no text"),
        ("a: " + "[" * 40 + "]" * 40, 1, "nested deeper"),
        ("id: \x01", 1, "broken YAML"),
    ],
)
def test_broken_yaml_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    found, problems = documents(save(tmp_path, text))
    assert found == []
    (problem,) = problems
    assert what in problem.what.replace("aliases", "alias")
    assert problem.line == line or not line


def test_a_thousand_million_laughs_are_refused(tmp_path: Path) -> None:
    rows = ["a0: &a0 [ha, ha]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    found, problems = documents(save(tmp_path, "\n".join(rows)))
    assert found == []
    assert "alias" in problems[0].what


def test_python_reads_it_too_where_there_is_no_libyaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    slow = type("Slow", (yaml.SafeLoader,), {"yaml_implicit_resolvers": nodes.SCALARS})
    quick = documents(save(tmp_path, SCENE))
    monkeypatch.setattr(nodes, "_Reader", slow)
    assert documents(save(tmp_path, SCENE)) == quick


def test_a_broken_scene_hides_no_other_of_its_file(tmp_path: Path) -> None:
    other = spoilt("id: sluice-at-lower-mill", "id: other")
    text = f"{SCENE}---\nid: [broken\n--- # the third\n{other}"
    book = read_book([save(tmp_path, text)])
    assert [scene.id for scene in book.scenes] == ["sluice-at-lower-mill", "other"]
    assert [f.line for f in book.findings] == [line_of(text, "--- # the third")]
    assert book.written[1].document.line == line_of(text, "id: other")


def test_a_broken_file_hides_no_other(tmp_path: Path) -> None:
    files = [save(tmp_path, "id: [", "a.yaml"), save(tmp_path, SCENE, "b.yaml")]
    files += [tmp_path / "missing.yaml", tmp_path]
    book = read_book(files)
    assert len(book.written) == 1
    assert [Path(f.file).name for f in book.findings] == ["a.yaml", "missing.yaml", tmp_path.name]


@pytest.mark.parametrize(
    ("raw", "what"),
    [(b"id: \xff", "not UTF-8"), (b"- 1\n- 2\n", "a document that is a list"),
     (b"just text", "a document that is a str")],
)  # fmt: skip
def test_what_is_no_scene_is_told(tmp_path: Path, raw: bytes, what: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(raw)
    (finding,) = read_book([file]).findings
    assert what in finding.what
    assert finding.line == 1


def test_an_empty_file_holds_nothing_and_is_no_error(tmp_path: Path) -> None:
    book = read_book([save(tmp_path, "# nothing yet\n---\n")])
    assert (book.written, book.findings) == ([], [])


def test_files_come_by_name_and_nothing_else_does(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "notes.txt"):
        save(tmp_path, SCENE, name)
    assert [file.name for file in scene_files(tmp_path)] == ["a.yaml", "b.yaml"]
    assert scene_files(tmp_path / "missing") == []


def test_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "a: no\nb: 07:30\nc: 1e3\nd: 0.5\ne: true\nf: ~\ng: 012\nh: '5'\n"
    (document,), _ = documents(save(tmp_path, text))
    assert list(document.data.values()) == ["no", "07:30", 1000.0, 0.5, True, None, 12, "5"]
    assert [document.line_of([key]) for key in "abz"] == [1, 2, 1]
