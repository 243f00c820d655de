"""The training loop: short, and the same to the bit whether it was interrupted or not (on a CPU).

What is learnt when follows from the recipe and the data alone; so does the learning rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from daydream_motives.errors import RunError
from daydream_motives.training.process import Tidying, give_memory_back
from daydream_motives.training.recipe import Train
from daydream_motives.training.tokens import Rendered, missing
from daydream_motives.training.tuning import checkpoint
from daydream_motives.training.tuning.checkpoint import Progress
from daydream_motives.training.tuning.log import Log, left
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.model import Learner
from daydream_motives.training.tuning.plan import Pass, bucketed, epoch_of


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the whole plan: its epoch, from 1, its passes, and whether the epoch ends."""

    epoch: int
    passes: list[Pass]
    last: bool


def plan_of(train: Train, lengths: Sequence[int]) -> list[Step]:
    """Every step of every epoch."""
    steps = []
    for epoch in range(1, train.epochs + 1):
        passes = epoch_of(
            lengths, train.batch_tokens, train.tokens_of_a_pass, train.layout, train.seed, epoch
        )
        steps += [Step(epoch, some, i == len(passes) - 1) for i, some in enumerate(passes)]
    return steps


def rate_at(step: int, steps: int, train: Train) -> float:
    """The learning rate of a step: up from near nothing in the warm-up, then down in a line."""
    warm = math.ceil(train.warmup * steps)
    if step < warm:
        return train.learning_rate * (step + 1) / warm
    return train.learning_rate * (steps - step) / max(1, steps - warm)


def optimizer_of(learner: Learner, train: Train) -> torch.optim.Optimizer:
    """AdamW; with QLoRA on a GPU bitsandbytes' paged one of 8 bits."""
    kind = train.optimizer
    if kind == "auto":
        paged = learner.method == "qlora" and learner.device == "cuda"
        kind = "paged_adamw_8bit" if paged else "adamw"
    settings = {"lr": train.learning_rate, "weight_decay": train.weight_decay}
    parameters = list(learner.trained.values())
    if kind == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **settings)
    try:
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit
    except ImportError as exc:
        raise missing(exc) from exc
    kinds = {"cuda": PagedAdamW8bit, "cpu": AdamW8bit}  # a processor has nothing to page
    found: torch.optim.Optimizer = kinds[learner.device](parameters, **settings)
    return found


def evaluate(learner: Learner, records: Sequence[Rendered], train: Train) -> float:
    """Mean loss per supervised token, in nats."""
    lengths = [len(record) for record in records]
    order = sorted(range(len(records)), key=lambda i: lengths[i])
    learner.model.eval()
    total, count = 0.0, 0
    with torch.no_grad(), learner.precision():
        for some in bucketed(lengths, order, train.tokens_of_a_pass):
            batch = batch_of([records[i] for i in some], packed=False).to(learner.device)
            total += float(summed_loss(learner.causal, batch))
            count += len(batch.targets)
    learner.model.train()
    return total / max(1, count)


class Trainer:
    """One training, from where it was left."""

    stage = "train"

    def __init__(
        self,
        learner: Learner,
        train: Train,
        records: Sequence[Rendered],
        validation: Sequence[Rendered],
        folder: Path,
        plan: str,
    ) -> None:
        self.learner, self.train, self.folder, self.plan = learner, train, folder, plan
        self.records, self.validation = records, validation
        self.steps = plan_of(train, [len(record) for record in records])
        self.optimizer = optimizer_of(learner, train)
        self.progress = Progress()
        self.watch: Callable[[Trainer], None] = lambda _: None  # after each evaluation
        if (found := checkpoint.load(folder, plan, self.optimizer)) is not None:
            self.progress, learnt = found
            learner.restore(learnt)

    def run(self, log: Log) -> Progress:
        """Learn until the plan is done, or validation has not improved for too long.

        Raises RunError where the loss is no longer a number.
        """
        done, begun = self.progress, time.monotonic()
        before, saved = done.wall, begun
        tidying = Tidying()
        self.learner.model.train()
        if not done.history:
            self._judge(log)  # what the base knows
        while done.step < len(self.steps) and not done.over:
            now = self.steps[done.step]
            start = time.monotonic()
            loss, norm = self._step(now)
            done.step += 1
            done.seconds += time.monotonic() - start
            done.wall = before + time.monotonic() - begun
            self._tell(log, now, loss, norm)
            tidying.after_step()
            every = self.train.evaluate_every
            if now.last if not every else done.step % every == 0:
                self._judge(log)
            if time.monotonic() - saved >= self.train.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
        if not done.over and done.history[-1]["step"] != done.step:
            self._judge(log)
        done.over = True
        self._save()
        return done

    def _step(self, now: Step) -> tuple[float, float]:
        """Learn from the passes of a step: mean loss per supervised token, norm of gradients."""
        train, learner = self.train, self.learner
        rate = rate_at(self.progress.step, len(self.steps), train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batches = [
            batch_of([self.records[i] for i in some], packed=train.layout == "packed")
            for some in now.passes
        ]
        count = sum(len(batch.targets) for batch in batches)
        total = 0.0
        for batch in batches:
            with learner.precision():
                loss = summed_loss(learner.causal, batch.to(learner.device)) / count
            loss.backward()
            total += float(loss.detach())
            self.progress.tokens += batch.tokens
        norm = float(torch.nn.utils.clip_grad_norm_(learner.trained.values(), train.clip))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise RunError(
                f"the loss is {total} and its gradient {norm} at step {self.progress.step + 1}",
                remedy="lower train.learning_rate and begin again with --fresh",
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm

    def _judge(self, log: Log) -> None:
        give_memory_back()  # rows of other shapes find no room in the holes that learning leaves
        self._evaluate(log)
        give_memory_back()

    def _evaluate(self, log: Log) -> None:
        done = self.progress
        loss = evaluate(self.learner, self.validation, self.train)
        if not math.isfinite(loss):
            raise RunError(
                f"the validation loss is {loss} at step {done.step}",
                remedy="lower train.learning_rate and begin again with --fresh",
            )
        epoch = self.steps[done.step - 1].epoch if done.step else 0
        better = loss < done.best_loss
        if better and done.step:
            done.best_loss, done.best_step, done.best = loss, done.step, self.learner.state()
        done.waited = 0 if better else done.waited + 1
        done.over = bool(self.train.patience and done.waited >= self.train.patience)
        done.history.append({"step": done.step, "epoch": epoch, "loss": loss})
        log.add("evaluation", done.step, {"epoch": epoch, "loss": loss})
        end = "; it ends here, as nothing gets better" if done.over else ""
        log.tell(f"epoch {epoch}: validation loss {loss:.4f}{end}", always=True)
        self.watch(self)

    def _tell(self, log: Log, now: Step, loss: float, norm: float) -> None:
        done, steps = self.progress, len(self.steps)
        speed = done.tokens / max(done.seconds, 1e-9)
        wait = done.wall / done.step * (steps - done.step)
        rate = self.optimizer.param_groups[0]["lr"]
        values = {
            "epoch": now.epoch, "loss": loss, "learning_rate": rate, "gradient": norm,
            "tokens": done.tokens, "seconds": done.seconds, "tokens_per_second": speed,
        }  # fmt: skip
        log.add("step", done.step, values)
        log.tell(
            f"step {done.step} of {steps}, epoch {now.epoch}: loss {loss:.3f}, "
            f"{speed:.0f} tokens/s, {left(wait)} left"
        )

    def _save(self) -> None:
        learnt = self.learner.state()
        checkpoint.save(self.folder, self.stage, self.plan, self.progress, learnt, self.optimizer)
