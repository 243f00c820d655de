"""How fast llama.cpp itself decodes many sequences side by side: what no decoder on it can beat.

Fixed tokens at the depth of our prompts, nothing sampled, nothing between two calls but filling the
batch. Several ways of laying out contexts and cache are tried, and the fastest is the ceiling.
Knows nothing of our decoder.
"""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from daydream_motives.errors import BackendError
from daydream_motives.settings import gpu_layers

_BATCH = 512
_FIRST_TOKEN, _TOKENS = 100, 1000  # any ordinary ones


@dataclass(frozen=True, slots=True)
class Layout:
    """So many contexts of so many threads each; `unified` is one cache for all sequences."""

    contexts: int
    threads: int
    unified: bool

    def __str__(self) -> str:
        cache = "one cache" if self.unified else "a cache for each sequence"
        return f"{self.contexts} x {self.threads} threads, {cache}"


def layouts(threads: int, batch: int) -> list[Layout]:
    """What is tried with so many threads and sequences in all.

    One cache for all is for GPUs: on a processor each token looks at the cells of all sequences,
    which at this depth takes three times as long (and minutes to fill).
    """
    if gpu_layers():
        return [Layout(1, threads, False), Layout(1, threads, True)]
    each_its_own = [Layout(threads, 1, False)] if 1 < threads <= batch else []
    return [Layout(1, threads, False), *each_its_own]


def measure(path: str, *, threads: int, batch: int, depth: int, steps: int = 75) -> dict[str, Any]:
    """Tokens/s of each layout by its name, and `best`; `batch` sequences in all, each with `depth`
    tokens before the first step."""
    import llama_cpp

    batch = max(1, batch)
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = gpu_layers()
    model = llama_cpp.llama_model_load_from_file(path.encode(), params)
    if not model:
        raise BackendError(f"llama.cpp cannot load {path}", remedy="give a GGUF model it knows")
    try:
        speeds = {
            str(layout): _speed(llama_cpp, model, layout, batch, depth, steps)
            for layout in layouts(threads, batch)
        }
    finally:
        llama_cpp.llama_model_free(model)
    return {"layouts": speeds, "tokens_per_s": max(speeds.values()), "batch": batch, "depth": depth}


def _speed(api: Any, model: Any, layout: Layout, batch: int, depth: int, steps: int) -> float:
    each = -(-batch // layout.contexts)
    contexts: list[_Context] = []
    try:
        for _ in range(layout.contexts):
            contexts.append(_Context(api, model, layout, each, depth + steps))
        for context in contexts:
            context.fill(depth)
        gate = threading.Barrier(len(contexts))
        began = [0.0] * len(contexts)
        ended = [0.0] * len(contexts)

        def run(index: int) -> None:
            gate.wait()
            began[index] = time.perf_counter()
            for step in range(steps):
                contexts[index].step(depth + step)
            ended[index] = time.perf_counter()

        crew = [threading.Thread(target=run, args=(i,)) for i in range(len(contexts))]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    finally:
        for context in contexts:
            context.close()
    return each * len(contexts) * steps / (max(ended) - min(began))


class _Context:
    """One context whose sequences all hold equally much."""

    def __init__(self, api: Any, model: Any, layout: Layout, sequences: int, window: int) -> None:
        self.api, self.sequences = api, sequences
        params = api.llama_context_default_params()
        params.n_seq_max = sequences
        params.n_ctx = (window + 32) * sequences
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = layout.threads
        params.kv_unified = layout.unified
        if not gpu_layers():  # on a processor it slows decoding down
            params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.no_perf = True
        self.unified = layout.unified
        self.context = api.llama_init_from_model(model, params)
        if not self.context:
            raise BackendError(
                f"no memory for {sequences} sequences of {window} tokens",
                remedy="free some memory",
            )
        self.batch = batch = api.llama_batch_init(_BATCH, 0, 1)
        self.tokens = np.ctypeslib.as_array(batch.token, (_BATCH,))
        self.positions = np.ctypeslib.as_array(batch.pos, (_BATCH,))
        self.wanted = np.ctypeslib.as_array(batch.logits, (_BATCH,))
        np.ctypeslib.as_array(batch.n_seq_id, (_BATCH,))[:] = 1
        self.tokens[:] = _FIRST_TOKEN + np.arange(_BATCH) % _TOKENS

    def fill(self, depth: int) -> None:
        """Give every sequence `depth` tokens of its own."""
        memory = self.api.llama_get_memory(self.context)
        for sequence in range(self.sequences):
            if sequence and not self.unified:  # in one cache a copy would be no copy
                self.api.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
                continue
            for start in range(0, depth, _BATCH):
                count = min(_BATCH, depth - start)
                self.positions[:count] = range(start, start + count)
                self.wanted[:count] = 0
                for row in range(count):
                    self.batch.seq_id[row][0] = sequence
                self._decode(count)
        for row in range(self.sequences):
            self.batch.seq_id[row][0] = row
        self.wanted[: self.sequences] = 1

    def step(self, position: int) -> None:
        """One more token for every sequence."""
        self.positions[: self.sequences] = position
        self._decode(self.sequences)

    def _decode(self, count: int) -> None:
        self.batch.n_tokens = count
        if code := self.api.llama_decode(self.context, self.batch):
            raise BackendError(f"llama.cpp could not decode (code {code})")
        # What was asked for is computed when it is read.
        self.api.llama_synchronize(self.context)

    def close(self) -> None:
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
