"""Shared fixtures. Every test has its own DAYDREAM_HOME, except those of the `model` tier."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from daydream_motives.characters.character import Character
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import Relationship, RelationshipGraph
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.simulation.world import World

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# The same examples every time, so that a red run means a change; `--hypothesis-profile=explore`
# looks for new ones.
settings.register_profile("fast", max_examples=60, derandomize=True, **_COMMON)
settings.register_profile("explore", max_examples=500, **_COMMON)
settings.load_profile("fast")

# What needs the extra `training` is left out where it is not installed.
_WITH_TORCH = (
    "base", "llamafactory", "plan", "prefer", "preflight", "retrain", "retrain_recipes",
    "retrain_refuses", "tokens", "train", "tune",
)  # fmt: skip
collect_ignore = [] if find_spec("peft") else [f"training/test_{n}.py" for n in _WITH_TORCH]
REPOSITORY = Path(__file__).parent.parent
HARBOUR = REPOSITORY / "sim_examples" / "harbour_town"


@pytest.fixture(autouse=True)
def _isolated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """No test touches the user's folders; only `model` and `gpu` tests read the models there."""
    for name in ("DAYDREAM_MODEL", "DAYDREAM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if not any(map(request.node.get_closest_marker, ("model", "gpu"))):
        monkeypatch.setenv("DAYDREAM_HOME", str(tmp_path / "home"))


def words(text: str) -> int:
    """A token counter that needs no model: words and punctuation marks, roughly."""
    return len(text.split()) + text.count('"') + text.count(",")


@pytest.fixture
def town() -> World:
    """The example world, freshly loaded."""
    return World.load(HARBOUR)


@pytest.fixture
def graph() -> RelationshipGraph:
    """Three adults and a child: karl -> ines (parent's pain), ines -> tomas, everyone -> mo."""
    graph = RelationshipGraph()
    for id, name, age in (("karl", "Karl Prado", 63), ("ines", "Ines Prado", 34),
                          ("tomas", "Tomas Lind", 40), ("mo", "Mo Prado", 9)):  # fmt: skip
        graph.add_person(Person(id, name, age))
    graph.set("karl", "ines", Relationship(kinds=("child",), affection=0.6, trust=-0.3))
    graph.set("ines", "karl", Relationship(kinds=("parent",), affection=0.5))
    graph.set("ines", "tomas", Relationship(kinds=("friend",), story="Tomas owes her a favour."))
    graph.set("mo", "ines", Relationship(kinds=("parent",), affection=0.9, trust=0.9))
    return graph


@pytest.fixture
def ines(graph: RelationshipGraph) -> Character:
    """A character of the graph, with a secret."""
    sheet = CharacterSheet(
        name="Ines Prado", age=34, pronouns="she/her", occupation="harbour master",
        wants=("to keep the quay",), secrets=("She signed a false slip.",),
    )  # fmt: skip
    return Character(sheet, id="ines", relationships=graph)


@pytest.fixture(scope="session")
def real_model() -> str:
    """The name of the real 135M model, the default; skips, saying what to do, where it is not."""
    from daydream_motives.errors import StoreError
    from daydream_motives.modelstore.store import ModelStore

    name = "motives-135m"
    try:
        ModelStore().installed(name)
    except StoreError as exc:
        pytest.skip(f"{exc.message}: run `daydream models pull {name}` first")
    return name
