"""A world in motion: who thinks when, what it changes, and that the seed decides all of it."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import SMALL, load, small

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError, WorldError
from daydream_motives.journal import Journal
from daydream_motives.motives.purposes import Outcome, Purpose
from daydream_motives.motives.situation import Verb
from daydream_motives.simulation.folder import journal_of
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.rules import DEEDS, Action, TownRules
from daydream_motives.simulation.run import start
from daydream_motives.simulation.runner import Happening, Simulation
from daydream_motives.simulation.world import World

DAY = 96
HARBOUR = Path(__file__).parents[2] / "sim_examples" / "harbour_town"


def told(world: World, ticks: int = DAY, **options: Any) -> list[tuple[str, ...]]:
    """What happened, as plain values."""
    with MotiveEngine("scripted", seed=options.get("seed", 0)) as engine:
        return [
            (h.kind, h.time.isoformat(), h.character, h.text)
            for h in Simulation(world, engine, ticks=ticks, **options).run(ticks)
        ]


@pytest.fixture(scope="module")
def day() -> tuple[Simulation, list[Happening]]:
    """A day of the town with 150 decisions."""
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(World.load(HARBOUR), engine, ticks=DAY, max_decisions=150)
        return simulation, list(simulation.run(DAY))


@pytest.fixture
def quiet(tmp_path: Path) -> World:
    """The small world with nothing happening in it."""
    return load(tmp_path, small(events=[]))


class Fixed(TownRules):
    """Rules under which everyone wants the same thing."""

    def __init__(self, text: str, targets: tuple[str, ...] = (), verb: str | None = None) -> None:
        self.purpose = Purpose(1, text, 0.5, targets, verb)

    def begin(self, town: Any, character: Any, purposes: Any, rng: Any) -> Action:
        return super().begin(town, character, [self.purpose], rng)


def test_the_same_seed_tells_the_same_story() -> None:
    first = told(World.load(HARBOUR), 24, seed=3)
    assert len(first) > 30
    assert told(World.load(HARBOUR), 24, seed=3) == first


def test_another_seed_tells_another_story() -> None:
    first = told(World.load(HARBOUR), 24, seed=3)
    assert told(World.load(HARBOUR), 24, seed=4) != first


def test_a_world_is_not_changed_by_the_simulation_of_it(town: World) -> None:
    before = town.relationships.to_data()
    first = told(town, 24, max_decisions=60)
    assert town.relationships.to_data() == before
    assert told(town, 24, max_decisions=60) == first


def test_the_global_random_state_is_left_alone(town: World) -> None:
    state = random.getstate()
    told(town, 4)
    assert random.getstate() == state


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 60))
def test_no_more_decisions_than_allowed(quiet: World, limit: int, ticks: int) -> None:
    happened = told(quiet, ticks, max_decisions=limit)
    assert sum(kind == "decision" for kind, *_ in happened) <= limit


def test_the_decisions_are_spread_over_the_day(day: tuple[Simulation, list[Happening]]) -> None:
    hours = Counter(h.time.hour for h in day[1] if h.kind == "decision")
    assert sum(hours.values()) == day[0].decided
    assert 100 <= day[0].decided <= 150
    assert len([hour for hour in range(6, 22) if hours[hour]]) == 16


def test_everyone_thinks_at_least_once(day: tuple[Simulation, list[Happening]]) -> None:
    thinkers = {h.character for h in day[1] if h.kind == "decision"}
    assert thinkers == set(day[0].world.sheets)


def test_every_decision_is_resolved_or_still_open(day: tuple[Simulation, list[Happening]]) -> None:
    simulation, happened = day
    unresolved = {h.decision.id for h in happened if h.decision and h.decision.outcome is None}
    held = {a.decision.id for a in simulation.actors.values() if a.decision}
    assert unresolved == held
    assert all(h.decision.chosen for h in happened if h.decision)


def test_needs_and_relationships_move(day: tuple[Simulation, list[Happening]]) -> None:
    simulation, fresh = day[0], World.load(HARBOUR)
    for id, actor in simulation.actors.items():
        assert actor.character.needs != {
            n: need.level for n, need in fresh.sheets[id].needs.items()
        }
        assert all(0 <= level <= 1 for level in actor.character.needs.values())
    moved = [
        (a, b)
        for actor in simulation.actors.values()
        for a in [actor.character.id]
        for b, rel in actor.character.relationships.of(a)
        if rel != fresh.relationships.get(a, b)
    ]
    assert len(moved) > 10


def test_nobody_is_where_there_is_no_place(town: World) -> None:
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(town, engine, max_decisions=100)
        for _ in range(DAY):
            simulation.step()
            assert {a.character.place for a in simulation.actors.values()} <= town.places.keys()


def test_sleepers_do_not_think_and_lie_at_home(town: World) -> None:
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(town, engine, max_decisions=100)
        for _ in range(DAY):
            told = simulation.step()
            assert all(simulation.is_awake(h.character) for h in told if h.kind == "decision")
            for actor in simulation.actors.values():
                if actor.asleep:
                    assert actor.character.place == actor.character.sheet.home
                    assert actor.action is None


@pytest.mark.parametrize("limit", [None, 100, 3])
def test_everyone_sleeps_at_night(tmp_path: Path, limit: int | None) -> None:
    world = load(tmp_path, small(events=[]))
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(world, engine, ticks=48, max_decisions=limit)
        list(simulation.run(42))  # it is 03:00
        assert [id for id in simulation.actors if simulation.is_awake(id)] == []


def test_whoever_wakes_thinks(quiet: World) -> None:
    happened = told(quiet, 4)
    assert [(time[11:16], who) for kind, time, who, _ in happened if kind == "decision"] == [
        ("07:00", "ada"), ("07:00", "bo"),
    ]  # fmt: skip


def test_an_event_interrupts_those_awake(tmp_path: Path) -> None:
    bell = {"id": "bell", "text": "A bell rings.", "at": "2024-06-14T07:30"}
    world = load(tmp_path, small(events=[bell]))
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(world, engine)
        before = {h.character: h.decision for h in simulation.run(3) if h.kind == "decision"}
        now = simulation.step()
    assert now[0] == Happening("event", now[0].time, "A bell rings.")
    assert set(before) == {"ada", "bo"}
    assert all(d and d.outcome and d.outcome.status == "interrupted" for d in before.values())
    again = [h.decision for h in now if h.kind == "decision"]
    assert [d.character for d in again if d] == ["ada", "bo"]
    assert all("A bell rings." in d.context.context for d in again if d)


@pytest.mark.parametrize(
    ("change", "thinkers"),
    [
        ({"interrupts": False}, []),
        ({"place": "island"}, []),
        ({"place": "island", "who": ["bo"]}, ["bo"]),
        ({"place": "house"}, ["bo"]),
        ({"who": ["kit"], "place": "island"}, []),  # asleep
    ],
)
def test_an_event_reaches_only_those_it_can(
    tmp_path: Path, change: dict[str, Any], thinkers: list[str]
) -> None:
    bell = {"id": "bell", "text": "A bell rings.", "at": "2024-06-14T08:30", **change}
    world = load(tmp_path, small(events=[bell]))
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(world, engine, rules=Fixed("walk to the well", verb="search"))
        simulation.actors["ada"].character.place = "yard"
        list(simulation.run(5))
        for actor in simulation.actors.values():
            actor.action, actor.calls = None, {}
        happened = simulation.step()
    assert [h.character for h in happened if h.kind == "decision"] == thinkers


def test_an_event_moves_the_needs_of_those_it_concerns(tmp_path: Path) -> None:
    bell = {
        "id": "b",
        "text": "Ring.",
        "at": "2024-06-14T06:00",
        "who": ["bo"],
        "needs": {"fun": -1},
    }
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(load(tmp_path, small(events=[bell])), engine)
        simulation.step()
        assert simulation.character("bo").needs["fun"] == 0
        assert simulation.character("ada").needs["fun"] > 0.5


@pytest.mark.parametrize(
    ("between", "hours"),
    [(("07:00", "09:00"), {7, 8}), (("23:00", "01:00"), {23, 0}), (("12:00", "13:00"), {12})],
)
def test_a_random_event_keeps_to_its_hours(
    tmp_path: Path, between: tuple[str, str], hours: set[int]
) -> None:
    event = {"id": "e", "text": "It happens.", "chance_per_day": 24, "between": between}
    world = load(tmp_path, small(events=[event]))
    times = [time for kind, time, *_ in told(world, 48) if kind == "event"]
    assert {int(time[11:13]) for time in times} == hours


def test_a_span_of_no_length_is_refused_or_means_the_whole_day(tmp_path: Path) -> None:
    event = {"id": "e", "text": "It.", "chance_per_day": 24, "between": ("08:00", "08:00")}
    try:
        world = load(tmp_path, small(events=[event]))
    except WorldError:
        return
    assert any(kind == "event" for kind, *_ in told(world, 48))


def test_walking_takes_the_minutes_of_the_way(quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        rules = Fixed("go to the Well", ("well",), "go")
        simulation = Simulation(quiet, engine, rules=rules)
        places = []
        for _ in range(8):
            simulation.step()
            places.append(simulation.character("bo").place)
    woke, minutes = 2, quiet.walk("house", "well")[1]
    assert places.index("well") == woke + minutes // 30


def test_nobody_gets_to_where_no_way_leads(quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        rules = Fixed("go to the Island", ("island",), "go")
        simulation = Simulation(quiet, engine, rules=rules)
        list(simulation.run(12))
        assert "island" not in {a.character.place for a in simulation.actors.values()}


def test_a_purpose_about_a_sleeper_gives_way_to_the_next(quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(quiet, engine)
        list(simulation.run(3))
        bo = simulation.character("bo")
        purposes = [
            Purpose(1, "wake Kit", 0.5, ("kit",), "talk"),
            Purpose(2, "call Ada", 0.3, ("ada",), "talk"),
            Purpose(3, "rest", 0.2, (), "rest"),
        ]
        action = TownRules().begin(simulation, bo, purposes, random.Random(0))
    assert (action.purpose.rank, action.person) == (2, "ada")


@pytest.fixture
def meeting(quiet: World) -> Simulation:
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(quiet, engine)
        list(simulation.run(3))
    for id in ("ada", "bo"):
        simulation.character(id).place = "yard"
    return simulation


def act(simulation: Simulation, verb: str, person: str | None = "bo", seed: int = 0) -> Outcome:
    """Ada acts in the yard."""
    purpose = Purpose(1, f"{verb} with them", 0.5, (person,) if person else (), verb)
    rules, ada, rng = TownRules(), simulation.character("ada"), random.Random(seed)
    action = rules.begin(simulation, ada, [purpose], rng)
    rules.arrive(simulation, ada, action)
    return rules.finish(simulation, ada, action, rng)


@pytest.mark.parametrize("deed", [d for d in DEEDS if d.doer], ids=lambda d: d.verb.name)
def test_deeds_between_people_move_the_relationship(meeting: Simulation, deed: Any) -> None:
    outcome = act(meeting, deed.verb.name)
    assert outcome.status == "done"
    assert [change.to for change in outcome.relationships] == ["bo"]
    both = deed.verb.name != "avoid"
    assert bool(meeting.character("bo").memory) is both
    history = meeting.relationships.get("bo", "ada").history  # type: ignore[union-attr]
    assert bool(history) is both


@pytest.mark.parametrize("deed", DEEDS, ids=lambda d: d.verb.name)
def test_deeds_alone_are_done_and_move_needs(meeting: Simulation, deed: Any) -> None:
    meeting.character("ada").needs = dict.fromkeys(("food", "rest", "company", "fun"), 0.5)
    outcome = act(meeting, deed.verb.name, None)
    assert (outcome.status, outcome.relationships) == ("done", ())
    assert deed.needs.keys() - {"company"} <= outcome.needs.keys() <= deed.needs.keys()


def test_the_other_is_followed_once_and_then_missed(meeting: Simulation) -> None:
    purpose = Purpose(1, "talk to Bo", 0.5, ("bo",), "talk")
    rules, ada, rng = TownRules(), meeting.character("ada"), random.Random(0)
    action = rules.begin(meeting, ada, [purpose], rng)
    ends = action.ends
    meeting.character("bo").place = "well"
    rules.arrive(meeting, ada, action)
    assert (action.place, action.met, action.ends > ends) == ("well", False, True)
    meeting.character("bo").place = "yard"
    rules.arrive(meeting, ada, action)
    outcome = rules.finish(meeting, ada, action, rng)
    assert outcome.status == "failed"
    assert outcome.note == f"Bo was not at {meeting.world.places['well'].name}"


def test_someone_who_hates_turns_the_other_away(meeting: Simulation) -> None:
    meeting.relationships.change("bo", "ada", {"affection": -1.0, "trust": -1.0})
    meeting.relationships.change("bo", "ada", {"affection": -1.0, "trust": -1.0})
    outcomes = [act(meeting, "talk", seed=seed) for seed in range(9)]
    refused = [o for o in outcomes if o.note == "Bo turned Ada away"]
    assert len(refused) > 4
    assert {o.status for o in refused} == {"failed"}


class Idle:
    """A game's own rules, with nothing of ours in them."""

    def verbs(self, town: Any, character: Any) -> Sequence[Verb]:
        return [Verb(name="dream")]

    def begin(self, town: Any, character: Any, purposes: Any, rng: Any) -> Action:
        tick = town.clock.tick
        return Action(purposes[2], DEEDS[0], character.place, None, tick, tick + 2)

    def arrive(self, town: Any, character: Any, action: Any) -> None:
        pass

    def finish(self, town: Any, character: Any, action: Any, rng: Any) -> Outcome:
        return Outcome(status="overruled", note="only a dream")


def test_a_game_can_bring_its_own_rules(quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        happened = list(Simulation(quiet, engine, rules=Idle()).run(6))
    made = [h.decision for h in happened if h.decision]
    assert {d.chosen for d in made} == {3}
    assert {p.verb for d in made for p in d} == {"dream"}
    assert "overruled" in {h.kind for h in happened}


def test_lore_is_told_only_to_those_who_know_it(tmp_path: Path) -> None:
    lore = [{"id": "l", "text": "Gold lies there.", "known_to": ["ada"]}]
    with MotiveEngine("scripted") as engine:
        simulation = Simulation(load(tmp_path, small(lore=lore)), engine)
        contexts = {
            id: engine.context(simulation.character(id), simulation.situation_of(id)).text
            for id in ("ada", "bo")
        }
    assert ["Gold" in contexts[id] for id in ("ada", "bo")] == [True, False]


def test_a_world_without_routines_or_homes_runs(tmp_path: Path) -> None:
    people = {"ada": {"name": "Ada"}, "bo": {"name": "Bo", "needs": {}}}
    data = {"name": "Bare", "places": {"here": {"name": "Here"}}, "characters": people}
    assert told(load(tmp_path, data), 48)


def test_a_run_writes_its_journal_and_then_its_manifest(tmp_path: Path, quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        run = start(quiet, engine, Scenario(12, seed=5), tmp_path / "run")
        steps = run.steps()
        for _ in range(12):
            next(steps)
            assert [p.name for p in (tmp_path / "run").glob("manifest*")] == []
        assert next(steps, None) is None
    assert (tmp_path / "run" / "manifest.json").is_file()
    with Journal(journal_of(tmp_path / "run"), read_only=True) as journal:
        assert len(list(journal.records())) == run.manifest["summary"]["decisions"] > 0
        assert journal.manifest()["world"] == {"name": "Two Roads", "hash": quiet.hash}
        kinds = {event["kind"] for event in journal.events()}
        ids = {record["id"] for record in journal.records()}
        assert {e["decision"] for e in journal.events()} - {None} <= ids
    assert kinds & {"done", "failed"}


def test_a_run_that_was_broken_off_has_a_journal_and_no_manifest(
    tmp_path: Path, quiet: World
) -> None:
    with MotiveEngine("scripted") as engine:
        steps = start(quiet, engine, Scenario(6), tmp_path / "run").steps()
        for _ in range(4):
            next(steps)
        steps.close()  # type: ignore[attr-defined]
        assert engine.recorder is None
    assert not (tmp_path / "run" / "manifest.json").exists()
    with Journal(journal_of(tmp_path / "run"), read_only=True) as journal:
        assert list(journal.records())


def test_a_folder_with_a_run_is_refused_and_left_as_it_is(tmp_path: Path, quiet: World) -> None:
    with MotiveEngine("scripted") as engine:
        list(start(quiet, engine, Scenario(3), tmp_path / "run").steps())
        before = {p.name: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
        with pytest.raises(RunError, match="already holds a run") as caught:
            start(quiet, engine, Scenario(3), tmp_path / "run")
    assert "--run" in caught.value.remedy
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


def test_a_folder_that_is_a_file_is_a_run_error(tmp_path: Path, quiet: World) -> None:
    (tmp_path / "run").write_text("x")
    with MotiveEngine("scripted") as engine, pytest.raises(RunError, match="cannot write"):
        start(quiet, engine, Scenario(3), tmp_path / "run")


def test_the_small_world_is_never_shared_between_tests() -> None:
    assert small() == SMALL
    assert small()["places"] is not SMALL["places"]
    assert copy.deepcopy(SMALL) == SMALL
