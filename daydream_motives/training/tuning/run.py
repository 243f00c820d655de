"""The stage as a whole: from a recipe to a folder with what was learnt, and its manifest.

What is unfinished lies in the same folder and is gone on with; the manifest comes last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import RunError
from daydream_motives.training.base import Base
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import MANIFEST, pretty, read_manifest, sha256
from daydream_motives.training.recipe import Recipe
from daydream_motives.training.tokens import Rendered, Rendering
from daydream_motives.training.tuning import checkpoint
from daydream_motives.training.tuning.checkpoint import Progress
from daydream_motives.training.tuning.corpus import Corpus, render_all
from daydream_motives.training.tuning.failures import failures
from daydream_motives.training.tuning.log import FILE as LOG
from daydream_motives.training.tuning.log import Log
from daydream_motives.training.tuning.loop import Trainer
from daydream_motives.training.tuning.model import (
    ADAPTER,
    CONFIG,
    TENSORS,
    device_of,
    method_of,
    prepare,
)

SCHEMA_VERSION = 1
STAGE = "train"
_OURS = (checkpoint.FILE, ADAPTER, CONFIG, TENSORS, LOG)
_PACKAGES = ("daydream-motives", "torch", "transformers", "peft", "bitsandbytes")


@failures()
def run_training(
    recipe: Recipe,
    base: Base,
    corpus: Corpus,
    target: Path,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
    watch: Callable[[Trainer], None] = lambda _: None,
) -> dict[str, Any]:
    """Train, or go on, or find it done; returns the manifest.

    `watch` is called after each evaluation, and ends the training by raising what it likes.
    Raises RunError where the folder holds something else, as the loop does, and where memory, the
    disk or the device fails.
    """
    device = device_of(recipe)
    plan = hash_of_plan(recipe, base, corpus, device)
    if (done := done_already(target, STAGE, plan, fresh=fresh, say=say)) is not None:
        return done
    rendering = Rendering(base.words())
    parts = {part: rendered(rendering, recipe, corpus, part, say) for part in SPLITS[:2]}
    learner = prepare(base, recipe, device)
    trainer = Trainer(learner, recipe.train, parts["train"], parts["validation"], target, plan)
    trainer.watch = watch
    return learn(trainer, recipe, base, {
        "stage": STAGE,
        "dataset": {"sha256": corpus.hash, **{k: len(v) for k, v in parts.items()}},
    }, say)  # fmt: skip


def rendered(
    rendering: Rendering, recipe: Recipe, corpus: Corpus, part: str, say: Callable[[str], None]
) -> list[Rendered]:
    """The tokens of a part of the dataset; raises RunError where every record is too long."""
    longest = recipe.train.max_tokens
    records = render_all(rendering, corpus.parts[part], longest)
    if left_out := len(corpus.parts[part]) - len(records):
        say(f"{left_out} records of {part} are longer than {longest} tokens and left out")
    if not records:
        raise RunError(f"no record of {part} is left", remedy="raise train.max_tokens")
    return records


def done_already(
    target: Path, stage: str, plan: str, *, fresh: bool, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The manifest of what a stage has made by this very plan; None where it is to be made.

    With `fresh` what the stage left is dropped. Raises RunError for what was made otherwise.
    """
    if fresh:
        _clear(target, stage)
    elif (target / MANIFEST).exists():
        manifest = read_manifest(target)
        if manifest.get("plan") != plan:
            raise RunError(
                f"{target} holds what was made otherwise ({manifest.get('stage', 'a dataset')})",
                remedy="choose another folder with -o, or begin again with --fresh",
            )
        if all(_is_as_written(target / name, told) for name, told in manifest["files"].items()):
            (target / checkpoint.FILE).unlink(missing_ok=True)  # where a kill has left it
            say(f"{target} is done already")
            return manifest
        say(f"{target} is not as it was written, and is made again")
        _clear(target, stage)
    return None


def _is_as_written(file: Path, told: Mapping[str, Any]) -> bool:
    try:
        return sha256(file.read_bytes()) == str(told["sha256"])
    except FileNotFoundError:
        return False


def learn(
    trainer: Trainer, recipe: Recipe, base: Base, told: dict[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Train, or go on, and write what was learnt; returns the manifest, which has `told` in it."""
    target, learner = trainer.folder, trainer.learner
    _folder(target)
    if trainer.progress.step:
        say(f"going on at step {trainer.progress.step} of {len(trainer.steps)}")
    log = Log(target, trainer.progress.step, say)
    try:
        progress = trainer.run(log)
    finally:
        log.close()
    files = learner.files(progress.best, base.name)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        **told,
        "plan": trainer.plan,
        "method": learner.method,
        "device": learner.device,
        "base": {"name": base.name, "sha256": base.sha256, **_shape(base)},
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.train.seed,
        **_told(progress, len(trainer.steps)),
        "trained_parameters": sum(p.numel() for p in learner.trained.values()),
        "versions": _versions(),
    }
    return _write(target, files, manifest)


def _told(progress: Progress, planned: int) -> dict[str, Any]:
    return {
        "losses": progress.history,
        "best": next(row for row in progress.history if row["step"] == progress.best_step),
        "steps": {"planned": planned, "done": progress.step},
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 3),
        "wall": round(progress.wall, 3),
    }


def _shape(base: Base) -> dict[str, Any]:
    return {key: base.manifest[key] for key in ("architecture", "parameters")}


def hash_of_plan(recipe: Recipe, base: Base, corpus: Corpus, device: str, *more: Any) -> str:
    """A hash of all that decides what is learnt; `more` is what another stage adds to it."""
    told = recipe.model_dump(mode="json")
    for key in ("checkpoint_minutes", "gpu_memory", "device", "compile"):
        told["train"].pop(key)
    kept = {key: told[key] for key in ("lora", "train")}
    parts = [kept, base.sha256, corpus.hash, device, method_of(recipe, device), *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _folder(target: Path) -> None:
    """A folder that is new, or holds unfinished training."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        others = {p.name for p in target.iterdir() if not p.name.startswith(".")}
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}", remedy="choose another folder with -o"
        ) from exc
    if checkpoint.FILE not in others and others - {*_OURS, "curves"}:
        raise RunError(f"{target} is not empty", remedy="choose another folder with -o")


def _clear(target: Path, stage: str) -> None:
    """Drop what an earlier run of the stage left; never anything else."""
    if whole := (target / MANIFEST).exists():
        left_by = read_manifest(target).get("stage")
    else:
        left_by = checkpoint.stage_of(target) or stage
    if left_by != stage:
        raise RunError(
            f"{target} holds what another stage wrote", remedy="choose another folder with -o"
        )
    if whole:
        (target / MANIFEST).unlink()
    elif not (target / LOG).exists():
        return
    for name in _OURS:
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(target / "curves", ignore_errors=True)


def _write(target: Path, files: dict[str, bytes], manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        for name, data in files.items():
            write_atomic(target / name, data)
        files = {**files, LOG: (target / LOG).read_bytes()}
        manifest["files"] = {
            name: {"sha256": sha256(data), "bytes": len(data)} for name, data in files.items()
        }
        write_atomic(target / MANIFEST, pretty(manifest))
        (target / checkpoint.FILE).unlink(missing_ok=True)
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}",
            remedy="free some space; the same command goes on from the last checkpoint",
        ) from exc
    return manifest
