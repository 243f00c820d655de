"""Character sets that others wrote, where they lie beside the repository."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from invented import lives

from daydream_motives.exchange import light, nodelink, smallville, tinytroupe

INPUTS = Path(__file__).parents[3] / "shared" / "inputs"
WORLDS = ("complex_world dragon-village johnson-family-farm joust-central possibly-vampires "
          "simple_world smithing-competition thieves-guild warring-tribes").split()  # fmt: skip


def real(name: str) -> Path:
    """A folder or file of the inputs; skips where it is absent."""
    path = INPUTS / name
    if not path.exists():
        pytest.skip(f"{path} is not here: it holds data that is not ours to copy")
    return path


def test_every_statement_about_smallville_is_accounted_for(tmp_path: Path) -> None:
    imported = smallville.read(real("smallville"))
    counts = imported.report.counts
    assert counts["people"] == 25
    assert counts["statements"] == 249
    uses = {k.removeprefix("statements "): v for k, v in counts.items() if k[:11] == "statements "}
    assert sum(uses.values()) == 249
    assert uses["as relationships"] > 190
    assert uses["not understood"] == 1  # one ends in a semicolon with nothing after it
    assert not imported.report.refused
    married = imported.world.relationships.get("mei_lin", "john_lin")
    assert married is not None
    assert married.kinds == ("spouse",)
    lives(imported.world, tmp_path / "out")


def test_nobody_in_smallville_is_spoken_to(tmp_path: Path) -> None:
    world = smallville.read(real("smallville")).world
    told = [rel.story for _, _, rel in world.relationships.edges()]
    told += [text for sheet in world.sheets.values() for text in (*sheet.habits, *sheet.wants)]
    assert not [text for text in told if {"you", "your"} & set(text.casefold().split())]


@pytest.mark.parametrize("name", WORLDS)
def test_every_light_world_lives(tmp_path: Path, name: str) -> None:
    file = real(f"light/{name}.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    imported = light.read(file)
    assert len(imported.world.sheets) == len(data["agents"])
    assert len(imported.world.places) == len(data["rooms"])
    names = Counter(sheet.name.casefold() for sheet in imported.world.sheets.values())
    assert max(names.values()) == 1
    lives(imported.world, tmp_path / "out")


def test_every_tinytroupe_file_is_imported_or_reported(tmp_path: Path) -> None:
    folder = real("tinytroupe")
    files = len(list(folder.glob("*.json")))
    imported = tinytroupe.read(folder)
    counts = imported.report.counts
    assert counts["files"] == files
    assert counts["people"] + counts["fragments"] + counts["other files"] == files
    within, outside = (counts[f"relationships {k}"] for k in
                       ("within the set", "to people outside the set, as lore"))  # fmt: skip
    assert within + outside + counts["relationships refused"] == counts["relationships told of"]
    lives(imported.world, tmp_path / "out")


def test_a_network_of_d3_lives(tmp_path: Path) -> None:
    file = real("starwars/interactions.json")
    imported = nodelink.read(file)
    assert len(imported.world.sheets) == 111
    assert len(imported.world.relationships) == 2 * 444
    lives(imported.world, tmp_path / "out")
