"""LIGHT worlds: rooms, containers, personas in the first person; and worlds with mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from invented import LIGHT, ODD, light, lives, node, write

from daydream_motives.errors import WorldError
from daydream_motives.exchange.draft import Imported
from daydream_motives.exchange.light import read, spoken_of


def imported(tmp_path: Path, data: Any) -> Imported:
    return read(write(tmp_path / "old-mill.json", data))


def test_rooms_become_places(tmp_path: Path) -> None:
    world = imported(tmp_path, LIGHT).world
    assert (world.name, world.description) == ("Old Mill", "A mill by a river.")
    mill = world.places["mill"]
    assert mill.description == "Dust. It has always been here."
    assert mill.connects == {"yard": 3}
    assert mill.things == ("loaf", "sack")
    assert mill.restores == {"food": 0.3}


def test_agents_become_people_where_they_are(tmp_path: Path) -> None:
    world = imported(tmp_path, LIGHT).world
    osk = world.sheets["osk_the_carter"]
    assert osk.description == (
        "Osk is the carter of Lower Fen. He hauls flour and he knows Wenna the Miller well."
    )
    assert osk.wants == ("to buy a second horse before his brother does",)
    assert (osk.home, osk.pronouns) == ("mill", "he/him")
    assert "key_6" in osk.extensions["light"]["carried"]
    assert osk.extensions["light"]["node"] == LIGHT["nodes"]["osk_2"]
    rat = world.sheets["rat"]
    assert (rat.occupation, rat.home, rat.wants) == ("creature", "mill", ("to eat everything",))
    assert world.sheets["wenna_the_miller"].wants == ("to sell the mill",)


def test_only_what_is_given_makes_acquaintances(tmp_path: Path) -> None:
    result = imported(tmp_path, LIGHT)
    known = {(a, b): rel for a, b, rel in result.world.relationships.edges()}
    assert len(known) == 6
    assert {kind for rel in known.values() for kind in rel.kinds} == {"acquaintance"}
    assert "Wenna the Miller" in known["osk_the_carter", "wenna_the_miller"].story
    assert result.report.counts["relationships because one speaks of the other"] == 1
    assert any("no relationships" in note for note in result.report.notes)


def test_what_is_in_nobodys_hands_is_kept_with_the_world(tmp_path: Path) -> None:
    kept = imported(tmp_path, LIGHT).world.extensions["light"]
    assert kept["nodes"] == {"coin_8": LIGHT["nodes"]["coin_8"]}
    assert kept["title"] == LIGHT["title"]


def test_the_world_lives(tmp_path: Path) -> None:
    lives(imported(tmp_path, LIGHT).world, tmp_path / "out")


def test_a_persona_that_cannot_be_retold_is_quoted(tmp_path: Path) -> None:
    data = light()
    persona = 'They call me mad. "You are mad," they say, and I laugh.'
    data["nodes"]["osk_2"]["persona"] = persona
    result = imported(tmp_path, data)
    sheet = result.world.sheets["osk_the_carter"]
    assert sheet.description == f'In their own words: "{persona}"'
    assert any("persona" in r.path for r in result.report.not_understood)


@pytest.mark.parametrize(
    ("name", "spoken"),
    [("rat", "the rat"), ("Osk the Carter", "Osk"), ("Wenna, the Miller", "Wenna"),
     ("osk the carter", "Osk"), ("Smith of the North", "Smith of the North"), ("princess Ila",
      "Princess Ila"), ("Sir Ull (a ghost)", "Sir Ull"), (",", ","), ("the", "the the")],
)  # fmt: skip
def test_what_somebody_is_called_in_a_text(name: str, spoken: str) -> None:
    assert spoken_of(name) == spoken


def test_names_stay_apart(tmp_path: Path) -> None:
    nodes = {"r": node("room", "Hall"), "s": node("room", "Hall"),
             "a": node("agent", "Guard", "r"), "b": node("agent", "Guard", "s")}  # fmt: skip
    world = imported(tmp_path, {"nodes": nodes, "rooms": [], "agents": []}).world
    assert [s.name for s in world.sheets.values()] == ["Guard", "Guard (2)"]
    assert [p.name for p in world.places.values()] == ["Hall", "Hall (2)"]
    assert world.sheets["guard_2"].home == "hall_2"


def test_containers_in_a_circle_end(tmp_path: Path) -> None:
    data = light()
    data["nodes"]["osk_2"]["container_node"] = {"target_id": "sack_7"}
    data["nodes"]["sack_7"]["container_node"] = {"target_id": "osk_2"}
    result = imported(tmp_path, data)
    assert result.world.sheets["osk_the_carter"].home == "mill"
    assert any("no room around" in r.why for r in result.report.not_understood)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rooms": ["mill_0", "nowhere"]}, "no such node"),
        ({"agents": [5]}, "text was expected"), ({"rooms": "mill_0"}, ""),
        ({"agents": {}}, "a list"),
    ],
)  # fmt: skip
def test_lists_with_mistakes_are_reported(tmp_path: Path, change: Any, why: str) -> None:
    result = imported(tmp_path, light(**change))
    assert len(result.world.sheets) == 3
    assert any(why in r.why for r in result.report.not_understood) or not why


def test_a_way_to_nowhere_is_reported(tmp_path: Path) -> None:
    data = light()
    data["nodes"]["mill_0"]["neighbors"]["moon_9"] = {"target_id": "moon_9"}
    result = imported(tmp_path, data)
    assert "moon_9" not in result.world.places["mill"].connects
    [remark] = [r for r in result.report.not_understood if "room" in r.why]
    assert (remark.path, remark.text) == ("nodes.mill_0.neighbors.moon_9", "'moon_9'")


@pytest.mark.parametrize("id", ["mill_0", "osk_2", "loaf_5"])
@pytest.mark.parametrize("key", ["name", "desc", "container_node", "neighbors", "persona",
                                 "mission", "char_type", "food", "object"])  # fmt: skip
def test_any_type_anywhere_is_no_reason_to_stop(tmp_path: Path, id: str, key: str) -> None:
    for value in ODD:
        data = light()
        data["nodes"][id][key] = value
        result = imported(tmp_path, data)
        assert len(result.world.sheets) == 3
        assert json.dumps(value) in json.dumps(result.world.to_data())


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_node_of_any_type_is_kept(tmp_path: Path, value: Any) -> None:
    data = light()
    data["nodes"]["osk_2"] = value
    result = imported(tmp_path, data)
    assert len(result.world.sheets) in (2, 3)


def test_a_world_without_rooms_has_a_place(tmp_path: Path) -> None:
    world = imported(tmp_path, {"nodes": {"a": node("agent", "Ull", "gone")}}).world
    assert world.sheets["ull"].home in world.places


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b'{"nodes": []}', b'{"nodes": {}}',
                                 b"\xff", b'{"nodes": {"a": NaN}}'])  # fmt: skip
def test_what_is_no_world_is_an_error_with_a_remedy(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(raw)
    with pytest.raises(WorldError) as caught:
        read(file)
    assert caught.value.remedy
    assert str(file) in str(caught.value)


def test_a_folder_lists_the_worlds_in_it(tmp_path: Path) -> None:
    write(tmp_path / "mill.json", LIGHT)
    write(tmp_path / "list.json", [])
    with pytest.raises(WorldError, match=r"mill\.json") as caught:
        read(tmp_path)
    assert "--source" in caught.value.remedy
    assert "list.json" not in str(caught.value)


def test_an_empty_folder_has_no_worlds(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="without LIGHT worlds"):
        read(tmp_path)


def test_foreign_data_of_any_depth_can_be_saved(tmp_path: Path) -> None:
    deep: Any = "end"
    for _ in range(300):
        deep = [deep]
    data = light()
    data["nodes"]["osk_2"]["odd"] = deep
    file = tmp_path / "x.json"
    text = json.dumps(data).replace('"food": true', '"food": 1e999, "half": "\\ud800"')
    file.write_text(text)
    lives(read(file).world, tmp_path / "out")
