"""Merging an adapter into its base, without torch: W + scale · B · A over dequantised tensors.

What `daydream models pull` does with the adapters that ship. Knows nothing of training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daydream_motives.errors import StoreError
from daydream_motives.modelstore.adapter import BASE_SHA256, Adapter, read_adapter
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.gguf_file import Weights, dequantised, open_gguf, rewrite


def merge(
    base: Path, adapter: Path, target: Path, *, kind: str = "F16", base_sha256: str = ""
) -> Adapter:
    """Write the base with the adapter merged in to `target`, and say what was merged.

    `kind` is F16, BF16 or F32; `base_sha256` spares reading the base once more for its hash.
    Raises StoreError and its kin where the two do not belong together or the disk is full.
    """
    reader = open_gguf(base)
    found = read_adapter(adapter, reader)
    digest = base_sha256 or sha256_of(base)
    if found.base_sha256 and found.base_sha256 != digest:
        raise StoreError(
            f"the adapter was trained on another base: SHA-256 {found.base_sha256}, and "
            f"{base.name} has {digest}",
            remedy="use the base that its manifest or its card names",
        )

    def weights_of(tensor: Any) -> Weights:
        weights = dequantised(tensor)
        part = found.parts.get(tensor.name)
        return part.applied(weights) if part else weights

    rewrite(reader, target, weights_of, kind=kind, told={BASE_SHA256: digest})
    return found
