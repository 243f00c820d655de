"""A tiny base and a tiny dataset, for whatever trains."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tiny import write_gguf

from daydream_motives.training import folder

WHO = ("Ann", "Bo", "Cato", "Dora", "Edda", "Finn", "Gro", "Hal", "Iris", "Jon", "Kay", "Lund")
VERBS = ("mends", "hides", "sells", "counts", "burns", "paints", "weighs", "begs for", "throws")
WHY = ("before anyone else can", "to spite an old rival", "because winter comes early")
THINGS = ("net", "key", "dog", "boat", "ladder", "letter", "kettle")
RECIPE = """\
schema_version = 1
[base]
model = "tiny"
[lora]
rank = 4
[train]
method = "lora"
device = "cpu"
epochs = 2
learning_rate = 1e-2
batch_tokens = 1200
max_tokens = 600
"""


def record(number: int) -> dict[str, Any]:
    """A record of the data's shape, unlike its siblings in name and place."""
    who = WHO[number % len(WHO)]
    fields = {
        "Character_name": who,
        "Character_description": f"{who} is a {30 + number}-year-old miller.",
        "Context": f"It is day {number}." + " It rains." * (number % 5),
        "Background": f"There is a {', a '.join(THINGS)}.",
    }
    answer = {}
    for rank, key in enumerate("abc"):
        verb, thing = VERBS[(number + 3 * rank) % 9], THINGS[(2 * number + rank) % 7]
        answer[f"purpose_{key}"] = f"{who} {verb} the {thing} {WHY[rank]}."
    return {
        "id": f"r{number}",
        "conversations": [
            {"from": "user", "value": json.dumps(fields)},
            {"from": "assistant", "value": json.dumps(answer)},
        ],
    }


def write_dataset(target: Path, *, count: int = 12, others: int = 3, **changes: str) -> Path:
    """A dataset as `data build` writes it; `changes` replace a part's text."""
    ends = (0, count, count + others, count + 2 * others)
    names = ("train", "validation", "test")
    files = {
        f"{name}.jsonl": changes.get(name, folder.lines(map(record, range(*ends[i : i + 2]))))
        for i, name in enumerate(names)
    }
    manifest = {"schema_version": 1, "files": folder.described(files)}
    folder.write_whole(target, files, manifest)
    return target


def write_school(tmp_path: Path, architecture: str = "llama", recipe: str = RECIPE) -> list[str]:
    """Base, dataset and recipe under `tmp_path`; the arguments that `train` and others take."""
    base = write_gguf(tmp_path / "tiny.gguf", architecture)
    data = write_dataset(tmp_path / "data")
    file = tmp_path / "recipe.toml"
    file.write_text(recipe, encoding="utf-8")
    return [str(file), "--base", str(base), "--data", str(data)]
