"""How a GGUF file predicts our own prompts. Run as a program of its own.

`python -m daydream_motives.modelstore.measure FILE OUT.npz` teacher-forces the answers of
agreement.jsonl and writes, for every token of their purposes, the log-probabilities (float16) of
the whole vocabulary, and the bits per weight really stored. A program of its own, because a model
or a build of llama.cpp that crashes takes its process with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.llama import LlamaModel, llama_cpp
from daydream_motives.motives.prompt import (
    FRAME,
    KEYS,
    Piece,
    Tokenize,
    encode,
    plain,
    prompt_pieces,
)
from daydream_motives.settings import shipped

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Script:
    """A prompt with its answer as tokens, and the positions after which a token is predicted."""

    tokens: list[int]
    before: list[int]
    prompt: int  # how many of the tokens are the prompt's


def scripts(around: tuple[str, str], tokenize: Tokenize) -> Iterator[Script]:
    """Our own prompts, each with the answer that is written in agreement.jsonl."""
    for line in (shipped("models") / "agreement.jsonl").read_text(encoding="utf-8").splitlines():
        user, assistant = json.loads(line)["conversations"]
        fields, answer = json.loads(user["value"]), json.loads(assistant["value"])
        shared, own = prompt_pieces(around, fields)
        tokens = encode([*shared, *own], tokenize)
        prompt = len(tokens)
        before: list[int] = []
        for lead, key in zip((FRAME.first, *FRAME.between), KEYS, strict=True):
            tokens += encode([lead], tokenize)
            body = encode([Piece(plain(answer[key]), False)], tokenize)
            before += range(len(tokens) - 1, len(tokens) - 1 + len(body))
            tokens += body
        yield Script(tokens, before, prompt)


def measure(path: Path) -> dict[str, Array]:
    """`log_probs` (positions, n_vocab), and `bits` per weight over all tensors (a scalar)."""
    llm = LlamaModel(BackendSpec(path.name, path, threads=os.cpu_count() or 1))
    rows: list[Array] = []
    for script in scripts(llm.chat_template().around(""), llm.tokenize):
        llm.forget(0)
        read = 0
        for last in script.before:
            llm.feed(script.tokens[read : last + 1], read)
            read = last + 1
            logits = llm.logits()
            logits -= logits.max()
            rows.append((logits - np.log(np.exp(logits).sum())).astype(np.float16))
    stored, weights = (
        float(number(llm.model))
        for number in (llama_cpp.llama_model_size, llama_cpp.llama_model_n_params)
    )
    llm.close()
    return {"log_probs": np.stack(rows), "bits": np.array(8 * stored / weights)}


if __name__ == "__main__":
    np.savez(sys.argv[2], **measure(Path(sys.argv[1])))  # type: ignore[arg-type]  # numpy's stub
