"""A world set in motion, in lockstep: the seed, the world and the model decide everything.

People think when something calls for it: they woke up, finished, were interrupted, someone who
matters arrived, a need crossed its line. In between they act on the purpose chosen, or follow
their routine. `max_decisions` spreads that many thoughts over the whole run: the most urgent come
first, and whoever has to wait follows the routine. Knows no model, no terminal, no wall clock.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from daydream_motives.characters.character import Character
from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.journal import Journal
from daydream_motives.motives.purposes import Decision, Outcome
from daydream_motives.motives.situation import Situation
from daydream_motives.simulation.clock import Clock, within
from daydream_motives.simulation.rules import Action, Rules, TownRules
from daydream_motives.simulation.scene import (
    URGENCY,
    Actor,
    Scene,
    is_sleep,
    should_sleep,
)
from daydream_motives.simulation.schema import WorldEvent
from daydream_motives.simulation.world import World, lore_of, timetable

log = logging.getLogger("daydream_motives")

_SLEEP_RESTORES = 0.12  # of rest, an hour
_STRONG_TIE = 0.55
_PAUSE_MINUTES = 60  # nobody is called to think again sooner by a mere arrival


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing to show: a decision, an outcome or an event, at an in-world time."""

    kind: str
    time: datetime
    text: str
    character: str = ""
    decision: Decision | None = None


class Simulation:
    """One run of a world; `step` advances a tick and tells what happened."""

    def __init__(
        self,
        world: World,
        engine: MotiveEngine,
        *,
        seed: int = 0,
        rules: Rules | None = None,
        journal: Journal | None = None,
        ticks: int | None = None,
        max_decisions: int | None = None,
        spread: int | None = None,
    ) -> None:
        self.world = world
        self.engine = engine
        self.rules: Rules = rules or TownRules()
        self.journal = journal
        self.clock = Clock(world.clock.start, world.clock.minutes_per_tick)
        self.rng = random.Random(f"world:{seed}")
        engine.lore = lore_of(world)
        self.relationships = world.relationships.copy()  # the world stays as it was written
        self.actors: dict[str, Actor] = {}
        for id in sorted(world.sheets):
            self.enter(id)
        self.plan(ticks or self.clock.ticks_per_day, max_decisions, spread)
        self.due = timetable(world)
        self.decided = 0

    def plan(self, ticks: int, max_decisions: int | None, spread: int | None = None) -> None:
        """How long the run is, and how many thoughts are spread over it, or over its first `spread`
        ticks: what comes after them goes on at that pace."""
        self._ticks, self._max_decisions, self._spread = ticks, max_decisions, spread or ticks
        self._wakeful = self._count_awake() if max_decisions is not None else []

    def plan_again(self) -> None:
        """The same plan for the people there are now."""
        self.plan(self._ticks, self._max_decisions, self._spread)

    def enter(self, id: str) -> None:
        """Somebody of the world begins to live in it."""
        sheet = self.world.sheets[id]
        character = Character(sheet, id=id, relationships=self.relationships, engine=self.engine)
        character.place = character.place or next(iter(self.world.places))
        actor = Actor(character, asleep=should_sleep(sheet, self.clock.now))
        if not actor.asleep:
            actor.call("woke up", f"{sheet.short_name} is up and about", self.clock.tick)
        self.actors[id] = actor

    def take_over(self, graph: RelationshipGraph) -> None:
        """From now on these are everyone's relationships."""
        self.relationships = graph
        for actor in self.actors.values():
            actor.character.relationships = graph

    def character(self, id: str) -> Character:
        return self.actors[id].character

    def is_awake(self, id: str) -> bool:
        return not self.actors[id].asleep

    def situation_of(self, id: str) -> Situation:
        """What the character faces now."""
        actor = self.actors[id]
        return Scene(self.world, self.actors).situation(
            actor, self.clock.now, self.rules.verbs(self, actor.character)
        )

    def run(self, ticks: int) -> Iterator[Happening]:
        """Advance so many ticks, telling what happens as it does."""
        for _ in range(ticks):
            yield from self.step()

    def step(self) -> list[Happening]:
        """One tick: the world's events, time over everyone, what ends, and who thinks."""
        told: list[Happening] = []
        hours = self.clock.minutes_per_tick / 60
        for event in self._events_now():
            told.append(self._happen(event))
        for actor in self.actors.values():
            self._pass_time(actor, hours)
        for actor in self.actors.values():
            if actor.action and self.clock.tick >= actor.action.ends:
                told.append(self._finish(actor))
        for actor in self.actors.values():
            if actor.action and self.clock.tick == actor.action.arrives:
                self._get_there(actor, actor.action)
        told += self._think()
        for actor in self.actors.values():
            if not actor.action and not actor.asleep:
                self._follow_routine(actor)
        self.clock.tick += 1
        return told

    def _events_now(self) -> list[WorldEvent]:
        now, hours = self.clock.now, self.clock.minutes_per_tick / 60
        found = []
        while self.due and self.due[0].at is not None and self.due[0].at <= now:
            found.append(self.due.pop(0))
        for event in self._at_random():
            open_hours = _hours(event.between)
            roll = self.rng.random()  # always rolled, so that one event does not shift another
            chance = (event.chance_per_day or 0) / open_hours * hours
            if within(f"{now:%H:%M}", event.between) and roll < chance:
                found.append(event)
        return found

    def _at_random(self) -> list[WorldEvent]:
        return sorted((e for e in self.world.events if e.at is None), key=lambda e: e.id)

    def _happen(self, event: WorldEvent) -> Happening:
        for id, actor in self.actors.items():
            character = actor.character
            witness = event.place is None or character.place == event.place
            if id in event.who or (witness and not actor.asleep):
                character.remember(
                    event.text, at=self.clock.now, importance=0.9, place=event.place,
                    who=[other for other in event.who if other != id],
                )  # fmt: skip
                if id in event.who:
                    character.change_needs(event.needs)
                if event.interrupts and not actor.asleep:
                    self.interrupt(actor, event.text)
        self.note(event.text, "event", place=event.place, who=event.who)
        return Happening("event", self.clock.now, event.text)

    def interrupt(self, actor: Actor, text: str) -> None:
        """Whatever the actor does ends here, and calls for a thought."""
        if actor.decision and actor.decision.outcome is None:
            actor.decision.resolve(Outcome(status="interrupted", note=text))
        actor.action = actor.decision = None
        actor.call("interrupted", text, self.clock.tick)

    def _pass_time(self, actor: Actor, hours: float) -> None:
        character = actor.character
        crossed = character.live(hours)
        place = self.world.places[character.place or ""]
        character.change_needs({need: gain * hours for need, gain in place.restores.items()})
        if actor.asleep:
            character.change_needs({"rest": _SLEEP_RESTORES * hours, "food": 0.05 * hours})
            if not should_sleep(character.sheet, self.clock.now):
                actor.asleep = False
                actor.call("woke up", f"{character.sheet.short_name} has just woken up",
                           self.clock.tick)  # fmt: skip
        elif should_sleep(character.sheet, self.clock.now) and actor.action is None:
            actor.asleep, actor.calls = True, {}
            character.activity = "sleeping"
            if character.sheet.home:
                character.place = character.sheet.home
        elif crossed:
            words = {"food": "hungry", "rest": "tired", "company": "lonely", "fun": "bored"}
            felt = words.get(crossed[0], f"in need of {crossed[0]}")
            actor.call("need", f"{character.sheet.short_name} has become {felt}", self.clock.tick)

    def _follow_routine(self, actor: Actor) -> None:
        """Nobody stands about: without a purpose in hand, the routine of the hour."""
        entry, character = actor.character.sheet.routine_at(self.clock.now), actor.character
        if entry is None:
            return
        character.activity = entry.activity
        goal = entry.place or character.place
        if goal == character.place:
            actor.way = None
        elif actor.way is None or actor.way[0] != goal:
            steps, minutes = self.world.walk(character.place or "", goal or "")
            if steps:
                actor.way = (goal or "", self.clock.tick + self.clock.ticks(minutes))
        elif self.clock.tick >= actor.way[1]:
            self._arrive(actor, actor.way[0])
            actor.way = None

    def _get_there(self, actor: Actor, action: Action) -> None:
        self._arrive(actor, action.place)
        self.rules.arrive(self, actor.character, action)

    def _arrive(self, actor: Actor, place: str) -> None:
        newcomer = actor.character
        if newcomer.place == place:
            return
        newcomer.place = place
        pause = self.clock.ticks(_PAUSE_MINUTES)
        for id, tie in self.relationships.seen_by(newcomer.id):
            other = self.actors[id]
            if other.asleep or other.character.place != place:
                continue
            rested = self.clock.tick - other.thought >= pause
            if tie.strength >= _STRONG_TIE and rested and other.action is None:
                other.call("arrived", f"{newcomer.sheet.name} has just arrived", self.clock.tick)

    def _finish(self, actor: Actor) -> Happening:
        character, action, decision = actor.character, actor.action, actor.decision
        if action is None or decision is None:
            raise RuntimeError("an actor without an action cannot finish one")
        outcome = self.rules.finish(self, character, action, self.rng)
        decision.resolve(outcome)
        actor.action = actor.decision = None
        character.activity = ""
        result = "" if outcome.status == "done" else f" — {outcome.status}: {outcome.note}"
        text = f"{action.purpose.text.rstrip('.')}{result}"
        self.note(text, outcome.status, place=action.place, who=(character.id,), of=decision.id)
        done = "is done with this" if outcome.status == "done" else "did not manage this"
        called = f"{character.sheet.short_name} {done}: {action.purpose.text}"
        if outcome.note:
            called = f"{outcome.note[0].upper()}{outcome.note[1:]}"
        actor.call("finished", called, self.clock.tick)
        return Happening(outcome.status, self.clock.now, text, character.id)

    def _think(self) -> list[Happening]:
        """The most urgent calls within the allowance, decided in one batch of a fixed order."""
        allowance = len(self.actors)
        if self._max_decisions is not None:
            gone = self._wakeful[min(self.clock.tick, len(self._wakeful) - 1)]
            whole = self._wakeful[self._spread - 1] or 1
            allowance = gone * self._max_decisions // whole - self.decided
        waiting = [
            (-self._urgency(actor), id, actor)
            for id, actor in self.actors.items()
            if actor.calls
            and not actor.asleep
            and actor.action is None
            and not should_sleep(actor.character.sheet, self.clock.now)
        ]
        batch = sorted(waiting, key=lambda item: item[:2])[: max(0, allowance)]
        scene, now = Scene(self.world, self.actors), self.clock.now
        asked = [
            (a.character, scene.situation(a, now, self.rules.verbs(self, a.character)))
            for _, _, a in batch
        ]
        told = []
        for (_, id, actor), decision in zip(batch, self.engine.decide_many(asked), strict=True):
            actor.calls, actor.thought, actor.way = {}, self.clock.tick, None
            action = self.rules.begin(self, actor.character, list(decision), self.rng)
            decision.choose(action.purpose.rank)
            actor.action, actor.decision = action, decision
            actor.character.activity = f"on the way to do this: {action.purpose.text.rstrip('.')}"
            self.decided += 1
            told.append(Happening("decision", self.clock.now, action.purpose.text, id, decision))
            if action.arrives <= self.clock.tick:
                self._get_there(actor, action)
        return told

    def _count_awake(self) -> list[int]:
        """How many people are up in each tick by their routines, summed: thoughts go by that."""
        routines = Counter(
            tuple((entry.at, is_sleep(entry)) for entry in actor.character.sheet.routine)
            for actor in self.actors.values()
        )
        total, sums, ticks = 0, [], max(self._ticks, self._spread)
        at_time: dict[str, int] = {}
        for tick in range(ticks):
            clock = f"{self.clock.at(tick):%H:%M}"
            if clock not in at_time:
                at_time[clock] = sum(
                    people for routine, people in routines.items() if not _sleeps(routine, clock)
                )
            total += at_time[clock]
            sums.append(total)
        return sums if total else list(range(1, ticks + 1))

    def _urgency(self, actor: Actor) -> float:
        waited = (self.clock.tick - actor.called) * self.clock.minutes_per_tick / 60
        return max(URGENCY[reason] for reason in actor.calls) + waited

    def note(
        self,
        text: str,
        kind: str,
        *,
        place: str | None,
        who: tuple[str, ...],
        of: str | None = None,
    ) -> None:
        """Keep in the journal what happened now."""
        if self.journal:
            self.journal.event(
                kind, text, world_time=self.clock.now.isoformat(), who=who, place=place, decision=of
            )


def _sleeps(routine: tuple[tuple[str, bool], ...], clock: str) -> bool:
    past = [sleeps for at, sleeps in routine if at <= clock]
    return past[-1] if past else bool(routine) and routine[-1][1]


def _hours(span: tuple[str, str]) -> float:
    """Length of an HH:MM span in hours; one that passes midnight counts on."""
    minutes = [int(c[:2]) * 60 + int(c[3:]) for c in span]
    return ((minutes[1] - minutes[0]) % 1440 or 1440) / 60
