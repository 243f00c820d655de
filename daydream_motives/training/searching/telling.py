"""A search in Markdown. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daydream_motives.training.searching.trials import Trial

EXAMPLE = (
    '[tune.ranges] with lines like "train.learning_rate" = [1e-4, 1e-3] or "lora.rank" = [8, 32]'
)


def as_markdown(trials: Sequence[Trial], best: Trial, weights: Mapping[str, float]) -> str:
    """A table of trials, the best one marked, and what mattered."""
    keys = list(best.params)
    rows = [["trial", *keys, "validation loss", "after each evaluation", ""]]
    rows.append(["---"] * len(rows[0]))
    for trial in trials:
        loss = f"{trial.loss:.4f}" if trial.losses else "–"
        rows.append([
            f"{trial.number + 1}",
            *(f"{trial.params[key]:.4g}" for key in keys),
            f"**{loss}**" if trial == best else loss,
            " ".join(f"{each:.4f}" for each in trial.losses),
            trial.state + (f": {trial.why.replace('|', '/')}" if trial.why else ""),
        ])  # fmt: skip
    text = "# What was tried\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if weights:
        text += "\n## What the loss depended on\n\n| range | share |\n| --- | --- |\n"
        text += "".join(f"| {key} | {share:.2f} |\n" for key, share in weights.items())
    return text
