"""What a decision is good for, by what followed it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import decision, deed, texts

from daydream_motives.training.harvest.verdicts import DROP, REJECT, TEACH, Judge, invented

SAID = [
    {**purpose, "unknown_names": ["Zorro"] if purpose["rank"] == 3 else []}
    for purpose in decision()["purposes"]
]


def tie(**changes: float) -> dict[str, Any]:
    return {"needs": {}, "relationships": [{"to": "karl", "changes": changes}]}


@pytest.mark.parametrize(
    ("changes", "kind", "reason", "grade"),
    [
        ({}, "teach", "moved", 0.3),
        ({"outcome": {"needs": {"company": 0.03, "fun": 0.03}}}, "teach", "moved", 0.06),
        ({"outcome": tie(trust=0.06)}, "teach", "moved", 0.06),
        ({"outcome": {"needs": {"food": 0.9, "fun": 0.9}}}, "teach", "moved", 1.0),
        ({"outcome": {"grade": 0.5, "needs": {"food": -0.9}}}, "teach", "graded up", 0.5),
        ({"outcome": {"grade": 0.5}, "chosen": None}, "teach", "graded up", 0.5),
        ({"outcome": {"grade": 0.5, "status": "interrupted"}}, "teach", "graded up", 0.5),
        ({"provenance": {"source": "cache"}}, "teach", "moved", 0.3),
        ({"outcome": {"status": "overruled", "grade": 0.5}}, "reject", "overruled", -1.0),
        ({"outcome": {"status": "overruled"}, "chosen": None}, "reject", "overruled", -1.0),
        ({"outcome": {"status": "failed", "needs": {"fun": 0.5}}}, "reject", "failed", -0.5),
        ({"outcome": {"grade": -0.2}}, "reject", "graded_down", -0.2),
        ({"purposes": texts(deed(1, "Ines"), deed(2, "Ines"), deed(1, "Ines"))},
         "reject", "repeated", -0.5),
        ({"purposes": texts(deed(1, "Ines"), deed(2, "Ines"), "Ines wants to meet Zorro.")},
         "reject", "invented_name", -1.0),
        ({"purposes": SAID}, "reject", "invented_name", -1.0),
        ({"purposes": SAID, "outcome": None}, "reject", "invented_name", -1.0),
        ({"provenance": {"source": "instinct"}}, "drop", "instinct", 0),
        ({"provenance": {"source": "instinct"}, "outcome": {"grade": 1}}, "drop", "instinct", 0),
        ({"provenance": {"source": "instinct"}, "outcome": {"status": "failed"}},
         "drop", "instinct", 0),
        ({"provenance": {"filled": [2]}}, "drop", "filled", 0),
        ({"outcome": None}, "drop", "open", 0),
        ({"outcome": {"status": "interrupted"}}, "drop", "interrupted", 0),
        ({"chosen": None}, "drop", "not chosen", 0),
        ({"outcome": {"needs": {}}}, "drop", "merely executed", 0),
        ({"outcome": {"needs": {"fun": 0.04}}}, "drop", "merely executed", 0),
        ({"outcome": tie(familiarity=0.5)}, "drop", "merely executed", 0),
        ({"outcome": {"needs": {"fun": 0.3, "rest": -0.3}}}, "drop", "merely executed", 0),
        ({"outcome": {"needs": {"fun": -0.05}}}, "drop", "moved down", 0),
        ({"outcome": tie(affection=-0.2)}, "drop", "moved down", 0),
        ({"outcome": {"grade": 0.0}}, "drop", "graded 0", 0),
    ],
)  # fmt: skip
def test_what_followed_decides(
    changes: dict[str, Any], kind: str, reason: str, grade: float
) -> None:
    verdict = Judge()(decision(**changes))
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.grade == pytest.approx(grade)
    assert verdict.why


def test_what_teaches_may_be_asked_to_move_more() -> None:
    assert Judge(least=0.4)(decision()).reason == "merely executed"


def test_why_says_what_moved() -> None:
    outcome = {
        "needs": {"fun": 0.2},
        "relationships": tie(trust=0.1, familiarity=0.3)["relationships"],
    }
    told = "needs or relationships rose: fun +0.20, trust for karl +0.10"
    assert Judge()(decision(outcome=outcome)).why == told


def test_wanting_again_what_was_just_done_is_a_repetition() -> None:
    judge = Judge()
    again = texts(deed(0, "Ines"), deed(5, "Ines"), deed(6, "Ines"))
    assert judge(decision(0)).kind == "teach"
    verdict = judge(decision(1, purposes=again))
    assert verdict.reason == "repeated"
    assert deed(0, "Ines") in verdict.why
    # The rank that was acted on counts, and another character is another.
    assert judge(decision(2, purposes=again, chosen=2)).kind == "teach"
    assert (
        judge(decision(0, who=4, purposes=texts(*(deed(k, "Minh") for k in (0, 5, 6))))).kind
        == "teach"
    )


@pytest.mark.parametrize("outcome", [None, {"status": "failed"}, {"status": "interrupted"}])
def test_trying_again_what_was_not_done_is_none(outcome: dict[str, Any] | None) -> None:
    judge = Judge()
    judge(decision(0, outcome=outcome))
    assert judge(decision(1, purposes=decision(0)["purposes"])).kind == "teach"


def test_a_repetition_is_forgotten_after_a_while() -> None:
    judge = Judge()
    judge(decision(0))
    for number in range(1, 6):
        judge(decision(number, purposes=texts(*(deed(number + k, "Ines") for k in (0, 4, 8)))))
    assert judge(decision(9, purposes=decision(0)["purposes"])).kind == "teach"


def test_names_that_were_told_are_not_invented() -> None:
    purposes = texts(deed(1, "Ines"), deed(2, "Ines"), "Ines wants to meet Zorro.")
    assert invented(decision(purposes=purposes)) == ("Zorro",)
    assert invented(decision(purposes=purposes, context={"Background": "Zorro is here."})) == ()


@given(
    st.sampled_from(["done", "failed", "interrupted", "overruled"]),
    st.none() | st.floats(-1, 1),
    st.dictionaries(st.sampled_from(["food", "fun"]), st.floats(-1, 1)),
    st.sampled_from([None, 1, 2, 3]),
)
def test_every_verdict_has_a_reason_and_a_grade_that_fits(
    status: str, grade: float | None, needs: dict[str, float], chosen: int | None
) -> None:
    outcome = {"status": status, "grade": grade, "needs": needs}
    verdict = Judge()(decision(outcome=outcome, chosen=chosen))
    known = {"teach": TEACH, "reject": REJECT, "drop": DROP}[verdict.kind]
    assert verdict.reason in known
    assert {"teach": verdict.grade > 0, "reject": verdict.grade < 0, "drop": True}[verdict.kind]
    assert -1 <= verdict.grade <= 1
