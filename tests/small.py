"""A world of three people, small enough to be mutated, split over files and run many times."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from daydream_motives.simulation.world import World

NIGHT = {"at": "22:00", "activity": "sleep", "place": "house"}
SMALL: dict[str, Any] = {
    "schema_version": 1,
    "name": "Two Roads",
    "clock": {"start": "2024-06-14T06:00", "minutes_per_tick": 30},
    "relationship_kinds": ["drinking_companion"],
    "places": {
        "house": {"name": "The House", "connects": {"yard": 60}, "restores": {"rest": 0.1}},
        "yard": {"name": "The Yard", "connects": {"well": 30}, "things": ["ladder"]},
        "well": {"name": "The Well", "restores": {"food": 0.2}, "open": ["08:00", "20:00"]},
        "island": {"name": "The Island"},
    },
    "characters": {
        "ada": {
            "name": "Ada Marsh", "age": 40, "home": "house", "wants": ["to mend the roof"],
            "routine": [{"at": "07:00", "activity": "mending nets", "place": "yard"}, dict(NIGHT)],
        },
        "bo": {
            "name": "Bo Lind", "age": 35, "home": "house",
            "routine": [{"at": "07:00", "activity": "baking", "place": "house"}, dict(NIGHT)],
        },
        "kit": {
            "name": "Kit Marsh", "age": 9, "home": "house",
            "routine": [{"at": "09:00", "activity": "playing", "place": "yard"}, dict(NIGHT)],
        },
    },
    "relationships": [
        {"from": "ada", "to": "bo", "kinds": ["friend"], "trust": 0.4, "mutual": True},
        {"from": "ada", "to": "kit", "kinds": ["child"], "affection": 0.9, "mutual": True},
        {"from": "bo", "to": "kit", "kinds": ["drinking_companion"], "story": "Of lemonade."},
    ],
    "lore": [
        {"id": "well", "text": "The well is old.", "keys": ["well"], "known_to": ["ada"]},
        {"id": "roads", "text": "There are two roads."},
    ],
    "events": [
        {"id": "bell", "text": "A bell rings.", "at": "2024-06-14T10:00", "who": ["bo"],
         "needs": {"fun": 0.1}},
        {"id": "rain", "text": "It rains.", "chance_per_day": 2, "place": "yard"},
    ],
}  # fmt: skip


def small(**changes: Any) -> dict[str, Any]:
    """A copy of the world with whole sections replaced."""
    return {**copy.deepcopy(SMALL), **changes}


def load(tmp_path: Path, data: Any) -> World:
    """The world from one JSON file."""
    file = tmp_path / "small.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return World.load(file)


def split(folder: Path, data: dict[str, Any]) -> Path:
    """The same world as a folder of YAML files, one for each character."""
    (folder / "characters").mkdir(parents=True)
    top = dict(data)
    for id, sheet in top.pop("characters").items():
        (folder / "characters" / f"{id}.yaml").write_text(yaml.safe_dump(sheet))
    for section in ("places", "relationships", "lore", "events"):
        text = yaml.safe_dump(top.pop(section), sort_keys=False)
        (folder / f"{section}.yaml").write_text(text)
    (folder / "world.yaml").write_text(yaml.safe_dump(top))
    return folder
