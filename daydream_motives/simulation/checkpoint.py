"""The whole state of a running world as plain data, and its way to disk and back.

A checkpoint is gzip-compressed JSON, written whole or not at all; gzip's checksum tells one that
was cut short. It holds what the world's files do not: where everyone is and what they remember,
how they see each other, what is under way, the random state, and how far the journal was. Versions
migrate by numbered steps. Knows nothing of models.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from daydream_motives.characters.files import migrated, validated, write_atomic
from daydream_motives.characters.relationships import RelationshipGraph
from daydream_motives.characters.sheet import Identifier, Strict, Text
from daydream_motives.errors import ContentError, Problem, RunError
from daydream_motives.motives.purposes import Decision, Purpose
from daydream_motives.motives.situation import Verb
from daydream_motives.simulation.rules import Action, Deed
from daydream_motives.simulation.runner import Simulation

MIGRATIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = ()
SCHEMA_VERSION = 1 + len(MIGRATIONS)
MAX_BYTES = 1024**3  # unpacked
_NAME = re.compile(r"^(\d{8})\.json\.gz$")


class _Deed(Strict):
    verb: Verb
    minutes: int
    needs: dict[str, float]
    doer: str
    other: str
    told: str
    social: bool


class _Purpose(Strict):
    rank: int
    text: str
    score: float
    targets: tuple[str, ...]
    verb: str | None
    unknown_names: tuple[str, ...]


class _Action(Strict):
    purpose: _Purpose
    deed: _Deed
    place: Identifier
    person: Identifier | None
    arrives: int
    ends: int
    met: bool
    followed: bool


class _Person(Strict):
    state: dict[str, Any]
    asleep: bool
    action: _Action | None
    decision: Text | None
    calls: dict[Literal["interrupted", "woke up", "need", "finished", "arrived"], str]
    called: int
    thought: int
    way: tuple[Identifier, int] | None


class _Position(Strict):
    decisions: int = Field(ge=0)
    events: int = Field(ge=0)


class _Head(Strict):
    """What decides whether a checkpoint is taken."""

    tick: int = Field(ge=0)
    world: str
    journal: _Position


class _Checkpoint(_Head):
    schema_version: int
    time: str
    decided: int = Field(ge=0)
    due: tuple[Identifier, ...]
    rng: tuple[int, tuple[int, ...], float | None]
    people: dict[Identifier, _Person]
    relationships: dict[str, Any]


def snapshot(simulation: Simulation, journal: Mapping[str, int]) -> dict[str, Any]:
    """The state between two ticks; `journal` is the journal's position (see Journal.position)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tick": simulation.clock.tick,
        "time": simulation.clock.now.isoformat(),
        "world": simulation.world.hash,
        "decided": simulation.decided,
        "due": [event.id for event in simulation.due],
        "rng": simulation.rng.getstate(),
        "journal": dict(journal),
        "people": {
            id: {
                "state": actor.character.save_state(ties=False),
                "asleep": actor.asleep,
                "action": asdict(actor.action) if actor.action else None,
                "decision": actor.decision.id if actor.decision else None,
                "calls": dict(actor.calls),
                "called": actor.called,
                "thought": actor.thought,
                "way": actor.way,
            }
            for id, actor in simulation.actors.items()
        },
        "relationships": simulation.relationships.to_data(),
    }


def restore(
    simulation: Simulation,
    data: Mapping[str, Any],
    decision_of: Callable[[str], Decision],
    *,
    source: str = "checkpoint",
) -> None:
    """Bring a fresh simulation of the same world to the state of a snapshot.

    `decision_of` gives an open decision by its id. Raises RunError where the snapshot is not one of
    this world.
    """
    try:
        held = validated(_Checkpoint, data, source, ContentError)
        graph = RelationshipGraph.from_data(held.relationships, source=source)
        problems = _strangers(simulation, held, source)
        if problems:
            raise ContentError(problems)
        simulation.take_over(graph)
        for id, person in held.people.items():
            actor = simulation.actors[id]
            actor.character.load_state(person.state, ties=False)
            actor.asleep, actor.way = person.asleep, person.way
            actor.calls = {str(reason): text for reason, text in person.calls.items()}
            actor.called, actor.thought = person.called, person.thought
            actor.action = _action(person.action) if person.action else None
            actor.decision = decision_of(person.decision) if person.decision else None
        version, words, gauss = held.rng
        simulation.rng.setstate((version, words, gauss))
    except (ContentError, ValueError, TypeError, OverflowError) as exc:
        reason = exc.message if isinstance(exc, ContentError) else str(exc)
        raise RunError(
            f"{source} does not fit its world: {reason}",
            remedy="resume from an earlier checkpoint with --branch RUN@TICK",
        ) from exc
    simulation.clock.tick, simulation.decided = held.tick, held.decided
    events = {event.id: event for event in simulation.world.events}
    simulation.due = [events[id] for id in held.due]


def _strangers(simulation: Simulation, held: _Checkpoint, source: str) -> list[Problem]:
    """People, places and events that the world and the snapshot do not share."""
    world = simulation.world
    people = set(held.people) ^ set(world.sheets)
    events = {event.id for event in world.events if event.at is not None}
    found = [
        Problem(source, f"people.{id}", "in one of world and save", "in both") for id in people
    ]
    for id in set(held.due) - events:
        found.append(Problem(source, "due", f"{id!r}, which does not exist", "an event's id"))
    for id, person in held.people.items():
        places = [person.state.get("place"), *([person.way[0]] if person.way else ())]
        if person.action:
            places.append(person.action.place)
            if person.action.person and person.action.person not in world.sheets:
                found.append(Problem(source, f"people.{id}.action", "nobody", "a character's id"))
        for place in places:
            if place not in world.places:
                found.append(Problem(source, f"people.{id}", repr(place), "the id of a place"))
    return found


def _action(held: _Action) -> Action:
    purpose, deed = held.purpose, held.deed
    return Action(
        Purpose(
            purpose.rank, purpose.text, purpose.score, purpose.targets, purpose.verb,
            purpose.unknown_names,
        ),
        Deed(
            deed.verb, deed.minutes, deed.needs, deed.doer, deed.other, deed.told, deed.social
        ),
        held.place, held.person, held.arrives, held.ends, held.met, held.followed,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Verb):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no place in a save")


def write_packed(path: Path, data: Any) -> None:
    """Plain data as gzip-compressed JSON; raises RunError where it cannot be written."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)
    try:
        write_atomic(path, gzip.compress(text.encode(), compresslevel=1, mtime=0))
    except OSError as exc:
        raise RunError(
            f"cannot write {path}: {exc.strerror or exc}",
            remedy="free some space or choose another folder; what was written before is whole",
        ) from exc


def read_packed(path: Path) -> Any:
    """What `write_packed` wrote; raises RunError where it is damaged or cut short."""
    try:
        with gzip.open(path) as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return json.loads(raw)
    except FileNotFoundError:
        raise RunError(f"{path} is missing", remedy="give the folder of a run") from None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as exc:
        raise RunError(
            f"{path} is damaged or was cut short ({exc})",
            remedy="remove it: an earlier one will do, and what came after is computed again",
        ) from exc


def read_checkpoint(path: Path) -> dict[str, Any]:
    """One checkpoint, brought to this version; raises RunError."""
    try:
        data = migrated(read_packed(path), MIGRATIONS, str(path), ContentError)
    except ContentError as exc:
        raise RunError(exc.message, remedy="upgrade daydream-motives") from exc
    head = {key: data.get(key) for key in _Head.model_fields}
    try:
        validated(_Head, head, str(path), ContentError)
    except ContentError as exc:
        raise RunError(exc.message, remedy="remove it") from exc
    return data


def ticks_in(folder: Path) -> list[int]:
    """The ticks of the checkpoints in a folder, ascending; whole or not."""
    if not folder.is_dir():
        return []
    return sorted(int(m[1]) for file in folder.iterdir() if (m := _NAME.match(file.name)))


def file_of(folder: Path, tick: int) -> Path:
    return folder / f"{tick:08d}.json.gz"
