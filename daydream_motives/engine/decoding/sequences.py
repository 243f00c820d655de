"""Many token sequences decoded side by side over one set of weights.

Each sequence has a stretch of the KV cache of its own, so that one does not pay for the length of
its neighbours. Knows nothing of what the tokens say; one thread at a time may use it.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daydream_motives.engine.decoding.sampling import Logits
from daydream_motives.engine.decoding.weights import Weights, llama_cpp
from daydream_motives.errors import BackendError

_BATCH = 512
_BLOCK = 32  # numbers that share a scale in Q8_0
Rows = Sequence[tuple[int, int, int]]  # (sequence, position, token)


class Sequences:
    """`count` sequences of at most `window` tokens each; raises BackendError without memory."""

    def __init__(self, weights: Weights, *, count: int, window: int, threads: int) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_seq_max = count
        params.n_ctx = window * count
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        if not weights.gpu_layers:
            # On a processor a token of a shared cache looks at the cells of all sequences, and
            # flash attention reads a little faster and writes a third slower.
            params.kv_unified = False
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            # Keys of 8 bits take a quarter off the memory and a tenth off the time of a token.
            heads = max(1, llama_cpp.llama_model_n_head(weights.model))
            if llama_cpp.llama_model_n_embd(weights.model) // heads % _BLOCK == 0:
                params.type_k = llama_cpp.GGML_TYPE_Q8_0
        else:
            params.kv_unified = True
        context = llama_cpp.llama_init_from_model(weights.model, params)
        if not context:
            raise BackendError(
                f"no memory for {count} contexts of {window} tokens",
                remedy="lower context_window or parallel, or free some memory",
            )
        self.weights = weights
        self.count = count
        self.window = int(llama_cpp.llama_n_ctx(context)) // count
        self.threads = threads
        self.split = not weights.gpu_layers
        self._context = context
        self._memory = llama_cpp.llama_get_memory(context)
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        batch = self._batch
        self._tokens = np.ctypeslib.as_array(batch.token, (_BATCH,))
        self._positions = np.ctypeslib.as_array(batch.pos, (_BATCH,))
        self._wanted = np.ctypeslib.as_array(batch.logits, (_BATCH,))
        np.ctypeslib.as_array(batch.n_seq_id, (_BATCH,))[:] = 1
        self._of = [batch.seq_id[i] for i in range(_BATCH)]
        self._release = weakref.finalize(self, _free, batch, context)
        self._release.atexit = False  # a thread may still be decoding when the process ends

    def close(self) -> None:
        """Free the context; calling it twice is harmless."""
        self._release()
        self._context = None

    def use_threads(self, threads: int) -> None:
        if threads != self.threads:
            llama_cpp.llama_set_n_threads(self._context, threads, threads)
            self.threads = threads

    def feed(self, sequence: int, tokens: Sequence[int], start: int) -> Logits:
        """Append `tokens` from position `start` on; the logits after the last, shape (n_vocab,).

        They are a view that the next call overwrites. Raises BackendError where the window is full.
        """
        if start + len(tokens) > self.window:
            raise BackendError(
                f"{start + len(tokens)} tokens do not fit a window of {self.window}",
                remedy="lower the context budget, or raise context_window",
            )
        for offset in range(0, len(tokens), _BATCH):
            part = tokens[offset : offset + _BATCH]
            n = len(part)
            self._tokens[:n] = part
            self._positions[:n] = range(start + offset, start + offset + n)
            self._wanted[:n] = 0
            self._wanted[n - 1] = 1
            for pointer in self._of[:n]:
                pointer[0] = sequence
            self._decode(n)
        logits: Logits = self._logits(1)[0]
        return logits

    def feed_each(self, rows: Rows) -> NDArray[np.float32]:
        """One token for each of several sequences; logits of shape (len(rows), n_vocab), a view.

        The sequences should follow one another without a gap: llama.cpp decodes only such at once.
        """
        n = len(rows)
        for i, (sequence, position, token) in enumerate(rows):
            self._tokens[i], self._positions[i] = token, position
            self._of[i][0] = sequence
        self._wanted[:n] = 1
        self._decode(n)
        return self._logits(n)

    def cut(self, sequence: int, start: int) -> None:
        """Drop everything from position `start` on."""
        self._check_open()
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` holds."""
        self._check_open()
        if not self.split:
            llama_cpp.llama_memory_seq_rm(self._memory, target, -1, -1)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def save(self, sequence: int) -> NDArray[np.uint8]:
        """What the cache holds of a sequence, to be put back by `load`."""
        self._check_open()
        size = int(llama_cpp.llama_state_seq_get_size(self._context, sequence))
        # Memory of its own that goes back whole: on the heap, blocks of so many sizes leave gaps.
        data = np.frombuffer(mmap.mmap(-1, max(1, size)), dtype=np.uint8)
        written = llama_cpp.llama_state_seq_get_data(self._context, _bytes(data), size, sequence)
        return data[:written]

    def load(self, sequence: int, data: NDArray[np.uint8]) -> None:
        """Put back what `save` gave, into any sequence; raises BackendError where it does not go
        in."""
        self._check_open()
        done = llama_cpp.llama_state_seq_set_data(self._context, _bytes(data), len(data), sequence)
        if not done:
            raise BackendError("a saved prefix does not fit into the cache")

    def _check_open(self) -> None:
        if not self._context:
            raise BackendError("the model is closed", remedy="open a new MotiveEngine")

    def _decode(self, n: int) -> None:
        self._check_open()
        self._batch.n_tokens = n
        if code := llama_cpp.llama_decode(self._context, self._batch):
            raise BackendError(f"llama.cpp could not decode (code {code})")

    def _logits(self, n: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, (n, self.weights.n_vocab))


def _bytes(data: NDArray[np.uint8]) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * len(data)).from_buffer(data.data)


def _free(batch: object, context: object) -> None:
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
