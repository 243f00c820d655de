"""The loop of training, with pairs in place of records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from daydream_motives.errors import RunError
from daydream_motives.training.preferring.loss import (
    batch_of,
    index_of,
    judged,
    log_probabilities,
)
from daydream_motives.training.preferring.pairs import Question
from daydream_motives.training.promoting import MARGINS
from daydream_motives.training.recipe import Preference, Train
from daydream_motives.training.tokens import Rendered
from daydream_motives.training.tuning.log import Log
from daydream_motives.training.tuning.loop import Step, Trainer, evaluate, rate_at
from daydream_motives.training.tuning.model import Learner
from daydream_motives.training.tuning.plan import bucketed

_LOWER = "lower preference.learning_rate and begin again with --fresh"


def ask(learner: Learner, questions: Sequence[Question], train: Train) -> torch.Tensor:
    """The log-probability of every answer, questions in their order; shape (answers,)."""
    lengths = [len(one) for one in questions]
    order = sorted(range(len(questions)), key=lambda i: lengths[i])
    found: dict[int, torch.Tensor] = {}
    learner.model.eval()
    with torch.no_grad(), learner.precision():
        for some in bucketed(lengths, order, train.tokens_of_a_pass):
            sizes = [len(questions[i].starts) for i in some]
            batch = batch_of([questions[i] for i in some]).to(learner.device)
            values = log_probabilities(learner.causal, batch, sum(sizes)).cpu()
            found |= zip(some, values.split(sizes), strict=True)
    learner.model.train()
    return torch.cat([found[i] for i in range(len(questions))])


class PreferenceTrainer(Trainer):
    """One training on pairs, from where it was left.

    What the model finds of every answer before the first step is asked once, and is part of the
    checkpoint, so that no second model is held or run beside it.
    """

    stage = "prefer"

    def __init__(
        self,
        learner: Learner,
        train: Train,
        wanted: Preference,
        questions: Mapping[str, Sequence[Question]],
        validation: Sequence[Rendered],
        folder: Path,
        plan: str,
    ) -> None:
        # Packed rows know nothing of answers.
        values = {"epochs": wanted.epochs, "learning_rate": wanted.learning_rate}
        train = train.model_copy(update={**values, "layout": "buckets"})
        super().__init__(learner, train, questions["train"], validation, folder, plan)
        self.wanted, self.questions = wanted, questions
        self._margins = torch.empty(0)  # of the last step

    def _step(self, now: Step) -> tuple[float, float]:
        """Learn from the passes of a step: mean loss of a pair, norm of gradients."""
        learner, questions = self.learner, self.questions["train"]
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.progress.step, len(self.steps), self.train)
        before = self.progress.before["train"].split([len(one.starts) for one in questions])
        count = sum(len(questions[i].starts) - 1 for some in now.passes for i in some)
        total, margins = 0.0, []
        for some in now.passes:
            mine = [questions[i] for i in some]
            known = torch.cat([before[i] for i in some])
            with learner.precision():
                batch = batch_of(mine).to(learner.device)
                found = log_probabilities(learner.causal, batch, len(known))
            losses, margin = judged(index_of(mine), found.cpu(), known, self.wanted)
            loss = losses.sum() / count
            loss.backward()
            total += float(loss.detach())
            margins.append(margin.detach())
            self.progress.tokens += sum(map(len, mine))
        self._margins = torch.cat(margins)
        norm = float(torch.nn.utils.clip_grad_norm_(learner.trained.values(), self.train.clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise RunError(
                f"the loss is {total} and its gradient {norm} at step {self.progress.step + 1}",
                remedy=_LOWER,
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm

    def _evaluate(self, log: Log) -> None:
        """Judge the validation pairs; what the first step began from may stay the best.

        Nothing is better that `promote` would refuse for its plain loss: DPO alone can make all
        answers less likely, the chosen ones too.
        """
        done, held_out = self.progress, self.questions["validation"]
        if not done.before:
            log.tell("asking what is thought of every answer so far", always=True)
            done.before = {
                part: ask(self.learner, some, self.train) for part, some in self.questions.items()
            }
            self._save()
        plain = evaluate(self.learner, self.validation, self.train)
        found = ask(self.learner, held_out, self.train)
        losses, margins = judged(index_of(held_out), found, done.before["validation"], self.wanted)
        loss = float(losses.mean())
        if not (math.isfinite(loss) and math.isfinite(plain)):
            raise RunError(
                f"the validation loss is {plain}, that of pairs {loss}, at step {done.step}",
                remedy=_LOWER,
            )
        epoch = self.steps[done.step - 1].epoch if done.step else 0
        values = {"epoch": epoch, "loss": plain, "preference_loss": loss, **_told(margins)}
        done.history.append({"step": done.step, **values})
        sound = plain <= done.history[0]["loss"] + MARGINS["loss"]
        better = sound and loss < done.best_loss
        if better:
            done.best_loss, done.best_step, done.best = loss, done.step, self.learner.state()
        done.waited = 0 if better else done.waited + 1
        done.over = bool(self.train.patience and done.waited >= self.train.patience)
        log.add("evaluation", done.step, values)
        end = "; it ends here, as nothing gets better" if done.over else ""
        log.tell(
            f"epoch {epoch}: loss of pairs {loss:.4f}, margin {values['margin']:.3f}, accuracy "
            f"{values['accuracy']:.3f}, validation loss {plain:.4f}{end}",
            always=True,
        )
        self.watch(self)

    def _tell(self, log: Log, now: Step, loss: float, norm: float) -> None:
        super()._tell(log, now, loss, norm)
        log.add("preference", self.progress.step, _told(self._margins))


def _told(margins: torch.Tensor) -> dict[str, float]:
    """The mean margin, and the share of pairs on the right side of 0; on it counts as half."""
    right = (margins > 0).float() + 0.5 * (margins == 0).float()
    return {"margin": float(margins.mean()), "accuracy": float(right.mean())}
