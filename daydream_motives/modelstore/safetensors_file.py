"""Reading safetensors without torch: a header of JSON, then the numbers.

https://github.com/huggingface/safetensors#format. Knows nothing of what the tensors are for.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import ModelCorrupt

_HEADER_LIMIT = 100_000_000
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor by its name, as float32; raises ModelCorrupt where the file is not whole."""
    try:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        if length > min(_HEADER_LIMIT, len(data) - 8):
            raise ValueError("its header is cut off")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: _tensor(entry, data, 8 + length) for name, entry in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as exc:
        raise ModelCorrupt(
            f"{path} is not a whole safetensors file: {exc}",
            remedy="run the stage that wrote it again, or reinstall what it came with",
        ) from exc
    except RecursionError as exc:
        raise ModelCorrupt(f"{path} is not a safetensors file: its header is no header") from exc


def _tensor(entry: dict[str, object], data: bytes, start: int) -> NDArray[np.float32]:
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in _KINDS:
        raise ValueError(f"numbers of type {kind}")
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise TypeError("a tensor without a shape")
    begin, end = (int(n) for n in offsets)
    dtype = np.dtype(_KINDS[str(kind)])
    count = int(np.prod([int(n) for n in shape], dtype=np.int64))
    if begin < 0 or end - begin != count * dtype.itemsize or start + end > len(data):
        raise ValueError("a tensor is cut off")
    raw = np.frombuffer(data, dtype, count, start + begin)
    if kind == "BF16":  # the upper half of a float32
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32).reshape(shape)
