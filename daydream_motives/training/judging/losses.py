"""How likely a local model finds the right answers: nats over supervised tokens, by llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daydream_motives.engine.backend import Backend, BackendSpec
from daydream_motives.motives.purposes import RANKS
from daydream_motives.training.judging.asking import Loss, Losses
from daydream_motives.training.judging.questions import Question
from daydream_motives.training.tokens import Rendering

_CHUNK = 128  # rows of logits at once: of the whole vocabulary each


def of_backend(backend: Backend, spec: BackendSpec) -> Loss | None:
    """The loss of an opened local model, asked as it is in the game; None for any other."""
    from daydream_motives.engine.scripted import ScriptedBackend

    if isinstance(backend, ScriptedBackend) or spec.path is None:
        return None
    from daydream_motives.engine.decoding.sequences import Sequences
    from daydream_motives.engine.llama import LlamaBackend

    if not isinstance(backend, LlamaBackend):
        return None
    llm = backend.llm
    rendering = Rendering(llm)
    rendering.around = backend.around  # an untuned model keeps its instructions
    window = spec.context_window

    def loss(questions: Sequence[Question]) -> Losses:
        """Nats and tokens of each right answer; None where it is no three purposes or too long."""
        sequences = Sequences(llm, count=1, window=window, threads=backend.threads)
        try:
            return [_of_one(sequences, question) for question in questions]
        finally:
            sequences.close()

    def _of_one(sequences: Sequences, question: Question) -> tuple[float, int] | None:
        if len(question.gold) != RANKS:
            return None
        rendered = rendering.pair(question.id, question.fields, question.gold)
        first = rendered.supervised.index(True)
        if len(rendered) > sequences.window:
            return None
        sequences.cut(0, 0)
        sequences.feed(0, rendered.ids[: first - 1], 0)
        nats = 0.0
        for start in range(first - 1, len(rendered) - 1, _CHUNK):
            ids = rendered.ids[start : min(start + _CHUNK, len(rendered) - 1)]
            logits = sequences.feed_each([(0, start + i, id) for i, id in enumerate(ids)])
            wanted = rendered.ids[start + 1 : start + 1 + len(ids)]
            for one, id in zip(logits, wanted, strict=True):
                row = one.astype(np.float64)
                top = row.max()
                nats += float(top + np.log(np.exp(row - top).sum()) - row[id])
        return nats, len(rendered) - first

    return loss
