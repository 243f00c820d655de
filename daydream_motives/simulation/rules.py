"""What acting on a purpose does. A game replaces these rules with its own (see Rules).

A purpose is matched to one Deed by its words. Its first target says where to go and with whom;
what follows moves needs and, on both sides, the relationship (see EVENT_RULES). Knows nothing of
models; how it went is told as an Outcome, which training learns from.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daydream_motives.characters.character import Character
from daydream_motives.characters.gossip import exchange
from daydream_motives.motives.purposes import Outcome, Purpose, RelationshipChange, closest_verb
from daydream_motives.motives.situation import Verb
from daydream_motives.simulation.clock import Clock
from daydream_motives.simulation.world import World


@dataclass(frozen=True, slots=True)
class Deed:
    """One kind of action: the words that mean it, minutes it takes, and what it does.

    `doer` and `other` are events of EVENT_RULES as the one who acts and the one acted on see it;
    `told` is what the other remembers.
    """

    verb: Verb
    minutes: int
    needs: dict[str, float] = field(default_factory=dict)
    doer: str = ""
    other: str = ""
    told: str = ""
    social: bool = False


def _deed(name: str, words: str, minutes: int, **rest: object) -> Deed:
    return Deed(Verb(name=name, words=tuple(words.split())), minutes, **rest)  # type: ignore[arg-type]  # keywords of Deed


DEEDS: tuple[Deed, ...] = (
    _deed("talk", "speak ask tell discuss convince warn thank listen invite meet visit", 60,
          needs={"company": 0.4}, doer="talked", other="talked", told="came to talk with",
          social=True),
    _deed("help", "assist carry support teach protect", 90, needs={"company": 0.25, "fun": 0.1},
          doer="helped", other="was_helped", told="helped", social=True),
    _deed("give", "bring show offer lend", 45, needs={"company": 0.2, "fun": 0.1},
          doer="gave", other="received", told="brought something to", social=True),
    _deed("confess", "confide admit reveal", 60, needs={"company": 0.3}, doer="confided",
          other="confided", told="opened up to", social=True),
    _deed("apologise", "reconcile forgive", 45, needs={"company": 0.3}, doer="apologised",
          other="apologised", told="apologised to", social=True),
    _deed("comfort", "hug console cheer", 45, needs={"company": 0.35}, doer="comforted",
          other="comforted", told="comforted", social=True),
    _deed("argue", "confront accuse challenge blame shout demand", 45, needs={"company": 0.1},
          doer="argued", other="argued", told="had words with", social=True),
    _deed("trade", "buy sell pay", 45, needs={"company": 0.15}, doer="traded",
          other="traded", told="did business with", social=True),
    _deed("play", "sing dance celebrate drink swim race fish", 90,
          needs={"fun": 0.5, "company": 0.2}, doer="shared_fun", other="shared_fun",
          told="had fun with"),
    _deed("avoid", "hide leave escape", 60, needs={"company": -0.05}, doer="avoided"),
    _deed("eat", "cook breakfast lunch dine", 45, needs={"food": 0.7, "fun": 0.05}),
    _deed("rest", "sleep sit lie nap", 90, needs={"rest": 0.35}),
    _deed("search", "find look check watch follow search wait", 60, needs={"fun": 0.15}),
    _deed("go", "walk stroll sail row", 45, needs={"fun": 0.2}),
    _deed("work", "finish repair clean mend write prepare build read count practise take stay", 120,
          needs={"fun": -0.05}, doer="worked_together", other="worked_together",
          told="worked beside"),
)  # fmt: skip
_BY_VERB = {deed.verb.name: deed for deed in DEEDS}
_HOUR = 60.0


@dataclass(slots=True)
class Action:
    """A purpose being acted on: where, with whom, from when (arrival) until when, in ticks."""

    purpose: Purpose
    deed: Deed
    place: str
    person: str | None
    arrives: int
    ends: int
    met: bool = False
    followed: bool = False


class Town(Protocol):
    """What rules may see of the running simulation."""

    world: World
    clock: Clock

    def character(self, id: str) -> Character: ...

    def is_awake(self, id: str) -> bool: ...

    def note(self, text: str, kind: str, *, place: str | None, who: tuple[str, ...]) -> None: ...


class Rules(Protocol):
    """How a game makes purposes happen."""

    def verbs(self, town: Town, character: Character) -> Sequence[Verb]:
        """What the character may do now; empty for no limit."""

    def begin(
        self, town: Town, character: Character, purposes: Sequence[Purpose], rng: random.Random
    ) -> Action:
        """Choose a purpose and begin to act on it."""

    def arrive(self, town: Town, character: Character, action: Action) -> None:
        """The character is at action.place; a later place and times make it go on."""

    def finish(
        self, town: Town, character: Character, action: Action, rng: random.Random
    ) -> Outcome:
        """Make it happen, move what it moves, and say how it went."""


class TownRules:
    """The rules of the example worlds."""

    def verbs(self, town: Town, character: Character) -> Sequence[Verb]:
        """Every deed; those between people only where the character knows somebody."""
        lonely = not any(True for _ in character.relationships.of(character.id))
        return [deed.verb for deed in DEEDS if not (deed.social and lonely)]

    def begin(
        self, town: Town, character: Character, purposes: Sequence[Purpose], rng: random.Random
    ) -> Action:
        """The first purpose that can be acted on now: one about a sleeper gives way to the next."""
        for purpose in purposes:
            person = self._person(town, character, purpose)
            if person is None or town.is_awake(person):
                return self._action(town, character, purpose, person)
        # All of them are asleep: the first is tried, and fails when the time comes.
        return self._action(
            town, character, purposes[0], self._person(town, character, purposes[0])
        )

    def _person(self, town: Town, character: Character, purpose: Purpose) -> str | None:
        others = (t for t in purpose.targets if t in town.world.sheets and t != character.id)
        return next(others, None)

    def _action(
        self, town: Town, character: Character, purpose: Purpose, person: str | None
    ) -> Action:
        deed = (
            _BY_VERB.get(purpose.verb or "")
            or _BY_VERB[closest_verb(purpose.text, [d.verb for d in DEEDS]) or "go"]
        )
        here = character.place or next(iter(town.world.places))
        named = next((t for t in purpose.targets if t in town.world.places), None)
        place = here
        if person and deed.verb.name != "avoid":
            place = town.character(person).place or here
        elif named:
            place = named
        elif deed.verb.name in ("eat", "rest"):
            place = self._where(town, character, "food" if deed.verb.name == "eat" else "rest")
        way, minutes = town.world.walk(here, place)
        if not way:  # there is no way: whoever is there will be missed
            place = here
        arrives = town.clock.tick + (town.clock.ticks(minutes) if minutes else 0)
        ends = arrives + town.clock.ticks(deed.minutes)
        return Action(purpose, deed, place, person, arrives, ends)

    def _where(self, town: Town, character: Character, need: str) -> str:
        """The nearest place that restores the need, home included; where one is, if none does."""
        here = character.place or next(iter(town.world.places))
        places = town.world.places.items()
        way, _ = town.world.nearest(here, {id for id, p in places if p.restores.get(need, 0) > 0})
        return way[-1] if way else here

    def arrive(self, town: Town, character: Character, action: Action) -> None:
        """Whoever was looked for is met here, or followed once to where they went."""
        other = town.character(action.person) if action.person else None
        if other is None or action.deed.verb.name == "avoid" or not town.is_awake(other.id):
            return
        action.met = other.place == action.place
        way, minutes = town.world.walk(action.place, other.place or action.place)
        if not action.met and not action.followed and way:
            ticks = town.clock.ticks(minutes)
            action.place, action.followed = way[-1], True
            action.arrives, action.ends = town.clock.tick + ticks, action.ends + ticks

    def finish(
        self, town: Town, character: Character, action: Action, rng: random.Random
    ) -> Outcome:
        """Needs and ties move by the deed; it fails where the other is gone or will not have it."""
        deed, person, now = action.deed, action.person, town.clock.now
        name, place = character.sheet.short_name, town.world.places[action.place].name
        with_other = bool(person and deed.verb.name != "avoid")
        other = town.character(person) if person and with_other else None
        if other and not action.met:
            note = f"{other.sheet.short_name} was not at {place}"
            character.remember(
                f"{name} looked for {other.sheet.name} at {place}, in vain.", at=now,
                place=action.place, who=(other.id,),
            )  # fmt: skip
            return Outcome(status="failed", note=note)
        if other and deed.social and self._turned_away(other, character, deed, rng):
            change = self._move(character, other.id, "refused", f"{other.sheet.short_name} turned "
                                f"{name} away.", town)  # fmt: skip
            character.remember(
                f"{other.sheet.name} would not have anything to do with {name} at {place}.",
                at=now, importance=0.8, place=action.place, who=(other.id,),
            )  # fmt: skip
            return Outcome(
                status="failed", relationships=change,
                note=f"{other.sheet.short_name} turned {name} away",
            )  # fmt: skip
        gains = {k: v for k, v in deed.needs.items() if other or not deed.social or k != "company"}
        needs = character.change_needs(gains)
        changes: tuple[RelationshipChange, ...] = ()
        act = action.purpose.text.rstrip(".")
        if other:
            told = f"{name} {deed.told or 'was with'} {other.sheet.short_name} at {place}."
            changes = self._move(character, other.id, deed.doer, told, town)
            self._move(other, character.id, deed.other, told, town)
            other.change_needs({"company": 0.15} if deed.social else {})
            for one, whom in ((character, other), (other, character)):
                one.remember(told, at=now, importance=0.6, place=action.place, who=(whom.id,))
            if deed.social:
                for teller, listener, news in exchange(character, other, now, rng):
                    town.note(news, "gossip", place=action.place, who=(teller, listener))
        elif person and deed.doer:
            changes = self._move(character, person, deed.doer, f"{name} kept away.", town)
        else:
            character.remember(f"{now:%H:%M} {act}: done.", at=now, place=action.place)
        return Outcome(needs=needs, relationships=changes)

    def _turned_away(
        self, other: Character, character: Character, deed: Deed, rng: random.Random
    ) -> bool:
        """Someone who dislikes the one who comes may refuse: the more, the likelier."""
        tie = other.relationships.get(other.id, character.id)
        dislike = max(0.0, -min(tie.affection, tie.trust) - 0.2) if tie else 0.0
        return deed.verb.name not in ("argue", "apologise") and rng.random() < dislike

    def _move(
        self, character: Character, other: str, kind: str, text: str, town: Town
    ) -> tuple[RelationshipChange, ...]:
        if not kind:
            return ()
        event = character.relationships.record(
            character.id, other, kind, text=text, at=town.clock.now
        )
        return (RelationshipChange(to=other, changes=event.changes),) if event.changes else ()
