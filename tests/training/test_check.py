"""What `data check` finds in scenes: every rule by a scene that breaks it, and its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import HARBOUR
from scene_texts import SCENE, line_of, save, spoilt

from daydream_motives.characters.files import read_document
from daydream_motives.characters.sheet import CharacterSheet, first_name
from daydream_motives.training.dataset.avoided import HARBOUR_NAMES, HARBOUR_PLACES
from daydream_motives.training.dataset.book import folded, read_book
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.rules import check

FIRST = "Oddny sends Ketill up to the weir with the long bar, wanting him out of the mill."
LAST = "Oddny walks down to warn the farms herself, trusting that the mill is in good hands."
ABSENT = "names Halldor, which the context lacks"


def found(folder: Path, text: str) -> list[Finding]:
    return check(read_book([save(folder, text)]))[1]


def test_a_good_scene_has_nothing_wrong(tmp_path: Path) -> None:
    pairs, findings = check(read_book([save(tmp_path, SCENE)]))
    assert findings == []
    assert [pair.record.key for pair in pairs] == ["oddny", "ketill", "oddny-trusting"]


# One purpose


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("''", "an empty purpose"),
        ("Oddny runs.", "2 words"),
        ("Oddny " + "very " * 27 + "runs.", "29 words"),
        ("Ketill sends Oddny up to the weir with a long and rusty bar.", "begins with 'Ketill"),
        ("The miller carries the long bar up to the weir in the rain.", "begins with 'The mill"),
        ("Oddny sends the boy up to the weir with the long bar", "ends in 'r'"),
        ("Oddny sends the boy up to the weir. She keeps the long bar here.", "more than one"),
        ("Oddny sends the boy up to the weir with “the long bar” in hand.", "the mark “"),
        ("Oddny sends the boy to my weir, since I have the long bar here.", "'my' outside single"),
        ("Oddny sends Halldor up to the weir with the long bar, wanting him out.", ABSENT),
        ("Oddny decides to take the long bar to the weir before it is dark.", "(decides to)"),
        ("Oddny sits in the library with the long bar until the weir is gone.", "a library as a"),
        ("|-\n        Oddny sends the boy up to the weir\n        with the long bar, for good.",
         "line breaks"),
        ("Oddny chains the wheel and sits on the steps, as nobody gave her leave to.",
         "too like purpose 1"),
    ],
)  # fmt: skip
def test_a_purpose_that_breaks_a_rule_is_told_with_its_line(
    tmp_path: Path, text: str, what: str
) -> None:
    spoilt_text = spoilt(FIRST, text)
    findings = found(tmp_path, spoilt_text)
    assert len(findings) == 1, findings
    assert what in findings[0].what
    assert findings[0].remedy
    row = "sits on the steps, because" if "too like" in what else "- " + text.split("\n")[0]
    assert findings[0].line == line_of(spoilt_text, row)
    assert str(findings[0]).startswith(f"{tmp_path}/a01.yaml:{findings[0].line}: sluice-at-lower-")


@pytest.mark.parametrize(
    "text",
    [
        "Oddny shouts 'I never turned it!' at the boy, so that the farms will hear.",
        "Oddny, still in her apron, sends Dr. Ketill up to the weir with the bar.",
        "Oddny will not stir from the steps before somebody says ‘please’ to her.",
        "Oddny's first thought is the grain, and so she hauls the sacks upstairs.",
        "Oddny asks whose weir it is: hers, the chapel's, or the drowned man's?",
    ],
)
def test_a_purpose_may_be_worded_in_many_ways(tmp_path: Path, text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert found(tmp_path, spoilt(FIRST, quoted)) == []


def test_two_purposes_are_not_three(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, spoilt(f"      - {LAST}\n", ""))
    assert finding.where == "sluice-at-lower-mill/decisions.3.purposes"
    assert "at least 3 items" in finding.remedy


def test_a_fourth_purpose_is_one_too_many(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, spoilt(f"- {LAST}\n", f"- {LAST}\n      - {LAST}\n"))
    assert "at most 3 items" in finding.remedy


def test_a_decision_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    text = spoilt("who: ketill", "who: ketill\n    mood: 3", spoilt("Oddny chains", "She chains"))
    findings = found(tmp_path, text)
    assert {f.line for f in findings} == {line_of(text, "mood: 3"), line_of(text, "She chains")}


# Scenes and people


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("world: village", "world: moon", "'moon'"),
        ("rating: everyone", "rating: none", "'none'"),
        ("rating: everyone\n", "", "is missing"),
        ("id: sluice-at-lower-mill", "id: Sluice", "'Sluice'"),
        ("place: the lower mill", "place: the lower mill\nbudget: 90", "90"),
        ("place: the lower mill", "place: the lower mill\ncolour: red", "an unknown key"),
        ("place: the lower mill", "place: the Old Quay", "'the Old Quay' is of sim_examples"),
        ("place: the lower mill", "place: the lower mill\npresent: [hallgerd]", "'hallgerd'"),
        ("name: Ketill", "name: Piet Vos", "'Piet Vos' is of sim_examples"),
        ("name: Ketill", "name: Ketill\n    trades: [x]", "an unknown key"),
        ("age: 61", "age: 97", "age 97"),
        ("age: 61", "age: 6", "age 6"),
        ("    age: 61\n", "", "age None"),
        ("    occupation: miller\n", "", "no occupation"),
        ("    personality: {mbti: ISTJ}\n", "", "no mbti"),
        ("{mbti: ISTJ}", "{mbti: ABCD}", "ABCD"),
        ("    tongue: Icelandic\n", "", "is missing"),
        ("grandchild, debtor", "grandchild, wizard", "'wizard'"),
        ("to: ketill", "to: hallgerd", "'hallgerd', who does not exist"),
        ("age: 61", "age: 61\n    home: [", "broken YAML"),
        ("who: ketill", "who: hallgerd", "'hallgerd', not in people"),
        ("who: ketill", "who: ketill\n    needs: {glory: 0.1}", "the need 'glory'"),
        ("who: ketill", "who: ketill\n    needs: {food: 7}", "7"),
        ("who: ketill", "who: ketill\n    remembers: [a, b, c, d, e]", "a"),
        ("  - {from: oddny", "  - {from: oddny, to: ketill}\n  - {from: oddny", "given twice"),
    ],
)  # fmt: skip
def test_a_scene_that_breaks_a_rule_is_told(tmp_path: Path, old: str, new: str, what: str) -> None:
    findings = found(tmp_path, spoilt(old, new))
    assert any(what in finding.what for finding in findings), findings
    assert all(finding.line for finding in findings)


def test_a_stock_name_is_told(tmp_path: Path) -> None:
    text = SCENE.replace("name: Ketill", "name: Elena").replace("Ketill ", "Elena ")
    assert [f.what for f in found(tmp_path, text)] == ["'Elena': a stock name"]


def test_no_minor_is_in_a_romance(tmp_path: Path) -> None:
    text = spoilt(
        "kinds: [grandchild, debtor]", "kinds: [crush]", SCENE.replace("age: 19", "age: 17")
    )
    findings = found(tmp_path, text)
    assert any("romance" in finding.what for finding in findings)
    assert {f.line for f in findings} == {line_of(text, "kinds: [crush]")}


def test_no_minor_is_flirted_with(tmp_path: Path) -> None:
    flirting = "Oddny flirts with Ketill on the way to the weir, because the evening is long."
    assert found(tmp_path, spoilt(FIRST, flirting)) == []
    (finding,) = found(tmp_path, spoilt(FIRST, flirting, SCENE.replace("age: 19", "age: 17")))
    assert finding.what == "'flirts' where a minor is"


def test_the_names_of_the_example_town_are_those_it_has() -> None:
    sheets = [CharacterSheet.load(file) for file in (HARBOUR / "characters").glob("*.yaml")]
    firsts = {folded(next(iter(first_name(sheet.name)), sheet.name)) for sheet in sheets}
    places = read_document(HARBOUR / "places.yaml").values()
    assert firsts == HARBOUR_NAMES
    assert {folded(place["name"]).removeprefix("the ") for place in places} == HARBOUR_PLACES


# Rejected answers


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("why: generic", "why: boring", "'boring'"),
        ("why: generic", "why: invented_name", "the same 'why' twice"),
        ("Sigurbjorn at", "somebody at", "no invented name"),
        ("has a cup of tea", "has tea with Sigurbjorn", "names Sigurbjorn"),
        ("Oddny has a cup of tea and waits for news, hoping that all will be well.", "Oddny naps.",
         "2 words"),
    ],
)  # fmt: skip
def test_a_rejected_answer_has_rules_too(tmp_path: Path, old: str, new: str, what: str) -> None:
    text = spoilt(old, new)
    assert any(
        what in finding.what and "rejected" in finding.where for finding in found(tmp_path, text)
    )


def test_one_rejected_answer_is_not_two(tmp_path: Path) -> None:
    start = SCENE.index("      - why: invented_name")
    text = SCENE[:start] + SCENE[SCENE.index("  - who: ketill") :]
    assert [f.what for f in found(tmp_path, text)] == ["1 rejected"]


# Contrast sets and variants


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("    changes: oddny\n    contrast: bar\n", "    changes: oddny\n",
         "a change without a contrast"),
        ("    changes: oddny\n", "", "a set of changes without the one decision"),
        ("    changes: oddny\n", "    changes: hallgerd\n", "changes 'hallgerd'"),
        ("    changes: oddny\n", "    changes: ketill\n", "changes a decision of ketill"),
        ("    changes: oddny\n", "    changes: oddny\n    mood: merry\n", "changes mood"),
        ("    changes: oddny\n", "    changes: oddny\n    remembers: [It snowed.]\n",
         "1 ties and 1 memories change"),
        ("    as: oddny-trusting\n", "", "two decisions of this key"),
        ("    ties: [{from: oddny, to: ketill, kinds: [grandchild], trust: 0.9, "
         "story: He saved her once.}]\n", "", "0 ties and 0 memories change"),
        ("kinds: [grandchild], trust: 0.9, story: He saved her once.",
         "kinds: [grandchild, debtor], trust: -0.3, story: He never paid.", "0 ties and 0 mem"),
        ("  - who: ketill\n", "  - who: ketill\n    contrast: bar\n", "people and changes in one"),
        ("  - who: ketill\n", "  - who: ketill\n    contrast: other\n", "a set of one"),
        ("hands Ketill her apron and the key together, because his arms are better than hers.",
         "sends Ketill up to the weir with the bar, wanting him out of the mill again.",
         "the first purpose is the base's"),
    ],
)  # fmt: skip
def test_a_contrast_that_breaks_a_rule_is_told(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    findings = found(tmp_path, spoilt(old, new))
    assert any(what in finding.what for finding in findings), findings


def test_a_change_must_reach_the_context(tmp_path: Path) -> None:
    more = (
        "  - The river has risen over the meadow, the bridge, the yard and the lower steps.\n" * 3
    )
    text = spoilt("people:", f"{more}budget: 200\npresent: [oddny]\npeople:")
    text = spoilt("Ketill up to", "the boy up to", text).replace("hands Ketill", "hands the boy")
    assert [f.what for f in found(tmp_path, text)] == ["what changes does not reach the context"]


# Across the book


def test_the_same_id_twice_is_told_with_the_other_place(tmp_path: Path) -> None:
    findings = found(tmp_path, f"{SCENE}---\n{SCENE}")
    assert findings[0].what.startswith("the id of another scene")
    assert f"{tmp_path}/a01.yaml:1" in findings[0].what
    repeated = [f for f in findings if f.what.startswith("nearly ")]
    assert len(repeated) == 9 + 6


def test_what_another_file_says_may_not_be_said_again(tmp_path: Path) -> None:
    beside = read_book([save(tmp_path, SCENE)])
    other = SCENE.replace("sluice-at-lower-mill", "other").replace("Oddny", "Ragna")
    own = read_book([save(tmp_path, other, "b01.yaml")])
    _, findings = check(own, beside)
    assert len(findings) == 9 + 6  # names count for nothing
    assert all("b01.yaml" in finding.file for finding in findings)
    assert check(beside, None)[1] == []


def test_two_scenes_may_have_much_in_common(tmp_path: Path) -> None:
    other = """
id: other
world: sea
rating: teen
happened: [The mill is for sale.]
people:
  ragna: {tongue: Danish, name: Ragna, age: 30, occupation: diver, personality: {mbti: INFP}}
decisions:
  - who: ragna
    purposes:
      - Ragna bids at once, because a wheel that turns is worth more than a pension.
      - Ragna spreads a story of dry rot, hoping that the price will drop by noon.
      - Ragna sails home without a word, lest her brothers learn that she is rich.
"""
    assert found(tmp_path, f"{SCENE}---{other}") == []
