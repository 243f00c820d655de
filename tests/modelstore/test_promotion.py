"""Which model is the default: promoted in one step, and taken back."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from exports import export, put

from daydream_motives.cli import main
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.following import Follower, following
from daydream_motives.errors import ModelCorrupt, ModelMissing, StoreError
from daydream_motives.modelstore import promotion
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.promotion import promote, promoted, read_state, rollback
from daydream_motives.modelstore.store import ModelStore


def test_a_promoted_model_is_the_default(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    store = ModelStore()
    kind, spec = store.spec()
    assert (kind, spec.model) == ("llama", "tuned-a")
    assert (spec.temperature, spec.style.instructions) == (0.3, "")
    assert spec.model_hash == sha256_of(tmp_path / "a" / "q8_0.gguf")
    assert (store.folder / "tuned-a" / "README.md").read_text() == "# Card\n"
    assert store.verify("tuned-a").manifest["format"] == "Q8_0"


def test_the_users_own_default_stays_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", "tuned-a")
    monkeypatch.setenv("DAYDREAM_MODEL", "scripted")
    assert ModelStore().spec()[0] == "scripted"


def test_a_rollback_goes_back_one_by_one(tmp_path: Path) -> None:
    models = ModelStore().folder
    put(tmp_path / "a", "tuned-a", 1)
    put(tmp_path / "b", "tuned-b", 2)
    assert rollback(models, why="it rhymes") == ("tuned-b", "tuned-a")
    assert ModelStore().spec()[1].model == "tuned-a"
    assert rollback(models) == ("tuned-a", None)
    assert ModelStore().default() == ModelStore().catalogue.default
    with pytest.raises(StoreError, match="nothing was promoted"):
        rollback(models)
    log = [(one["what"], one["from"], one["to"], one["why"]) for one in read_state(models).log]
    assert log == [
        ("promote", None, "tuned-a", "better"), ("promote", "tuned-a", "tuned-b", "better"),
        ("rollback", "tuned-b", "tuned-a", "it rhymes"), ("rollback", "tuned-a", None, ""),
    ]  # fmt: skip
    assert {p.name for p in models.iterdir() if p.is_dir()} == {"tuned-a", "tuned-b"}


def test_what_was_rolled_back_can_be_promoted_again(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    rollback(ModelStore().folder)
    put(tmp_path / "a", "tuned-a")
    assert ModelStore().default() == "tuned-a"


def test_promoting_twice_is_promoting_once(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    before = read_state(ModelStore().folder)
    put(tmp_path / "a", "tuned-a", expected=None)
    assert read_state(ModelStore().folder) == before


def test_a_decision_against_another_incumbent_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    with pytest.raises(StoreError, match="judged against the catalogue's default"):
        put(tmp_path / "b", "tuned-b", 2, expected=None)
    assert ModelStore().default() == "tuned-a"
    assert not (ModelStore().folder / "tuned-b").exists()


def test_a_name_is_not_taken_twice(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    with pytest.raises(StoreError, match="another model called"):
        put(tmp_path / "b", "tuned-a", 2)
    assert ModelStore().verify("tuned-a")


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a\\b", "a b", "é", "a" * 99, "a.", "\0"])
def test_a_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be a model's name"):
        put(tmp_path / "a", name)


def test_a_file_that_changed_since_its_export_is_refused(tmp_path: Path) -> None:
    manifest = export(tmp_path / "a")
    (tmp_path / "a" / "q8_0.gguf").write_bytes(b"GGUF")
    models = ModelStore().folder
    with pytest.raises(ModelCorrupt, match="not as it was exported"):
        promote(models, tmp_path / "a", manifest, name="a", title="", licence="", why="", card="",
                expected=None)  # fmt: skip
    assert [p.name for p in models.iterdir() if p.is_dir()] == []
    assert promoted(models) is None


@pytest.mark.parametrize("when", ["copy", "state"])
def test_an_end_in_the_middle_leaves_the_old_default(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", "tuned-a")

    def end(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if when == "copy":
            patch.setattr(promotion.shutil, "copyfile", end)
        else:
            patch.setattr(promotion, "_write", end)
        with pytest.raises(StoreError, match="No space left"):
            put(tmp_path / "b", "tuned-b", 2)
    assert ModelStore().spec()[1].model == "tuned-a"
    put(tmp_path / "b", "tuned-b", 2)
    assert ModelStore().spec()[1].model == "tuned-b"


def test_a_rollback_to_a_model_that_is_gone_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    put(tmp_path / "b", "tuned-b", 2)
    shutil.rmtree(ModelStore().folder / "tuned-a")
    with pytest.raises(StoreError, match="no longer among"):
        rollback(ModelStore().folder)
    assert ModelStore().default() == "tuned-b"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema_version": 9, "current": null, "before": [], "log": []}',
     '{"schema_version": 1, "current": "../x", "before": [], "log": []}',
     '{"schema_version": 1, "current": 3, "before": [], "log": []}',
     '{"schema_version": 1, "current": "a", "before": "b!", "log": []}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_state_says_what_to_do(text: str) -> None:
    models = ModelStore().folder
    models.mkdir(parents=True)
    (models / "default.json").write_text(text)
    with pytest.raises(ModelCorrupt, match="delete it") as caught:
        ModelStore().spec()
    assert "default.json" in str(caught.value)


def test_a_default_that_was_deleted_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    (ModelStore().folder / "tuned-a" / "manifest.json").unlink()
    with pytest.raises(StoreError):
        ModelStore().spec()
    with pytest.raises(ModelMissing, match="rollback"):
        ModelStore().installed("tuned-a")


def test_the_command_line_lists_what_was_promoted(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a")
    rows = json.loads(CliRunner().invoke(main, ["models", "list", "--json"]).output)
    assert [row["name"] for row in rows if row["default"]] == ["tuned-a"]
    assert rows[-1]["title"] == "Tiny, tuned"
    assert "tuned-a" in CliRunner().invoke(main, ["models", "list"]).output
    assert "Tiny, tuned" in CliRunner().invoke(main, ["models", "info", "tuned-a"]).output


def test_an_exported_file_is_asked_as_its_manifest_says(tmp_path: Path) -> None:
    export(tmp_path / "a")
    file = tmp_path / "a" / "q8_0.gguf"
    spec = ModelStore().spec(str(file))[1]
    assert (spec.style.instructions, spec.temperature) == ("", 0.3)
    file.rename(tmp_path / "a" / "other.gguf")
    assert ModelStore().spec(str(tmp_path / "a" / "other.gguf"))[1].style.instructions


# A running engine


def test_a_follower_swaps_once_for_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    put(tmp_path / "a", "tuned-a", 1)
    with MotiveEngine(worker=False) as engine:
        assert engine.backend is not None
        assert engine.backend.model == "tuned-a"
        follower = Follower(engine)
        assert follower.look() is None
        put(tmp_path / "b", "tuned-b", 2)
        begun = follower.look()
        assert begun is not None
        assert begun.result(60)
        assert engine.backend.model == "tuned-b"
        assert follower.look() is None
        rollback(ModelStore().folder)
        again = follower.look()
        assert again is not None
        assert again.result(60)
        assert engine.backend.model == "tuned-a"


def test_an_engine_keeps_its_model_where_the_new_one_cannot_be_had(tmp_path: Path) -> None:
    put(tmp_path / "a", "tuned-a", 1)
    with MotiveEngine(worker=False) as engine:
        assert engine.backend is not None
        follower = Follower(engine)
        put(tmp_path / "b", "tuned-b", 2)
        (ModelStore().folder / "tuned-b" / "q8_0.gguf").write_bytes(b"broken")
        begun = follower.look()
        assert begun is not None
        assert begun.result(60) is False
        assert engine.backend.model == "tuned-a"


def test_the_users_own_default_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYDREAM_MODEL", "scripted")
    with MotiveEngine("scripted") as engine:
        follower = Follower(engine)
        put(tmp_path / "a", "tuned-a", 1)
        assert follower.look() is None


def test_a_live_game_follows_by_itself(tmp_path: Path) -> None:
    there, told = threading.Event(), []

    def swapped(had: bool) -> None:
        told.append(had)
        there.set()

    put(tmp_path / "a", "tuned-a", 1)
    with (
        MotiveEngine(worker=False) as engine,
        following(engine, seconds=0.05, swapped=swapped),
    ):
        assert engine.backend is not None
        put(tmp_path / "b", "tuned-b", 2)
        assert there.wait(60)
        assert engine.backend.model == "tuned-b"
    assert told == [True]
