"""The stages that make a model: preflight, training, preferences, export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from daydream_motives.characters.files import parse_json
from daydream_motives.errors import Refused, StoreError
from daydream_motives.modelstore.quantise import AS_SHIPPED, CHOSEN
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.base import Base
from daydream_motives.training.exporting.stage import (
    DEFAULT_FORMATS,
    OutOfBounds,
    Wish,
    run_export,
)
from daydream_motives.training.folder import MANIFEST, described, pretty, read_whole, write_whole
from daydream_motives.training.preferring.pairs import NoPairs, read_pairs
from daydream_motives.training.preferring.run import open_tuned, run_preference
from daydream_motives.training.process import end_stage
from daydream_motives.training.retraining.room import check_all
from daydream_motives.training.retraining.work import Order, Work
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.log import left
from daydream_motives.training.tuning.preflight import look
from daydream_motives.training.tuning.run import run_training

Tell = Callable[[str], None]
_GIB = 2**30
_MOST = 5  # reasons that are told
_LAST_FORMATS = ("Q8_0", "BF16")  # nearer to the tuned model, where the fastest is too far


def preflighted(work: Work, order: Order, base: Base, corpus: Corpus, tell: Tell) -> float:
    """A guess at the seconds of training; raises Refused for all that would go wrong, at once."""
    target = work.folder / "preflight"
    if (target / MANIFEST).exists():
        _, files = read_whole(target, "preflight", 1)
        told = parse_json(files["findings.json"])
    else:
        seen = look(order.recipe, base, corpus, work.folder / "tuned", 0)
        refused = seen.refused or check_all(base, seen, work.folder, ModelStore().folder)
        if refused:
            more = f"; and {len(refused) - _MOST} more" if len(refused) > _MOST else ""
            raise Refused(
                f"preflight: {'; '.join(one.what for one in refused[:_MOST])}{more}",
                remedy="; ".join(dict.fromkeys(one.remedy for one in refused)),
            )
        told = {
            "findings": [asdict(one) for one in seen.findings], "method": seen.method,
            "device": seen.device, "memory": seen.memory[seen.method].total,
            "trained": seen.trained, "tokens": seen.tokens, "seconds": seen.seconds,
        }  # fmt: skip
        files = {"findings.json": pretty(told)}
        manifest = {"schema_version": 1, "stage": "preflight", "files": described(files)}
        write_whole(target, files, manifest)
    tell(
        f"nothing is in the way; {told['method']} on {told['device']}, {told['trained']:,} "
        f"parameters, {told['tokens']:,} tokens, about {told['memory'] / _GIB:.1f} GiB and "
        f"{left(told['seconds'])}"
    )
    for one in told["findings"]:
        if one["level"] == "mind":
            tell(f"mind: {one['what']}")
    return float(told["seconds"])


def trained(
    work: Work, order: Order, base: Base, corpus: Corpus, tell: Tell, say: Tell
) -> Path:  # fmt: skip
    """The folder of what was learnt, of answers alone."""
    target = work.folder / "tuned"
    manifest = run_training(order.recipe, base, corpus, target, say=say)
    losses, best = manifest["losses"], manifest["best"]
    tell(
        f"validation loss {losses[0]['loss']:.4f} -> {best['loss']:.4f} at step {best['step']} of "
        f"{manifest['steps']['planned']}; {manifest['tokens']:,} tokens in "
        f"{left(manifest['seconds'])}"
    )
    end_stage()
    return target


def preferred(
    work: Work, order: Order, base: Base, corpus: Corpus, tuned: Path, tell: Tell, say: Tell
) -> Path:  # fmt: skip
    """The folder of what was learnt of pairs too; `tuned` itself where the recipe wants none."""
    if not order.prefers:
        tell("left out: the recipe has no [preference]")
        return tuned
    target = work.folder / "preferred"
    try:
        pairs = read_pairs(corpus.folder)
    except NoPairs as exc:
        tell(f"left out: {exc.problems[0]}")
        return tuned
    manifest = run_preference(
        order.recipe, base, corpus, pairs, open_tuned(tuned), target, say=say
    )  # fmt: skip
    before, best = manifest["losses"][0], manifest["best"]
    tell(
        f"accuracy on validation pairs {before['accuracy']:.3f} -> {best['accuracy']:.3f}, loss "
        f"{before['loss']:.4f} -> {best['loss']:.4f} at step {best['step']}"
    )
    end_stage()
    return target


def exported(work: Work, order: Order, base: Base, tuned: Path, tell: Tell, say: Tell) -> Path:
    """The folder with a file that the game runs; raises Refused where none is like `tuned`.

    One format is tried after the other: with several at once the clock would choose, and an export
    that was killed might end as another one.
    """
    target = work.folder / "exported"
    if "formats" not in work.state:
        work.keep(formats=_formats(order, base))
    warmth = order.recipe.sampling.temperature  # which may have been changed since it was tuned
    while True:
        format, *others = work.state["formats"]
        try:
            manifest = run_export(tuned, base, target, Wish((format,), temperature=warmth), say=say)
        except OutOfBounds as exc:
            if not others:
                raise Refused(f"export: {exc.message}", remedy=exc.remedy) from exc
            tell(f"{exc.message}; {others[0]} is tried instead")
            work.keep(formats=others)
            continue
        row = next(row for row in manifest["measured"] if row["verdict"] == CHOSEN)
        tell(
            f"{manifest['file']}, {manifest['size'] / 1e6:.1f} MB, {row['bits_per_weight']:.2f} "
            f"bits a weight; KL {row['kl']:.4f}, the same choice at {row['top1']:.1%} of tokens, "
            f"{row['greedy']:.1%} along its own answers, {row['valid']} of {row['answers']} valid"
        )
        end_stage()
        return target


def _formats(order: Order, base: Base) -> list[str]:
    """The number format that was fastest here for the base, and what follows where it is too far.

    On pull all were measured, on this machine; a tuned model has the same shape.
    """
    if order.format:
        return [order.format]
    store = ModelStore()
    entry = store.catalogue.models.get(base.name)
    first = (*(entry.formats if entry else ()), *DEFAULT_FORMATS)[0]
    try:
        chosen = str(store.installed(base.name).manifest["format"])
    except StoreError:
        chosen = AS_SHIPPED
    return list(dict.fromkeys((first if chosen == AS_SHIPPED else chosen, *_LAST_FORMATS)))
