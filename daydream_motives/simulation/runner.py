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
from dataclasses import dataclass, field
from datetime import datetime

from daydream_motives.characters.character import Character
from daydream_motives.characters.lore import Lore, Note
from daydream_motives.characters.sheet import RoutineEntry, slug
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.journal import Journal
from daydream_motives.motives.purposes import Decision, Outcome
from daydream_motives.motives.situation import Entity, Situation
from daydream_motives.simulation.clock import Clock, within
from daydream_motives.simulation.rules import Action, Rules, TownRules
from daydream_motives.simulation.schema import WorldEvent
from daydream_motives.simulation.world import World

log = logging.getLogger("daydream_motives")

# What calls for a thought, and how much: a waiting thought gains 1 an hour.
_URGENCY = {"interrupted": 4.0, "woke up": 3.5, "need": 3.0, "finished": 2.0, "arrived": 1.5}
_SLEEP_RESTORES = 0.12  # of rest, an hour
_SLEEP = ("sleep", "sleeping", "asleep")
_STRONG_TIE = 0.55
_CROWD = 16
_PAUSE_MINUTES = 60  # nobody is called to think again sooner by a mere arrival


@dataclass(slots=True)
class Actor:
    """A character in the running world, and why it should think (if it should)."""

    character: Character
    asleep: bool = True
    action: Action | None = None
    decision: Decision | None = None
    calls: dict[str, str] = field(default_factory=dict)  # reason -> what happened
    called: int = 0  # tick of the oldest call
    thought: int = -1000  # tick of the last decision
    way: tuple[str, int] | None = None  # where the routine leads, and the tick of arrival

    def call(self, reason: str, text: str, tick: int) -> None:
        """Something calls for a thought."""
        if not self.calls:
            self.called = tick
        self.calls[reason] = text


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
    ) -> None:
        self.world = world
        self.engine = engine
        self.rules: Rules = rules or TownRules()
        self.journal = journal
        self.clock = Clock(world.clock.start, world.clock.minutes_per_tick)
        self.rng = random.Random(f"world:{seed}")
        engine.lore = lore_of(world)
        self.relationships = world.relationships.copy()  # the world stays as it was written
        self.actors = {
            id: Actor(Character(sheet, id=id, relationships=self.relationships, engine=engine))
            for id, sheet in sorted(world.sheets.items())
        }
        for actor in self.actors.values():
            actor.character.place = actor.character.place or next(iter(world.places))
            actor.asleep = self._should_sleep(actor.character)
        self._here: dict[str, list[str]] = {}
        self._ticks = ticks or self.clock.ticks_per_day
        self._max_decisions = max_decisions
        self._wakeful = self._count_awake() if max_decisions is not None else []
        self._due = sorted(
            (event for event in world.events if event.at is not None),
            key=lambda event: (event.at, event.id),
        )
        self._random = sorted((e for e in world.events if e.at is None), key=lambda e: e.id)
        self.decided = 0

    def character(self, id: str) -> Character:
        return self.actors[id].character

    def is_awake(self, id: str) -> bool:
        return not self.actors[id].asleep

    def situation_of(self, id: str) -> Situation:
        """What the character faces now."""
        self._look_around()
        return self._situation(self.actors[id])

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
        while self._due and self._due[0].at is not None and self._due[0].at <= now:
            found.append(self._due.pop(0))
        for event in self._random:
            open_hours = _hours(event.between)
            roll = self.rng.random()  # always rolled, so that one event does not shift another
            chance = (event.chance_per_day or 0) / open_hours * hours
            if within(f"{now:%H:%M}", event.between) and roll < chance:
                found.append(event)
        return found

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
                    self._interrupt(actor, event.text)
        self.note(event.text, "event", place=event.place, who=event.who)
        return Happening("event", self.clock.now, event.text)

    def _interrupt(self, actor: Actor, text: str) -> None:
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
            if not self._should_sleep(character):
                actor.asleep = False
                actor.call("woke up", f"{character.sheet.short_name} has just woken up",
                           self.clock.tick)  # fmt: skip
        elif self._should_sleep(character) and actor.action is None:
            actor.asleep, actor.calls = True, {}
            character.activity = "sleeping"
            if character.sheet.home:
                character.place = character.sheet.home
        elif crossed:
            words = {"food": "hungry", "rest": "tired", "company": "lonely", "fun": "bored"}
            felt = words.get(crossed[0], f"in need of {crossed[0]}")
            actor.call("need", f"{character.sheet.short_name} has become {felt}", self.clock.tick)

    def _should_sleep(self, character: Character) -> bool:
        entry = self._routine(character)
        return entry is not None and _is_sleep(entry)

    def _routine(self, character: Character) -> RoutineEntry | None:
        routine, clock = character.sheet.routine, f"{self.clock.now:%H:%M}"
        past = [entry for entry in routine if entry.at <= clock]
        return past[-1] if past else routine[-1] if routine else None

    def _follow_routine(self, actor: Actor) -> None:
        """Nobody stands about: without a purpose in hand, the routine of the hour."""
        entry, character = self._routine(actor.character), actor.character
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
            gone = self._wakeful[min(self.clock.tick, self._ticks - 1)]
            allowance = gone * self._max_decisions // self._wakeful[-1] - self.decided
        waiting = [
            (-self._urgency(actor), id, actor)
            for id, actor in self.actors.items()
            if actor.calls
            and not actor.asleep
            and actor.action is None
            and not self._should_sleep(actor.character)
        ]
        batch = sorted(waiting, key=lambda item: item[:2])[: max(0, allowance)]
        self._look_around()
        asked = [(actor.character, self._situation(actor)) for _, _, actor in batch]
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
            tuple((entry.at, _is_sleep(entry)) for entry in actor.character.sheet.routine)
            for actor in self.actors.values()
        )
        total, sums = 0, []
        for tick in range(self._ticks):
            clock = f"{self.clock.at(tick):%H:%M}"
            for routine, people in routines.items():
                past = [sleeps for at, sleeps in routine if at <= clock]
                asleep = past[-1] if past else bool(routine) and routine[-1][1]
                total += 0 if asleep else people
            sums.append(total)
        return sums if total else list(range(1, self._ticks + 1))

    def _urgency(self, actor: Actor) -> float:
        waited = (self.clock.tick - actor.called) * self.clock.minutes_per_tick / 60
        return max(_URGENCY[reason] for reason in actor.calls) + waited

    def _situation(self, actor: Actor) -> Situation:
        """What the actor faces now, as the rules of the world let it be seen."""
        character, places = actor.character, self.world.places
        here = character.place or next(iter(places))
        order = sorted(actor.calls, key=lambda reason: (-_URGENCY[reason], reason))
        return Situation(
            time=self.clock.now,
            place=self._place(here),
            place_note=places[here].description,
            present=self._present(character.id, here),
            things=tuple(
                Entity(id=f"{here}.{slug(thing)}", name=thing)
                for thing in places[here].things
            ),
            nearby=tuple(self._place(id) for id in places[here].connects),
            happened=tuple(actor.calls[reason] for reason in order),
            activity=character.activity,
            verbs=tuple(self.rules.verbs(self, character)),
        )  # fmt: skip

    def _look_around(self) -> None:
        """Who is awake where, for the situations of this moment."""
        self._here = {}
        for id, actor in self.actors.items():
            if not actor.asleep:
                self._here.setdefault(actor.character.place or "", []).append(id)

    def _present(self, id: str, place: str) -> tuple[Entity, ...]:
        """The others who are there; in a crowd those the character has the strongest ties to."""
        others = [other for other in self._here.get(place, ()) if other != id]
        if len(others) > _CROWD:
            ties = {other: self.relationships.get(id, other) for other in others}
            others.sort(key=lambda o: (-tie.strength if (tie := ties[o]) else 0.0, o))
        sheets = {other: self.actors[other].character.sheet for other in others[:_CROWD]}
        return tuple(
            Entity(id=other, name=sheet.name, kind="person", aliases=sheet.aliases)
            for other, sheet in sheets.items()
        )

    def _place(self, id: str) -> Entity:
        place = self.world.places[id]
        return Entity(id=id, name=place.name, kind="place", aliases=place.aliases)

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


def lore_of(world: World) -> Lore:
    """The world's notes, with who knows which."""
    notes = (
        Note(note.id, note.text, note.keys, note.priority,
             None if note.known_to == "everyone" else note.known_to)
        for note in world.lore
    )  # fmt: skip
    return Lore(notes, {id: sheet.factions for id, sheet in world.sheets.items()})


def _is_sleep(entry: RoutineEntry) -> bool:
    return entry.activity.casefold().split(" ")[0] in _SLEEP


def _hours(span: tuple[str, str]) -> float:
    """Length of an HH:MM span in hours; one that passes midnight counts on."""
    minutes = [int(c[:2]) * 60 + int(c[3:]) for c in span]
    return ((minutes[1] - minutes[0]) % 1440 or 1440) / 60
