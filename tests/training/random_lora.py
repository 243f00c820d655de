"""Tiny bases and random adapters on them, made by transformers and peft as training makes them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import write_gguf

from daydream_motives.modelstore.download import sha256_of

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def write_base(folder: Path, architecture: str, *, tied: bool = True, seed: int = 0) -> Path:
    """A base with fewer heads of keys than of queries, as most real ones have."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_gguf(folder / "base.gguf", architecture, key_heads=2, tied=tied, seed=seed)


def load(base: Path) -> Any:
    """The base in transformers, float32."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        base.parent, gguf_file=base.name, dtype=torch.float32,
        quantization_config=transformers.GgufConfig(dequantize=True),
    ).eval()  # fmt: skip


def write_lora(base: Path, folder: Path, *, size: float = 0.1, seed: int = 1, **config: Any) -> Any:
    """A random adapter of the base in `folder`, with its manifest; returns the tuned model."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": LINEAR, **config}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's of transformers
        model = peft.get_peft_model(load(base), peft.LoraConfig(**settings))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.normal_(0, size)
            elif "magnitude" in name:
                weights.mul_(1.1)
    model.save_pretrained(folder, save_embedding_layers=False)
    names = ("adapter_model.safetensors", "adapter_config.json")
    manifest = {
        "schema_version": 1, "stage": "train", "method": "lora",
        "base": {"name": "base", "sha256": sha256_of(base)},
        "files": {name: {"sha256": sha256_of(folder / name)} for name in names},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return model.eval()


def logits_of(model: Any, tokens: list[int]) -> np.ndarray:
    """What transformers expects after each token, shape (tokens, vocabulary)."""
    with torch.no_grad():
        found: np.ndarray = model(torch.tensor([tokens])).logits[0].float().numpy()
    return found
