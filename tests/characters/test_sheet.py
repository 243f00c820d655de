"""Sheets as values: what is accepted, what is refused, and that nothing is lost on the way back."""

import pytest
from hypothesis import given
from sheet_strategies import sheets, texts

from daydream_motives.characters.sheet import (
    MBTI_TYPES,
    CharacterSheet,
    clean_text,
    sheet_schema,
    slug,
)
from daydream_motives.errors import SheetError


def refused(**fields: object) -> SheetError:
    with pytest.raises(SheetError) as caught:
        CharacterSheet.from_data({"name": "Ines", **fields}, source="ines.yaml")
    return caught.value


@given(sheets)
def test_plain_data_reads_back_to_an_equal_sheet(sheet: CharacterSheet) -> None:
    assert CharacterSheet.from_data(sheet.to_data()) == sheet


@given(texts)
def test_clean_text_is_one_encodable_line_and_idempotent(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert len(once.splitlines()) <= 1
    once.encode()


@pytest.mark.parametrize("between", ["", "\x00", "\ud800"])
def test_accents_are_composed_whatever_stands_between(between: str) -> None:
    assert CharacterSheet(name=f"Zoe{between}\u0308").name == "Zo\u00eb"


def test_a_lone_surrogate_is_dropped() -> None:
    assert CharacterSheet(name="In\ud800es").name == "Ines"


@pytest.mark.parametrize("mbti", sorted(MBTI_TYPES))
def test_all_sixteen_types_in_any_case(mbti: str) -> None:
    sheet = CharacterSheet.from_data({"name": "A", "personality": {"mbti": f" {mbti.lower()} "}})
    assert sheet.personality.mbti == mbti


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("nmae", {"nmae": 1}),
        ("personality.mood", {"personality": {"mood": 1}}),
        ("personality.big_five.grit", {"personality": {"big_five": {"grit": 1}}}),
        ("routine.0.what", {"routine": [{"at": "07:00", "activity": "x", "what": 1}]}),
        ("needs.food.rate", {"needs": {"food": {"rate": 1}}}),
    ],
)
def test_unknown_keys_are_refused_with_their_path(path: str, fields: dict[str, object]) -> None:
    (problem,) = refused(**fields).problems
    assert (problem.path, problem.found) == (path, "an unknown key")
    assert "extensions" in problem.expected


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        *(
            ("personality.mbti", {"personality": {"mbti": v}})
            for v in ("XXXX", "INF", "", 4, ["I"])
        ),
        *(
            ("personality.big_five.openness", {"personality": {"big_five": {"openness": v}}})
            for v in (-0.01, 1.01, float("nan"), float("inf"), "high", None)
        ),
        *(
            ("routine.0.at", {"routine": [{"at": v, "activity": "x"}]})
            for v in ("24:00", "7:30", "07:60", "07:30:00", "", 450, None, "07:30\n")
        ),
        *(("pronouns", {"pronouns": v}) for v in ("she", "she/", "/her", "a/b/c/d", "1/2", "", 3)),
        *(("age", {"age": v}) for v in (-1, 100_001, 3.5, "old", float("nan"), [], {})),
        ("age", {"age": True}),
        *(("name", {"name": v}) for v in ("", " \t\n", "\x00", "x" * 121, None, 7, ["A"])),
        *(("sex", {"sex": v}) for v in ("f", "Female", "", 0)),
        ("needs.fo od", {"needs": {"fo od": {}}}),
        ("needs.food.decay", {"needs": {"food": {"decay": -1}}}),
        ("needs.food.level", {"needs": {"food": {"level": 2}}}),
        ("traits", {"traits": "kind"}),
        ("traits.1", {"traits": ["kind", 3]}),
        ("extensions", {"extensions": []}),
    ],
)
def test_wrong_values_are_refused_at_their_path(path: str, fields: dict[str, object]) -> None:
    (problem,) = refused(**fields).problems
    assert problem.path.removesuffix(".[key]") == path
    assert problem.expected


def test_every_problem_is_told_at_once_and_with_the_file() -> None:
    error = refused(age=-1, sex="x", extra=1)
    assert [p.path for p in error.problems] == ["sex", "age", "extra"]
    assert str(error).startswith("3 problems in this character sheet:")
    assert "ines.yaml: age: found -1; expected" in str(error)


@pytest.mark.parametrize("data", [None, [], "Ines", 3, True])
def test_only_a_mapping_is_a_sheet(data: object) -> None:
    with pytest.raises(SheetError, match="a mapping with at least 'name'"):
        CharacterSheet.from_data(data)


def test_a_missing_name_is_told_as_missing() -> None:
    with pytest.raises(SheetError, match="name: found nothing; expected a value"):
        CharacterSheet.from_data({"age": 3})


@pytest.mark.parametrize("version", [2, 0, 99, "1", None, 1.5, []])
def test_other_schema_versions_are_refused(version: object) -> None:
    assert refused(schema_version=version).problems[0].path == "schema_version"


def test_a_newer_version_says_to_upgrade() -> None:
    assert "upgrade" in refused(schema_version=2).remedy


def test_the_version_problem_has_its_prefix() -> None:
    with pytest.raises(SheetError) as caught:
        CharacterSheet.from_data({"name": "A", "schema_version": 2}, prefix="characters.bob")
    assert caught.value.problems[0].path == "characters.bob.schema_version"


def test_reading_leaves_the_given_data_as_it_was() -> None:
    data = {"name": "A", "schema_version": 1}
    CharacterSheet.from_data(data)
    assert data == {"name": "A", "schema_version": 1}


def test_extensions_are_kept_untouched() -> None:
    foreign = {"tavern": {"  spaced\x00 ": [1, None, {"x": 0.5}], "aged": "no"}}
    sheet = CharacterSheet.from_data({"name": "A", "extensions": foreign})
    assert sheet.to_data()["extensions"] == foreign


def test_the_routine_is_put_in_order() -> None:
    day = [{"at": at, "activity": at} for at in ("22:00", "07:30", "12:00")]
    sheet = CharacterSheet.from_data({"name": "A", "routine": day})
    assert [entry.at for entry in sheet.routine] == ["07:30", "12:00", "22:00"]


@pytest.mark.parametrize(("age", "minor"), [(None, True), (0, True), (17, True), (18, False)])
def test_a_minor_is_under_eighteen_or_of_unknown_age(age: int | None, minor: bool) -> None:
    assert CharacterSheet(name="A", age=age).is_minor is minor


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({}, "they"), ({"sex": "female"}, "she"), ({"sex": "male"}, "he"),
        ({"sex": "intersex"}, "they"), ({"sex": "male", "pronouns": "She/Her"}, "she"),
        ({"pronouns": "xe/xem"}, "xe"),
    ],
)  # fmt: skip
def test_the_subject_pronoun(fields: dict[str, str], subject: str) -> None:
    assert CharacterSheet.from_data({"name": "A", **fields}).subject == subject


@given(texts)
def test_a_slug_is_never_empty_and_is_an_identifier(text: str) -> None:
    CharacterSheet(name="A", needs={slug(text): {}})


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Ines Prado", "ines_prado"),
        ("李雷", "李雷"),
        ("O'Neil-Smith", "o_neil_smith"),
        ("😀", "someone"),
    ],
)
def test_slugs(name: str, id: str) -> None:
    assert slug(name) == id


@pytest.mark.parametrize("name", ["Room 4½", "x²", "Ⅷ", "①"])
def test_a_slug_of_odd_digits_is_an_identifier(name: str) -> None:
    CharacterSheet(name="A", needs={slug(name): {}})


@given(sheets)
def test_the_json_schema_knows_every_key_written(sheet: CharacterSheet) -> None:
    schema = SCHEMA
    data = sheet.to_data()
    assert data.keys() <= schema["properties"].keys()
    assert set(schema["required"]) <= data.keys()
    assert schema["properties"]["schema_version"] == {"const": data["schema_version"]}


SCHEMA = sheet_schema()


def test_the_json_schema_refuses_unknown_keys() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert SCHEMA["required"] == ["name"]
    assert all(part["additionalProperties"] is False for part in SCHEMA["$defs"].values())


@pytest.mark.parametrize(
    ("name", "short"),
    [("Ahir, the scout", "Ahir"), ("Ines Prado", "Ines"), ("Dr. Amara Okonjo", "Dr. Amara Okonjo"),
     (",", ",")],
)  # fmt: skip
def test_people_are_called_by_the_first_word_of_their_name(name: str, short: str) -> None:
    assert CharacterSheet(name=name).short_name == short
