"""Where training had got to, in one file that is replaced whole, so that a kill loses little.

Written by torch and read back as tensors, numbers and text alone, never as code.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import RunError
from daydream_motives.training.tuning.failures import out_of_memory

FILE = "checkpoint.pt"
_AGAIN = "begin again with --fresh, which drops what was learnt so far"


@dataclass
class Progress:
    """How far it has come: `step` of the whole plan is the next one to be done.

    `seconds` are those of the steps alone, `wall` those of everything while it ran. `best` is what
    was learnt at the lowest validation loss; `waited` counts evaluations since. `before` is what
    was found once, before the first step, and is needed in each.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    best_loss: float = float("inf")
    best_step: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    waited: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    over: bool = False
    before: dict[str, torch.Tensor] = field(default_factory=dict)


def save(
    folder: Path,
    stage: str,
    plan: str,
    progress: Progress,
    learnt: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Put the whole state in place of the last one; raises RunError for a bad disk.

    `plan` says what is being trained on what, and how: nothing else may go on from here.
    """
    chance = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        chance["cuda"] = torch.cuda.get_rng_state()
    state = {
        "stage": stage,
        "plan": plan,
        "progress": {part.name: getattr(progress, part.name) for part in fields(progress)},
        "learnt": learnt,
        "optimizer": optimizer.state_dict(),
        "random": chance,
    }
    stream = io.BytesIO()
    torch.save(state, stream)
    try:
        write_atomic(folder / FILE, stream.getvalue())
    except OSError as exc:
        raise RunError(
            f"cannot write {folder / FILE}: {exc.strerror or exc}",
            remedy="free some space; the same command goes on from the last checkpoint",
        ) from exc


def load(
    folder: Path, plan: str, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, torch.Tensor]] | None:
    """What was saved, with optimiser and random state put back; None where nothing was.

    Raises RunError where the file is damaged, or of another recipe, dataset or base.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        told, progress = state["plan"], Progress(**state["progress"])
        learnt, chance = state["learnt"], state["random"]
        if told == plan:
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(chance["torch"])
            if torch.cuda.is_available() and "cuda" in chance:
                torch.cuda.set_rng_state(chance["cuda"])
    except Exception as exc:  # torch raises whatever the damaged bytes lead to
        if out_of_memory(exc) or "CUDA error" in str(exc):
            raise  # of the machine, not of the file
        raise RunError(f"{file} is damaged: {type(exc).__name__}: {exc}", remedy=_AGAIN) from exc
    if told != plan:
        raise RunError(
            f"{folder} holds unfinished training of another recipe, dataset, base or device",
            remedy=f"choose another folder with -o, or {_AGAIN}",
        )
    return progress, learnt


def stage_of(folder: Path) -> str | None:
    """The stage that saved in a folder; None where nothing was, or it cannot be read."""
    try:
        state = torch.load(folder / FILE, map_location="cpu", weights_only=True)
        return str(state["stage"])
    except Exception:  # torch raises whatever the damaged bytes lead to
        return None
