"""What the four fields alone tell of a character."""

from __future__ import annotations

import pytest

from daydream_motives.errors import SheetError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.told import from_fields


def fields(name: str = "Ada Holm", *told: str) -> dict[str, str]:
    return dict(zip(FIELDS, (name, *told, *[""] * (3 - len(told))), strict=True))


def test_names_are_found_but_not_the_character_itself() -> None:
    sheet, context = from_fields(fields("Ada Holm", "Ada is old.", "Bo Lind is at Pier 7.", "She."))
    assert sheet.short_name == "Ada"
    assert [entity.name for entity in context.entities] == ["Bo Lind", "Pier"]
    assert context.fields["Context"] == "Bo Lind is at Pier 7."


@pytest.mark.parametrize(
    ("description", "subject"),
    [
        ("Ada is old. She is proud. He is not.", "she"),
        ("Ada is old. He is proud.", "he"),
        ("Ada is old. Sheila likes him, and she knows.", "they"),
        ("Ada is old. They are proud.", "they"),
        ("", "they"),
    ],
)
def test_pronouns_are_those_of_the_description(description: str, subject: str) -> None:
    assert from_fields(fields("Ada", description, "He is here."))[0].subject == subject


@pytest.mark.parametrize("name", ["", " ", "A" * 500])
def test_a_name_that_is_none_is_told_with_its_place(name: str) -> None:
    with pytest.raises(SheetError, match="line 3"):
        from_fields(fields(name), "line 3")
