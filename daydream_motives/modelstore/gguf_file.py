"""GGUF files read and rewritten with other weights. Knows nothing of adapters or of training.

All that is no weight (vocabulary, chat template, shape of the model) is taken from the file that is
rewritten, byte for byte; it is streamed, so that no more than one tensor is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import ModelCorrupt, StoreError

if TYPE_CHECKING:
    from gguf import GGUFReader

Weights = NDArray[np.float32]
ARCHITECTURES = ("llama", "qwen2")
KINDS = ("F32", "F16", "BF16")  # what weights can be written as; vectors stay F32
_OURS = ("general.architecture", "general.file_type", "general.quantization_version")


def gguf() -> Any:
    """The package `gguf`; raises StoreError with the command that installs it."""
    try:
        import gguf
    except ImportError:
        raise StoreError(
            "reading and writing model files needs another package",
            remedy="pip install 'gguf>=0.17'",
        ) from None
    return gguf


def open_gguf(path: Path) -> GGUFReader:
    """A GGUF file, its tensors mapped and not yet read; raises ModelCorrupt where it is none."""
    try:
        return gguf().GGUFReader(path)
    except (OSError, ValueError, KeyError, IndexError, OverflowError, AttributeError) as exc:
        raise ModelCorrupt(
            f"{path} is not a whole GGUF file: {exc or type(exc).__name__}",
            remedy="pull or export it again",
        ) from exc


def value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    """One entry of a file's metadata, or the default."""
    field = reader.fields.get(key)
    return default if field is None else field.contents()


def architecture(reader: GGUFReader) -> str:
    """The architecture; raises StoreError for one whose tensors we cannot name."""
    name = str(value(reader, "general.architecture", ""))
    if name not in ARCHITECTURES:
        raise StoreError(
            f"models of architecture {name!r} cannot be merged or exported",
            remedy=f"use a base of architecture {' or '.join(ARCHITECTURES)}",
        )
    return name


def heads(reader: GGUFReader) -> tuple[int, int]:
    """Attention heads of queries, and of keys and values."""
    name = architecture(reader)
    count = value(reader, f"{name}.attention.head_count")
    of_keys = value(reader, f"{name}.attention.head_count_kv", count)
    if not isinstance(count, int) or not isinstance(of_keys, int) or min(count, of_keys) < 1:
        raise ModelCorrupt("the file does not say how many attention heads the model has")
    return count, of_keys


def rotary(name: str, weights: Weights, reader: GGUFReader) -> Weights:
    """Rows of a query's or key's projection in the order GGUF has them; others as they are.

    transformers rotates a head's first half against its second; llama.cpp, for `llama` alone, each
    even row against the odd one after it. `weights` has shape (rows, …) of the projection.
    """
    if architecture(reader) != "llama" or not name.endswith(("attn_q.weight", "attn_k.weight")):
        return weights
    count = heads(reader)[name.endswith("attn_k.weight")]
    rows = len(weights)
    if rows % (2 * count):
        raise StoreError(f"{name} has {rows} rows, which are not {count} heads")
    shape = (count, 2, rows // count // 2, *weights.shape[1:])
    return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)


def names_of_modules(reader: GGUFReader) -> Callable[[str], str | None]:
    """What GGUF calls a module of transformers: `model.layers.0.mlp.up_proj` -> `blk.0.ffn_up`."""
    library, name = gguf(), architecture(reader)
    wanted = next(arch for arch, text in library.MODEL_ARCH_NAMES.items() if text == name)
    table = library.get_tensor_name_map(wanted, int(value(reader, f"{name}.block_count", 0)))
    return lambda module: table.get_name(module)


def dequantised(tensor: Any) -> Weights:
    """A tensor as float32, in numpy's order of dimensions; raises StoreError for a format that
    gguf cannot read."""
    try:
        found = gguf().quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as exc:
        raise StoreError(
            f"{tensor.name} is stored as {tensor.tensor_type.name}, which cannot be read back",
            remedy="take a base in another format, such as F16 or Q8_0",
        ) from exc
    return np.asarray(found, dtype=np.float32).reshape(tuple(int(n) for n in tensor.shape[::-1]))


def rewrite(
    base: GGUFReader,
    target: Path,
    weights_of: Callable[[Any], Weights],
    *,
    kind: str = "F16",
    told: Mapping[str, str] | None = None,
) -> None:
    """Write `base` to `target` with the weights that `weights_of` gives for each of its tensors.

    `told` are texts added to its metadata. Raises StoreError for weights that do not fit the tensor
    or the number format, and for a bad disk; `target` then does not exist.
    """
    library = gguf()
    stored = library.GGMLQuantizationType[_known(kind)]
    part = target.with_suffix(".part")
    out = library.GGUFWriter(part, architecture(base))
    try:
        _copy_metadata(base, out, told or {})
        file_type = "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"
        out.add_file_type(library.LlamaFileType[file_type])
        kinds = [
            library.GGMLQuantizationType.F32 if len(t.shape) == 1 else stored for t in base.tensors
        ]
        for tensor, its in zip(base.tensors, kinds, strict=True):
            shape = [int(n) for n in tensor.shape[::-1]]
            size = int(tensor.n_elements) * (4 if its.name == "F32" else 2)
            out.add_tensor_info(tensor.name, shape, np.dtype(np.float32), size, its)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_ti_data_to_file()
        for tensor, its in zip(base.tensors, kinds, strict=True):
            out.write_tensor_data(_packed(tensor, weights_of(tensor), its))
        out.close()
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(part, target)
    except OSError as exc:
        raise StoreError(
            f"{target} could not be written: {exc.strerror or exc}",
            remedy="free some space, or choose another folder",
        ) from exc
    finally:
        with suppress(OSError):
            out.close()
        part.unlink(missing_ok=True)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise StoreError(
            f"weights cannot be written as {kind!r}",
            remedy=f"use {', '.join(KINDS)}, and quantise what comes of it",
        )
    return kind


def copy_fields(base: GGUFReader, out: Any, keys: Callable[[str], bool]) -> None:
    """Metadata of `base` whose keys are wanted, to a writer, as they are."""
    array = gguf().GGUFValueType.ARRAY
    for key, field in base.fields.items():
        if keys(key) and not key.startswith("GGUF."):
            kind = field.types[0]
            out.add_key_value(
                key, field.contents(), kind, sub_type=field.types[-1] if kind == array else None
            )


def _copy_metadata(base: GGUFReader, out: Any, told: Mapping[str, str]) -> None:
    copy_fields(base, out, lambda key: key not in _OURS and key not in told)
    for key, text in told.items():
        out.add_string(key, text)


def _packed(tensor: Any, weights: Weights, kind: Any) -> NDArray[Any]:
    """The bytes of one tensor; raises StoreError where a weight has no number in this format."""
    shape = tuple(int(n) for n in tensor.shape[::-1])
    if weights.shape != shape:
        raise StoreError(
            f"{tensor.name} has shape {weights.shape} where the base has {shape}",
            remedy="it was made for another base: use the one it was trained on",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        if kind.name == "F16":
            data: NDArray[Any] = weights.astype(np.float16)
            whole = bool(np.isfinite(data).all())
        else:
            whole = bool(np.isfinite(weights).all())
            data = gguf().quants.quantize(np.ascontiguousarray(weights, dtype=np.float32), kind)
    if not whole:
        raise StoreError(
            f"{tensor.name} holds weights that are no numbers in {kind.name}",
            remedy="training went wrong, or the weights are too large: try BF16",
        )
    return np.ascontiguousarray(data)
