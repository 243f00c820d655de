"""The stages that judge: candidate and incumbent asked the frozen questions, and who serves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daydream_motives.errors import ModelMissing, Refused
from daydream_motives.modelstore.promotion import is_same, promoted
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.dataset import similarity
from daydream_motives.training.exporting.stage import CARD
from daydream_motives.training.folder import MANIFEST, described, write_whole
from daydream_motives.training.judging.answers import Answers
from daydream_motives.training.judging.asking import ask, opened
from daydream_motives.training.judging.comparing import compare
from daydream_motives.training.judging.losses import of_backend
from daydream_motives.training.judging.questions import Questions
from daydream_motives.training.judging.writing import write_comparison
from daydream_motives.training.placing import (
    name_of,
    place,
    read_comparison,
    read_export,
    written_into_card,
)
from daydream_motives.training.promoting import Decision, decide
from daydream_motives.training.retraining.work import Order, Work
from daydream_motives.training.tuning.log import left

Tell = Callable[[str], None]
_SEED = 0
_EVERY = 5.0  # seconds between two lines
_TOLD = ("loss", "mrr", "contrast", "unknown_names", "distinct_2", "repeats")


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The model that serves now, and how it is opened; `before` is its name if it was promoted."""

    name: str
    model: str
    sha256: str
    before: str | None


def incumbent_of(order: Order) -> Incumbent:
    """This machine's default; the base as it is, where that default was never fetched, and what
    comes of that is not put in its place. Raises StoreError."""
    store = ModelStore()
    before = promoted(store.folder)
    name = before or store.catalogue.default
    try:
        return Incumbent(name, name, store.installed(name).sha256, before)
    except ModelMissing:
        if before:
            raise
    _, spec = store.spec(order.base)
    return Incumbent(spec.model, order.base, spec.model_hash, None)


def compared(
    work: Work, order: Order, questions: Questions, exported: Path, tell: Tell, say: Tell
) -> dict[str, Any]:
    """Both models' figures on the frozen questions; asked anew where another serves since."""
    target, manifest = work.folder / "compared", read_export(exported)
    candidate = manifest["sha256"]
    incumbent = incumbent_of(order)
    found = _kept(target, questions, manifest)
    first = found["models"][0]["model"]["sha256"] if found else ""
    if found is None or incumbent.sha256 not in (first, candidate):
        if incumbent.sha256 == candidate:
            raise Refused(
                f"what came of it is {incumbent.name}, to the byte, which serves already",
                remedy="give it journals, another seed or another recipe",
            )
        every = []
        for name, model, sha in (
            (incumbent.name, incumbent.model, incumbent.sha256),
            (name_of(manifest), str(exported / manifest["file"]), candidate),
        ):
            kept = target / f".asked-{sha[:12]}.jsonl"
            every.append(_asked(model, name, questions, kept, say))
        embed = similarity.minilm() if order.meaning else None
        found = compare(questions, every, random.Random(_SEED), embed)
        write_comparison(found, every, target)
    for kept in target.glob(".asked-*.jsonl"):
        kept.unlink(missing_ok=True)
    before, after = (model["figures"] for model in found["models"])
    figures = [
        f"{key} {before[key]['value']:.3f} -> {after[key]['value']:.3f}"
        for key in _TOLD
        if before.get(key) and after.get(key)
    ]
    tell(f"{found['models'][0]['model']['name']} -> candidate: {', '.join(figures)}")
    return found


def _kept(
    target: Path, questions: Questions, candidate: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What was compared before, if it was this candidate, asked as it would be, on these
    questions."""
    if not (target / MANIFEST).exists():
        return None
    found = read_comparison(target)
    _, other = (model["model"] for model in found["models"])
    asked = all(other[key] == candidate[key] for key in ("sha256", "temperature"))
    return found if asked and found["questions"]["sha256"] == questions.sha256 else None


def _asked(model: str, name: str, questions: Questions, kept: Path, say: Tell) -> Answers:
    begun = said = time.monotonic()
    first = -1

    def answered(done: int, of: int) -> None:
        nonlocal said, first
        now = time.monotonic()
        first = done if first < 0 else first
        if now - said >= _EVERY or done == of:
            said = now
            rest = (now - begun) / done * (of - done) if done > first else 0.0
            say(f"{name}: {done} of {of} answered" + (f", {left(rest)} left" if rest else ""))

    with opened(model) as (backend, spec):
        loss = of_backend(backend, spec)
        return ask(
            questions, backend, spec, seed=_SEED, name=name, kept=kept, loss=loss, say=answered
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided, and between whom; `placed` says whether the candidate serves now."""

    decision: Decision
    name: str
    incumbent: str
    placed: bool


def promoted_or_not(
    work: Work, found: dict[str, Any], exported: Path, name: str, *, serve: bool, tell: Tell
) -> Outcome:
    """Decide, write it into the model card, and put the candidate in place if it is better.

    Without `serve` nothing is put in place, nor where the default is not here to be asked. Raises
    StoreError where another model has the name.
    """
    manifest = read_export(exported)
    called = name or name_of(manifest)
    before = found["models"][0]["model"]
    decision = decide(found, manifest, before["sha256"])
    text = decision.as_markdown(called, before["name"])
    card = written_into_card(exported / CARD, text)
    store = ModelStore()
    serves = promoted(store.folder) == called and is_same(store.folder / called, manifest)
    default = promoted(store.folder) or store.catalogue.default
    asked = serves or (store.folder / default / "manifest.json").exists()
    placed = decision.promoted and ((serve and asked) or serves)
    if placed:
        tuned = before["name"] if store.is_tuned(before["name"]) else None
        place(store, exported, manifest, called, before=tuned, why=decision.why, card=card)
    files = {"decision.md": text}
    write_whole(work.folder / "promotion", files, {
        "schema_version": 1, "stage": "promotion", "promoted": decision.promoted,
        "placed": placed, "why": decision.why, "name": called, "sha256": manifest["sha256"],
        "incumbent": {key: before[key] for key in ("name", "sha256")},
        "questions": decision.questions["sha256"], "files": described(files),
    })  # fmt: skip
    if not decision.promoted:
        tell(f"refused: {decision.why}; {before['name']} goes on serving")
    elif placed:
        tell(f"promoted: {decision.why}; {called} is this machine's default")
    elif serve:
        tell(
            f"it would be promoted: {decision.why}; but the default, {default}, is not here to be "
            f"asked: after `daydream models pull {default}` the same command, with -o "
            f"{work.folder}, asks it"
        )
    else:
        tell(
            f"it would be promoted: {decision.why}; --no-promote leaves {before['name']}; the same "
            f"command without it, with -o {work.folder}, puts it in its place"
        )
    return Outcome(decision, called, before["name"], placed)
