"""Twenty cases: lore and memory reach the prompt when they should, and only then.

Each is a person of the harbour town in a situation, with the default budget of 400 tokens. To read
the table: `pytest tests/motives/test_recall_table.py -v`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import HARBOUR

from daydream_motives.characters.character import Character
from daydream_motives.characters.memory import Lived
from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.motives.context import ReceiptEntry
from daydream_motives.motives.situation import Entity, Situation
from daydream_motives.simulation.runner import lore_of
from daydream_motives.simulation.world import World

NOW = datetime(2024, 6, 14, 10)
QUAY_HANDS = {
    "id": "strike_box", "text": "The quay hands keep a strike box under the third bollard.",
    "keys": ["wages", "strike"], "known_to": ["quay_hands"], "priority": 9,
}  # fmt: skip
NOT_OFFERED = "does not come up"


@dataclass
class Case:
    """What `who` faces, a memory or a note of lore, and what the receipt says of it."""

    name: str
    who: str
    piece: str | Lived
    why: str
    happened: tuple[str, ...] = ()
    place: str = "chapel_hill"
    present: tuple[str, ...] = ()
    whose: str = ""
    more: tuple[Lived, ...] = field(default=(), repr=False)
    met: str = ""  # what the relationship to the first of those present tells


def ago(days: float, text: str, importance: float = 0.6, **rest: Any) -> Lived:
    return Lived(text, NOW - timedelta(days=days), importance, **rest)


SOLD = "Mateo sold the brass bell of the Perpetua."
TOLD = [
    Case("Ines knows of Slate Night, and someone asks for chalk",
         "ines", "slate_night", "brought up by chalk", ("A boy asks for a piece of chalk.",)),
    Case("Ulla stands in the Net Loft, about which there are two wills",
         "ulla", "two_wills", "brought up by Net Loft", place="net_loft"),
    Case("Amara is one of two who know about Yusuf's heart, and Yusuf is there",
         "amara", "yusufs_heart", "brought up by Yusuf", present=("yusuf",)),
    Case("João swore about the crates, and the constable asks about a crate",
         "joao", "ice_house_gang", "brought up by crate", ("Piet asks who has seen a crate.",)),
    Case("Dov is a quay hand, and the wages are late",
         "dov", "strike_box", "brought up by wages", ("The wages are late again.",)),
    Case("Ines lived through it with Mateo, and Mateo is there",
         "ines", ago(3, SOLD, 0.8, who=("mateo",)), "someone in it is here", present=("mateo",)),
    Case("Ines lived through it with Mateo, and Mateo is spoken of",
         "ines", ago(3, SOLD, 0.8, who=("mateo",)), "someone in it is here or spoken of",
         ("Somebody laughs about Mateo.",)),
    Case("Karl remembers a scorched tarpaulin, and there is one again",
         "karl", ago(4, "Someone burnt a tarpaulin behind the shed.", 0.8), "the words touch it",
         ("A burnt tarpaulin lies in the yard.",)),
    Case("Leyla was told by Bronagh what touches on what happens",
         "leyla", ago(1, "The brewery dray lost a wheel.", 0.7, source="bronagh", tellings=1),
         "the words touch it", ("A dray stops at the door.",)),
    Case("Piet was shaken an hour ago, whatever happens now",
         "piet", ago(1 / 24, "A net with a boot in it came up.", 0.9), "fresh",
         ("The kettle boils.",)),
]  # fmt: skip
NOT_TOLD = [
    Case("Leyla does not know about Yusuf's heart, though Yusuf is there",
         "leyla", "yusufs_heart", NOT_OFFERED, present=("yusuf",)),
    Case("Aurelia is no quay hand, though the wages are late",
         "aurelia", "strike_box", NOT_OFFERED, ("The wages are late again.",)),
    Case("Ines hears of an embrace, which only holds the word race",
         "ines", "tally_race", NOT_OFFERED, ("An embrace and terraces.",)),
    Case("Ulla is at the school, and only the Net Loft has two wills",
         "ulla", "two_wills", NOT_OFFERED, place="school"),
    Case("Ines has Mateo before her, but the trifle faded in three weeks",
         "ines", ago(21, "Mateo forgot the milk.", 0.3, who=("mateo",)), NOT_OFFERED,
         present=("mateo",)),
    Case("Karl remembers the tarpaulin, but nothing now touches on it",
         "karl", ago(4, "Someone burnt a tarpaulin behind the shed.", 0.8), NOT_OFFERED,
         ("The kettle boils.",)),
    Case("Ines cannot know what only Mateo remembers",
         "ines", ago(1, SOLD, 0.9), NOT_OFFERED, ("Someone sold a bell.",), whose="mateo"),
    Case("Ines met Mateo last over just this, and the relationship tells it",
         "ines", ago(1, SOLD, 0.6, who=("mateo",)), "told with the relationship",
         present=("mateo",), met=SOLD),
    Case("Ines sees it happen now, and need not remember it",
         "ines", ago(0, SOLD, 0.9, who=("mateo",)), "it has just happened", (SOLD,)),
    Case("Ines has weightier things on her mind than the soup of an hour ago",
         "ines", ago(1 / 24, "The soup at the Harbour Office was thin and tasted of nothing, which "
                     "the cook put down to the price of leeks and the weather.", 0.4),
         "no room in the budget", ("The bell of the Perpetua is gone.",), present=("mateo", "noor"),
         more=(ago(0.1, SOLD, 1.0, who=("mateo",)), ago(0.1, "Noor asked about the bell.", 1.0))),
]  # fmt: skip


@pytest.fixture(scope="module")
def table() -> Iterator[tuple[World, MotiveEngine]]:
    """The town with a faction and its lore, and an engine with all the lore and 400 tokens."""
    data = World.load(HARBOUR).to_data()
    for id in ("dov", "piet"):
        data["characters"][id]["factions"] = ["quay_hands"]
    data["lore"].append(QUAY_HANDS)
    world = World.from_data(data)
    with MotiveEngine("scripted", lore=lore_of(world), namespace="t") as engine:
        assert engine.budget == 400
        yield world, engine


def outcome(case: Case, world: World, engine: MotiveEngine) -> tuple[bool, ReceiptEntry | None]:
    """Whether the piece is told in the background, and its line in the receipt."""
    graph: RelationshipGraph = world.relationships.copy()
    people = {
        id: Character(world.sheets[id], id=id, relationships=graph)
        for id in {case.who, case.whose or case.who}
    }
    if isinstance(case.piece, Lived):
        text = case.piece.text
        for lived in (case.piece, *case.more):
            people[case.whose or case.who].memory.add(lived)
    else:
        (text,) = [note.text for note in world.lore if note.id == case.piece]
    if case.met:
        graph.record(case.who, case.present[0], "argued", text=case.met, at=NOW)
    situation = Situation(
        time=NOW,
        place=Entity(id=case.place, name=world.places[case.place].name, kind="place"),
        present=tuple(
            Entity(id=id, name=world.sheets[id].name, kind="person") for id in case.present
        ),
        happened=case.happened,
    )
    context = engine.context(people[case.who], situation)
    assert context.tokens <= 400
    entries = [e for e in context.receipt if e.key == f"lore:{case.piece}" or text in e.key]
    assert len(entries) < 2
    told = text in context.background and not case.met
    return told, entries[0] if entries else None


@pytest.mark.parametrize("case", TOLD, ids=lambda case: case.name)
def test_told(case: Case, table: tuple[World, MotiveEngine]) -> None:
    told, entry = outcome(case, *table)
    assert told
    assert entry
    assert entry.status == "kept"
    assert case.why in entry.reason


@pytest.mark.parametrize("case", NOT_TOLD, ids=lambda case: case.name)
def test_not_told(case: Case, table: tuple[World, MotiveEngine]) -> None:
    told, entry = outcome(case, *table)
    assert not told
    assert (entry.reason if entry else NOT_OFFERED) == case.why
    assert not entry or entry.status == "dropped"


def test_there_are_ten_of_each() -> None:
    assert (len(TOLD), len(NOT_TOLD)) == (10, 10)
    assert len({case.name for case in (*TOLD, *NOT_TOLD)}) == 20


def test_hearsay_is_told_with_its_source(table: tuple[World, MotiveEngine]) -> None:
    world, engine = table
    (case,) = [case for case in TOLD if case.name.startswith("Leyla was told")]
    leyla = Character(world.sheets["leyla"], id="leyla", relationships=world.relationships.copy())
    assert isinstance(case.piece, Lived)
    leyla.memory.add(case.piece)
    background = engine.context(leyla, Situation(time=NOW, happened=case.happened)).background
    assert "Bronagh Tierney says: The brewery dray lost a wheel." in background
