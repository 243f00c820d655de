"""An edited world taken up by a running one: what was written counts, what was lived stays."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lasting import HOUR, NEVER, Killed, content, engine, go, killed_at, lived, rows, world
from small import small

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError, WorldError
from daydream_motives.journal import Journal
from daydream_motives.simulation import checkpoint
from daydream_motives.simulation.checkpoint import snapshot, ticks_in
from daydream_motives.simulation.edit import adopt
from daydream_motives.simulation.folder import RunFolder
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.replay import verify
from daydream_motives.simulation.run import Run, resume, start
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

DEE = {"name": "Dee Orr", "age": 50, "home": "house", "factions": ["guild"]}
Change = Callable[[dict[str, Any]], Any]


def edited(*changes: Change) -> World:
    """The small world with something done to its data."""
    data = small()
    for change in changes:
        change(data)
    return World.from_data(data)


def add_dee(data: dict[str, Any]) -> None:
    data["characters"]["dee"] = dict(DEE)


def without_bo(data: dict[str, Any]) -> None:
    del data["characters"]["bo"]
    data["relationships"] = [r for r in data["relationships"] if "bo" not in (r["from"], r["to"])]
    data["events"] = data["events"][1:]


def at(tick: int, of: World | None = None, seed: int = 0) -> Simulation:
    with engine() as mind:
        mind.seed = seed
        simulation = Simulation(of or world(), mind, seed=seed)
        list(simulation.run(tick))
    return simulation


def alive(simulation: Simulation) -> MotiveEngine:
    """A fresh engine for a simulation whose own is closed."""
    mind = engine()
    mind.lore, simulation.engine = simulation.engine.lore, mind
    return mind


def state(simulation: Simulation) -> str:
    data = snapshot(simulation, {"decisions": 0, "events": 0})
    lore = [str(n) for n in simulation.engine.lore.known("ada")] if simulation.engine.lore else []
    return json.dumps([data, lore], default=checkpoint._plain)


def test_the_same_world_changes_nothing() -> None:
    simulation = at(9)
    before = state(simulation)
    assert adopt(simulation, edited()) == []
    assert state(simulation) == before


def test_somebody_new_comes_in_and_lives() -> None:
    simulation = at(9)
    assert adopt(simulation, edited(add_dee)) == ["the writer added the character dee"]
    assert list(simulation.actors) == ["ada", "bo", "dee", "kit"]
    assert "dee" in simulation.relationships
    assert simulation.is_awake("dee")
    with alive(simulation):
        told = simulation.step()
    assert any(h.character == "dee" for h in told if h.kind == "decision")


def test_whoever_goes_is_let_go_of() -> None:
    for tick in range(4, 16):
        simulation = at(tick)
        gone = simulation.actors["bo"].decision
        seekers = [a for a in simulation.actors.values() if a.action and a.action.person == "bo"]
        sought = [actor.decision for actor in seekers]
        changes = adopt(simulation, edited(without_bo))
        assert "the writer took away the character bo" in changes
        assert "the writer took away how ada sees bo" in changes
        assert set(simulation.actors) == {"ada", "kit"}
        assert "bo" not in simulation.relationships
        for decision in [gone, *sought]:
            assert decision is None or (decision.outcome and decision.outcome.status)
        assert all(actor.action is None for actor in seekers)
        with alive(simulation):
            list(simulation.run(6))


def test_needs_keep_their_level_and_new_ones_begin_at_theirs() -> None:
    simulation = at(9)
    food = simulation.character("ada").needs["food"]
    needs = {"food": {"level": 0.9}, "glory": {"level": 0.3}}
    changes = adopt(simulation, edited(lambda d: d["characters"]["ada"].update(needs=needs)))
    assert changes == ["the writer changed the character ada"]
    assert simulation.character("ada").needs == {"food": food, "glory": 0.3}
    assert simulation.character("ada").memory


def lived_tie(simulation: Simulation) -> Any:
    """How ada sees bo, moved by life."""
    simulation.relationships.record("ada", "bo", "helped", text="Bo held the ladder.")
    return simulation.relationships.get("ada", "bo")


def test_what_was_lived_between_people_stays() -> None:
    simulation = at(9)
    tie = lived_tie(simulation)
    graph = [actor.character.relationships for actor in simulation.actors.values()]
    adopt(simulation, edited(add_dee))
    assert simulation.relationships.get("ada", "bo") == tie
    graph = [actor.character.relationships for actor in simulation.actors.values()]
    assert all(one is simulation.relationships for one in graph)


def test_what_was_written_between_people_counts() -> None:
    simulation = at(9)
    tie, back = lived_tie(simulation), simulation.relationships.get("bo", "ada")

    def rewritten(data: dict[str, Any]) -> None:
        data["relationships"][0] = {"from": "ada", "to": "bo", "kinds": ["rival"], "trust": -0.5}

    changes = adopt(simulation, edited(rewritten))
    now = simulation.relationships.get("ada", "bo")
    assert now != tie
    assert now
    assert (now.kinds, now.trust, now.history) == (("rival",), -0.5, ())
    assert changes == [
        "the writer changed how ada sees bo", "the writer took away how bo sees ada",
    ]  # fmt: skip
    assert back
    assert simulation.relationships.get("bo", "ada") is None


def test_a_tie_that_only_life_made_stays() -> None:
    simulation = at(3, world(relationships=[]))
    simulation.relationships.record("kit", "bo", "helped", text="Bo gave Kit bread.")
    tie = simulation.relationships.get("kit", "bo")
    adopt(simulation, edited(lambda d: d.update(relationships=[]), add_dee))
    assert simulation.relationships.get("kit", "bo") == tie


def test_events_of_the_time_to_come_are_those_now_written() -> None:
    def rewritten(data: dict[str, Any]) -> None:
        data["events"] = [
            {"id": "past", "text": "Too late.", "at": "2024-06-14T07:00"},
            {"id": "bell", "text": "Two bells ring.", "at": "2024-06-14T10:30"},
            {"id": "fair", "text": "A fair.", "at": "2024-06-14T11:00"},
        ]

    simulation = at(6)  # it is 09:00
    changes = adopt(simulation, edited(rewritten))
    assert changes == [
        "the writer changed the event bell", "the writer added the event fair",
        "the writer added the event past", "the writer took away the event rain",
    ]  # fmt: skip
    with alive(simulation):
        told = [(f"{h.time:%H:%M}", h.text) for h in simulation.run(12) if h.kind == "event"]
    assert told == [("10:30", "Two bells ring."), ("11:00", "A fair.")]


def test_an_event_that_happened_does_not_happen_again() -> None:
    simulation = at(9)  # the bell of 10:00 has rung

    def louder(data: dict[str, Any]) -> None:
        data["events"][0]["text"] = "A bell rings loud."

    assert adopt(simulation, edited(louder)) == ["the writer changed the event bell"]
    with alive(simulation):
        assert not [h for h in simulation.run(12) if "loud" in h.text]


def test_lore_is_known_from_now_on() -> None:
    simulation = at(9)
    note = {"id": "gold", "text": "Gold lies under the ladder.", "known_to": ["bo"]}
    assert adopt(simulation, edited(lambda d: d["lore"].append(note))) == [
        "the writer added the lore gold"
    ]
    with alive(simulation) as mind:
        told = {
            id: mind.context(simulation.character(id), simulation.situation_of(id)).text
            for id in ("ada", "bo")
        }
    assert ["Gold" in told[id] for id in ("ada", "bo")] == [False, True]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda d: d.update(description="A quiet place."), "the writer changed the world's descr"),
        (lambda d: d.update(name="Three Roads"), "the writer changed the world's description"),
        (lambda d: d["places"].update(pier={"name": "The Pier"}), "the writer added the place pie"),
        (lambda d: d["places"]["yard"].update(things=["rope"]), "the writer changed the place yar"),
        (lambda d: d["relationships"].pop(2), "the writer took away how bo sees kit"),
        (lambda d: d["lore"].pop(), "the writer took away the lore roads"),
    ],
)
def test_what_changed_is_said_and_nothing_else(change: Change, line: str) -> None:
    (said,) = adopt(at(9), edited(change))
    assert said.startswith(line)


def far_start(data: dict[str, Any]) -> None:
    data["clock"]["start"] = "2024-06-13T06:00"


def slow(data: dict[str, Any]) -> None:
    data["clock"]["minutes_per_tick"] = 15


def no_island(data: dict[str, Any]) -> None:
    del data["places"]["island"]
    add_dee(data)


REFUSED = [
    ([far_start], "another start"), ([slow], "another start or tick"), ([no_island], "island"),
    ([no_island, slow, without_bo], "clock"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(changes: list[Change], words: str) -> None:
    simulation = at(9)
    before = state(simulation)
    with pytest.raises(WorldError, match=words) as caught:
        adopt(simulation, edited(*changes))
    assert caught.value.remedy
    assert state(simulation) == before
    assert simulation.world.hash == world().hash


def test_an_edit_that_life_has_made_wrong_is_refused() -> None:
    """Two grew fond of each other; the writer makes one of them a child."""
    simulation = at(9)
    simulation.relationships.change("ada", "bo", {"attraction": 0.4})
    before = state(simulation)
    with pytest.raises(Exception, match="attraction or romance"):
        adopt(simulation, edited(lambda d: d["characters"]["bo"].update(age=12)))
    assert state(simulation) == before


EDITS = {0: [add_dee], 6: [add_dee, without_bo], 9: [add_dee], 10: [], 14: [without_bo]}


def editing(run: Run) -> None:
    if (tick := run.simulation.clock.tick) in EDITS:
        run.edit(edited(*EDITS[tick]))


def live(folder: Path, minutes: int, until: int | None = None, limit: int | None = 22) -> Path:
    with engine() as mind:
        try:
            complete, run = RunFolder(folder).complete, None
            if not complete:
                run = resume(folder, mind)
        except RunError:
            run = start(world(), mind, Scenario(20, 1, limit), folder, checkpoint_minutes=minutes)
        if run:
            run.before_tick = editing
            go(run, until)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An uninterrupted run in which people came, went and came back."""
    return content(live(tmp_path_factory.mktemp("whole") / "run", HOUR))


@pytest.mark.parametrize("minutes", [HOUR, NEVER])
@pytest.mark.parametrize("until", [0, 1, 6, 7, 9, 10, 11, 13, 14, 15])
def test_an_edited_run_that_was_broken_off_goes_on(
    tmp_path: Path, whole: Any, minutes: int, until: int
) -> None:
    folder = live(tmp_path / "run", minutes, until)
    assert content(live(folder, minutes)) == whole
    with engine() as mind:
        assert verify(folder, mind) is None


@settings(max_examples=15)
@given(st.lists(st.integers(1, 110), min_size=1, max_size=3), st.sampled_from([HOUR, NEVER]))
def test_an_edited_run_broken_off_at_any_write(whole: Any, writes: list[int], minutes: int) -> None:
    with tempfile.TemporaryDirectory() as parent:
        for write in writes:
            with killed_at(write):
                live(Path(parent) / "run", minutes)
        assert content(live(Path(parent) / "run", minutes)) == whole


@pytest.mark.parametrize("line", [1, 2, 4])
def test_broken_off_while_an_edit_is_told(
    tmp_path: Path, whole: Any, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, edits = Journal.event, 0

    def counted(self: Journal, kind: str, text: str, **options: Any) -> None:
        nonlocal edits
        edits += kind == "edited"
        if edits == line:
            raise Killed
        event(self, kind, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "event", counted)
        with pytest.raises(Killed):
            live(tmp_path / "run", HOUR)
    assert content(live(tmp_path / "run", HOUR)) == whole


def test_a_refused_edit_leaves_no_trace_in_a_run(tmp_path: Path) -> None:
    whole = content(lived(tmp_path / "whole"))
    with engine() as mind:
        run = start(world(), mind, Scenario(20), tmp_path / "run")
        steps = run.steps()
        for _ in range(7):
            next(steps)
        for changes, _ in REFUSED:
            with pytest.raises(WorldError):
                run.edit(edited(*changes))
        assert run.edit(world()) == []
        list(steps)
    assert ticks_in(tmp_path / "run" / "worlds") == []
    assert content(tmp_path / "run") == whole


def test_one_edit_a_tick(tmp_path: Path) -> None:
    """A second one would leave no file to live the first again from."""
    with engine() as mind:
        run = start(world(), mind, Scenario(20), tmp_path / "run", checkpoint_minutes=NEVER)
        steps = run.steps()
        for _ in range(7):
            next(steps)
        assert run.edit(edited(add_dee))
        assert run.edit(edited(add_dee)) == []
        with pytest.raises(RunError, match="edited at tick 7 already") as caught:
            run.edit(edited(without_bo))
        assert "tick" in caught.value.remedy
        next(steps)
        assert run.edit(edited(without_bo))
        list(steps)
        assert verify(tmp_path / "run", mind) is None
    kinds = [e["kind"] for e in rows(tmp_path / "run")[1]]
    assert kinds.count("edited") == 7


def test_a_world_edited_and_then_damaged_is_named(tmp_path: Path) -> None:
    folder = live(tmp_path / "run", NEVER, 12)
    (folder / "worlds" / "00000009.json.gz").write_bytes(b"half")
    with engine() as mind:
        run = resume(folder, mind)
        with pytest.raises(RunError, match="00000009") as caught:
            go(run)
    assert "put it back" in caught.value.remedy
