"""A whole tiny school: a base, data of every part, journals, and `retrain` run on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from journals import decision, jsonl
from tiny import write_gguf
from tiny_school import RECIPE

from daydream_motives.characters.files import write_atomic
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.greedy import greedy
from daydream_motives.modelstore.measure import measure
from daydream_motives.modelstore.speed import speeds
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training import folder
from daydream_motives.training.cli import main
from daydream_motives.training.curate.shipped import data_files

PARTS = {"train": 48, "validation": 4, "test": 12}
FEW = {"train": 16, "validation": 2, "test": 10}
SCHOOL = RECIPE.replace("epochs = 2", "epochs = 4\ncheckpoint_minutes = 0").replace(
    "[train]", "[preference]\nepochs = 1\nlearning_rate = 1e-3\n[train]"
)


DEEDS = {
    "Ann": ("mends", "counts", "weighs"), "Bo": ("hides", "burns", "buries"),
    "Cato": ("sells", "begs for", "borrows"), "Dora": ("paints", "draws", "describes"),
}  # fmt: skip

HOURS = ("before anyone wakes", "while the bells still ring", "in the long evening")
THINGS = ("torn herring net", "rusty cellar key", "old brown dog", "flat river boat",
          "crooked apple ladder", "sealed letter", "copper kettle")  # fmt: skip
_DULL = {"a": "waits about", "b": "walks around", "c": "looks at things"}
PLACES = ("barn", "well", "roof", "gate", "cart", "meadow", "fence", "stove", "bench", "lamp",
          "drum", "stile", "shed", "pond", "hedge", "trough", "plough")  # fmt: skip


def record(number: int, *, shuffled: bool = False) -> dict[str, Any]:
    """A record whose answer is what its character always does; `shuffled`, what another one does.

    All answers differ in what it is done to.
    """
    who = [*DEEDS][number % 4]
    deeds = DEEDS[[*DEEDS][(number + 1 + number // 4 % 3) % 4] if shuffled else who]
    fields = {
        "Character_name": who,
        "Character_description": f"{who} is a {30 + number}-year-old miller.",
        "Context": f"It is day {number}.",
        "Background": "",
    }
    thing, place, hour = THINGS[number % 7], PLACES[number % 17], HOURS[number // 4 % 3]
    answer = {
        "purpose_a": f"{who} {deeds[0]} the {thing} {hour}.",
        "purpose_b": f"{who} {deeds[1]} somebody else's {thing}, near the {place}.",
        "purpose_c": f"{who} quietly {deeds[2]} whatever lies under this {place}.",
    }
    return {
        "id": f"r{number}",
        "conversations": [
            {"from": "user", "value": json.dumps(fields)},
            {"from": "assistant", "value": json.dumps(answer)},
        ],
    }


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    """A record's answer, and one that could be anybody's."""
    question, chosen = row["conversations"]
    who = json.loads(question["value"])["Character_name"]
    dull = {f"purpose_{key}": f"{who} {verb} as one does." for key, verb in _DULL.items()}
    return {
        "id": f"p-{row['id']}", "of": row["id"], "why": "generic", "conversations": [question],
        "chosen": chosen, "rejected": {"from": "assistant", "value": json.dumps(dull)},
    }  # fmt: skip


def write_data(target: Path, *, shuffled: bool = False, few: bool = False) -> Path:
    """A dataset with each of its files; `shuffled`, what is learnt are others' answers."""
    files, rows, at = dict.fromkeys(data_files(), ""), {}, 0
    for part, count in (FEW if few else PARTS).items():
        wrong = shuffled and part == "train"
        rows[part] = [record(number, shuffled=wrong) for number in range(at, at + count)]
        at += count
    for part, some in rows.items():
        files[f"{part}.jsonl"] = folder.lines(some)
    files["index.jsonl"] = folder.lines(
        {"id": row["id"], "split": part, "scene": f"s{number % 12}"}
        for part, some in rows.items()
        for number, row in enumerate(some)
    )
    for part in ("train", "validation"):
        files[f"preferences-{part}.jsonl"] = folder.lines(map(_pair, rows[part][:8]))
    manifest = {
        "schema_version": 1, "counts": {"scenes": 3}, "files": folder.described(files)
    }  # fmt: skip
    folder.write_whole(target, files, manifest)
    return target


def write_journal(target: Path, numbers: Sequence[int] = range(3)) -> Path:
    """What eight people have done, most of it well."""
    rows = [decision(number, who=who) for who in range(8) for number in numbers]
    return jsonl(target, *rows)


def school(root: Path, recipe: str = SCHOOL, architecture: str = "llama") -> list[str]:
    """All of it below `root`; the arguments of `retrain`, in a folder of its own."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "school.toml").write_text(recipe, encoding="utf-8")
    base, data = write_gguf(root / "tiny.gguf", architecture), write_data(root / "data")
    given = ["--base", base, "--data", data, "--no-embeddings", "--format", "Q8_0", "--yes"]
    return [str(root / "school.toml"), *map(str, given)]


def put_default(gguf: Path) -> str:
    """This file as the catalogue's default, as if it had been pulled; its name."""
    store = ModelStore()
    name = store.catalogue.default
    place = store.folder / name / "q8_0.gguf"
    if not place.exists():
        place.parent.mkdir(parents=True)
        shutil.copyfile(gguf, place)
        told = {"file": place.name, "size": place.stat().st_size, "sha256": sha256_of(place),
                "measured": [{"format": "Q8_0", "verdict": "chosen"}]}  # fmt: skip
        write_atomic(place.parent / "manifest.json", json.dumps(told))
    return name


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def retrain(*args: object) -> Result:
    return run("retrain", *args)


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def measured_here(program: str, path: Path, *out: Path) -> None:
    """What `quantise` has measured in a process of its own, in this one: starting one takes long,
    and a tiny model crashes nothing."""
    if program == "measure":
        np.savez(out[0], **measure(path))  # type: ignore[arg-type]  # numpy's stub
    elif program == "speed":
        out[0].write_text(json.dumps(speeds(path)))
    else:
        reference = json.loads(out[1].read_text()) if len(out) > 1 else None
        out[0].write_text(json.dumps(greedy(path, reference)))
