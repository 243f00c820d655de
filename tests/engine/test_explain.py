"""Why a character wants something: what it was told, and the answer without a tie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from lasting import world

from daydream_motives.characters.character import Character
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.explain import Explanation, Without, explain
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import BackendError
from daydream_motives.motives.purposes import Draft
from daydream_motives.motives.situation import Situation
from daydream_motives.simulation.runner import Simulation


class Knowing(ScriptedBackend):
    """Wants something of whoever its background names, and can say how much."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__(BackendSpec("scripted"))
        self.fails, self.seeds, self.lately = fails, [], []

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.seeds += [request.seed for request in requests]
        self.lately += [request.lately for request in requests]
        return [self._known(request) for request in requests]

    def _known(self, request: Request) -> Answer:
        knows = "Bo" in request.context.background
        texts = ["repair the old roof", "eat a warm breakfast", "count the boats at dusk"]
        if knows:
            texts.insert(0, "visit Bo Lind at home")
        return Answer(tuple(
            Draft(f"{request.short_name} wants to {text}, because it is time.", -rank / 10)
            for rank, text in enumerate(texts[:3])
        ))  # fmt: skip

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        if self.fails:
            raise BackendError("no score today")
        knows = "Bo" in request.context.background
        return [-1.0 if ("Bo" in text) == knows else -2.0 for text in texts]


def asked(backend: ScriptedBackend, *without: str, who: str = "ada") -> Explanation:
    with MotiveEngine(backend) as engine:
        simulation = Simulation(world(), engine)
        list(simulation.run(3))
        character, situation = simulation.character(who), simulation.situation_of(who)
        backend.seeds, backend.lately = [], []  # type: ignore[attr-defined]
        before = (character.decisions, list(character.lately), character.relationships.to_data())
        found = explain(engine, character, situation.model_copy(update={"present": ()}), without)
        after = (character.decisions, list(character.lately), character.relationships.to_data())
        assert after == before
        assert character.relationships is simulation.relationships
    return found


def test_without_anybody_it_is_the_answer_and_its_receipt() -> None:
    found = asked(Knowing())
    assert [p.text.split(",")[0] for p in found.decision] == [
        "Ada wants to visit Bo Lind at home", "Ada wants to repair the old roof",
        "Ada wants to eat a warm breakfast",
    ]  # fmt: skip
    assert found.without == ()
    assert found.decision.context.receipt
    assert found.lore == 2


def test_without_a_tie_the_question_is_the_same_otherwise() -> None:
    backend = Knowing()
    found = asked(backend, "bo", "kit")
    assert len(set(backend.seeds)) == 1
    assert len(set(backend.lately)) == 1
    without_bo, without_kit = found.without
    assert "Bo" not in without_bo.context.background
    assert "Kit" in without_bo.context.background
    assert "Bo" in without_kit.context.background
    for one in found.without:
        for field in ("Character_name", "Character_description", "Context"):
            assert one.context.fields[field] == found.decision.context.fields[field]


def test_what_comes_back_and_what_is_liked() -> None:
    without_bo, without_kit = asked(Knowing(), "bo", "kit").without
    assert without_bo.ranks == (None, 1, 2)
    assert not without_bo.same_first
    assert without_bo.liking == (-1.0, -2.0, -2.0)
    assert without_bo.liking_then == (-2.0, -1.0, -1.0)
    assert without_bo.order(without_bo.liking) == (1, 2, 3)
    assert without_bo.order(without_bo.liking_then) == (2, 3, 1)
    assert without_kit.ranks == (1, 2, 3)
    assert without_kit.same_first
    assert without_kit.liking == without_kit.liking_then


def test_a_purpose_that_comes_back_in_other_words() -> None:
    class Fickle(Knowing):
        def _known(self, request: Request) -> Answer:
            answer = super()._known(request)
            if "Bo" in request.context.background:
                return answer
            texts = [d.text.replace("the old roof", "that old roof") for d in answer.drafts]
            return Answer(tuple(Draft(t, d.confidence) for t, d in zip(texts, answer.drafts)))  # noqa: B905

    (without,) = asked(Fickle(), "bo").without
    assert without.ranks == (None, 1, 2)


@pytest.mark.parametrize("backend", [Knowing(fails=True), None])
def test_a_model_that_cannot_say_how_much_it_likes(backend: Knowing | None) -> None:
    class Mute(ScriptedBackend):
        seeds: list[int]
        lately: list[str]

    (without,) = asked(backend or Mute(BackendSpec("scripted")), "bo").without
    assert (without.liking, without.liking_then) == (None, None)
    assert without.order(without.liking) == ()
    assert len(without.ranks) == 3


def test_somebody_without_a_tie_changes_nothing() -> None:
    found = asked(Knowing(), "kit", "bo", who="bo")
    (kit, self_) = found.without
    assert self_.context == found.decision.context
    assert self_.ranks == (1, 2, 3)
    assert kit.context != found.decision.context


def test_what_fails_leaves_the_character_as_it_was() -> None:
    class Broken(MotiveEngine):
        asked = 0

        def decide(self, *args: object, **options: object) -> object:  # type: ignore[override]
            self.asked += 1
            if self.asked == 2:
                raise KeyboardInterrupt
            return super().decide(*args, **options)  # type: ignore[arg-type]

    with Broken("scripted") as engine:
        simulation = Simulation(world(), engine)
        ada: Character = simulation.character("ada")
        before = ada.save_state()
        with pytest.raises(KeyboardInterrupt):
            explain(engine, ada, Situation(), ["bo"])
        assert ada.save_state() == before
        assert ada.relationships is simulation.relationships


def test_a_character_in_no_world_can_be_asked(ines: Character) -> None:
    with MotiveEngine(Knowing()) as engine:
        found = explain(engine, ines, Situation(happened="The bell rang"), ["karl"])
    assert isinstance(found.without[0], Without)
    assert (found.lore, found.memories) == (0, 0)
