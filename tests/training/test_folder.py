"""What a stage leaves behind: whole or not there, and nothing of the user's is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from daydream_motives.errors import RunError
from daydream_motives.training import folder
from daydream_motives.training.folder import described, read_whole, write_whole

FILES = {"rows.jsonl": '{"a": 1}\n', "page.html": "<p>"}


def manifest(files: dict[str, str], stage: str = "harvest") -> dict[str, object]:
    return {"schema_version": 1, "stage": stage, "files": described(files)}


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path, FILES, manifest(FILES))
    assert read_whole(tmp_path, "harvest", 1)[1] == FILES
    fewer = {"rows.jsonl": ""}
    write_whole(tmp_path, fewer, manifest(fewer))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "rows.jsonl"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_user_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=f"{name} is in the way") as caught:
        write_whole(tmp_path, FILES, manifest(FILES))
    assert "-o" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_in_a_folder_of_its_own_a_stage_writes_over_what_it_left(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("so far")
    write_whole(tmp_path, FILES, manifest(FILES), ours=True)
    assert read_whole(tmp_path, "harvest", 1)[1] == FILES


def test_what_another_stage_wrote_stays(tmp_path: Path) -> None:
    write_whole(tmp_path, FILES, manifest(FILES))
    unnamed = {key: value for key, value in manifest(FILES).items() if key != "stage"}
    for other in (manifest(FILES, "curate"), unnamed):
        with pytest.raises(RunError, match="another stage wrote"):
            write_whole(tmp_path, FILES, other)
    assert read_whole(tmp_path, "harvest", 1)[1] == FILES


def test_a_dataset_is_not_curated_over_what_it_was_built_from(tmp_path: Path) -> None:
    unnamed = {"schema_version": 1, "files": described(FILES)}
    write_whole(tmp_path, FILES, unnamed)
    with pytest.raises(RunError, match=r"another stage wrote \(data build\)"):
        write_whole(tmp_path, FILES, manifest(FILES, "dataset"))
    assert read_whole(tmp_path, "dataset", 1)[1] == FILES


@pytest.mark.parametrize("last", [0, 1, 2])
def test_one_that_was_stopped_while_it_wrote_is_written_again(
    tmp_path: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, done = folder.write_atomic, []

    def stopped(path: Path, text: str) -> None:
        if len(done) == last:
            raise KeyboardInterrupt
        write(path, text)
        done.append(path)

    monkeypatch.setattr(folder, "write_atomic", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path, FILES, manifest(FILES))
    monkeypatch.undo()
    with pytest.raises(RunError, match="is not complete"):
        read_whole(tmp_path, "harvest", 1)
    write_whole(tmp_path, FILES, manifest(FILES))
    assert read_whole(tmp_path, "harvest", 1)[1] == FILES
    assert len(list(tmp_path.iterdir())) == len(FILES) + 1


@pytest.mark.parametrize("text", ["", "[]", '{"name": "their app"}', '{"files": {"../x": 1}}'])
def test_a_manifest_that_no_stage_wrote_is_not_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match="is damaged, or no stage wrote it") as caught:
        write_whole(tmp_path, FILES, manifest(FILES))
    assert "choose another folder" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_text() == text


def test_a_file_of_the_user_among_what_a_stage_wrote_stays(tmp_path: Path) -> None:
    fewer = {"rows.jsonl": ""}
    write_whole(tmp_path, fewer, manifest(fewer))
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(RunError, match=r"page\.html is in the way"):
        write_whole(tmp_path, FILES, manifest(FILES))
    assert (tmp_path / "page.html").read_text() == "mine"
    assert read_whole(tmp_path, "harvest", 1)[1] == fewer


def test_what_a_stage_left_half_written_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    write_whole(tmp_path, FILES, manifest(FILES))
    monkeypatch.setattr(folder, "end", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path, FILES, manifest(FILES))
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"another stage wrote \(harvest\)"):
        write_whole(tmp_path, FILES, manifest(FILES, "curate"))
    fewer = {"rows.jsonl": ""}  # what is no longer written does not stay
    write_whole(tmp_path, fewer, manifest(fewer))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "rows.jsonl"]
