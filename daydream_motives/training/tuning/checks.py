"""Everything that is looked at before a model is trained, so that nothing goes wrong hours later.

Each check gives findings: what is well, what to mind, and what training is refused for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import Indel

from daydream_motives.motives.budget import FIELDS
from daydream_motives.training.base import Base
from daydream_motives.training.recipe import Method, Recipe
from daydream_motives.training.tokens import Rendered, Rendering
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.estimate import Memory

Level = Literal["ok", "mind", "refused"]
_MOST_LEFT_OUT = 0.05  # of the records: above that the recipe does not fit the data
_SAME = 0.95  # two answers more alike than this are one
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do where it is not well."""

    level: Level
    what: str
    remedy: str = ""


def check_words(base: Base) -> Iterator[Finding]:
    """Chat template, BOS, EOS and what would fill up."""
    words = base.file_words()
    rendering = Rendering(words)
    if base.has_template:
        yield Finding("ok", "chat template: the base's own")
    else:
        marks = rendering.around[0].split("user")[0]
        known = len(words.tokenize(marks, True)) == 1
        if not known:
            yield Finding(
                "refused",
                f"chat template: the base has none, and its vocabulary lacks {marks!r}",
                "tune a base that was made for chat",
            )
            return
        yield Finding("mind", "chat template: the base has none; ChatML is used, as by the runtime")
    before = words.tokenize(rendering.around[0], True)
    bos = words.chat_template().special["bos_token"]
    told = f"begins with {words.decode(before[:1])!r}" + (
        f", BOS is {bos!r}" if bos else ", no BOS"
    )
    twice = len(before) > 1 and before[0] == before[1]
    yield Finding(
        "refused" if twice else "ok",
        f"BOS: {told}{', twice' if twice else ''}",
        "use a chat template that writes it once" if twice else "",
    )
    end = words.tokenize(rendering.end_of_turn, True)
    runtime = base.runtime_words()
    ends = runtime.end_tokens() if runtime else words.end_tokens()
    if len(end) != 1 or end[0] not in ends:
        yield Finding(
            "refused",
            f"EOS: a turn ends with {rendering.end_of_turn!r}, which the runtime takes for "
            f"{len(end)} tokens of which the last does not end an answer",
            "use a base whose template ends a turn with a token of its own",
        )
    else:
        yield Finding("ok", f"EOS: {rendering.end_of_turn!r} (token {end[0]}) ends a turn")
    yield Finding("ok", "pad: none is needed; what fills up is never attended to nor learnt")


def check_rendering(base: Base, corpus: Corpus) -> Iterator[Finding]:
    """The tokens of every record, ours and the runtime's, one by one."""
    runtime = base.runtime_words()
    if runtime is None:
        yield Finding(
            "mind", "rendering: not held against the runtime's, llama.cpp is not installed",
            "pip install 'daydream-motives[llama]'",
        )  # fmt: skip
        return
    ours, theirs = Rendering(base.file_words()), Rendering(runtime)
    if (ours.around, ours.end_of_turn) != (theirs.around, theirs.end_of_turn):
        yield Finding(
            "refused", "rendering: the chat template reads otherwise in the runtime",
            "use another base, or report this",
        )  # fmt: skip
        return
    count = tokens = 0
    for part, records in corpus.parts.items():
        for record in records:
            a, b = ours.record(record), theirs.record(record)
            count, tokens = count + 1, tokens + len(b)
            if a != b:
                at = next(
                    (i for i, (x, y) in enumerate(zip(a.ids, b.ids, strict=False)) if x != y),
                    min(len(a), len(b)),
                )
                yield Finding(
                    "refused",
                    f"rendering: {part} {record.id} differs from the runtime's at token {at}: "
                    f"{a.ids[at : at + 3]} instead of {b.ids[at : at + 3]}",
                    "use another base, or upgrade transformers",
                )
                return
    yield Finding("ok", f"rendering: {count} records, {tokens} tokens, all as the runtime has them")


def check_mask(rendered: Sequence[Rendered], end: int) -> Iterator[Finding]:
    """Whether something is learnt in every record, and its end too."""
    for record in rendered:
        if record.ids[-1] != end or not record.supervised[-1]:
            yield Finding("refused", f"mask: {record.id} does not learn to end", "report this")
            return
        if record.supervised[0] or not any(record.supervised):
            yield Finding("refused", f"mask: {record.id} learns its question", "report this")
            return
    learnt = sum(sum(record.supervised) for record in rendered)
    tokens = sum(map(len, rendered))
    yield Finding(
        "ok", f"mask: {learnt} of {tokens} tokens are learnt, each answer's end among them"
    )


def check_lengths(
    recipe: Recipe, base: Base, parts: dict[str, list[Rendered]]
) -> Iterator[Finding]:
    """Nothing is ever cut: what is too long is left out."""
    longest, window = recipe.train.max_tokens, int(base.config["max_position_embeddings"])
    if longest > window:
        yield Finding(
            "refused", f"length: {longest} tokens are more than the base's window of {window}",
            "lower train.max_tokens",
        )  # fmt: skip
    for part, records in parts.items():
        over = [record.id for record in records if len(record) > longest]
        if not records or not over:
            continue
        much = len(over) / len(records) > _MOST_LEFT_OUT
        names = ", ".join(over[:3]) + (" …" if len(over) > 3 else "")
        yield Finding(
            "refused" if much else "mind",
            f"length: {len(over)} of {len(records)} records of {part} have more than {longest} "
            f"tokens and are left out: {names}",
            "raise train.max_tokens",
        )
    top = max((len(record) for records in parts.values() for record in records), default=0)
    yield Finding("ok", f"length: the longest record has {top} tokens; none is cut")


def check_overlap(corpus: Corpus) -> Iterator[Finding]:
    """Whether what is learnt gives away what is asked afterwards."""
    train = corpus.parts["train"]
    asked = {tuple(record.fields[field] for field in FIELDS): record.id for record in train}
    answers = [" ".join(record.purposes) for record in train]
    clean = True
    for part in ("validation", "test"):
        records = corpus.parts[part]
        for record in records:
            key = tuple(record.fields[field] for field in FIELDS)
            if key in asked:
                clean = False
                yield Finding(
                    "refused", f"overlap: {part} {record.id} asks what train {asked[key]} asks",
                    "build the dataset again; its split is by scene",
                )  # fmt: skip
        texts = [" ".join(record.purposes) for record in records]
        near = process.cdist(texts, answers, scorer=Indel.normalized_similarity, score_cutoff=_SAME)
        for row, column in zip(*near.nonzero(), strict=True):
            clean = False
            yield Finding(
                "refused",
                f"overlap: {part} {records[row].id} has the answer of train {train[column].id}",
                "leave one of them out",
            )
    if clean:
        yield Finding(
            "ok", "overlap: no question and no answer of train is among those asked later"
        )


def check_room(
    needed: dict[Method, Memory], method: Method, available: int, target: Path, checkpoint: int
) -> Iterator[Finding]:
    """Memory and disk, for the method that the recipe takes."""
    need = needed[method].total
    fits = [name for name, memory in needed.items() if memory.total <= available]
    told = f"{method} takes about {need / _GIB:.1f} GiB of {available / _GIB:.1f} available"
    if need > available:
        other = f"{' or '.join(fits)}, " if fits else ""
        remedy = f"use {other}a smaller train.pass_tokens, or train.recompute = true"
        yield Finding("refused", f"memory: {told}", remedy)
    else:
        yield Finding("ok", f"memory: {told}")
    free = shutil.disk_usage(existing(target)).free
    yield Finding(
        "refused" if checkpoint > free else "ok",
        f"disk: checkpoints take {checkpoint / _GIB:.2f} GiB of {free / _GIB:.1f} free",
        "free some space or choose another folder" if checkpoint > free else "",
    )


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is: it will be on the same disk."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def check_compiler(recipe: Recipe, found: str | None) -> Iterator[Finding]:
    """What is to compile the layers, where the recipe wants that."""
    if recipe.train.compile:
        yield (
            Finding("ok", f"layers are compiled with {found}")
            if found
            else Finding(
                "mind", "layers are not compiled: there is no C++ compiler, or no Python.h",
                "install both (g++ and python3-dev on Debian), which saves a third of the time, "
                "or set train.compile = false",
            )
        )  # fmt: skip
