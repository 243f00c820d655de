"""What goes before and after the two trainings: the same tokens for both, one loss for both."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from daydream_motives.errors import DaydreamError
from daydream_motives.training.base import open_base
from daydream_motives.training.dataset.build import SCHEMA_VERSION
from daydream_motives.training.folder import described, write_whole
from daydream_motives.training.recipe import Recipe, read_recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning.corpus import read_corpus, render_all
from daydream_motives.training.tuning.loop import evaluate, plan_of
from daydream_motives.training.tuning.model import Learner, load_tuned

LONGEST = 1024  # SFTTrainer cuts what is longer
CHECKED = 16  # records of our own evaluation while training, which no time is counted of


def prepare(work: Path) -> None:
    """A dataset and a recipe for our command; tokens and a plan for the other side."""
    wanted = json.loads((work / "wanted.json").read_text(encoding="utf-8"))
    recipe = read_recipe(Path(wanted["recipe"]))
    recipe = recipe.changed(
        method="lora", epochs=wanted["epochs"], evaluate_every=0, patience=0, optimizer="adamw"
    )
    base = open_base(wanted["base"] or recipe.base.model)
    corpus, rendering = read_corpus(wanted["data"]), Rendering(base.words())
    longest = min(LONGEST, recipe.train.max_tokens)
    sizes = {"train": wanted["records"], "validation": CHECKED, "test": wanted["held_out"]}
    parts = {
        part: render_all(rendering, corpus.parts[part], longest)[:size]
        for part, size in sizes.items()
    }
    if lacking := [part for part, some in parts.items() if not some]:
        raise SystemExit(f"{corpus.folder} has no record of {' and '.join(lacking)} short enough")
    longest = max(len(record) for some in parts.values() for record in some)
    recipe = recipe.changed(max_tokens=longest)
    lengths = [len(record) for record in parts["train"]]
    steps = math.ceil(len(lengths) / wanted["batch"])
    warm = math.ceil(recipe.train.warmup * steps * wanted["epochs"])
    if not wanted["own_batches"]:
        recipe = batched(recipe, lengths, steps)
    files = {}
    for part, some in parts.items():
        ids = {record.id for record in some}
        rows = (corpus.folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines(True)
        files[f"{part}.jsonl"] = "".join(row for row in rows if json.loads(row)["id"] in ids)
    manifest = {"schema_version": SCHEMA_VERSION, "files": described(files)}
    write_whole(work / "data", files, manifest)
    (work / "recipe.toml").write_text(toml(recipe), encoding="utf-8")
    tokens = [
        {
            "input_ids": record.ids,
            "attention_mask": [1] * len(record),
            "labels": [
                id if learnt else -100
                for id, learnt in zip(record.ids, record.supervised, strict=True)
            ],
        }
        for record in parts["train"]
    ]
    write(work / "train.json", tokens)
    plan = {
        "records": len(tokens),
        "held_out": len(parts["test"]),
        "tokens": sum(lengths),
        "learnt": sum(sum(record.supervised) for record in parts["train"]),
        "batch": wanted["batch"],
        "set": wanted["set"],
        "warmup_steps": max(0, warm - 1),  # theirs begins at 0, ours a step above it
        "base": wanted["base"] or recipe.base.model,
        "name": base.name,
        "folder": str(base.folder),
        "told": {"name": base.name, "sha256": base.sha256},
        "data": str(work / "data"),
        "lora": recipe.lora.model_dump(mode="json"),
        "train": recipe.train.model_dump(mode="json"),
    }
    write(work / "plan.json", plan)


def batched(recipe: Recipe, lengths: list[int], steps: int) -> Recipe:
    """The recipe with batches that make the nearest to so many steps of an epoch.

    They go through the model in as many passes as the recipe's.
    """
    passes = recipe.train.batch_tokens // recipe.train.tokens_of_a_pass
    least, most = recipe.train.max_tokens, max(lengths) * -(-len(lengths) // steps)
    tried = [
        recipe.changed(batch_tokens=passes * room, pass_tokens=room, epochs=1).train
        for room in range(least, max(least, most // passes) + 64, 32)
    ]
    best = min(tried, key=lambda train: abs(len(plan_of(train, lengths)) - steps))
    return recipe.changed(batch_tokens=best.batch_tokens, pass_tokens=best.pass_tokens)


def toml(recipe: Recipe) -> str:
    """What `train` needs of the recipe as a file, without what is as it is by default."""
    kept = {"schema_version", "base", "lora", "train"}
    sections = recipe.model_dump(mode="json", exclude_defaults=True, include=kept)
    rows = [f"schema_version = {sections.pop('schema_version')}"]
    for name, section in sections.items():
        rows.append(f"[{name}]")
        rows += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    return "\n".join(rows) + "\n"


def losses(work: Path) -> None:
    """The loss of the base and of every adapter on the same held-out records, in full precision."""
    plan = json.loads((work / "plan.json").read_text(encoding="utf-8"))
    recipe, base = read_recipe(work / "recipe.toml"), open_base(plan["base"])
    records = render_all(
        Rendering(base.words()), read_corpus(plan["data"]).parts["test"], recipe.train.max_tokens
    )

    def of(model: Any) -> float:
        learner = Learner(model, model, "lora", "cpu", "float32", {})
        return evaluate(learner, records, recipe.train)

    found: dict[str, Any] = {"untuned": of(base.load("float32"))}
    for folder in sorted(work.glob("*-*/")):
        found[folder.name] = of(load_tuned(base, folder, "float32"))
    write(work / "losses.json", found)


def write(file: Path, data: object) -> None:
    file.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    try:
        {"prepare": prepare, "evaluate": losses}[sys.argv[1]](Path(sys.argv[2]))
    except DaydreamError as exc:
        raise SystemExit(f"{exc.message}; {exc.remedy}") from None
