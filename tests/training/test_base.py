"""A base for training: dequantised once, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tiny_school import write_gguf

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.llama import LlamaModel
from daydream_motives.errors import BackendError, DaydreamError, ModelUnknown, StoreError
from daydream_motives.training import base as module
from daydream_motives.training.base import open_base
from daydream_motives.training.tokens import missing


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_says_what_llama_cpp_says(tmp_path: Path, architecture: str) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", architecture)
    llm = LlamaModel(BackendSpec("tiny", file, threads=1))
    ids = llm.tokenize("Ann mends the net.", False)
    llm.feed(ids, 0)
    theirs = torch.tensor(llm.logits())
    llm.close()
    with torch.no_grad():
        ours = open_base(str(file)).load("float32")(torch.tensor([ids])).logits[0, -1]
    assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.999


def test_it_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    first = open_base(str(file))

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(module, "_dequantise", never)
    assert open_base(str(file)) == first
    other = write_gguf(tmp_path / "other.gguf", seed=1)
    with pytest.raises(AssertionError, match="made again"):
        open_base(str(other))
    assert not [p for p in first.folder.parent.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("harm", ["manifest", "cut", "gone", "schema"])
def test_what_is_not_whole_is_made_again(tmp_path: Path, harm: str) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    folder = open_base(str(file)).folder
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    if harm == "manifest":
        (folder / "manifest.json").write_text("{")
    elif harm == "schema":
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    else:
        weights.unlink()
    open_base(str(file)).load()
    assert weights.stat().st_size == size


@pytest.mark.parametrize("name", ["nonsense", "no.gguf", "smollm2", ""])
def test_what_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ModelUnknown) as caught:
        open_base(name)
    assert caught.value.remedy


def test_a_model_that_was_not_pulled_is_told() -> None:
    with pytest.raises(StoreError, match="not on this machine") as caught:
        open_base("smollm2-135m")
    assert caught.value.remedy == "daydream models pull smollm2-135m"


@pytest.mark.parametrize("data", [b"", b"GGUF", b"nonsense" * 99])
def test_what_is_no_model_is_told(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "bad.gguf"
    file.write_bytes(data)
    with pytest.raises(StoreError, match="not a whole GGUF model"):
        open_base(str(file))


def test_half_a_model_is_told(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(StoreError, match="not a whole GGUF model"):
        open_base(str(file))


def test_another_architecture_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the architecture gemma") as caught:
        open_base(str(write_gguf(tmp_path / "tiny.gguf", "gemma")))
    assert caught.value.remedy == "tune a model of llama or qwen2"


class Usage(NamedTuple):
    free: int


def test_no_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000))
    with pytest.raises(StoreError, match="GiB free"):
        open_base(str(write_gguf(tmp_path / "tiny.gguf")))


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DAYDREAM_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot write"):
        open_base(str(write_gguf(tmp_path / "tiny.gguf")))


def test_what_transformers_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("not this one")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    with pytest.raises(BackendError, match="not this one"):
        open_base(str(write_gguf(tmp_path / "tiny.gguf")))
    assert not list((tmp_path / "home" / "bases").glob("*/manifest.json"))


def test_a_missing_library_is_told_with_the_command() -> None:
    error = missing(ImportError("No module named 'peft'", name="peft"))
    assert isinstance(error, DaydreamError)
    assert error.remedy == "pip install 'daydream-motives[training]'"
    with pytest.raises(ImportError):
        missing(ImportError("ours", name="daydream_motives.nothing"))
