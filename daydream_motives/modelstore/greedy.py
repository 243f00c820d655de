"""What a GGUF file says to our own prompts when nothing is drawn by chance. Run as a program.

`python -m daydream_motives.modelstore.greedy FILE OUT.json [REFERENCE.json]` writes each answer as
text and tokens: always the likeliest token, nothing forced but the first bytes. With another file's
answers, also how many of their tokens this one would have chosen there (`agreed`), and of how many
(`of`): one early tie does not spoil what follows. A program of its own, because a model that
crashes takes its process with it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.llama import LlamaModel
from daydream_motives.modelstore.measure import scripts
from daydream_motives.motives.prompt import FRAME, encode

_MOST = 240  # tokens of an answer: three purposes of some forty words, and room


def greedy(path: Path, reference: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Of each prompt `text` (with the first bytes) and `tokens`, and `agreed` and `of`."""
    llm = LlamaModel(BackendSpec(path.name, path, threads=os.cpu_count() or 1))
    ends = set(llm.end_tokens())
    found = []
    for number, script in enumerate(scripts(llm.chat_template().around(""), llm.tokenize)):
        prompt = [*script.tokens[: script.prompt], *encode([FRAME.first], llm.tokenize)]
        llm.forget(0)
        llm.feed(prompt, 0)
        tokens: list[int] = []
        while len(tokens) < _MOST:
            token = int(np.argmax(llm.logits()))
            tokens.append(token)
            if token in ends:
                break
            llm.feed([token], len(prompt) + len(tokens) - 1)
        said = b"".join(llm.token_bytes(token) for token in tokens if token not in ends)
        row: dict[str, Any] = {
            "text": FRAME.first.text + said.decode("utf-8", errors="replace"), "tokens": tokens,
        }  # fmt: skip
        if reference:
            theirs = reference[number]["tokens"]
            row["of"], row["agreed"] = len(theirs), _agreed(llm, prompt, theirs)
        found.append(row)
    llm.close()
    return found


def _agreed(llm: LlamaModel, prompt: list[int], theirs: list[int]) -> int:
    """How many of their tokens this model too would choose, each after theirs before it."""
    llm.forget(len(prompt) - 1)
    llm.feed(prompt[-1:], len(prompt) - 1)
    agreed = 0
    for place, token in enumerate(theirs, len(prompt)):
        agreed += int(np.argmax(llm.logits())) == token
        llm.feed([token], place)
    return agreed


if __name__ == "__main__":
    others = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8")) if sys.argv[3:] else None
    Path(sys.argv[2]).write_text(json.dumps(greedy(Path(sys.argv[1]), others)), encoding="utf-8")
