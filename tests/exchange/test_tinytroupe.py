"""TinyTroupe agents: personas, days, relatives outside the set; and files with mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from invented import ODD, agent, lives, troupe, write

from daydream_motives.characters.sheet import RoutineEntry
from daydream_motives.errors import WorldError
from daydream_motives.exchange.tinytroupe import read


def test_an_agent_becomes_a_person(tmp_path: Path) -> None:
    world = read(troupe(tmp_path / "in", agent("Ida Ross"))).world
    ida = world.sheets["ida_ross"]
    assert (ida.age, ida.sex, ida.pronouns) == (34, "female", "she/her")
    assert ida.occupation == "Glazier at Pane & Co"
    assert ida.description == (
        "Ida cuts glass and enjoys her quiet work. Ida has a sense of humour."
    )
    assert ida.traits == ("careful and never rush",)
    assert ida.wants == ("to open her own workshop",)
    assert ida.skills == ("cutting glass",)
    assert ida.values == ("Ida believes in good tools",)
    assert ida.speech == "Ida speaks slowly."
    assert "Ida often whistles." in ida.habits
    assert "Likes: Her garden" in ida.habits
    assert world.places[ida.home or ""].name == "Tarn, Fells"
    assert ida.extensions["tinytroupe"] == agent("Ida Ross")


def test_levels_become_numbers(tmp_path: Path) -> None:
    world = read(troupe(tmp_path / "in", agent("Ida Ross"))).world
    five = world.sheets["ida_ross"].personality.big_five
    assert five is not None
    assert (five.openness, five.neuroticism, five.extraversion) == (0.85, 0.325, 0.05)


def test_clock_times_become_a_routine_and_the_rest_habits(tmp_path: Path) -> None:
    ida = read(troupe(tmp_path / "in", agent("Ida Ross"))).world.sheets["ida_ross"]
    assert ida.routine == (
        RoutineEntry(at="06:15", activity="waking up", place="tarn_fells"),
        RoutineEntry(at="22:00", activity="sleep", place="tarn_fells"),
    )
    assert "Morning: Feeds the cat" in ida.habits


def test_relatives_in_the_set_are_tied_and_others_are_known_of(tmp_path: Path) -> None:
    imported = read(troupe(tmp_path / "in", agent("Ida Ross"), agent("Tom Ashe", age=40,
                                                                     gender="Male")))  # fmt: skip
    tie = imported.world.relationships.get("ida_ross", "tom_ashe")
    assert tie is not None
    assert tie.kinds == ("spouse",)
    assert tie.story == "Tom Ashe is Ida's husband, who bakes."
    notes = {n.text for n in imported.world.lore if n.known_to == ("ida_ross",)}
    assert notes == {"Lil is Ida's sister, who teases Ida.", "Ida grew up by a lake."}
    counts = imported.report.counts
    assert counts["relationships told of"] == 4
    assert counts["relationships within the set"] == 1
    assert counts["relationships to people outside the set, as lore"] == 3


@pytest.mark.parametrize(
    ("age", "said", "why"),
    [
        (12, "Your husband, who bakes.", "under 18"), (None, "Your husband.", "unknown"),
        (40, "Your 8-year-old son.", "40, not 8"), (40, "Your son.", "too old"),
        (20, "Your father.", "too young"),
    ],
)  # fmt: skip
def test_whoever_cannot_be_meant_is_not_tied(tmp_path: Path, age: Any, said: str, why: str) -> None:
    ida = agent("Ida Ross", relationships=[{"name": "Tom Ashe", "description": said}])
    imported = read(troupe(tmp_path / "in", ida, agent("Tom Ashe", age=age, relationships=[])))
    assert len(imported.world.relationships) == 0
    assert any(why in remark.why for remark in imported.report.not_understood)
    assert said in str(imported.world.sheets["ida_ross"].extensions)
    assert not [n for n in imported.world.lore if "husband" in n.text]


def test_fragments_and_populations_are_kept_with_the_world(tmp_path: Path) -> None:
    folder = troupe(tmp_path / "in", agent("Ida Ross"))
    fragment = {"type": "Fragment", "persona": {"beliefs": ["You are right."]}}
    write(folder / "proud.fragment.json", fragment)
    write(folder / "fenland.json", {"title": "Fenland", "content": {}})
    imported = read(folder)
    kept = imported.world.extensions["tinytroupe"]
    assert kept["fragments"] == {"proud.fragment.json": fragment}
    assert list(kept["others"]) == ["fenland.json"]
    assert len(imported.report.not_understood) == 2


def test_one_file_is_a_world_too_and_it_lives(tmp_path: Path) -> None:
    folder = troupe(tmp_path / "in", agent("Ida Ross"))
    lives(read(folder / "a0.agent.json").world, tmp_path / "out")


def test_unknown_fields_are_reported_and_kept(tmp_path: Path) -> None:
    imported = read(troupe(tmp_path / "in", agent("Ida Ross", shoe_size=39)))
    [remark] = imported.report.not_understood
    assert (remark.path, remark.text) == ("persona.shoe_size", "39")
    kept = imported.world.sheets["ida_ross"].extensions["tinytroupe"]
    assert kept["persona"]["shoe_size"] == 39


@pytest.mark.parametrize("key", agent("x")["persona"])
def test_a_field_of_any_type_is_no_reason_to_stop(tmp_path: Path, key: str) -> None:
    for value in ODD:
        odd = agent("Ida Ross")
        odd["persona"][key] = value
        imported = read(troupe(tmp_path / "in", odd, agent("Tom Ashe")))
        assert len(imported.world.sheets) + len(imported.report.refused) == 2, value


@pytest.mark.parametrize("key", ["big_five", "traits", "routines", "general", "name",
                                 "description", "title", "likes"])  # fmt: skip
def test_parts_of_any_type_are_no_reason_to_stop(tmp_path: Path, key: str) -> None:
    for value in ODD:
        odd = agent("Ida Ross")
        for part in ("personality", "behaviors", "occupation", "preferences"):
            odd["persona"][part][key] = value
        odd["persona"]["relationships"][0][key] = value
        odd["persona"]["behaviors"]["routines"] = {"morning": value, key: [value]}
        assert len(read(troupe(tmp_path / "in", odd)).world.sheets) == 1, value


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff", b'"x"', b"null", b"{'a': 1}"])
def test_broken_files_are_named_and_the_good_ones_imported(tmp_path: Path, raw: bytes) -> None:
    folder = troupe(tmp_path / "in", agent("Ida Ross"))
    (folder / "broken.agent.json").write_bytes(raw)
    imported = read(folder)
    assert list(imported.world.sheets) == ["ida_ross"]
    assert imported.report.refused[0].source == "broken.agent.json"


def test_people_without_a_name_are_refused_by_name_of_their_file(tmp_path: Path) -> None:
    nameless = agent("x")
    del nameless["persona"]["name"]
    imported = read(troupe(tmp_path / "in", nameless, agent("Ida Ross")))
    [problem] = imported.report.refused
    assert problem.source == "a0.agent.json"


@pytest.mark.parametrize("make", ["nothing", "empty", "all broken"])
def test_what_holds_nobody_is_an_error_with_a_remedy(tmp_path: Path, make: str) -> None:
    path = tmp_path / "in"
    if make != "nothing":
        path.mkdir()
    if make == "all broken":
        (path / "x.agent.json").write_text("{")
    with pytest.raises(WorldError) as caught:
        read(path)
    assert caught.value.remedy
