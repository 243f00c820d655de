"""Sheets on disk: YAML and JSON round trips, and files that are hostile or broken."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from sheet_strategies import sheets

from daydream_motives.characters import files
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.errors import SheetError

per_test_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, content: str | bytes, name: str = "a.yaml") -> CharacterSheet:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CharacterSheet.load(file)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@given(sheet=sheets)
@per_test_folder
def test_a_saved_sheet_loads_as_it_was(tmp_path: Path, suffix: str, sheet: CharacterSheet) -> None:
    file = tmp_path / f"sheet.{suffix}"
    sheet.save(file)
    assert CharacterSheet.load(file) == sheet


@pytest.mark.parametrize("suffix", ["yaml", "json", "JSON", "yml"])
def test_a_description_of_100_kb_survives(tmp_path: Path, suffix: str) -> None:
    sheet = CharacterSheet(name="A", description=" ".join(["längst 李 😀: #x"] * 8000))
    assert len(sheet.description.encode()) > 100_000
    sheet.save(tmp_path / f"a.{suffix}")
    assert CharacterSheet.load(tmp_path / f"a.{suffix}") == sheet


@pytest.mark.parametrize("name", ["1e3", "08", "-.5", "+.5", "1.5e3", "12e5", "007", "1.0", "-0"])
def test_a_name_that_looks_like_a_number_survives_yaml(tmp_path: Path, name: str) -> None:
    sheet = CharacterSheet(name=name)
    sheet.save(tmp_path / "a.yaml")
    assert CharacterSheet.load(tmp_path / "a.yaml") == sheet


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "2024-06-14", "0x1F", "1_000"])
def test_words_that_old_yaml_changes_stay_text(tmp_path: Path, word: str) -> None:
    assert read(tmp_path, f"name: A\nspeech: {word}\nhabits: [{word}]").habits == (word,)


def test_a_clock_time_needs_no_quotes(tmp_path: Path) -> None:
    sheet = read(tmp_path, "name: A\nroutine:\n- {at: 07:30, activity: bakes}\n")
    assert sheet.routine[0].at == "07:30"


@pytest.mark.parametrize(("written", "age"), [("034", 34), ("08", 8), ("+9", 9), ("10", 10)])
def test_a_leading_zero_is_no_octal(tmp_path: Path, written: str, age: int) -> None:
    assert read(tmp_path, f"name: A\nage: {written}").age == age


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfname: A").name == "A"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: &a A\nspeech: *a", "line 2: found YAML aliases are not allowed"),
        ("name: A\nage: 3\nage: 4", "line 3: found the key 'age' appears twice"),
        ("name: A\nneeds: {food: {}, food: {}}", "the key 'food' appears twice"),
        ("name: [", "line 1: found"),
        ("name: A\n\tage: 3", "line 2"),
        ("name: A\n---\nname: B", "valid YAML"),
        ("name: !!python/object/apply:os.system [x]", "is not allowed"),
        ("<<: {age: 3}\nname: A", "<<: found an unknown key"),
        ("name: A\n1: x", "1: found"),
        ("name: A\n? [a]\n: b", "unhashable"),
        ("name: A\x07", "special characters"),
        (b"name: \xff", "byte 6 is not UTF-8"),
        ("", "found nothing; expected a mapping"),
        ("- name: A", "found list; expected a mapping"),
        ("name: A\nage: .nan", "age: found '.nan'"),
        ("name: A\nneeds: {food: {level: 1e999}}", "needs.food.level: found inf"),
        ("name: A\nextensions: " + "[" * 5000, "valid YAML"),
        ("name: A\nage: " + "9" * 5000, "a.yaml"),
        ("name: A\nage: !!bool maybe", "a.yaml"),
        ('name: A\nage: !!int ""', "a.yaml"),
        ("name: A\nspeech: !!timestamp x", "a.yaml"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else repr(value[:25]),
)
def test_bad_yaml_is_refused_with_file_and_place(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    with pytest.raises(SheetError) as caught:
        read(tmp_path, content)
    assert told in str(caught.value)
    assert str(tmp_path / "a.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"name": "A", "age": NaN}', "NaN is not JSON"),
        ('{"name": "A", "age": -Infinity}', "-Infinity is not JSON"),
        ('{"name": "A", "name": "B"}', "the key 'name' appears twice"),
        ('{"name": "A",\n}', "line 2"),
        ('{"name": "A"} x', "Extra data"),
        ("name: A", "valid JSON"),
        ("", "valid JSON"),
        ('{"name": "A", "age": 1e999}', "age: found inf"),
        ("[" * 100_000, "valid YAML or JSON"),
    ],
    ids=lambda value: repr(value[:25]),
)
def test_bad_json_is_refused_with_file_and_place(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(SheetError) as caught:
        read(tmp_path, content, "a.json")
    assert told in str(caught.value)
    assert str(tmp_path / "a.json") in str(caught.value)


def test_error_text_names_file_path_found_and_expected(tmp_path: Path) -> None:
    with pytest.raises(SheetError) as caught:
        read(tmp_path, "name: A\npersonality: {mbti: HERO}")
    assert f"{tmp_path}/a.yaml: personality.mbti: found 'HERO'; expected one of" in str(
        caught.value
    )


def test_long_wrong_values_are_cut_in_error_texts(tmp_path: Path) -> None:
    with pytest.raises(SheetError) as caught:
        read(tmp_path, f"name: A\nsex: {'x' * 50_000}")
    assert len(str(caught.value)) < 1000


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="no such file"):
        CharacterSheet.load(tmp_path / "none.yaml")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="a folder"):
        CharacterSheet.load(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(SheetError, match="cannot be read"):
        CharacterSheet.load(tmp_path / "a" / "b.yaml")


def test_a_path_with_a_null_byte() -> None:
    with pytest.raises(SheetError):
        CharacterSheet.load("a\0b.yaml")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    file.touch()
    os.truncate(file, files.MAX_BYTES + 1)
    with pytest.raises(SheetError, match=f"more than {files.MAX_BYTES}"):
        CharacterSheet.load(file)


def test_a_save_leaves_no_part_files(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.yaml"
    for name in ("A", "B"):
        CharacterSheet(name=name).save(file)
    assert [f.name for f in file.parent.iterdir()] == ["a.yaml"]
    assert CharacterSheet.load(file).name == "B"


def test_a_failed_save_keeps_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.yaml"
    CharacterSheet(name="Old").save(file)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        CharacterSheet(name="New").save(file)
    assert list(tmp_path.glob("*")) + list(tmp_path.glob(".*.part")) == [file]
    assert CharacterSheet.load(file).name == "Old"


def test_a_save_follows_the_umask(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    CharacterSheet(name="A").save(tmp_path / "a.yaml")
    assert (tmp_path / "a.yaml").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    "value", ['"\\ud800"', "[" * 300 + "]" * 300], ids=["lone surrogate", "300 deep"]
)
def test_odd_extensions_that_load_can_be_saved_or_are_refused(tmp_path: Path, value: str) -> None:
    try:
        sheet = read(tmp_path, f'{{"name": "A", "extensions": {{"x": {value}}}}}', "a.json")
    except SheetError:
        return
    sheet.save(tmp_path / "b.json")
    assert CharacterSheet.load(tmp_path / "b.json") == sheet


def test_binary_in_extensions_can_be_saved_or_is_refused(tmp_path: Path) -> None:
    try:
        sheet = read(tmp_path, "name: A\nextensions: {x: !!binary gIE=}")
    except SheetError:
        return
    sheet.save(tmp_path / "b.yaml")


def test_json_is_readable_in_any_script(tmp_path: Path) -> None:
    CharacterSheet(name="李雷").save(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "李雷" in text
    assert json.loads(text)["schema_version"] == 1


def test_yaml_is_readable_in_any_script(tmp_path: Path) -> None:
    CharacterSheet(name="李雷", speech="مرحبا 😀").save(tmp_path / "a.yaml")
    assert "مرحبا 😀" in (tmp_path / "a.yaml").read_text(encoding="utf-8")
