"""What was tried so far, in one file that is replaced whole after each trial.

It is all that a search remembers: what is tried next follows from it and the recipe alone, so a
search that was killed ends as one that was not. Optuna's own storages keep neither the state of
its random numbers nor, where a kill fell between two of them, all parameters of a trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from daydream_motives.characters.files import parse_json
from daydream_motives.errors import RunError
from daydream_motives.training.folder import pretty
from daydream_motives.training.recipe import Recipe

FILE = "trials.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: `losses` are those of each evaluation after the base's, `loss` the lowest.

    A trial that failed has neither, and says why.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    params: Mapping[str, float]
    losses: tuple[float, ...] = ()
    why: str = ""

    @property
    def loss(self) -> float:
        return min(self.losses, default=float("inf"))


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the lowest loss: the first of several, or None of none."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=lambda trial: trial.loss, default=None)


def as_text(plan: str, trials: Sequence[Trial]) -> str:
    """The file's text."""
    return pretty(
        {"schema_version": SCHEMA_VERSION, "plan": plan, "trials": [asdict(t) for t in trials]}
    )


def read_trials(file: Path, plan: str) -> list[Trial]:
    """What was tried by the same plan; raises RunError for a damaged file or another plan."""
    again = "choose another folder with -o, or begin again with --fresh"
    try:
        data = parse_json(file.read_text(encoding="utf-8"))
        told = data["plan"]
        trials = [_trial(number, row) for number, row in enumerate(data["trials"])]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise RunError(f"{file} is damaged: {exc}", remedy=again) from exc
    if told != plan:
        raise RunError(
            f"{file.parent} holds a search of another recipe, dataset, base or device",
            remedy=again,
        )
    return trials


def _trial(number: int, row: dict[str, Any]) -> Trial:
    if row["number"] != number or row["state"] not in ("complete", "pruned", "failed"):
        raise ValueError(f"no trial {number} at its place")
    losses = tuple(float(loss) for loss in row["losses"])
    return Trial(number, row["state"], dict(row["params"]), losses, str(row["why"]))


def as_toml(recipe: Recipe, told: Sequence[str]) -> str:
    """A recipe as TOML with every value in it, so that new defaults change nothing in it.

    `told` are lines of the comment above it. [preference] is in it only where the recipe has it.
    """
    data = recipe.model_dump(mode="json", exclude={"preference"} - recipe.model_fields_set)
    return "\n".join([*(f"# {line}" for line in told), *toml_of(data)]) + "\n"


def toml_of(data: Mapping[str, Any], table: str = "") -> list[str]:
    """The lines of nested values as TOML."""
    inner = {key: value for key, value in data.items() if isinstance(value, dict)}
    lines = [
        f"{key if key.isidentifier() else json.dumps(key)} = {json.dumps(value)}"
        for key, value in data.items()
        if key not in inner
    ]
    for key, values in inner.items():
        lines += ["", f"[{table}{key}]", *toml_of(values, f"{table}{key}.")]
    return lines
