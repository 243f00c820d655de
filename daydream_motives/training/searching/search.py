"""The stage as a whole: trials of a recipe's ranges, one after the other, and the best recipe.

Optuna says what is tried next and what is not worth ending. It is asked anew for each trial, with
everything that was tried before, so it does not matter in which process that was.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import DaydreamError, RunError, SettingsError
from daydream_motives.training.base import Base
from daydream_motives.training.folder import MANIFEST, described, read_manifest, write_whole
from daydream_motives.training.process import end_stage
from daydream_motives.training.recipe import Recipe
from daydream_motives.training.searching.telling import EXAMPLE, as_markdown
from daydream_motives.training.searching.trials import (
    FILE,
    SCHEMA_VERSION,
    Trial,
    as_text,
    as_toml,
    best_of,
    read_trials,
)
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.loop import Trainer
from daydream_motives.training.tuning.model import device_of
from daydream_motives.training.tuning.run import hash_of_plan, run_training

STAGE = "tune"
BEST, TABLE, FOLDER = "best.toml", "trials.md", "trials"
_RANDOM = 5  # trials before anything is inferred from them
_FOR_IMPORTANCE = 8  # complete trials; of fewer it is chance


class _Pruned(Exception):
    """A trial that is not worth ending."""


def run_search(
    recipe: Recipe,
    base: Base,
    corpus: Corpus,
    target: Path,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Search, or go on, or find it done; returns the manifest.

    `recipe` names its base and its dataset as `train` shall find them. Raises SettingsError where
    it has no ranges or one is wrong; RunError where the folder holds something else, the disk or
    the device fails, or every trial does.
    """
    ranges = distributions(recipe)
    wanted, plan = recipe.tune.trials, _plan(recipe, base, corpus)
    if fresh:
        _clear(target)
    trials = _begun(target, plan)
    if (target / MANIFEST).exists():
        manifest = read_manifest(target)
        if len(trials) >= wanted:
            say(f"{target} is done already")
            return manifest
        (target / MANIFEST).unlink()
    if trials:
        say(f"going on after {len(trials)} trials")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    while len(trials) < wanted:
        number = len(trials)
        folder = target / FOLDER / f"{number:03}"
        asked = ask(recipe, ranges, trials)
        told = ", ".join(f"{key} {value:.3g}" for key, value in asked.params.items())
        say(f"trial {number + 1} of {wanted}: {told}")
        done = _try(recipe, base, corpus, folder, asked, say)
        end_stage()
        trials.append(done)
        _keep(target, plan, trials)
        _drop(target, trials)
        say(f"trial {number + 1} {done.state}: " + (done.why or f"loss {done.loss:.4f}"))
    best = best_of(trials)
    if best is None:
        raise RunError(
            f"every one of {len(trials)} trials failed; the last: {trials[-1].why}",
            remedy="change what they have in common, or [tune.ranges]; begin again with --fresh",
        )
    _drop(target, trials)  # where the last one was noted, and then it was killed
    return _write(recipe, base, corpus, target, plan, trials, best, importance(ranges, trials))


def distributions(recipe: Recipe) -> dict[str, optuna.distributions.BaseDistribution]:
    """The recipe's ranges as Optuna's; raises SettingsError where there are none, or for one that
    no recipe can have."""
    if not recipe.tune.ranges:
        raise SettingsError("the recipe has no ranges to search", remedy=f"add {EXAMPLE}")
    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for key, (least, most) in recipe.tune.ranges.items():
        section, _, name = key.partition(".")
        for end in (least, most):
            recipe.with_values({key: end})
        if isinstance(getattr(getattr(recipe, section), name), int):
            found[key] = optuna.distributions.IntDistribution(int(least), int(most))
        else:
            log = name == "learning_rate"
            found[key] = optuna.distributions.FloatDistribution(least, most, log=log)
    return found


def study_of(
    ranges: Mapping[str, optuna.distributions.BaseDistribution], trials: Sequence[Trial], seed: int
) -> optuna.Study:
    """Everything that was tried, as Optuna's study."""
    states = optuna.trial.TrialState
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(n_startup_trials=_RANDOM, seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_RANDOM),
    )
    kinds = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=kinds[trial.state],
                value=trial.loss if trial.state == "complete" else None,
                params=dict(trial.params),
                distributions=dict(ranges),
                intermediate_values=dict(enumerate(trial.losses, 1)),
            )
        )
    return study


def ask(
    recipe: Recipe,
    ranges: Mapping[str, optuna.distributions.BaseDistribution],
    trials: Sequence[Trial],
) -> optuna.Trial:
    """The next trial. The first is the recipe itself, where it is within its ranges: so what is
    found is no worse than what was there."""
    seed = random.Random(f"{recipe.train.seed} {len(trials)}").getrandbits(32)
    study = study_of(ranges, trials, seed)
    if not trials:
        own = {}
        for key, (least, most) in recipe.tune.ranges.items():
            section, _, name = key.partition(".")
            value = getattr(getattr(recipe, section), name)
            if least <= value <= most:
                own[key] = value
        study.enqueue_trial(own)
    return study.ask(dict(ranges))


def importance(
    ranges: Mapping[str, optuna.distributions.BaseDistribution], trials: Sequence[Trial]
) -> dict[str, float]:
    """How much of the differences in loss each range explains, in all 1; of few trials nothing."""
    complete = [trial for trial in trials if trial.state == "complete"]
    if len(complete) < _FOR_IMPORTANCE or len(ranges) < 2:
        return {}
    found = optuna.importance.get_param_importances(study_of(ranges, trials, 0))
    return {key: round(float(value), 4) for key, value in found.items()}


def _try(
    recipe: Recipe,
    base: Base,
    corpus: Corpus,
    folder: Path,
    asked: optuna.Trial,
    say: Callable[[str], None],
) -> Trial:
    """Train with what was asked, from where it was left."""
    losses: list[float] = []

    def watch(trainer: Trainer) -> None:
        known, done = len(losses), trainer.progress
        losses[:] = [row["loss"] for row in done.history[1:]]
        for number, loss in enumerate(losses[known:], known + 1):
            asked.report(loss, number)
        if done.step < len(trainer.steps) and losses and asked.should_prune():
            raise _Pruned

    number, params = asked.number, asked.params
    try:
        manifest = run_training(
            recipe.with_values(params), base, corpus, folder, say=say, watch=watch
        )
    except _Pruned:
        return Trial(number, "pruned", params, tuple(losses))
    except DaydreamError as exc:
        # What failed beneath us, disk or device, is not the trial's fault, unless it asked for
        # more memory than there is.
        if exc.__cause__ is not None and "memory" not in exc.message:
            raise
        return Trial(number, "failed", params, why=exc.message.replace("\n", "; "))
    return Trial(number, "complete", params, tuple(r["loss"] for r in manifest["losses"][1:]))


def _plan(recipe: Recipe, base: Base, corpus: Corpus) -> str:
    """A hash of all that decides what is tried and what comes of it."""
    return hash_of_plan(recipe, base, corpus, device_of(recipe), recipe.tune.ranges)


def _begun(target: Path, plan: str) -> list[Trial]:
    """What was tried in the folder, which is made ours where it is new."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        if (target / FILE).exists():
            return read_trials(target / FILE, plan)
        if any(not p.name.startswith(".") for p in target.iterdir()):
            raise RunError(f"{target} is not empty", remedy="choose another folder with -o")
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}", remedy="choose another folder with -o"
        ) from exc
    _keep(target, plan, [])
    return []


def _keep(target: Path, plan: str, trials: Sequence[Trial]) -> None:
    """Note what was tried."""
    try:
        write_atomic(target / FILE, as_text(plan, trials))
    except OSError as exc:
        raise RunError(
            f"cannot write {target / FILE}: {exc.strerror or exc}",
            remedy="free some space; the same command goes on",
        ) from exc


def _drop(target: Path, trials: Sequence[Trial]) -> None:
    """Drop what trials other than the best have learnt."""
    best = best_of(trials)
    for trial in trials:
        if trial is not best:
            shutil.rmtree(target / FOLDER / f"{trial.number:03}", ignore_errors=True)


def _clear(target: Path) -> None:
    """Drop what an earlier search left; never anything else."""
    if not (target / FILE).exists():
        return
    for name in (MANIFEST, BEST, TABLE):
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(target / FOLDER, ignore_errors=True)
    (target / FILE).unlink()


def _write(
    recipe: Recipe,
    base: Base,
    corpus: Corpus,
    target: Path,
    plan: str,
    trials: Sequence[Trial],
    best: Trial,
    weights: Mapping[str, float],
) -> dict[str, Any]:
    first = trials[0]
    was = f"; trial 1: {first.loss:.4f}" if first.state == "complete" and first != best else ""
    comment = [
        f"The best of {len(trials)} trials, by `tune`: trial {best.number + 1}, "
        f"validation loss {best.loss:.4f}{was}.",
        f"Base {base.sha256[:16]}, dataset {corpus.hash[:16]}, search {plan[:16]}.",
    ]
    files = {
        BEST: as_toml(recipe.with_values(best.params), comment),
        TABLE: as_markdown(trials, best, weights),
        FILE: as_text(plan, trials),
    }
    counts = dict.fromkeys(("complete", "pruned", "failed"), 0)
    for trial in trials:
        counts[trial.state] += 1
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": STAGE,
        "plan": plan,
        "base": {"name": base.name, "sha256": base.sha256},
        "dataset": {"sha256": corpus.hash},
        "recipe": recipe.model_dump(mode="json"),
        "trials": counts,
        "best": {"trial": best.number, "loss": best.loss, "params": dict(best.params)},
        "importance": dict(weights),
        "versions": {"optuna": optuna.__version__},
        "files": described(files),
    }
    write_whole(target, files, manifest, ours=True)
    return manifest
