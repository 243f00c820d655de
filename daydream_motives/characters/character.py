"""A live character: a sheet, where it is and how it feels now, and what it wants next.

Works with or without a simulation around it. Knows no model and no thread: a Mind (the engine)
answers for it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from daydream_motives.characters.files import migrated, validated
from daydream_motives.characters.memory import Lived, Memory, Recalled, SavedMemories
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import (
    CharacterSheet,
    Fraction,
    Strict,
    Text,
    slug,
)
from daydream_motives.errors import DaydreamError, Problem, SheetError

if TYPE_CHECKING:  # for annotations only: at run time nothing below imports what is above
    from daydream_motives.engine.live.ticket import Ticket
    from daydream_motives.motives.purposes import Decision
    from daydream_motives.motives.situation import Situation

LATELY = 4


def _with_memory(state: dict[str, Any]) -> dict[str, Any]:
    """2: the twelve recent events of version 1 are the beginning of a memory."""
    recent = state.pop("recent", [])
    if isinstance(recent, list | tuple):
        recent = [
            {"importance" if key == "weight" else key: value for key, value in one.items()}
            if isinstance(one, dict)
            else one
            for one in recent
        ]
    return {**state, "memory": recent}


MIGRATIONS = (_with_memory,)  # from version 1 on; never edited once released
STATE_VERSION = 1 + len(MIGRATIONS)


class Mind(Protocol):
    """What answers for a character: the engine."""

    def decide(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Decision: ...

    def decide_async(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        deadline_ms: float | None = None,
    ) -> Awaitable[Decision]: ...

    def submit(
        self,
        character: Character,
        situation: Situation | None = None,
        *,
        priority: float = 1.0,
        deadline_ms: float | None = None,
    ) -> Ticket: ...


class _State(Strict):
    """The save format of a character's live state."""

    schema_version: int = STATE_VERSION
    id: Text
    place: Text | None = None
    activity: Text = ""
    mood: Text = ""
    needs: dict[str, Fraction] = Field(default_factory=dict)
    memory: SavedMemories = ()
    decisions: int = Field(default=0, ge=0)
    lately: tuple[Text, ...] = Field(default=(), max_length=64)
    relationships: dict[str, Relationship] = Field(default_factory=dict)


class Character:
    """One character of a game; `id` defaults to the name in lower case.

    Give a `relationships` graph to share ties among many; without one the character has its own.
    """

    def __init__(
        self,
        sheet: CharacterSheet,
        *,
        id: str | None = None,
        relationships: RelationshipGraph | None = None,
        engine: Mind | None = None,
    ) -> None:
        self.sheet = sheet
        self.id = id or slug(sheet.name)
        self.relationships = RelationshipGraph() if relationships is None else relationships
        if self.id not in self.relationships:
            self.relationships.add_person(Person.of(self.id, sheet))
        self.engine = engine
        self.place: str | None = sheet.home
        self.activity = ""
        self.mood = ""
        self.needs = {id: need.level for id, need in sheet.needs.items()}
        self.memory = Memory()
        self.decisions = 0
        self.lately: list[str] = []  # first purposes of the last decisions: not to be repeated

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Character:
        """A character from a sheet's file; `options` as for Character. Raises SheetError."""
        return cls(CharacterSheet.load(path), **options)

    def next_purposes(
        self, situation: Situation | None = None, *, deadline_ms: float | None = None
    ) -> Decision:
        """Three ranked purposes for this situation.

        With a deadline (milliseconds from now) the answer comes by then: the model's, or instinct's
        where the model is late. Without one the model is waited for. Never raises for a model's
        fault; raises DaydreamError where no engine was given.
        """
        return self._mind().decide(self, situation, deadline_ms=deadline_ms)

    async def next_purposes_async(
        self, situation: Situation | None = None, *, deadline_ms: float | None = None
    ) -> Decision:
        """`next_purposes` for asyncio: other tasks run while the model thinks."""
        return await self._mind().decide_async(self, situation, deadline_ms=deadline_ms)

    def submit(
        self,
        situation: Situation | None = None,
        *,
        priority: float = 1.0,
        deadline_ms: float | None = None,
    ) -> Ticket:
        """Ask, and return at once; the ticket says when there is an answer. See
        MotiveEngine.submit; raises DaydreamError where no engine was given."""
        return self._mind().submit(self, situation, priority=priority, deadline_ms=deadline_ms)

    def _mind(self) -> Mind:
        if self.engine is None:
            raise DaydreamError(
                f"{self.sheet.name} has no engine to think with",
                remedy="pass engine=MotiveEngine() to Character, or set character.engine",
            )
        return self.engine

    def change_sheet(self, sheet: CharacterSheet) -> None:
        """Go on with an edited sheet; needs that it still has keep their level."""
        self.sheet = sheet
        self.needs = {id: self.needs.get(id, need.level) for id, need in sheet.needs.items()}

    def live(self, hours: float) -> list[str]:
        """Let in-world time (hours >= 0) pass; returns the needs that crossed their line."""
        if not 0 <= hours < math.inf:
            raise ValueError(f"time cannot pass by {hours} hours")
        crossed = []
        for id, need in self.sheet.needs.items():
            before = self.needs[id]
            self.needs[id] = max(0.0, before - need.decay * hours)
            if before >= need.line > self.needs[id]:
                crossed.append(id)
        return crossed

    def change_needs(self, changes: Mapping[str, float]) -> dict[str, float]:
        """Move needs, kept within [0, 1]; returns what really changed. Unknown needs are ignored:
        not everyone has every need."""
        done = {}
        for id, delta in changes.items():
            if id in self.needs:
                before = self.needs[id]
                self.needs[id] = min(1.0, max(0.0, before + delta))
                if change := round(self.needs[id] - before, 6):
                    done[id] = change
        return done

    def remember(
        self,
        text: str,
        *,
        at: datetime | None = None,
        importance: float = 0.5,
        place: str | None = None,
        who: Iterable[str] = (),
    ) -> None:
        """Keep something lived through, `importance` in [0, 1]; `place` and `who` are ids.

        Raises TypeError where `who` is one text instead of several, or `at` is no datetime.
        """
        who = who if isinstance(who, str) else tuple(who)
        self.memory.add(Lived(text, at, importance, place, who))  # type: ignore[arg-type]  # checked there

    def wanted(self, text: str) -> None:
        """Keep the first purpose of a decision, so that the next ones differ from it."""
        self.lately = [*self.lately, text][-LATELY:]

    def recalled(
        self,
        now: datetime | None = None,
        *,
        about: str = "",
        people: AbstractSet[str] = frozenset(),
        place: str | None = None,
    ) -> list[Recalled]:
        """What comes to mind when `about` goes on, strongest first; see Memory.recall."""
        name = self.sheet.name
        return self.memory.recall(now, about=about, ignoring=name, people=people, place=place)

    def save_state(self, *, ties: bool = True) -> dict[str, Any]:
        """The live state as plain data for a game's own save file; the sheet is not in it.

        Without `ties` the relationships are left to whoever saves the graph.
        """
        state = _State(
            id=self.id, place=self.place, activity=self.activity, mood=self.mood,
            needs=dict(self.needs), decisions=self.decisions, lately=tuple(self.lately),
            relationships=dict(self.relationships.of(self.id)) if ties else {},
        )  # fmt: skip
        return {**state.model_dump(mode="json"), "memory": self.memory.to_data()}

    def load_state(self, data: Any, *, ties: bool = True) -> None:
        """Take over what `save_state` gave, by this version or an older one; raises SheetError and
        changes nothing if it is wrong.

        People of the save who are no longer in the graph are an error too: nothing is dropped.
        """
        data = migrated(data, MIGRATIONS, "save", SheetError)
        state = validated(_State, data, "save", SheetError)
        problems = []
        if state.id != self.id:
            problems.append(Problem("save", "id", repr(state.id), repr(self.id)))
        problems += [
            Problem("save", f"needs.{id}", "a need", f"one of {', '.join(self.sheet.needs)}")
            for id in state.needs
            if id not in self.sheet.needs
        ]
        for other, relationship in state.relationships.items():
            problems += self.relationships.problems(self.id, other, relationship, "save")
        if problems:
            raise SheetError(problems)
        self.place, self.activity, self.mood = state.place, state.activity, state.mood
        self.needs = {**self.needs, **state.needs}
        self.memory, self.decisions = (
            Memory.from_saved(state.memory, capacity=self.memory.capacity),
            state.decisions,
        )
        self.lately = list(state.lately[-LATELY:])
        if not ties:
            return
        for other, _ in list(self.relationships.of(self.id)):
            self.relationships.remove(self.id, other)
        for other, relationship in state.relationships.items():
            self.relationships.set(self.id, other, relationship)
