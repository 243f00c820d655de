"""The model that is tuned: a GGUF file, dequantised once into safetensors for transformers.

The copy lies under DAYDREAM_HOME/bases, named by the SHA-256 of the file it was made from, with a
manifest written last. Knows nothing of training.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import exists, parse_json, write_atomic
from daydream_motives.errors import BackendError, ModelUnknown, StoreError
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.settings import home
from daydream_motives.training.tokens import FileWords, Words, missing

ARCHITECTURES = ("llama", "qwen2")
_SCHEMA_VERSION = 1
_SPARE = 2**28  # bytes of disk that stay free


@dataclass(frozen=True)
class Base:
    """A base on this machine: the GGUF `file`, its hash, and the `folder` of its safetensors."""

    name: str
    file: Path
    sha256: str
    folder: Path
    manifest: dict[str, Any]

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's shape, as transformers writes it."""
        return dict(parse_json((self.folder / "config.json").read_text(encoding="utf-8")))

    @property
    def ends(self) -> list[int]:
        """Tokens that end the model's turn, as the file says."""
        return [int(id) for id in self.manifest["ends"]]

    @property
    def has_template(self) -> bool:
        """Whether the file says how a chat is written."""
        return bool(self.manifest["template"])

    def file_words(self) -> FileWords:
        """The vocabulary as transformers has it."""
        return FileWords(self.folder, self.ends)

    def runtime_words(self) -> Words | None:
        """The vocabulary as the runtime has it; None where llama.cpp is not installed."""
        try:
            from daydream_motives.engine.decoding.weights import Weights
        except ImportError:
            return None
        return Weights(self.file, self.name, vocabulary_only=True)

    def words(self) -> Words:
        """The runtime's vocabulary where there is llama.cpp, else the file's."""
        return self.runtime_words() or self.file_words()

    def load(self, dtype: str = "bfloat16", *, nf4: bool = False, device: str = "cpu") -> Any:
        """The model with its weights, as transformers' AutoModelForCausalLM.

        `nf4` holds the weights of linear layers in 4 bits, twice quantised (Dettmers and others
        2023, QLoRA), and computes in `dtype`. Raises DaydreamError where a package is missing.
        """
        try:
            import torch
            from transformers import AutoModelForCausalLM, BitsAndBytesConfig
        except ImportError as exc:
            raise missing(exc) from exc
        # It warns of a kernel for inference that is not installed.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        kind, extra = getattr(torch, dtype), {}
        if nf4:
            try:
                import bitsandbytes  # noqa: F401
            except ImportError as exc:
                raise missing(exc) from exc
            extra["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=kind,
            )  # fmt: skip
        with _silence():
            model = AutoModelForCausalLM.from_pretrained(
                str(self.folder), dtype=kind, local_files_only=True, attn_implementation="sdpa",
                device_map={"": device}, **extra,
            )  # fmt: skip
        for module in model.modules():
            # Else bitsandbytes repacks a processor's weights when the model is first evaluated,
            # and has no gradient for them from then on.
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        model.config.use_cache = False
        return model


def find_file(model: str, store: ModelStore | None = None) -> tuple[str, Path, str]:
    """Name, GGUF file and its SHA-256 of a catalogue's name or a path.

    A model of the store is taken as it was fetched: what was chosen on pull is a copy of that with
    something lost. Raises StoreError.
    """
    store = store or ModelStore()
    if model in store.catalogue.models:
        found = store.verify(model)
        shipped = found.path.with_name("shipped.gguf")
        path = shipped if shipped.is_file() else found.path
        return model, path, sha256_of(path)
    path = Path(model).expanduser()
    if path.suffix.lower() != ".gguf":
        store.catalogue.entry(model)
    if not (exists(path) and path.is_file()):
        raise ModelUnknown(
            f"no model file at {path}", remedy="give a catalogue name or an existing GGUF file"
        )
    return path.stem, path, sha256_of(path)


def open_base(model: str, store: ModelStore | None = None) -> Base:
    """The base of a catalogue's name or a GGUF path, dequantised where that was not done yet.

    Raises StoreError for a file that is missing, damaged or of another architecture, and where
    there is no room; DaydreamError where transformers or gguf are not installed.
    """
    name, file, digest = find_file(model, store)
    folder = home() / "bases" / digest[:20]
    if (base := _there(name, file, digest, folder)) is not None:
        return base
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            base = _there(name, file, digest, folder)
            return base or _made(name, file, digest, folder)
    except OSError as exc:
        raise StoreError(
            f"cannot write {folder}: {exc.strerror or exc}",
            remedy="free some space, or set DAYDREAM_HOME to another disk",
        ) from exc


def _there(name: str, file: Path, digest: str, folder: Path) -> Base | None:
    """The base as it was made before; None where it was not, or is not whole."""
    try:
        manifest = parse_json((folder / "manifest.json").read_text(encoding="utf-8"))
        whole = manifest["schema_version"] == _SCHEMA_VERSION and manifest["gguf"] == digest
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not whole or sizes != manifest["files"]:
        return None
    return Base(name, file, digest, folder, manifest)


def _made(name: str, file: Path, digest: str, folder: Path) -> Base:
    told = _metadata(file)
    need = 2 * told["parameters"] + _SPARE
    if (free := shutil.disk_usage(folder.parent).free) < need:
        raise StoreError(
            f"{folder.parent} has {free / 2**30:.1f} GiB free; {name} takes {need / 2**30:.1f}",
            remedy="free some space, or set DAYDREAM_HOME to another disk",
        )
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _dequantise(file, fresh)
        manifest = {
            "schema_version": _SCHEMA_VERSION, "name": name, "gguf": digest, **told,
            "files": {p.name: p.stat().st_size for p in sorted(fresh.iterdir())},
        }  # fmt: skip
        write_atomic(fresh / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Base(name, file, digest, folder, manifest)


def _metadata(file: Path) -> dict[str, Any]:
    """What is needed of a GGUF's own account; raises StoreError for what cannot be tuned."""
    try:
        import gguf
    except ImportError as exc:
        raise missing(exc) from exc
    try:
        reader = gguf.GGUFReader(file)
        fields = reader.fields
        architecture = str(fields["general.architecture"].contents())
        ends = [
            int(fields[key].contents())
            for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
            if key in fields
        ]
        parameters = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except (ValueError, KeyError, IndexError, OSError) as exc:
        raise StoreError(
            f"{file} is not a whole GGUF model: {exc}", remedy="fetch or write it again"
        ) from exc
    if architecture not in ARCHITECTURES:
        raise StoreError(
            f"{file} has the architecture {architecture}",
            remedy=f"tune a model of {' or '.join(ARCHITECTURES)}",
        )
    return {
        "architecture": architecture,
        "parameters": parameters,
        "ends": sorted(set(ends)),
        "template": "tokenizer.chat_template" in fields
        and bool(fields["tokenizer.chat_template"].contents()),
    }


def _dequantise(file: Path, folder: Path) -> None:
    """Weights in half precision, which keeps what 4 and 8 bits held, the shape and the words."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as exc:
        raise missing(exc) from exc
    where = {"gguf_file": file.name, "local_files_only": True}
    try:
        with _silence(), redirect_stderr(io.StringIO()):  # it draws a bar of its own
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(file.parent), dtype=torch.float16,
                quantization_config=GgufConfig(dequantize=True), **where,
            )  # fmt: skip
            if any(not torch.isfinite(weight).all() for weight in model.parameters()):
                raise StoreError(
                    f"{file} holds weights that are no numbers", remedy="fetch it again"
                )
            model.save_pretrained(folder, max_shard_size="1TB")
            AutoTokenizer.from_pretrained(str(file.parent), **where).save_pretrained(folder)
    except (ValueError, KeyError, RuntimeError, NotImplementedError) as exc:
        raise BackendError(
            f"transformers cannot read {file}: {exc}", remedy="use another base, or upgrade it"
        ) from exc


@contextmanager
def _silence() -> Iterator[None]:
    """Without the libraries' own progress bars and remarks."""
    from transformers.utils import logging as remarks

    level, bars = remarks.get_verbosity(), remarks.is_progress_bar_enabled()
    remarks.set_verbosity_error()
    remarks.disable_progress_bar()
    try:
        yield
    finally:
        remarks.set_verbosity(level)
        if bars:
            remarks.enable_progress_bar()
