"""What says who somebody is goes; what only looks like it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.errors import ContentError, RunError
from daydream_motives.training.harvest.redaction import MARKS, Redaction, names_of, read_names

NAMES = (("Anna Schmidt", "Oda Falk"), ("Schmidt", "[name]"), ("王小明", "[name]"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to a.b+c@x.co.uk.", "write to [mail]."),
        ("'jörg@exämple.de' says so", "'[mail]' says so"),
        ("root@localhost", "[mail]"),
        ("call +49 (0)170 1234567 now", "call [phone] now"),
        ("(555) 123-4567", "[phone]"),
        ("555-0123", "[phone]"),
        ("06 12 45 67 89", "[phone]"),
        ("06.12.45.67.89", "[phone]"),
        ("5551234567!", "[phone]!"),
        ("٠١٢٣٤٥٦٧٨", "[phone]"),
        ("2024-06-14 555-0123-99", "2024-06-14 [phone]"),
        ("card 4111 1111 1111 1111, please", "card [card], please"),
        ("4111-1111-1111-1111", "[card]"),
        ("4111111111111111", "[card]"),
    ],
)
def test_addresses_and_numbers_go(text: str, left: str) -> None:
    assert Redaction().text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "It is 2024-06-14 14:30", "at 14.06.2024", "12/11/2026, 08:15", "from 1914-1918",
        "1 000 000 crowns", "2.6 million", "1000000", "from 08:15-09:30", "3-4 boats", "@karl",
        "2024-06-14T14:30:00", "chapters 1-9", "number 4711", "a @ b",
    ],
)  # fmt: skip
def test_dates_hours_and_sums_stay(text: str) -> None:
    redaction = Redaction()
    assert redaction.text(text) == text
    assert not redaction.counts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Anna Schmidt's boat", "Oda Falk's boat"),
        ("ANNA  SCHMIDT, again", "Oda Falk, again"),
        ("anna_schmidt", "Oda Falk"),
        ("Herr Schmidt", "Herr [name]"),
        ("Schmidtberg and Goldschmidt", "Schmidtberg and Goldschmidt"),
        ("昨天王小明来了", "昨天[name]来了"),
        ("Anna alone", "Anna alone"),
    ],
)
def test_names_go_as_whole_words(text: str, left: str) -> None:
    assert Redaction(NAMES).text(text) == left


def test_a_name_is_found_however_its_marks_are_coded() -> None:
    redaction = Redaction((("Ren\u00e9e", "[name]"),))
    assert redaction.text("Rene\u0301e rows") == "[name] rows"


def test_ids_keep_their_digits() -> None:
    id = "9e1622f9-0bd8-5824-9216-000012345678"
    assert Redaction(NAMES).id(id) == id


def test_what_was_found_is_counted() -> None:
    redaction = Redaction(NAMES)
    redaction.text("Schmidt, a@b.de, 555-0123, 4111111111111111, Anna Schmidt")
    assert redaction.counts == {"mail": 1, "phone": 1, "card": 1, "name": 2}


@given(st.text(st.sampled_from("a1 0-+().@:/Anna Schmidt,"), max_size=80))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    redaction = Redaction((("Schmidt", "[name]"),))
    once = redaction.text(text)
    assert redaction.text(once) == once


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_listed_name_is_left(before: str, after: str) -> None:
    text = Redaction((("Zebedeus", "[name]"),)).text(f"{before} Zebedeus {after}")
    assert not any(word == "zebedeus" for word in text.casefold().split())


def test_a_long_text_takes_no_time() -> None:
    for text in (
        "a" * 200_000,
        "1 " * 100_000 + "a",
        "1" * 200_000 + "a",
        "a.%" * 70_000,
        "2024-06-14 " * 20_000,
        "9.9.1999 12 " * 20_000,
    ):
        Redaction().text(text)


def test_a_list_of_names_is_read(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\ufeff# players\nAnna Schmidt = Oda Falk\n\n李\nBo\n", encoding="utf-8")
    assert read_names(file) == (("Anna Schmidt", "Oda Falk"), ("李", "[name]"), ("Bo", "[name]"))
    assert MARKS[-1] == "[name]"


@pytest.mark.parametrize("row", ["A", "--", "= Oda", "Anna =", "B = Oda"])
def test_a_list_that_is_wrong_is_told_with_its_line(row: str) -> None:
    with pytest.raises(ContentError, match=r"names.txt: line 2: found .*; expected"):
        names_of(["Anna", row], "names.txt")


@pytest.mark.parametrize("data", [None, b"\xff\xfe\xff"])
def test_a_list_that_cannot_be_read_is_told(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "names.txt"
    if data:
        file.write_bytes(data)
    with pytest.raises(RunError, match=r"names.txt cannot be read"):
        read_names(file)
