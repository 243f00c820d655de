"""Purposes: always three, distinct and ranked; targets, verbs, and the way back to the game."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motive_strategies import person

from daydream_motives.errors import SituationError
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import (
    MAX_WORDS,
    NEAR_DUPLICATE,
    Decision,
    Draft,
    Outcome,
    Provenance,
    Purpose,
    RankedPurposes,
    RelationshipChange,
    alike,
    assemble,
    closest_verb,
    falling,
    targets_of,
)
from daydream_motives.motives.situation import Entity, Verb

INSTINCT = (
    "Ines wants to get something to eat, because hunger gives her no peace.",
    "Ines wants to lie down and rest, because she can hardly stand any more.",
    "Ines wants to find someone to talk to, because the silence weighs on her.",
)
CONTEXT = MotiveContext(
    "Ines Prado", "Ines Prado is a harbour master.", "Karl is here.", "Elinor Vance owes her.",
    entities=(person("Karl Prado"), person("Elinor Vance")), verbs=(Verb(name="talk"),),
)  # fmt: skip
MODEL = Provenance("model", model="m", seed=7)


def three(*texts: str, provenance: Provenance = MODEL) -> RankedPurposes:
    return assemble([Draft(t, -0.1) for t in texts], CONTEXT, provenance, instinct=INSTINCT)


def decision() -> Decision:
    return Decision("d1", "ines", CONTEXT, three(*INSTINCT))


# Assembling


drafts = st.lists(
    st.builds(
        Draft,
        st.text(max_size=60)
        | st.sampled_from(
            ["", "  \n", "...", "😀", "😀 go", "\ufffd", "Go home.", "go home", "the of and",
             "word " * 500, "x" * 5000, "李雷想回家。", "مرحبا", *INSTINCT]
        ),
        st.floats(),
    ),
    max_size=5,
)  # fmt: skip


@given(drafts, st.sampled_from(["model", "cache", "instinct"]))
def test_any_drafts_give_three_distinct_ranked_purposes(given: list[Draft], source: Any) -> None:
    ranked = assemble(given, CONTEXT, Provenance(source), instinct=INSTINCT)
    assert [p.rank for p in ranked] == [1, 2, 3]
    texts = [p.text for p in ranked]
    assert len({text.casefold() for text in texts}) == 3
    assert all(any(c.isalnum() for c in text) and len(text.split()) <= MAX_WORDS for text in texts)
    scores = [p.score for p in ranked]
    assert 1 > scores[0] > scores[1] > scores[2] > 0
    assert math.isclose(sum(scores), 1)
    if source == "instinct":
        assert ranked.provenance.filled == ()
    else:
        assert (ranked.provenance.source == "instinct") is (len(ranked.provenance.filled) == 3)
    for rank in ranked.provenance.filled:
        assert ranked[rank - 1].unknown_names == ()


@pytest.mark.parametrize(
    ("texts", "filled"),
    [
        (("Go home.", "Sing a song.", "Mend the net."), ()),
        (("Go home.", "", "Mend the net."), (2,)),
        (("Go home.", "Go home.", "go home!"), (2, 3)),
        (("Go home.",), (2, 3)),
        (("", "?!", "\n"), (1, 2, 3)),
        ((), (1, 2, 3)),
        (("One two three.", "Four five six.", "Seven eight nine.", "Ten eleven twelve."), ()),
    ],
)
def test_provenance_says_which_ranks_instinct_filled(
    texts: tuple[str, ...], filled: tuple[int, ...]
) -> None:
    ranked = three(*texts)
    assert ranked.provenance.filled == filled
    assert ranked.provenance.source == ("instinct" if len(filled) == 3 else "model")
    assert (ranked.provenance.model, ranked.provenance.seed) == ("m", 7)
    assert all(ranked[rank - 1].text in INSTINCT for rank in filled)
    assert bool(ranked.provenance.reason) is bool(filled)


def test_drafts_near_the_instinct_still_leave_three() -> None:
    assert {p.text for p in three(INSTINCT[0])} == set(INSTINCT)


def test_a_draft_that_parrots_every_fallback_still_leaves_three() -> None:
    parrot = (
        "Wait a moment and see what happens, nothing presses, look around for something worth "
        "doing, time is passing, rest where there is room, the day has been long, go for a walk, "
        "moving helps thinking, put the last thing in order, undone, listen to what others say."
    )
    ranked = assemble(
        [Draft(parrot)], CONTEXT, MODEL,
        instinct=["Wait, nothing presses now.", "The day is long.", "Listen to what others say."],
    )  # fmt: skip
    assert len({p.text for p in ranked}) == 3


def test_a_slip_in_a_name_is_put_right_and_an_invention_marked() -> None:
    first, second, _ = three(
        "Ask Ellinor for help.", "Ines sings with Marta today.", "Mend the net."
    )
    assert first.text == "Ask Elinor for help."
    assert first.targets == ("elinor_vance",)
    assert second.unknown_names == ("Marta",)


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        ("Ines  waits\n here", "Ines waits here."), ("Ines waits,", "Ines waits."),
        ("Ines waits!", "Ines waits!"), ("Ines says “no”", "Ines says “no”"),
        ("Ines waits \ufffd", "Ines waits."), ("李雷走了。", "李雷走了。"),
    ],
)  # fmt: skip
def test_texts_become_one_line_with_an_end(draft: str, text: str) -> None:
    assert three(draft)[0].text == text


def test_plain_data_has_all_but_the_receipt() -> None:
    data = three("Go home.").as_data()
    assert data["purposes"][0]["text"] == "Go home."
    assert data["provenance"]["filled"] == (2, 3)
    assert "receipt" not in data["provenance"]


@pytest.mark.parametrize("ranks", [(1, 2), (1, 1, 2), (2, 1, 3), (1, 2, 3, 4), ()])
def test_ranked_purposes_are_exactly_one_two_three(ranks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="exactly the ranks"):
        RankedPurposes(tuple(Purpose(r, "x", 0.3) for r in ranks), MODEL)  # type: ignore[arg-type]


@given(st.lists(st.floats(), min_size=1, max_size=5))
def test_scores_fall_and_sum_to_one(confidences: list[float]) -> None:
    scores = falling(confidences)
    assert math.isclose(sum(scores), 1)
    assert scores == sorted(set(scores), reverse=True)


@given(st.text(), st.text())
def test_likeness_is_symmetric_and_within_bounds(a: str, b: str) -> None:
    assert 0 <= alike(a, b) == alike(b, a) <= 1
    assert alike(a, a) == 1


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Ines wants to mend the net.", "INES wants to mend nets!", True),
        ("Ines wants to mend the net.", "Ines wants to visit Karl at home.", False),
        ("go", "stay", False), ("", "", True), ("the of", "of the", False),
    ],
)  # fmt: skip
def test_near_duplicates(a: str, b: str, same: bool) -> None:
    assert (alike(a, b) >= NEAR_DUPLICATE) is same


# Targets


PLACES = (
    Entity(id="quay", name="the Old Quay", kind="place"),
    Entity(id="inn", name="Inn", kind="place"),
    Entity(id="inn_yard", name="Inn Yard", kind="place"),
)
KNOWN = (
    person("Karl Prado", "Old Karl"), person("Karla Lind"), person("李雷"), *PLACES,
    Entity(id="net", name="net"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Ask Karl Prado.", ("karl_prado",)), ("Ask Karl.", ("karl_prado",)),
        ("Ask Old Karl, old Karl!", ("karl_prado",)), ("Ask Karla.", ("karla_lind",)),
        ("Go to Inn Yard, then the Inn.", ("inn_yard", "inn")), ("Old Quay waits.", ("quay",)),
        ("Karl’s net, Karla's inn", ("karl_prado", "net", "karla_lind", "inn")),
        ("The network, an inner Karlsson", ()), ("Ask Prado.", ()), ("", ()),
        ("找 李雷 。", ("李雷",)),
    ],
)  # fmt: skip
def test_targets_by_any_name_in_order_of_mention(text: str, ids: tuple[str, ...]) -> None:
    assert targets_of(text, KNOWN) == ids


def test_a_first_name_of_two_people_is_nobodys() -> None:
    two = [person("Karl Prado"), person("Karl Lind")]
    assert targets_of("Ask Karl.", two) == ()
    assert targets_of("Ask Karl Lind.", two) == ("karl_lind",)


def test_a_name_that_is_a_word_is_a_name_only_with_its_capital() -> None:
    assert targets_of("Ines will wait.", [person("Will Reed")]) == ()


@pytest.mark.parametrize("text", ["Karl Prado waits.", "Karl wants to rest.", "Karl’s boat"])
@pytest.mark.parametrize("other", ["Karl Prado", "Karl Lind"])
def test_the_own_name_is_no_target(text: str, other: str) -> None:
    assert targets_of(text, [person(other)], "Karl Prado") == ()


@pytest.mark.parametrize("name", ["The Stranger", "Old Tom", "Mr Lind", "Dr. Ames"])
def test_articles_and_titles_are_nobodys_first_name(name: str) -> None:
    text = "Ask the old man, Mr Bo, and Dr. Moss."
    assert targets_of(text, [person(name)]) == ()


@given(st.text(max_size=40), st.lists(st.sampled_from(KNOWN)), st.text(max_size=10))
def test_targets_are_known_ids_each_once(text: str, known: list[Entity], own: str) -> None:
    found = targets_of(text, known, own)
    assert len(set(found)) == len(found)
    assert set(found) <= {entity.id for entity in known}


# Verbs


VERBS = [Verb(name=n, words=w) for n, w in (
    ("talk", ("speak", "ask")), ("move", ("go", "walk")), ("eat", ()), ("trade", ("buy", "sell")),
)]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("Ines wants to talk to Karl.", "talk"), ("Ines is talking.", "talk"),
        ("Ines asks Karl to walk.", "talk"), ("Ines wants to walk and then eat.", "move"),
        ("Ines is moving house.", "move"), ("Ines is trading, to eat.", "trade"),
        ("Ines wants to BUY bread.", "trade"), ("Ines goes home.", "move"),
        ("Ines eats something good.", "eat"), ("Ines finds a good thing to eat.", "eat"),
    ],
)  # fmt: skip
def test_the_closest_verb(text: str, verb: str) -> None:
    assert closest_verb(text, VERBS) == verb


def test_the_own_name_is_no_verb() -> None:
    verbs = [Verb(name="row"), Verb(name="wait")]
    assert closest_verb("Rowe waits.", verbs, "Rowe Lind") == "wait"


def test_without_verbs_there_is_none() -> None:
    assert closest_verb("Ines talks.", []) is None


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
def test_the_closest_verb_is_always_one_of_those_offered(text: str, names: list[str]) -> None:
    verbs = [Verb.model_construct(name=name, words=()) for name in names]
    assert closest_verb(text, verbs) in names


# Decisions and outcomes


def test_a_decision_is_chosen_then_resolved_and_tells_its_listeners() -> None:
    told: list[str] = []
    found = decision()
    found.listeners.append(lambda _, what: told.append(what))
    assert found.choose(2) is found[1]
    found.resolve({"status": "failed", "note": "Rain."})
    assert (found.chosen, found.outcome) == (2, Outcome(status="failed", note="Rain."))
    assert told == ["chosen", "resolved"]
    assert [p.rank for p in found] == [1, 2, 3]
    assert len(found) == 3


def test_the_first_is_chosen_by_default_and_the_choice_may_change() -> None:
    found = decision()
    assert [found.choose().rank, found.choose(3).rank, found.chosen] == [1, 3, 3]


@pytest.mark.parametrize("rank", [0, 4, -1, "1", None, 1.5, []])
def test_other_ranks_cannot_be_chosen(rank: Any) -> None:
    found = decision()
    with pytest.raises(SituationError, match="1, 2 or 3"):
        found.choose(rank)
    assert found.chosen is None


def test_a_resolved_decision_is_closed() -> None:
    found = decision()
    found.resolve(Outcome())
    with pytest.raises(SituationError, match="already resolved"):
        found.choose()
    with pytest.raises(SituationError, match="already resolved"):
        found.resolve(Outcome(status="failed"))
    assert found.outcome == Outcome()


def test_an_outcome_that_could_not_be_kept_may_be_told_again() -> None:
    def fail(_: Decision, what: str) -> None:
        raise OSError(what)

    found = decision()
    found.listeners.append(fail)
    with pytest.raises(OSError, match="resolved"):
        found.resolve(Outcome())
    found.listeners.clear()
    found.resolve(Outcome())
    assert found.outcome == Outcome()


@pytest.mark.parametrize(
    "outcome",
    [
        {"status": "great"}, {"grade": 1.1}, {"grade": float("nan")}, {"grade": "A"},
        {"needs": {"food": 2}}, {"needs": {"food": float("nan")}}, {"needs": []}, {"note": 3},
        {"mood": "x"}, {"relationships": [{"to": "karl", "changes": {"trust": 3}}]},
        {"relationships": [{"changes": {}}]}, None, "done", 3, [1], [],
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_outcomes_are_refused_and_leave_the_decision_open(outcome: Any) -> None:
    found = decision()
    with pytest.raises(SituationError):
        found.resolve(outcome)
    assert found.outcome is None


def test_an_outcome_of_plain_data() -> None:
    found = decision()
    found.resolve(
        {"needs": {"food": -1}, "grade": 1, "relationships": [{"to": "k", "changes": {"trust": 2}}]}
    )
    assert found.outcome == Outcome(
        needs={"food": -1}, grade=1,
        relationships=(RelationshipChange(to="k", changes={"trust": 2}),),
    )  # fmt: skip
