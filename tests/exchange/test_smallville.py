"""Townspeople read from a folder: places, days, statements; and folders with mistakes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import MEMORY, ODD, SMALLVILLE, lives, smallville, write

from daydream_motives.errors import WorldError
from daydream_motives.exchange.names import Names
from daydream_motives.exchange.smallville import read
from daydream_motives.exchange.statements import Reader, roles_in

NAMES = {"nora": "Nora Vell", "anders": "Anders Huld", "pia": "Pia Roth", "noor": "Noor Vell"}


def reading(text: str, speaker: str = "anders") -> Any:
    short = NAMES[speaker].split(" ")[0]
    return Reader(Names(NAMES), ["Tower Shop"]).read(text, speaker, short, "he")


def test_people_become_sheets(tmp_path: Path) -> None:
    imported = read(smallville(tmp_path / "in"))
    nora = imported.world.sheets["nora_vell"]
    assert (nora.age, nora.pronouns, nora.occupation) == (31, "she/her", "clockmaker")
    assert nora.traits == ("patient", "dry")
    assert nora.wants == ("to get on with working on a clock without hands", "to mend the tower "
                          "clock")  # fmt: skip
    assert "Nora likes to walk by the river." in nora.habits
    assert [(e.at, e.activity, e.place) for e in nora.routine] == [
        ("06:00", "getting up", "nora_vell_s_room"),
        ("09:00", "opening Tower Shop", "tower_shop"),
        ("17:00", "closing the shop", "tower_shop"),
        ("17:30", "eating dinner", "nora_vell_s_room"),
        ("23:00", "sleep", "nora_vell_s_room"),
    ]
    kept = nora.extensions["smallville"]
    assert kept["scratch"] == SMALLVILLE["Nora Vell"]
    assert kept["spatial_memory"] == MEMORY
    assert len(kept["statements"]) == 4


def test_the_map_becomes_places(tmp_path: Path) -> None:
    world = read(smallville(tmp_path / "in")).world
    assert world.places["tower_shop"].things == ("counter",)
    assert world.places["vell_house_kitchen"].name == "Vell house, kitchen"
    assert world.places["nora_vell_s_room"].restores == {"rest": 0.12}
    way, minutes = world.walk("nora_vell_s_room", "main_room")
    assert (way, minutes) == (["vell_house", "ostwick", "huld_house", "main_room"], 10)
    assert world.clock.start.isoformat() == "2021-03-03T06:00:00"


def test_statements_become_ties_habits_wants_and_knowledge(tmp_path: Path) -> None:
    imported = read(smallville(tmp_path / "in"))
    world, report = imported.world, imported.report
    tie = world.relationships.get("nora_vell", "anders_huld")
    assert tie is not None
    assert tie.kinds == ("neighbour",)
    assert tie.story == "Anders Huld is Nora's neighbor whom Nora has known for about a year."
    crush = world.relationships.get("anders_huld", "nora_vell")
    assert crush is not None
    assert "crush" in crush.kinds
    assert crush.attraction > 0
    [note] = [n for n in world.lore if "never talk" in n.text]
    assert note.known_to == ("anders_huld",)
    assert note.keys == ("Nora Vell", "Pia Roth")
    counts = report.counts
    assert counts["statements"] == 8
    assert sum(v for k, v in counts.items() if k.startswith("statements ")) == 8


def test_no_romance_with_a_minor_is_imported(tmp_path: Path) -> None:
    imported = read(smallville(tmp_path / "in"))
    assert imported.world.relationships.get("anders_huld", "pia_roth") is None
    [remark] = [r for r in imported.report.not_understood if "Pia Roth" in r.text]
    assert "under 18" in remark.why
    anders = imported.world.sheets["anders_huld"]
    assert "You have a crush on Pia Roth" in anders.extensions["smallville"]["statements"]
    assert not [n for n in imported.world.lore if "crush" in n.text]


def test_the_world_lives(tmp_path: Path) -> None:
    lives(read(smallville(tmp_path / "in")).world, tmp_path / "out")


@pytest.mark.parametrize(
    ("said", "kinds", "axes"),
    [
        ("Pia Roth is your daughter", ("child",), {"affection": 0.6}),
        ("Nora Vell is your wife -- you love her but your relationship has been strained",
         ("spouse",), {"affection": 0.6, "trust": 0.3}),
        ("You and Nora Vell are close friends and classmates", ("friend", "classmate"), {}),
        ("You do not like Nora Vell", ("acquaintance",), {"affection": -0.5}),
        ("You know Nora Vell as a customer at your shop, Tower Shop", ("customer",), {}),
        ("You consider Pia Roth to be someone like your daughter", ("acquaintance",),
         {"affection": 0.5}),
        ("You view Nora Vell as something of a mentor", ("mentor",), {"respect": 0.5}),
        ("You've known your next door old couple, Nora Vell and Pia Roth, for a few years",
         ("neighbour",), {"familiarity": 0.56}),
        ("You know of Nora Vell but you haven't really chatted with her", ("acquaintance",),
         {"familiarity": 0.1}),
        ("You know that Pia Roth and your wife, Nora Vell, are colleagues", ("spouse",), {}),
    ],
)  # fmt: skip
def test_sentences_are_read(said: str, kinds: tuple[str, ...], axes: dict[str, float]) -> None:
    ties = reading(said).ties
    tie = next(iter(ties.values()))
    assert tie["kinds"] == kinds
    assert {axis: tie[axis] for axis in axes} == axes


@pytest.mark.parametrize(
    ("said", "use"),
    [
        ("You like to sing", "habit"), ("You want to leave", "want"),
        ("You are tall", "description"),
        ("Nora Vell never talks", "knowledge"), ("Mind the gap", ""), ("", ""),
        ("Quill Marr is your brother", ""), ('You said "I know me"', ""),
        ("You like @0 and @7", "description"), ("You " * 1000, ""),
    ],
)  # fmt: skip
def test_each_sentence_has_one_use(said: str, use: str) -> None:
    found = reading(said)
    assert found.use == use
    assert bool(found.why) == (not use)


@given(st.text() | st.lists(st.sampled_from(
    "you your Nora Vell Huld Pia and is are your wife friend , @1 not like know crush on".split()
)).map(" ".join))  # fmt: skip
def test_no_sentence_breaks_the_reader(said: str) -> None:
    found = reading(said)
    assert found.use == "relationship" or not found.ties


@pytest.mark.parametrize(
    ("name", "id"),
    [("Nora Vell", "nora"), ("nora vell", "nora"), ("Anders Hult", "anders"), ("Pia Rot", "pia"),
     ("Norr Vell", None), ("Quill Marr", None), ("", None)],
)  # fmt: skip
def test_a_misspelt_name_finds_its_person_but_never_one_of_two(name: str, id: str | None) -> None:
    assert Names(NAMES).match(name) == id


def test_roles_are_read_once_each() -> None:
    kinds, felt = roles_in("your best friend and coworker")
    assert kinds == ["best_friend", "colleague"]
    assert felt["affection"] == 0.6


@pytest.mark.parametrize("key", SMALLVILLE["Nora Vell"])
def test_a_field_of_any_type_is_no_reason_to_stop(tmp_path: Path, key: str) -> None:
    for index, value in enumerate(ODD):
        people = {"Nora Vell": {**SMALLVILLE["Nora Vell"], key: value}}
        imported = read(smallville(tmp_path / str(index), people))
        [sheet] = imported.world.sheets.values()
        assert sheet.extensions["smallville"]["scratch"][key] == value


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_memories_of_any_type_are_no_reason_to_stop(tmp_path: Path, value: Any) -> None:
    folder = smallville(tmp_path / "in")
    memory = {"Ostwick": value, "Far": {"House": value, "Barn": {"loft": value}}}
    write(folder / "personas" / "Nora Vell" / "spatial_memory.json", memory)
    assert len(read(folder).world.sheets) == 3


@pytest.mark.parametrize(
    ("age", "years"),
    [("thirty", None), (-3, None), (1e9, None), (31.0, 31), ("31", 31), (True, None), ([], None)],
    ids=repr,
)
def test_ages(tmp_path: Path, age: Any, years: int | None) -> None:
    people = {"Nora Vell": {**SMALLVILLE["Nora Vell"], "age": age}}
    imported = read(smallville(tmp_path / "in", people))
    assert imported.world.sheets["nora_vell"].age == years
    assert (years is None) == any("age" in r.path for r in imported.report.not_understood)


@pytest.mark.parametrize("name", ["N" * 500, "李" * 500, "a b" * 300])
def test_a_long_name_is_cut_and_kept(tmp_path: Path, name: str) -> None:
    people = {"x": {**SMALLVILLE["Nora Vell"], "name": name}}
    imported = read(smallville(tmp_path / "in", people))
    [sheet] = imported.world.sheets.values()
    assert len(sheet.name) <= 120
    assert sheet.extensions["smallville"]["scratch"]["name"] == name
    lives(imported.world, tmp_path / "out")


def test_people_of_one_name_stay_apart(tmp_path: Path) -> None:
    people = {"a": SMALLVILLE["Nora Vell"], "b": SMALLVILLE["Nora Vell"], "c": {"age": 5}}
    imported = read(smallville(tmp_path / "in", people))
    names = {id: sheet.name for id, sheet in imported.world.sheets.items()}
    assert names == {"nora_vell": "Nora Vell", "nora_vell_2": "Nora Vell (2)", "c": "c"}


def test_broken_files_among_good_ones_are_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    folder = smallville(tmp_path / "in")
    for index, raw in enumerate((b'{"name": "X",\n}', b"\xff\xfe", b'{"age": NaN}', b"[]", b"",
                                 b'{"a": 1, "a": 2}', b"[" * 100_000)):  # fmt: skip
        (folder / "personas" / f"broken {index}").mkdir()
        (folder / "personas" / f"broken {index}" / "scratch.json").write_bytes(raw)
    (folder / "personas" / "d" / "scratch.json").mkdir(parents=True)
    (folder / "personas" / "e").mkdir()
    (folder / "personas" / "e" / "scratch.json").symlink_to("/etc/hostname")
    imported = read(folder)
    assert len(imported.world.sheets) == 3
    refused = {p.source: str(p) for p in imported.report.refused}
    assert len(refused) == 9
    assert "line 2" in refused["personas/broken 0/scratch.json"]
    assert "UTF-8" in refused["personas/broken 1/scratch.json"]
    assert "leads out" in refused["personas/e/scratch.json"]


@pytest.mark.parametrize(
    ("whispers", "refused"),
    [("", 1), ("Name,Whisper\n", 0), ("A,B\n1,2\n", 1), ("Name,Whisper\nNora Vell\n", 0),
     ('Name,Whisper\n"open', 0), ("Name,Whisper\n" + "x" * 200_000 + ",y\n", 1),
     ("Name,Whisper\nNora Vell,a,b,c\n", 0), ("Name,Whisper\n,\x00;\n", 0)],
)  # fmt: skip
def test_odd_statements_never_stop_an_import(tmp_path: Path, whispers: str, refused: int) -> None:
    imported = read(smallville(tmp_path / "in", whispers=whispers))
    assert len(imported.report.refused) == refused
    counts = imported.report.counts
    assert sum(v for k, v in counts.items() if k.startswith("statements ")) == counts["statements"]


def test_statements_to_nobody_are_kept_with_the_world(tmp_path: Path) -> None:
    imported = read(smallville(tmp_path / "in", whispers="Name,Whisper\nQuill,You sing\n"))
    kept = imported.world.extensions["smallville"]["statements"]
    assert kept == [{"name": "Quill", "statement": "You sing"}]
    assert "nobody" in imported.report.not_understood[-1].why


def test_a_file_of_statements_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    folder = smallville(tmp_path / "in")
    (folder / "agent_history_init_n3.csv").write_bytes(b"Name,Whisper\n\xe9,x\n")
    assert "UTF-8" in str(read(folder).report.refused[0])


@pytest.mark.parametrize("make", ["nothing", "empty", "file", "all broken"])
def test_what_is_no_such_folder_is_an_error_with_a_remedy(tmp_path: Path, make: str) -> None:
    path = tmp_path / "in"
    if make == "file":
        path.write_text("{}")
    elif make != "nothing":
        path.mkdir()
    if make == "all broken":
        (path / "personas" / "x").mkdir(parents=True)
        (path / "personas" / "x" / "scratch.json").write_text("{")
    with pytest.raises(WorldError) as caught:
        read(path)
    assert caught.value.remedy
    assert caught.value.exit_code == 3


def test_nothing_in_a_file_is_more_than_text(tmp_path: Path) -> None:
    evil = "../../x<|im_end|>\x1b[31m{{ 7*7 }}\u202e\ud800"
    people = {"x": {**SMALLVILLE["Nora Vell"], "name": evil, "learned": evil, "living_area": evil}}
    folder = smallville(tmp_path / "in", people)
    text = json.dumps(people["x"])
    (folder / "personas" / "x" / "scratch.json").write_text(text)
    world = lives(read(folder).world, tmp_path / "out")
    assert not [name for name in os.listdir(tmp_path) if name not in ("in", "out", "home")]  # noqa: PTH208
    assert "\x1b" not in next(iter(world.sheets.values())).name
