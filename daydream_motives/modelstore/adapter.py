"""LoRA adapters, read from peft's folder or from GGUF, and written as GGUF for llama.cpp.

Names and row order are those of the base's GGUF file. Needs numpy and gguf alone. Knows nothing of
training.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daydream_motives.errors import ModelCorrupt, ModelMissing, StoreError
from daydream_motives.modelstore.gguf_file import (
    Weights,
    architecture,
    dequantised,
    gguf,
    names_of_modules,
    open_gguf,
    rotary,
    value,
)
from daydream_motives.modelstore.safetensors_file import read_safetensors

if TYPE_CHECKING:
    from gguf import GGUFReader

GGUF_NAME, PEFT_NAME, PEFT_CONFIG = (
    "adapter.gguf",
    "adapter_model.safetensors",
    "adapter_config.json",
)
BASE_SHA256 = "daydream.base_sha256"
_KEY = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>A|B|magnitude_vector)(\.default)?(\.weight)?"
)


@dataclass(frozen=True, slots=True)
class Part:
    """What an adapter adds to one tensor W of shape (out, in): W + scale · b @ a.

    `a` has shape (rank, in), `b` (out, rank). With a `magnitude` (out,) each row is then brought to
    that length (DoRA, https://arxiv.org/abs/2402.09353).
    """

    a: Weights
    b: Weights
    scale: float
    magnitude: Weights | None = None

    def applied(self, weights: Weights) -> Weights:
        """The tensor with the adapter merged in."""
        merged: Weights = weights + np.float32(self.scale) * (self.b @ self.a)
        if self.magnitude is None:
            return merged
        length = np.linalg.norm(merged, axis=1)
        factor = self.magnitude / np.maximum(length, np.finfo(np.float32).tiny)
        return np.asarray(merged * factor[:, None], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Parts by the name of their tensor in the base's GGUF, and the base they were trained on."""

    parts: dict[str, Part]
    base_sha256: str = ""
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> int:
        """How many numbers it holds."""
        return sum(part.a.size + part.b.size for part in self.parts.values())


def read_adapter(path: Path, base: GGUFReader) -> Adapter:
    """An adapter from a GGUF file, or from a folder with one or with peft's two files.

    Raises ModelMissing where there is none, ModelCorrupt where it is damaged, and StoreError where
    it is of a kind that cannot be merged or does not fit the base.
    """
    file = path / GGUF_NAME if path.is_dir() else path
    if file.is_file():
        adapter = _from_gguf(file, base)
    elif (path / PEFT_NAME).is_file():
        adapter = _from_peft(path, base)
    else:
        raise ModelMissing(
            f"there is no adapter at {path}",
            remedy=f"give a folder that holds {GGUF_NAME}, or {PEFT_NAME} and {PEFT_CONFIG}",
        )
    _check_fit(adapter, base, path)
    return adapter


def _check_fit(adapter: Adapter, base: GGUFReader, path: Path) -> None:
    """Raise StoreError unless every part has a tensor of its shape in the base."""
    shapes = {t.name: tuple(int(n) for n in t.shape[::-1]) for t in base.tensors}
    if not adapter.parts:
        raise ModelCorrupt(f"{path} holds no LoRA weights", remedy="train it again")
    for name, part in adapter.parts.items():
        found = (len(part.b), part.a.shape[-1])
        ranks = (part.b.shape[-1], len(part.a))
        one = part.magnitude is not None and part.magnitude.shape != (len(part.b),)
        if part.a.ndim != 2 or part.b.ndim != 2 or ranks[0] != ranks[1] or one:
            raise ModelCorrupt(f"{path}: the two halves of {name} do not fit each other")
        if shapes.get(name) != found:
            raise StoreError(
                f"{path} was trained on another base: it changes {name} of shape {found}, "
                f"and this base has {shapes.get(name, 'no such tensor')}",
                remedy="use the base that its manifest or its card names",
            )


def _from_gguf(file: Path, base: GGUFReader) -> Adapter:
    reader = open_gguf(file)
    if value(reader, "general.type") != "adapter" or value(reader, "adapter.type") != "lora":
        raise StoreError(f"{file} is no LoRA adapter", remedy="give an adapter, not a model")
    if (theirs := architecture(reader)) != (ours := architecture(base)):
        raise StoreError(
            f"{file} is for models of architecture {theirs}, and this base is a {ours}",
            remedy="use the base that its card names",
        )
    alpha = float(value(reader, "adapter.lora.alpha", 0.0))
    halves: dict[str, dict[str, Weights]] = {}
    for tensor in reader.tensors:
        name, _, half = tensor.name.rpartition(".lora_")
        halves.setdefault(name, {})[half] = dequantised(tensor)
    parts = {}
    for name, found in halves.items():
        if found.keys() != {"a", "b"}:
            raise ModelCorrupt(f"{file}: {name} has {', '.join(found)} where a and b are expected")
        rank = len(found["a"])
        parts[name] = Part(found["a"], found["b"], alpha / rank if alpha else 1.0)
    return Adapter(parts, str(value(reader, BASE_SHA256, "")))


def _from_peft(folder: Path, base: GGUFReader) -> Adapter:
    config = _config(folder / PEFT_CONFIG)
    gguf_name = names_of_modules(base)
    halves: dict[str, dict[str, Weights]] = {}
    for key, tensor in read_safetensors(folder / PEFT_NAME).items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise StoreError(
                f"{folder} holds {key}, which is no LoRA weight of a linear layer",
                remedy="train without modules_to_save, and not the embeddings",
            )
        halves.setdefault(found["module"], {})[found["part"]] = tensor
    parts = {}
    for module, half in halves.items():
        if not {"A", "B"} <= half.keys():
            raise ModelCorrupt(f"{folder / PEFT_NAME}: {module} lacks one of its two halves")
        tensor_name = gguf_name(module)
        name = f"{tensor_name or module}.weight"
        magnitude = half.get("magnitude_vector")
        parts[name] = Part(
            half["A"],
            rotary(name, half["B"], base) if tensor_name else half["B"],
            _scale(config, module, len(half["A"])),
            None if magnitude is None else rotary(name, magnitude.reshape(-1), base),
        )
    return Adapter(parts, base_of(folder))


def base_of(folder: Path) -> str:
    """The SHA-256 of the base's file that an adapter folder's manifest names; empty without."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        base = manifest.get("base", {})
        return str(base.get("sha256", "")) if isinstance(base, dict) else ""
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise ModelCorrupt(f"{folder / 'manifest.json'} is damaged: {exc}") from exc


def _config(file: Path) -> dict[str, Any]:
    """peft's settings; raises StoreError for what a merge could not do justice to."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if config["peft_type"] != "LORA":
            raise StoreError(f"{file}: {config['peft_type']} adapters cannot be merged")
        int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ModelCorrupt(f"{file} is damaged: {exc}", remedy="train it again") from exc
    odd = {"bias": ("none", None), "fan_in_fan_out": (False, None), "lora_bias": (False, None)}
    for key, fine in odd.items():
        if config.get(key) not in fine:
            raise StoreError(f"{file}: {key} = {config[key]!r} cannot be merged")
    return dict(config)


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What peft multiplies B·A with, of one module."""
    alpha = float(config["lora_alpha"])
    for pattern, its in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = float(its)
            break
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def write_adapter(adapter: Adapter, base: GGUFReader, target: Path) -> None:
    """Write the adapter in F16 as llama.cpp reads it; raises StoreError where that cannot be."""
    if any(part.magnitude is not None for part in adapter.parts.values()):
        raise StoreError(
            "a DoRA adapter cannot be written as a GGUF adapter: llama.cpp only adds B·A",
            remedy="merge it, or train with dora = false",
        )
    alphas = {round(part.scale * len(part.a), 6) for part in adapter.parts.values()}
    alpha = alphas.pop() if len(alphas) == 1 else 0.0  # 0: nothing more is multiplied
    library = gguf()
    part = target.with_suffix(".part")
    out = library.GGUFWriter(part, architecture(base))
    try:
        out.add_type(library.GGUFType.ADAPTER)
        out.add_string(library.Keys.Adapter.TYPE, "lora")
        out.add_float32(library.Keys.Adapter.LORA_ALPHA, alpha)
        out.add_file_type(library.LlamaFileType.MOSTLY_F16)
        for key, text in {BASE_SHA256: adapter.base_sha256, **adapter.told}.items():
            if text:
                out.add_string(key, text)
        for name, one in sorted(adapter.parts.items()):
            whole = one if alpha else replace(one, b=one.b * np.float32(one.scale))
            for half, data in (("a", whole.a), ("b", whole.b)):
                small = data.astype(np.float16)
                if not np.isfinite(small).all():
                    raise StoreError(f"{name} holds weights that are no numbers in F16")
                out.add_tensor(f"{name}.lora_{half}", np.ascontiguousarray(small))
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        os.replace(part, target)
    except OSError as exc:
        raise StoreError(f"{target} could not be written: {exc.strerror or exc}") from exc
    finally:
        with suppress(OSError):
            out.close()
        part.unlink(missing_ok=True)
