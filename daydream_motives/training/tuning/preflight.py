"""The stage before training: all checks, samples with their mask in colour, memory and time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from daydream_motives.training.base import Base
from daydream_motives.training.recipe import Method, Recipe
from daydream_motives.training.tokens import FileWords, Rendered, Rendering, runs
from daydream_motives.training.tuning.checks import (
    Finding,
    check_compiler,
    check_lengths,
    check_mask,
    check_overlap,
    check_rendering,
    check_room,
    check_words,
)
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.estimate import (
    PROCESS,
    Memory,
    Shape,
    checkpoint_size,
    memory_of,
    seconds_of,
    trained_size,
)
from daydream_motives.training.tuning.model import compiler, device_of, method_of

_COMPARED: tuple[Method, ...] = ("full", "lora", "qlora")
_GIB = 2**30


@dataclass(frozen=True)
class Preflight:
    """What was found, and what training would take; `seconds` are a guess."""

    findings: list[Finding]
    samples: list[Rendered]
    method: Method
    device: str
    parameters: int
    trained: int
    memory: dict[Method, Memory]
    tokens: int
    seconds: float

    @property
    def refused(self) -> list[Finding]:
        return [one for one in self.findings if one.level == "refused"]


def look(recipe: Recipe, base: Base, corpus: Corpus, target: Path, samples: int = 2) -> Preflight:
    """Everything that is known before training; raises as opening the base and data do."""
    device = device_of(recipe)
    method = method_of(recipe, device)
    kind, shape = base.config["model_type"], Shape.of(base.config)
    findings = [Finding("ok", f"architecture: {kind}, {shape.parameters:,} parameters")]
    findings += check_words(base)
    if any(one.level == "refused" for one in findings):
        return Preflight(findings, [], method, device, shape.parameters, 0, {}, 0, 0.0)
    findings += check_rendering(base, corpus)
    rendering = Rendering(base.words())
    parts = {
        part: [rendering.record(record) for record in records]
        for part, records in corpus.parts.items()
    }
    end = rendering.words.tokenize(rendering.end_of_turn, True)[0]
    everything = [record for records in parts.values() for record in records]
    findings += check_mask(everything, end)
    findings += check_lengths(recipe, base, parts)
    findings += check_overlap(corpus)
    findings += check_compiler(recipe, compiler())
    train = parts["train"]
    tokens = sum(map(len, train))
    learnt = sum(sum(record.supervised) for record in train) / tokens
    compared = dict.fromkeys((*_COMPARED, method))
    longest = max((n for n in map(len, train) if n <= recipe.train.max_tokens), default=0)
    memory = {
        name: memory_of(
            shape, recipe, name, learnt, longest if device == "cpu" and name == "lora" else 0
        )
        for name in compared
    }
    trained = trained_size(shape, recipe, method)
    room = available(recipe, device)
    findings += check_room(memory, method, room, target, checkpoint_size(trained))
    tokens *= recipe.train.epochs
    return Preflight(
        findings,
        random.Random(recipe.train.seed).sample(train, min(samples, len(train))),
        method, device, shape.parameters, trained, memory, tokens,
        seconds_of(shape, recipe, method, device, tokens, learnt),
    )  # fmt: skip


def available(recipe: Recipe, device: str) -> int:
    """Bytes that training may take: what is free now and what this process has taken already, or
    less where the recipe says so."""
    if device == "cpu":
        here = min(int(psutil.Process().memory_info().rss), PROCESS)
        return int(psutil.virtual_memory().available) + here
    import torch

    free = int(torch.cuda.mem_get_info()[0]) + PROCESS  # asking makes the context
    return min(free, int(recipe.train.gpu_memory * _GIB)) if recipe.train.gpu_memory else free


def coloured(sample: Rendered, words: FileWords) -> str:
    """A sample as it is read: what is learnt in green, control tokens reversed, the rest faint.

    Without colours what is learnt stands between ⟦ and ⟧.
    """
    parts = []
    for learnt, ids in runs(sample):
        text = "".join(_piece(id, words, learnt) for id in _grouped(ids, words))
        parts.append(f"⟦{text}⟧" if learnt else text)
    return "".join(parts)


def _grouped(ids: list[int], words: FileWords) -> list[list[int]]:
    """Control tokens each alone; text together, as a letter may take several tokens."""
    groups: list[list[int]] = []
    for id in ids:
        alone = id in words.control
        if alone or not groups or groups[-1][-1] in words.control:
            groups.append([])
        groups[-1].append(id)
    return groups


def _piece(ids: list[int], words: FileWords, learnt: bool) -> str:
    text = words.decode(ids)
    control = ids[0] in words.control
    return click.style(text, fg="green" if learnt else None, dim=not learnt, reverse=control)
