"""From a scene to what the game would have sent: each decision through the engine's own compose.

Tokens are counted roughly, so that the data does not depend on a model. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from daydream_motives.characters.lore import Lore, Note
from daydream_motives.characters.memory import Lived, Recalled
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.engine.compose import compose
from daydream_motives.errors import RelationshipError
from daydream_motives.motives.budget import rough_count
from daydream_motives.motives.context import DEFAULT_BUDGET, MotiveContext
from daydream_motives.motives.situation import Entity, Situation
from daydream_motives.training.dataset.scenes import DecisionRecord, Scene

_STRONG = (0.6, 0.55, 0.5, 0.45)  # what is remembered first is strongest


def graph_of(scene: Scene, decision: DecisionRecord) -> RelationshipGraph:
    """Who is what to whom when this is decided; raises RelationshipError with all that is wrong."""
    graph = RelationshipGraph()
    for id, person in scene.people.items():
        graph.add_person(Person.of(id, person))
    problems = []
    for ends, tie in {tie.ends: tie for tie in (*scene.ties, *decision.ties)}.items():
        found = graph.problems(*ends, tie.relationship, "ties")
        problems += found
        if not found:
            graph.set(*ends, tie.relationship)
    if problems:
        raise RelationshipError(problems)
    return graph


def situation_of(scene: Scene, decision: DecisionRecord) -> Situation:
    """What the decider faces."""
    here = scene.people if scene.present is None else scene.present
    present = tuple(
        Entity(id=id, name=scene.people[id].name, kind="person", aliases=scene.people[id].aliases)
        for id in here
        if id != decision.who and id in scene.people
    )
    return Situation(
        time=scene.when, place=scene.place, place_note=scene.place_note, present=present,
        things=scene.things, nearby=scene.nearby, happened=scene.happened,
        activity=decision.activity or "", verbs=decision.verbs or (),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decider:
    """A character as `compose` asks for one; what the writer says is remembered comes to mind."""

    id: str
    sheet: CharacterSheet
    needs: Mapping[str, float]
    mood: str
    relationships: RelationshipGraph
    remembers: tuple[str, ...]

    def recalled(
        self,
        now: datetime | None = None,
        *,
        about: str = "",  # noqa: ARG002 - the protocol's arguments
        people: AbstractSet[str] = frozenset(),  # noqa: ARG002
        place: str | None = None,  # noqa: ARG002
    ) -> list[Recalled]:
        """The memories as of this hour, strongest first, whatever goes on."""
        return [
            Recalled(Lived(text, now), score)
            for text, score in zip(self.remembers, _STRONG, strict=False)
        ]


def render(scene: Scene, decision: DecisionRecord) -> MotiveContext:
    """The context of one decision, as the running game would compose it.

    Raises RelationshipError where the ties cannot be.
    """
    decision = scene.full(decision)
    sheet = scene.people[decision.who]
    one = Decider(
        decision.who,
        sheet,
        {id: need.level for id, need in sheet.needs.items()} | (decision.needs or {}),
        decision.mood or "",
        graph_of(scene, decision),
        decision.remembers or (),
    )
    lore = Lore(
        Note(f"{index:02}", note.text, known_to=note.known_to)
        for index, note in enumerate(scene.lore)
    )
    return compose(
        one, situation_of(scene, decision), count_tokens=rough_count,
        budget=scene.budget or DEFAULT_BUDGET, lore=lore,
    )[0]  # fmt: skip
