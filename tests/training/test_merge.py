"""Merging without torch gives what peft gives, and what llama.cpp then computes is the same."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_lora import load, logits_of, write_base, write_lora
from tiny import write_gguf

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.llama import LlamaModel, llama_cpp
from daydream_motives.errors import ModelCorrupt, ModelMissing, StoreError
from daydream_motives.modelstore.adapter import read_adapter, write_adapter
from daydream_motives.modelstore.gguf_file import dequantised, open_gguf, rewrite, value
from daydream_motives.modelstore.merge import merge
from daydream_motives.modelstore.quantise import requantise

TOKENS = [1, 17, 300, 42, 555, 256, 700, 31, 99, 410, 2, 68]
NOISE = 0.01  # logits spread over about 1; llama.cpp keeps keys and values in F16


def read_logits(path: Path, tokens: list[int] = TOKENS, *, lora: Path | None = None) -> np.ndarray:
    """What llama.cpp expects after each token."""
    model = LlamaModel(BackendSpec(path.stem, path, threads=1, context_window=64))
    try:
        if lora:
            held = llama_cpp.llama_adapter_lora_init(model.model, str(lora).encode())
            assert held
            sequences: Sequences = model._one
            llama_cpp.llama_set_adapters_lora(
                sequences._context, (llama_cpp.llama_adapter_lora_p_ctypes * 1)(held), 1,
                (llama_cpp.ctypes.c_float * 1)(1.0),
            )  # fmt: skip
        rows = []
        for position, token in enumerate(tokens):
            model.feed([token], position)
            rows.append(model.logits())
        return np.stack(rows)
    finally:
        model.close()


CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "llama-tied": ("llama", True, {}),
    "llama-untied": ("llama", False, {"target_modules": ["q_proj", "k_proj", "lm_head"]}),
    "qwen2-tied": ("qwen2", True, {}),
    "qwen2-untied": ("qwen2", False, {"use_rslora": True}),
    "llama-dora": ("llama", True, {"use_dora": True}),
    "qwen2-patterns": (
        "qwen2", True, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 3}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_merging_without_torch_equals_merging_with_it(case: str, tmp_path: Path) -> None:
    architecture, tied, config = CASES[case]
    base = write_base(tmp_path, architecture, tied=tied)
    tuned = write_lora(base, tmp_path / "adapter", **config)
    before = logits_of(load(base), TOKENS)
    expected = logits_of(tuned, TOKENS)
    assert np.abs(expected - before).max() > 20 * NOISE  # the adapter does something
    merge(base, tmp_path / "adapter", tmp_path / "merged.gguf", kind="F32")
    assert np.abs(logits_of(load(tmp_path / "merged.gguf"), TOKENS) - expected).max() < 1e-4
    assert np.abs(read_logits(tmp_path / "merged.gguf") - expected).max() < NOISE


@pytest.mark.parametrize(("architecture", "kind"), [("llama", "F16"), ("qwen2", "BF16")])
def test_a_merged_file_in_sixteen_bits_is_near(
    architecture: str, kind: str, tmp_path: Path
) -> None:
    base = write_base(tmp_path, architecture)
    tuned = write_lora(base, tmp_path / "adapter")
    merge(base, tmp_path / "adapter", tmp_path / "merged.gguf", kind=kind)
    assert np.abs(read_logits(tmp_path / "merged.gguf") - logits_of(tuned, TOKENS)).max() < 0.1
    assert (tmp_path / "merged.gguf").stat().st_size < 1.1 * base.stat().st_size


def test_what_is_no_weight_is_copied_from_the_base(tmp_path: Path) -> None:
    base = write_base(tmp_path, "llama")
    write_lora(base, tmp_path / "adapter")
    merge(base, tmp_path / "adapter", tmp_path / "merged.gguf")
    one, other = open_gguf(base), open_gguf(tmp_path / "merged.gguf")
    ours = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.file_type"}
    for key in one.fields.keys() - ours:
        assert value(other, key) == value(one, key), key
    assert value(other, "tokenizer.chat_template").startswith("{% for message")
    assert value(other, "daydream.base_sha256")
    assert [t.name for t in other.tensors] == [t.name for t in one.tensors]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("config", [{}, {"rank_pattern": {"q_proj": 2}}])
def test_llama_cpp_applies_the_adapter_as_we_write_it(
    architecture: str, config: dict[str, Any], tmp_path: Path
) -> None:
    base = write_base(tmp_path, architecture)
    tuned = write_lora(base, tmp_path / "adapter", **config)
    reader = open_gguf(base)
    write_adapter(read_adapter(tmp_path / "adapter", reader), reader, tmp_path / "adapter.gguf")
    found = read_logits(base, lora=tmp_path / "adapter.gguf")
    assert np.abs(found - logits_of(tuned, TOKENS)).max() < 3 * NOISE
    # And read back, it merges to the same model.
    merge(base, tmp_path / "adapter.gguf", tmp_path / "merged.gguf", kind="F32")
    assert np.abs(read_logits(tmp_path / "merged.gguf") - found).max() < 3 * NOISE


def test_a_quantised_base_is_dequantised_first(tmp_path: Path) -> None:
    write_base(tmp_path / "whole", "llama")
    base = tmp_path / "base.gguf"
    requantise(tmp_path / "whole" / "base.gguf", base, "Q8_0")
    tuned = write_lora(base, tmp_path / "adapter")
    merge(base, tmp_path / "adapter", tmp_path / "merged.gguf", kind="F32")
    found = read_logits(tmp_path / "merged.gguf")
    assert np.abs(found - logits_of(tuned, TOKENS)).max() < NOISE


def test_a_dora_adapter_is_no_gguf_adapter(tmp_path: Path) -> None:
    base = write_base(tmp_path, "llama")
    write_lora(base, tmp_path / "adapter", use_dora=True)
    reader = open_gguf(base)
    adapter = read_adapter(tmp_path / "adapter", reader)
    with pytest.raises(StoreError, match="DoRA"):
        write_adapter(adapter, reader, tmp_path / "adapter.gguf")
    assert not list(tmp_path.glob("adapter.*"))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A base and the folder of an adapter of it."""
    base = write_base(tmp_path, "llama")
    write_lora(base, tmp_path / "adapter")
    return base, tmp_path / "adapter"


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refused(base: Path, adapter: Path, error: type[Exception], says: str) -> None:
    target = base.parent / "merged.gguf"
    with pytest.raises(error, match=says):
        merge(base, adapter, target)
    assert not list(base.parent.glob("merged.*"))


def test_an_adapter_of_another_base_is_refused_by_its_hash(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    refused(write_base(tmp_path / "b", "llama", seed=5), pair[1], StoreError, "another base")


def test_an_adapter_of_another_shape_is_refused_without_a_hash(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (pair[1] / "manifest.json").unlink()
    base = tmp_path / "b" / "base.gguf"
    base.parent.mkdir()
    write_gguf(base, key_heads=4)
    refused(base, pair[1], StoreError, "attn_k.weight of shape")


def test_an_adapter_of_another_architecture_is_refused(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    reader = open_gguf(pair[0])
    write_adapter(read_adapter(pair[1], reader), reader, tmp_path / "a.gguf")
    refused(write_base(tmp_path / "b", "qwen2"), tmp_path / "a.gguf", StoreError, "architecture")


@pytest.mark.parametrize(
    "change", [{"peft_type": "IA3"}, {"bias": "all"}, {"fan_in_fan_out": True}]
)
def test_other_kinds_of_adapter_are_refused(pair: tuple[Path, Path], change: Any) -> None:
    edited(pair[1] / "adapter_config.json", **change)
    refused(*pair, StoreError, "cannot be merged")


def test_tuned_embeddings_are_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path, "llama", tied=False)
    write_lora(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    refused(base, tmp_path / "adapter", StoreError, "no LoRA weight")


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "long", "text", "half"])
def test_a_damaged_adapter_says_so(pair: tuple[Path, Path], damage: str) -> None:
    file = pair[1] / "adapter_model.safetensors"
    data = file.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    short = json.dumps({k: v for k, v in header.items() if not k.endswith("q_proj.lora_B.weight")})
    damaged = {
        "cut": data[:-8], "header": data[:8] + b"{" * length + data[8 + length :], "empty": b"",
        "long": struct.pack("<Q", 1 << 60) + data[8:], "text": b"not a model at all",
        "half": struct.pack("<Q", len(short)) + short.encode() + data[8 + length :],
    }  # fmt: skip
    file.write_bytes(damaged[damage])
    refused(*pair, ModelCorrupt, "safetensors")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"peft_type": "LORA", "r": "x"}', "[" * 100_000])
def test_a_damaged_config_says_so(pair: tuple[Path, Path], text: str) -> None:
    (pair[1] / "adapter_config.json").write_text(text)
    refused(*pair, ModelCorrupt, "adapter_config.json is damaged")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_damaged_manifest_says_so(pair: tuple[Path, Path], text: str) -> None:
    (pair[1] / "manifest.json").write_text(text)
    refused(*pair, ModelCorrupt, "manifest.json is damaged")


def test_no_adapter_and_no_base_say_so(pair: tuple[Path, Path], tmp_path: Path) -> None:
    refused(pair[0], tmp_path / "nowhere", ModelMissing, "no adapter at")
    refused(tmp_path / "none.gguf", pair[1], ModelCorrupt, "not a whole GGUF")
    refused(pair[0], pair[0], StoreError, "no LoRA adapter")


@pytest.mark.parametrize("keep", [0, 3, 100, 5000, -100])
def test_a_base_that_is_cut_off_says_so(pair: tuple[Path, Path], keep: int) -> None:
    pair[0].write_bytes(pair[0].read_bytes()[:keep])
    (pair[1] / "manifest.json").unlink()
    refused(*pair, ModelCorrupt, "not a whole GGUF")


@pytest.mark.parametrize(("kind", "weight"), [("F16", 1e6), ("F32", np.inf), ("BF16", np.nan)])
def test_weights_that_have_no_number_are_refused(kind: str, weight: float, tmp_path: Path) -> None:
    reader = open_gguf(write_base(tmp_path, "llama"))

    def weights_of(tensor: Any) -> np.ndarray:
        return np.full_like(dequantised(tensor), weight)

    with pytest.raises(StoreError, match=f"no numbers in {kind}"):
        rewrite(reader, tmp_path / "out.gguf", weights_of, kind=kind)
    assert not list(tmp_path.glob("out.*"))


def test_other_architectures_and_formats_are_refused(tmp_path: Path) -> None:
    phi = open_gguf(write_gguf(tmp_path / "phi.gguf", "phi2"))
    with pytest.raises(StoreError, match="architecture 'phi2'"):
        rewrite(phi, tmp_path / "out.gguf", dequantised)
    with pytest.raises(StoreError, match="Q4_0"):
        rewrite(open_gguf(write_base(tmp_path, "llama")), tmp_path / "out.gguf", dequantised,
                kind="Q4_0")  # fmt: skip


def test_a_folder_that_cannot_be_written_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be written"):
        merge(*pair, tmp_path / "no" / "such" / "merged.gguf")
