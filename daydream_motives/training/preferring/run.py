"""The stage as a whole: from what `train` made to a folder of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daydream_motives.errors import RunError
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.training.base import Base
from daydream_motives.training.dataset.split import SPLITS
from daydream_motives.training.folder import MANIFEST, read_manifest, read_whole
from daydream_motives.training.preferring.pairs import Pairs, Question, questions_of
from daydream_motives.training.preferring.trainer import PreferenceTrainer
from daydream_motives.training.recipe import Lora, Recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning import run as training
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.failures import failures
from daydream_motives.training.tuning.model import (
    ADAPTER,
    Learner,
    check_base,
    device_of,
    prepare,
)

STAGE = "prefer"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is begun from: a whole folder with an adapter, how that was made, and its hash."""

    folder: Path
    manifest: dict[str, Any]
    sha256: str

    def continued(self, recipe: Recipe) -> Recipe:
        """The recipe with the adapter and method of this folder, which decide what is gone on with.

        Without dropout: it would be noise between what is thought of an answer now and before.
        """
        try:
            lora = Lora.model_validate(self.manifest["recipe"]["lora"])
        except (KeyError, TypeError, ValidationError) as exc:
            raise RunError(
                f"{self.folder / MANIFEST} tells no adapter's recipe: {exc}", remedy="train again"
            ) from exc
        train = recipe.train.model_copy(update={"method": self.manifest["method"]})
        lora = lora.model_copy(update={"dropout": 0.0})
        return recipe.model_copy(update={"train": train, "lora": lora})


def open_tuned(folder: Path) -> Tuned:
    """What `train`, or this stage, made; raises RunError where it is none, or has no adapter."""
    stage = read_manifest(folder).get("stage", "dataset")
    if stage not in (training.STAGE, STAGE):
        raise RunError(
            f"{folder} holds what `{stage}` wrote, nothing tuned",
            remedy="give --from a folder that `train` has written",
        )
    manifest, files = read_whole(folder, stage, training.SCHEMA_VERSION)
    if ADAPTER not in files:
        raise RunError(
            f"{folder} was trained by {manifest.get('method')} and has no adapter",
            remedy='preferences go on with an adapter: train with method = "lora" or "qlora"',
        )
    return Tuned(folder, manifest, sha256_of(folder / MANIFEST))


@failures()
def run_preference(
    recipe: Recipe,
    base: Base,
    corpus: Corpus,
    pairs: dict[str, Pairs],
    tuned: Tuned,
    target: Path,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Learn from pairs, or go on, or find it done; returns the manifest.

    Raises RunError where the folder holds something else or `tuned` is of another base, as the loop
    does, and where memory, the disk or the device fails.
    """
    check_base(base, tuned.folder, tuned.manifest)
    if target.resolve() == tuned.folder.resolve():
        raise RunError(f"{target} is what is begun from", remedy="choose another folder with -o")
    recipe = tuned.continued(recipe)
    device = device_of(recipe)
    wanted = recipe.preference.model_dump()
    plan = training.hash_of_plan(recipe, base, corpus, device, wanted, tuned.sha256)
    if (done := training.done_already(target, STAGE, plan, fresh=fresh, say=say)) is not None:
        return done
    rendering = Rendering(base.words())
    validation = training.rendered(rendering, recipe, corpus, "validation", say)
    questions = {part: _questions(rendering, recipe, pairs, part, say) for part in SPLITS[:2]}
    learner = learner_of(tuned, base, recipe, device)
    trainer = PreferenceTrainer(
        learner, recipe.train, recipe.preference, questions, validation, target, plan
    )
    counts = {part: sum(len(q.starts) - 1 for q in some) for part, some in questions.items()}
    return training.learn(trainer, recipe, base, {
        "stage": STAGE,
        "from": tuned.sha256,
        "dataset": {"sha256": corpus.hash, **counts},
    }, say)  # fmt: skip


def _questions(
    rendering: Rendering,
    recipe: Recipe,
    pairs: dict[str, Pairs],
    part: str,
    say: Callable[[str], None],
) -> list[Question]:
    train = recipe.train
    questions, left_out = questions_of(
        rendering, pairs[part], train.max_tokens, train.tokens_of_a_pass
    )
    if left_out:
        say(f"{left_out} pairs of {part} are longer than a pass or a record may be and left out")
    if not questions:
        raise RunError(
            f"no pair of {part} is left", remedy="raise train.max_tokens and train.pass_tokens"
        )
    return questions


def learner_of(tuned: Tuned, base: Base, recipe: Recipe, device: str) -> Learner:
    """The base with the adapter of a folder; raises RunError where that is another's."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    learner, file = prepare(base, recipe, device), tuned.folder / ADAPTER
    state = load_file(file)
    wanted = get_peft_model_state_dict(learner.model)
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in wanted.items()}:
        raise RunError(
            f"{file} is not the adapter that its manifest tells of", remedy="train again"
        )
    set_peft_model_state_dict(learner.model, state)
    return learner
