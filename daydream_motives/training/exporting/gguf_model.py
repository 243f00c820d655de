"""A tuned model of transformers as a GGUF file, and what it expects of our own prompts.

Imports torch inside functions only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import StoreError
from daydream_motives.modelstore.adapter import BASE_SHA256
from daydream_motives.modelstore.gguf_file import (
    Weights,
    dequantised,
    names_of_modules,
    open_gguf,
    rewrite,
    rotary,
)
from daydream_motives.modelstore.measure import scripts
from daydream_motives.training.tokens import Words

_NO_WEIGHTS = "rope_freqs.weight"  # a constant of the file that transformers computes itself


@contextmanager
def patient_with_libraries() -> Iterator[None]:
    """Without what torch, transformers and peft say of each other's old names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield


def write_model(model: Any, base: Path, target: Path, *, kind: str, base_sha256: str) -> None:
    """Write a model of transformers to `target`, with all that is no weight from `base`.

    Where the base has one matrix for the first and the last layer, so has what is written. Raises
    StoreError where the two have not the same tensors.
    """
    reader = open_gguf(base)
    module_name = names_of_modules(reader)
    found: dict[str, Any] = {}
    for name, tensor in model.state_dict().items():
        module, _, part = name.rpartition(".")
        if gguf_name := module_name(module):
            found[f"{gguf_name}.{part}"] = tensor
    lacking = [t.name for t in reader.tensors if t.name not in found and t.name != _NO_WEIGHTS]
    tied = {"output.weight"} if "output.weight" not in {t.name for t in reader.tensors} else set()
    more = found.keys() - {t.name for t in reader.tensors} - tied
    if lacking or more:
        raise StoreError(
            f"the tuned model has not the tensors of {base.name}: "
            f"{', '.join([*lacking, *sorted(more)][:4])}",
            remedy="tune and export with the same base",
        )

    def weights_of(tensor: Any) -> Weights:
        if tensor.name not in found:
            return dequantised(tensor)
        return rotary(tensor.name, found[tensor.name].detach().float().cpu().numpy(), reader)

    rewrite(reader, target, weights_of, kind=kind, told={BASE_SHA256: base_sha256})


def expected(model: Any, words: Words) -> NDArray[np.floating]:
    """Log-probabilities (float16) as `modelstore.measure` has them: (positions, n_vocab)."""
    import torch

    rows = []
    with torch.no_grad(), patient_with_libraries():
        for script in scripts(words.chat_template().around(""), words.tokenize):
            ids = torch.tensor([script.tokens], device=model.device)
            hidden = model.model(input_ids=ids, use_cache=False)[0][0, script.before]
            logits = model.lm_head(hidden).float()
            rows.append(torch.log_softmax(logits, dim=-1).cpu().numpy().astype(np.float16))
    return np.concatenate(rows)
