"""What llama.cpp is asked to do, call by call: how fast our decoder writes while it writes.

A call in which every token wants its logits, followed by another such on the same thread, is a step
of decoding; from the beginning of one to that of the next passes what a token of each answer costs,
choosing it included. Knows nothing of the decoder.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Any

_Call = tuple[float, float, int, bool]  # began, ended, tokens, all of them want logits
_MOST = 64  # tokens of a call that may be a step: more is a prompt


class Steps:
    """The calls of `llama_decode`, each thread's in their order."""

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = defaultdict(list)

    def add(self, thread: int, began: float, ended: float, tokens: int, wanted: bool) -> None:
        self._calls[thread].append((began, ended, tokens, wanted))

    def figures(self) -> dict[str, Any]:
        """Tokens/s while decoding, of all threads together: in all steps, and in those where the
        batch is full; how many tokens a step has; and the shares of the time within llama.cpp."""
        sizes: Counter[int] = Counter()
        pauses: dict[int, list[float]] = defaultdict(list)
        written = spent = 0.0
        inside = {True: 0.0, False: 0.0}
        for calls in self._calls.values():
            for began, ended, _, wanted in calls:
                inside[wanted] += ended - began
            for (began, _, tokens, wanted), (later, _, _, more) in pairwise(calls):
                if wanted and more:
                    sizes[tokens] += 1
                    pauses[tokens].append(later - began)
                    written, spent = written + tokens, spent + later - began
        threads = sum(1 for calls in self._calls.values() if any(call[3] for call in calls))
        full = max((size for size, n in sizes.items() if n >= 5), default=max(sizes, default=0))
        return {
            "threads": threads,
            "tokens_per_s": threads * written / spent if spent else 0.0,
            "full_batch": full,
            "full_tokens_per_s": threads * full / median(pauses[full]) if full else 0.0,
            "tokens_per_step": written / max(1, sum(sizes.values())),
            "decoding_s": inside[True],
            "reading_s": inside[False],
        }


@contextmanager
def counting_steps() -> Iterator[Steps]:
    """Take down every call of llama.cpp made within."""
    from daydream_motives.engine.llama import llama_cpp

    steps, decode = Steps(), llama_cpp.llama_decode

    def counted(context: Any, batch: Any) -> int:
        tokens = int(batch.n_tokens)
        wanted = tokens <= _MOST and all(batch.logits[i] for i in range(tokens))
        if wanted:  # what stands at the very beginning only keeps another company
            tokens = sum(batch.pos[i] > 0 for i in range(tokens))
        began = time.perf_counter()
        code = int(decode(context, batch))
        steps.add(threading.get_ident(), began, time.perf_counter(), tokens, wanted)
        return code

    llama_cpp.llama_decode = counted
    try:
        yield steps
    finally:
        llama_cpp.llama_decode = decode
