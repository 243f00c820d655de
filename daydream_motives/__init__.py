"""Motives for game characters: three ranked purposes from a small model on the player's machine.

Importing this loads neither a model nor the libraries that run one; names load when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from daydream_motives.characters.character import Character
    from daydream_motives.characters.lore import Lore, Note
    from daydream_motives.characters.memory import Memory
    from daydream_motives.characters.person import Person
    from daydream_motives.characters.relationships import Relationship, RelationshipGraph
    from daydream_motives.characters.sheet import CharacterSheet
    from daydream_motives.engine.backend import Backend, BackendSpec
    from daydream_motives.engine.engine import MotiveEngine
    from daydream_motives.engine.live.stats import Stats
    from daydream_motives.engine.live.ticket import Ticket
    from daydream_motives.engine.worker.launch import run_worker_if_asked
    from daydream_motives.errors import DaydreamError
    from daydream_motives.journal import Journal
    from daydream_motives.modelstore.store import ModelStore
    from daydream_motives.motives.context import MotiveContext, build_context
    from daydream_motives.motives.purposes import Decision, Outcome, Purpose, RankedPurposes
    from daydream_motives.motives.situation import Entity, Situation, Verb
    from daydream_motives.simulation.rules import Rules, TownRules
    from daydream_motives.simulation.runner import Simulation
    from daydream_motives.simulation.world import World

_HOMES = {
    "characters.character": ("Character",),
    "characters.lore": ("Lore", "Note"),
    "characters.memory": ("Memory",),
    "characters.person": ("Person",),
    "characters.relationships": ("Relationship", "RelationshipGraph"),
    "characters.sheet": ("CharacterSheet",),
    "engine.backend": ("Backend", "BackendSpec"),
    "engine.engine": ("MotiveEngine",),
    "engine.live.stats": ("Stats",),
    "engine.live.ticket": ("Ticket",),
    "engine.worker.launch": ("run_worker_if_asked",),
    "errors": ("DaydreamError",),
    "journal": ("Journal",),
    "modelstore.store": ("ModelStore",),
    "motives.context": ("MotiveContext", "build_context"),
    "motives.purposes": ("Decision", "Outcome", "Purpose", "RankedPurposes"),
    "motives.situation": ("Entity", "Situation", "Verb"),
    "simulation.rules": ("Rules", "TownRules"),
    "simulation.runner": ("Simulation",),
    "simulation.world": ("World",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Backend",
    "BackendSpec",
    "Character",
    "CharacterSheet",
    "DaydreamError",
    "Decision",
    "Entity",
    "Journal",
    "Lore",
    "Memory",
    "ModelStore",
    "MotiveContext",
    "MotiveEngine",
    "Note",
    "Outcome",
    "Person",
    "Purpose",
    "RankedPurposes",
    "Relationship",
    "RelationshipGraph",
    "Rules",
    "Simulation",
    "Situation",
    "Stats",
    "Ticket",
    "TownRules",
    "Verb",
    "World",
    "build_context",
    "run_worker_if_asked",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
