"""Worlds: what is right loads the same from any layout, what is wrong is named all at once."""

from __future__ import annotations

import copy
import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small import SMALL, load, small, split

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import WorldError
from daydream_motives.simulation.clock import Clock, within
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World


def problems(path: Path) -> list[tuple[str, str]]:
    """(file's name, path within it) of everything wrong with a world."""
    with pytest.raises(WorldError) as caught:
        World.load(path)
    assert all(p.found and p.expected for p in caught.value.problems)
    return [(Path(p.source).name, p.path) for p in caught.value.problems]


def wrong(tmp_path: Path, **changes: Any) -> list[str]:
    """Paths of everything wrong with the small world after the changes."""
    (tmp_path / "w.json").write_text(json.dumps(small(**changes)))
    return [path for _, path in problems(tmp_path / "w.json")]


def sheets(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SMALL["characters"]), **changes}


def tie(**changes: Any) -> list[dict[str, Any]]:
    return [{"from": "ada", "to": "bo", **changes}]


def test_a_world_loads_whole(tmp_path: Path) -> None:
    world = load(tmp_path, SMALL)
    assert list(world.sheets) == ["ada", "bo", "kit"]
    assert len(world.relationships) == 5
    assert world.relationships.get("kit", "ada").kinds == ("parent",)  # type: ignore[union-attr]
    assert (len(world.lore), len(world.events), len(world.places)) == (2, 2, 4)


def test_places_connect_both_ways(tmp_path: Path) -> None:
    world = load(tmp_path, SMALL)
    for id, place in world.places.items():
        assert all(world.places[other].connects[id] == m for other, m in place.connects.items())


def test_the_hash_is_of_the_meaning_whatever_the_files(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(SMALL))
    shuffled = dict(reversed(small(characters=dict(reversed(SMALL["characters"].items()))).items()))
    hashes = {
        load(tmp_path, SMALL).hash,
        load(tmp_path, shuffled).hash,
        World.load(file).hash,
        World.load(split(tmp_path / "folder", SMALL)).hash,
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("section", ["name", "places", "characters", "relationships", "events"])
def test_the_hash_changes_with_the_meaning(tmp_path: Path, section: str) -> None:
    text = json.dumps(SMALL[section]).replace("The ", "Das ").replace("ad", "au")
    changed = small(**{section: json.loads(text.replace("R", "r").replace("0.4", "0.5"))})
    changed_text = json.dumps(changed).replace('"ada"', '"aua"')
    before = load(tmp_path, SMALL).hash
    assert load(tmp_path, json.loads(changed_text)).hash != before


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
        ({"schema_version": 2}, "schema_version"),
        ({"clock": {"minutes_per_tick": 0}}, "clock.minutes_per_tick"),
        ({"clock": {"start": "noon"}}, "clock.start"),
        ({"places": {}}, "places"),
        ({"places": []}, "places"),
        ({"characters": {}}, "characters"),
        ({"characters": []}, "characters"),
        ({"characters": sheets(ada={"name": "Ada", "home": "nowhere"})}, "characters.ada.home"),
        (
            {"characters": sheets(ada={"name": "Ada", "routine": [
                {"at": "07:00", "activity": "x", "place": "nowhere"}]})},
            "characters.ada.routine[0].place",
        ),
        ({"characters": sheets(ada={})}, "characters.ada.name"),
        ({"characters": sheets(ada="Ada")}, "characters.ada"),
        ({"characters": sheets(**{"a b": {"name": "Ada"}})}, "characters.a b"),
        (
            {"characters": sheets(ada={"name": "Ada", "schema_version": 9})},
            "characters.ada.schema_version",
        ),
        ({"relationships": {}}, "relationships"),
        ({"relationships": tie(kinds=["nemesis"])}, "relationships[0] ada -> bo.kinds"),
        ({"relationships": tie(trust=2)}, "relationships[0].trust"),
        ({"relationships": tie(to="zoe")}, "relationships[0] ada -> zoe"),
        ({"relationships": tie(to="ada")}, "relationships[0] ada -> ada"),
        ({"relationships": [*tie(), *tie()]}, "relationships[1] ada -> bo"),
        ({"relationships": [*tie(mutual=True), {"from": "bo", "to": "ada"}]},
         "relationships[1] bo -> ada"),
        ({"relationships": tie(to="kit", attraction=0.1)}, "relationships[0] ada -> kit"),
        ({"relationships": tie(to="kit", kinds=["crush"])}, "relationships[0] ada -> kit"),
        ({"lore": [{"id": "a", "text": "x", "known_to": ["zoe"]}]}, "lore[0].known_to"),
        ({"lore": [{"id": "a", "text": "x"}] * 2}, "lore"),
        ({"lore": [{"id": "a", "text": " "}]}, "lore[0].text"),
        ({"events": [{"id": "a", "text": "x"}]}, "events[0]"),
        ({"events": [{"id": "a", "text": "x", "at": "2024-06-14T10:00", "place": "zoo"}]},
         "events[0].place"),
        ({"events": [{"id": "a", "text": "x", "chance_per_day": 1, "who": ["zoe"]}]},
         "events[0].who"),
        ({"events": [{"id": "a", "text": "x", "chance_per_day": 1, "between": ["8", "9"]}]},
         "events[0].between.0"),
        ({"events": [{"id": "a", "text": "x", "chance_per_day": 1}] * 2}, "events"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_path(
    tmp_path: Path, change: dict[str, Any], path: str
) -> None:
    assert path in wrong(tmp_path, **change)


def test_an_unknown_way_is_named(tmp_path: Path) -> None:
    places = {**SMALL["places"], "yard": {"name": "The Yard", "connects": {"moon": 5}}}
    assert wrong(tmp_path, places=places) == ["places.yard.connects"]


def test_every_file_of_a_folder_is_named_at_once(tmp_path: Path) -> None:
    folder = split(tmp_path / "w", SMALL)
    (folder / "characters" / "ada.yaml").write_text("name: Ada\nage: old\n")
    (folder / "characters" / "bo.yaml").write_text("name: [unclosed")
    (folder / "places.yaml").write_text("yard: {name: Y}\nhouse: {name: H}\nwell: {size: 3}\n")
    (folder / "relationships.yaml").write_text("- {from: kit, to: kit}\n")
    (folder / "lore.yaml").write_text("- id: a\n  id: b\n")
    (folder / "events.yaml").write_text("ring: bell\n")
    found = problems(folder)
    assert {file for file, _ in found} == {
        "ada.yaml", "bo.yaml", "places.yaml", "relationships.yaml", "lore.yaml", "events.yaml",
    }  # fmt: skip
    assert ("ada.yaml", "age") in found
    assert ("lore.yaml", "line 2") in found


def test_one_section_in_two_places_is_refused(tmp_path: Path) -> None:
    folder = split(tmp_path / "w", SMALL)
    top = yaml.safe_load((folder / "world.yaml").read_text())
    (folder / "world.yaml").write_text(yaml.safe_dump({**top, "places": SMALL["places"]}))
    assert ("world.yaml", "places") in problems(folder)


@pytest.mark.parametrize("second", ["ada.json", "ada.yml"])
def test_one_character_in_two_files_is_refused(tmp_path: Path, second: str) -> None:
    folder = split(tmp_path / "w", SMALL)
    (folder / "characters" / second).write_text('{"name": "Another Ada"}')
    assert problems(folder)


def test_one_character_beside_and_in_the_folder_is_refused(tmp_path: Path) -> None:
    folder = split(tmp_path / "w", SMALL)
    (folder / "characters.yaml").write_text("ada: {name: Another Ada}\n")
    assert problems(folder)


@pytest.mark.parametrize(
    "text",
    [
        "", "- a list", "just text", "name: [", "\tname: x", "a: &x 1\nb: *x", "name: x\nname: y",
        "name: !!python/object:os.system x", "name: !!int ''", "name: !!float ''",
        "name: !!bool maybe", "name: !!timestamp x", "name: !!binary x", "? [a]\n: b",
        "1: x", "name: \0", "name: \x07", "a: " * 3000, "[" * 3000, "name: " + "9" * 5000,
    ],
    ids=lambda text: repr(text[:24]),
)  # fmt: skip
@pytest.mark.parametrize("file", ["world.yaml", "lore.yaml", "characters/ada.yaml"])
def test_bad_yaml_in_any_file_is_a_world_error(tmp_path: Path, file: str, text: str) -> None:
    folder = split(tmp_path / "w", SMALL)
    (folder / file).write_text(text)
    if (file, text) == ("lore.yaml", ""):
        assert World.load(folder).lore == ()
    else:
        with pytest.raises(WorldError) as caught:
            World.load(folder)
        assert [p for p in caught.value.problems if p.source.endswith(file)]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name: \xc3("])
def test_what_is_not_utf_8_is_a_world_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.yaml").write_bytes(content)
    assert problems(tmp_path / "w.yaml")[0] == ("w.yaml", "")


@pytest.mark.parametrize("value", ["010", "08", "1_000", "0x1F", "1:30", "no", "yes", "on"])
def test_words_and_numbers_follow_yaml_1_2(tmp_path: Path, value: str) -> None:
    (tmp_path / "w.json").write_text(json.dumps(SMALL))
    data = small(extensions={"value": "PLACEHOLDER"})
    (tmp_path / "w.yaml").write_text(yaml.safe_dump(data).replace("PLACEHOLDER", value))
    expected = int(value, 10) if value.isdigit() else value
    assert World.load(tmp_path / "w.yaml").extensions == {"value": expected}


@pytest.mark.parametrize("name", ["none", "none.yaml", "empty", "x" * 300])
def test_no_world_at_all_is_a_world_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert problems(tmp_path / name)


@pytest.mark.parametrize("extension", ["[a, {b: c}]", "no", "1.5"])
def test_extensions_hold_whatever_the_author_put_there(tmp_path: Path, extension: str) -> None:
    text = yaml.safe_dump(SMALL) + f"extensions: {{mine: {extension}}}\n"
    (tmp_path / "w.yaml").write_text(text)
    assert "mine" in World.load(tmp_path / "w.yaml").extensions


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(st.characters(codec=None), max_size=6)
    | st.sampled_from(["ada", "zoe", "house", "2024-06-14T10:00Z", "22:00", "crush", "everyone"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "at", "id", "ada", *string.digits]), inner)
    ),
    max_leaves=5,
)


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    if not isinstance(value, dict | list):
        return []
    found = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found += [(*path, key), *spots(item, (*path, key))]
    return found


def mutated(path: tuple[Any, ...], value: Any) -> Any:
    data: Any = small()
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(spots(SMALL)), VALUES)
def test_a_mutated_world_loads_or_is_a_world_error(
    folder: Path, path: tuple[Any, ...], value: Any
) -> None:
    try:
        load(folder, mutated(path, value))
    except WorldError as exc:
        str(exc).encode(errors="surrogatepass")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(spots(SMALL)), VALUES)
@example(("clock", "start"), "2024-06-14T06:00Z")
@example(("clock", "start"), 0)
@example(("clock", "start"), "9999-12-31T23:00")
@example(("events", 0, "at"), "2024-06-14T10:00Z")
@example(("relationships", 0, "history"), [{"kind": "met", "at": "2024-06-01T10:00Z"}])
@example(("characters", "ada", "routine"), [])
@example(("characters", "bo", "home"), None)
@example(("characters", "bo", "needs"), {})
def test_a_mutated_world_that_loads_also_runs(
    folder: Path, path: tuple[Any, ...], value: Any
) -> None:
    try:
        world = load(folder, mutated(path, value))
    except WorldError:
        return
    with MotiveEngine("scripted") as engine:
        list(Simulation(world, engine).run(12))


@pytest.mark.parametrize(
    ("start", "goal", "way", "minutes"),
    [
        ("house", "yard", ["yard"], 60),
        ("house", "well", ["yard", "well"], 90),
        ("well", "house", ["yard", "house"], 90),
        ("yard", "yard", [], 0),
        ("house", "island", [], 0),
    ],
)
def test_the_shortest_way(
    tmp_path: Path, start: str, goal: str, way: list[str], minutes: int
) -> None:
    assert load(tmp_path, SMALL).walk(start, goal) == (way, minutes)


def test_a_detour_that_is_shorter_is_taken(tmp_path: Path) -> None:
    places = copy.deepcopy(SMALL["places"])
    places["house"]["connects"] = {"well": 95, "yard": 60}
    assert load(tmp_path, small(places=places)).walk("house", "well") == (["yard", "well"], 90)


def test_every_place_of_the_town_can_be_reached(town: World) -> None:
    first = next(iter(town.places))
    assert all(town.walk(first, id)[0] for id in town.places if id != first)


def test_the_clock_counts_ticks_from_its_start(town: World) -> None:
    clock = Clock(town.clock.start, 15)
    clock.tick = 96
    assert (clock.now - clock.start).days == 1
    assert clock.ticks_per_day == 96


@pytest.mark.parametrize(("minutes", "ticks"), [(0, 1), (1, 1), (15, 1), (23, 2), (60, 4)])
def test_whatever_takes_time_takes_a_tick(town: World, minutes: float, ticks: int) -> None:
    assert Clock(town.clock.start, 15).ticks(minutes) == ticks


@pytest.mark.parametrize(
    ("now", "span", "inside"),
    [
        ("08:00", ("08:00", "20:00"), True),
        ("20:00", ("08:00", "20:00"), False),
        ("23:00", ("22:00", "06:00"), True),
        ("05:59", ("22:00", "06:00"), True),
        ("06:00", ("22:00", "06:00"), False),
    ],
)
def test_spans_of_the_day(now: str, span: tuple[str, str], inside: bool) -> None:
    assert within(now, span) is inside


TIMES = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))


@given(TIMES, TIMES, TIMES)
def test_a_span_and_its_reverse_share_the_day(now: str, a: str, b: str) -> None:
    if a != b:
        assert within(now, (a, b)) is not within(now, (b, a))
