"""How fast a GGUF file is decoded the way the engine does it. Run as a program of its own.

`python -m daydream_motives.modelstore.speed FILE OUT.json` writes tokens/s: `prefill`, and `decode`
of 1, 8, 16 and 32 sequences at once. All at the depth of a real decision: what all share and a
character's sheet lie in the cache, then comes what goes on now, then the answer. Random tokens
cost what real ones do, so it knows nothing of prompts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.decoding.weights import Weights
from daydream_motives.engine.llama import LANES

BATCHES = (1, 8, 16, 32)
# Tokens of a decision: kept from before (instructions, name, description), and read anew.
KEPT, FRESH = 530, 190
_WINDOW = 768
_ROUNDS = 3  # the best counts: what else the machine does only ever slows a round


def speeds(path: Path, threads: int = 0) -> dict[str, Any]:
    """Tokens/s as {"prefill": …, "decode": {"1": …, "8": …, …}}, with all processors.

    Raises BackendError where the file is no model or memory for 32 sequences is lacking.
    """
    threads = threads or os.cpu_count() or 1
    weights = Weights(path, path.stem)
    lanes = 1 if weights.gpu_layers else min(threads, LANES)
    crew: list[Sequences] = []
    try:
        for _ in range(lanes):
            count, share = -(-max(BATCHES) // lanes), max(1, threads // lanes)
            crew.append(Sequences(weights, count=count, window=_WINDOW, threads=share))
        tokens = np.random.default_rng(0).integers(0, weights.n_vocab, _WINDOW).tolist()
        _rate(crew, partial(_read, tokens=tokens[:KEPT], start=0))
        read = partial(_read, tokens=tokens[KEPT : KEPT + FRESH], start=KEPT)
        prefill = max(_rate(crew, read) for _ in range(_ROUNDS))
        for one in crew:
            for sequence in range(1, one.count):
                one.copy(0, sequence)
        decode = {}
        for batch in BATCHES:
            used = crew[: min(batch, lanes)]
            for one in used:
                one.use_threads(max(1, threads // len(used)))
            write = partial(_write, tokens=tokens, batch=batch // len(used))
            decode[str(batch)] = max(_rate(used, write) for _ in range(_ROUNDS))
    finally:
        for one in crew:
            one.close()
        weights.close()
    return {"prefill": prefill, "decode": decode}


def _rate(crew: Sequence[Sequences], work: Callable[[Sequences], int]) -> float:
    """Tokens/s of all of the crew at work side by side."""
    with ThreadPoolExecutor(len(crew)) as pool:
        start = time.perf_counter()
        done = sum(pool.map(work, crew))
        return done / (time.perf_counter() - start)


def _read(one: Sequences, *, tokens: list[int], start: int) -> int:
    one.cut(0, start)
    one.feed(0, tokens, start)
    return len(tokens)


def _write(one: Sequences, *, tokens: list[int], batch: int) -> int:
    depth, steps = KEPT + FRESH, max(4, min(16, 64 // batch))
    for sequence in range(batch):
        one.cut(sequence, depth)
    for step in range(steps):
        one.feed_each([(s, depth + step, tokens[(s + step) % _WINDOW]) for s in range(batch)])
    return batch * steps


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(speeds(Path(sys.argv[1]))), encoding="utf-8")
