"""A scene as the running game would have told it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_texts import SCENE, save, spoilt

from daydream_motives.characters.character import Character
from daydream_motives.characters.lore import Lore, Note
from daydream_motives.engine.compose import compose
from daydream_motives.errors import RelationshipError
from daydream_motives.motives.budget import rough_count
from daydream_motives.motives.context import MotiveContext
from daydream_motives.training.dataset.book import read_book
from daydream_motives.training.dataset.rendering import graph_of, render, situation_of
from daydream_motives.training.dataset.scenes import Scene


def scene_of(folder: Path, text: str = SCENE) -> Scene:
    book = read_book([save(folder, text)])
    assert book.findings == []
    return book.scenes[0]


def told(scene: Scene, key: str) -> MotiveContext:
    record = scene.decision(key)
    assert record is not None
    return render(scene, record)


def test_a_scene_reads_as_in_the_game(tmp_path: Path) -> None:
    context = told(scene_of(tmp_path), "oddny")
    assert context.fields == {
        "Character_name": "Oddny Hallsdottir",
        "Character_description": "Oddny Hallsdottir is a 61-year-old miller. She is frugal and "
        "proud (ISTJ).",
        "Context": "It is Saturday afternoon, 17:20, and she is at the lower mill. With her: "
        "Ketill (carter). A boy has come running to say that the upper weir is giving way. In "
        "reach: the sluice key. Near by: the chapel and the upper weir.",
        "Background": "Ketill, carter, is her grandchild and debtor. He never paid. The gate stood "
        "open last spring. Whoever closes the sluice answers for the fields below.",
    }


def test_it_is_what_a_live_character_is_told(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    record = scene.decisions[0]
    live = Character(scene.people["oddny"], id="oddny", relationships=graph_of(scene, record))
    live.remember("The gate stood open last spring.", at=scene.when, importance=0.9)
    lore = Lore([Note("1", scene.lore[0].text)])
    context, _ = compose(
        live, situation_of(scene, record), count_tokens=rough_count, budget=400, lore=lore
    )
    assert context.fields == render(scene, record).fields


def test_a_change_keeps_all_the_rest(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    base, changed = told(scene, "oddny"), told(scene, "oddny-trusting")
    assert changed.description == base.description
    assert changed.context == base.context
    assert "The gate stood open last spring." in changed.background
    assert "debtor" not in changed.background
    assert "She feels complete trust. He saved her once" in changed.background.replace(
        "He saved her once. She feels complete trust", "She feels complete trust. He saved her once"
    )


def test_a_change_may_start_from_a_change(tmp_path: Path) -> None:
    again = SCENE[SCENE.index("  - who: oddny\n    as:") :]
    again = spoilt(
        "changes: oddny", "changes: oddny-trusting", spoilt("as: oddny-", "as: un", again)
    )
    ties = next(line for line in again.splitlines() if "ties:" in line)
    again = spoilt(ties, "    remembers: []", again)
    scene = scene_of(tmp_path, SCENE + again)
    assert "He saved her once" in told(scene, "untrusting").background
    assert "last spring" not in told(scene, "untrusting").background


def test_a_changed_tie_stands_for_the_one_it_changes(tmp_path: Path) -> None:
    again = SCENE[SCENE.index("  - who: oddny\n    as:") :]
    again = spoilt(
        "changes: oddny", "changes: oddny-trusting", spoilt("as: oddny-", "as: un", again)
    )
    scene = scene_of(tmp_path, SCENE + spoilt("He saved her once", "He sold the calf", again))
    assert "He sold the calf." in told(scene, "untrusting").background
    assert "He saved her once" not in told(scene, "untrusting").background


def test_who_is_not_there_is_not_with_her(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, spoilt("people:", "present: [oddny]\npeople:"))
    assert "With her" not in told(scene, "oddny").context


def test_lore_is_told_to_those_who_know_it(tmp_path: Path) -> None:
    lore = "  - {text: Whoever closes the sluice answers for the fields below., known_to: [oddny]}"
    text = spoilt("  - Whoever closes the sluice answers for the fields below.", lore)
    scene = scene_of(tmp_path, text)
    assert "Whoever closes" in told(scene, "oddny").background
    assert "Whoever closes" not in told(scene, "ketill").background


@pytest.mark.parametrize(
    ("given", "seen"),
    [("mood: uneasy", "She feels uneasy."), ("activity: sweeping the stones", "is sweeping the"),
     ("needs: {rest: 0.01}", "She is exhausted"), ("verbs: [talk, hide]", "can hide and talk.")],
)  # fmt: skip
def test_what_a_decision_gives_is_told(tmp_path: Path, given: str, seen: str) -> None:
    scene = scene_of(tmp_path, spoilt("who: oddny", f"who: oddny\n    {given}"))
    assert seen in told(scene, "oddny").context
    assert seen in told(scene, "oddny-trusting").context  # what is not given is as there
    assert seen not in told(scene, "ketill").context


def test_secrets_of_others_are_not_told(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, spoilt("traits: [frugal, proud]", "secrets: [She moved the mark.]"))
    assert "moved the mark" in told(scene, "oddny").text
    assert "moved the mark" not in told(scene, "ketill").text


def test_what_is_remembered_comes_to_mind_whatever_goes_on(tmp_path: Path) -> None:
    text = spoilt('when: "1931-10-03T17:20"\n', "", spoilt("The gate stood open", "Snow lay deep"))
    scene = scene_of(tmp_path, spoilt("people:", "present: [oddny]\npeople:", text))
    assert "Snow lay deep last spring." in told(scene, "oddny").background


@given(budget=st.integers(200, 800), far=st.text("abc .", max_size=300), years=st.integers(8, 95))
def test_any_scene_keeps_its_budget_and_always_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, budget: int, far: str, years: int
) -> None:
    text = spoilt("people:", f"budget: {budget}\nplace_note: '{far}'\npeople:")
    scene = scene_of(tmp_path_factory.mktemp("book"), text.replace("age: 61", f"age: {years}"))
    for record in scene.decisions:
        context = render(scene, record)
        assert context == render(scene, record)
        assert context.tokens <= budget
        assert context.name in context.description


def test_ties_that_cannot_be_are_an_error(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, spoilt("kinds: [grandchild, debtor]", "kinds: [dragon]"))
    with pytest.raises(RelationshipError, match="dragon"):
        told(scene, "oddny")
