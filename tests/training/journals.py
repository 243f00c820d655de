"""Journals to harvest from: one decision, spoilt in one place at a time; files of both kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daydream_motives.journal import Journal
from daydream_motives.motives.situation import Situation
from daydream_motives.records import as_decision

PEOPLE = ("Ines Prado", "Karl Brandt", "Tomas Lind", "Amara Okonjo", "Minh Tran", "Ulla Berg",
          "Dov Haddad", "Piet Maas")  # fmt: skip
_DEEDS = (
    ("mend the torn herring net", "the boats leave before dawn"),
    ("count every coin inside the festival box", "somebody borrowed from it"),
    ("carry soup across the yard", "old neighbours caught fever"),
    ("paint a fresh number over the skiff", "judges refused it last summer"),
    ("hide two letters under the loose plank", "their seal belongs to a rival"),
    ("sing at the chapel door", "nobody else remembers that hymn"),
    ("sharpen both axes behind the smithy", "winter timber will not wait"),
    ("teach the apprentice knots", "his first voyage starts tomorrow"),
    ("bury the broken compass", "it pointed three men wrong"),
    ("bargain over barrels of tar", "prices double after midsummer"),
    ("follow the stranger uphill", "footprints ended near her cellar"),
    ("write a complaint about gulls", "they stole another breakfast"),
)


def deed(number: int, who: str) -> str:
    """One purpose of somebody, unlike the others."""
    what = _DEEDS[number % len(_DEEDS)][0]
    why = _DEEDS[(number + number // len(_DEEDS)) % len(_DEEDS)][1]
    return f"{who} wants to {what}, because {why}."


def decision(number: int = 0, *, who: int = 0, **changes: Any) -> dict[str, Any]:
    """One decision as a game in another language writes it; it teaches, unless it is changed."""
    name = PEOPLE[who]
    first = name.split()[0]
    record: dict[str, Any] = {
        "schema_version": 1,
        "id": f"d{who}-{number}",
        "character": first.lower(),
        "world_time": None,
        "context": {
            "Character_name": name,
            "Character_description": f"{name} is a 34-year-old baker. {first} is calm (INFP).",
            "Context": f"Hour {number}: somebody asks {first} to "
            f"{_DEEDS[number % 12][0]}, as {_DEEDS[(number + who + 5) % 12][1]}.",
            "Background": "",
        },
        "purposes": [
            {"rank": rank, "text": deed(3 * (number + 4 * who) + rank - 1, first)}
            for rank in (1, 2, 3)
        ],
        "provenance": {"source": "model", "model": "tiny", "model_hash": "aa", "prompt_hash": "bb"},
        "chosen": 1,
        "outcome": {"status": "done", "needs": {"company": 0.3}},
        "wall_time": 86400.0,
    }
    for key, value in changes.items():
        inner = record.get(key)
        merges = isinstance(inner, dict) and isinstance(value, Mapping)
        record[key] = {**inner, **value} if merges else value
    return record


def texts(*three: str) -> list[dict[str, Any]]:
    return [{"rank": rank, "text": text} for rank, text in enumerate(three, 1)]


def jsonl(folder: Path, *rows: Mapping[str, Any] | str, name: str = "game.jsonl") -> Path:
    """A journal of JSON Lines; a row that is text stands as it is."""
    file = folder / name
    told = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(told) + "\n", encoding="utf-8")
    return file


def as_kept(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with what our own journals say of each purpose."""
    own = {"score": 0.3, "targets": [], "verb": None, "unknown_names": []}
    return {**record, "purposes": [{**own, **purpose} for purpose in record["purposes"]]}


def sqlite(folder: Path, *rows: Mapping[str, Any], **manifest: Any) -> Path:
    """The same as a run's journal, in a folder of its own."""
    file = folder / "run" / "journal.sqlite"
    with Journal(file) as journal:
        if manifest:
            journal.describe(manifest)
        for row in rows:
            made = as_decision(as_kept(row))
            journal.decided(made, Situation())
            if made.chosen:
                journal.chosen(made)
            if made.outcome:
                journal.resolved(made)
    return file


def samples(folder: Path) -> list[dict[str, Any]]:
    """What a harvest wrote."""
    found = sorted(folder.glob("samples-*.jsonl"))
    return [json.loads(line) for file in found for line in file.read_text().splitlines()]
