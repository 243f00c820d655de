"""A context from the four fields alone, where nothing is known of the world they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from daydream_motives.characters.sheet import CharacterSheet, clean_text, slug
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.names import STARTERS
from daydream_motives.motives.situation import Entity

_NAME = re.compile(r"[^\W\d_a-z][\w'’\-]*(?: [^\W\d_a-z][\w'’\-]*){0,3}")
_LONGEST = 120
_PRONOUN = re.compile(r"(?<![\w'’])(?:She|He)(?!\w)")
_PRONOUNS = {"She": "she/her", "He": "he/him"}


def from_fields(
    fields: Mapping[str, str], source: str = "the fields"
) -> tuple[CharacterSheet, MotiveContext]:
    """A sheet of name and pronouns alone, and the context.

    Pronouns are those that the description begins a sentence with; what is capitalised in the rest
    is taken for a name. Raises SheetError, telling `source`, for a name that is none.
    """
    name, description, context, background = (clean_text(fields[field]) for field in FIELDS)
    spoken = _PRONOUN.search(description)
    known = {"pronouns": _PRONOUNS[spoken.group()]} if spoken else {}
    sheet = CharacterSheet.from_data({"name": name, **known}, source=source)
    told = "\n".join((description, context, background))
    entities = {
        slug(found): Entity(id=slug(found), name=found)
        for found in _NAME.findall(told)
        if len(found) <= _LONGEST
        and found not in STARTERS
        and found.split(" ")[0] not in name.split(" ")
    }
    return sheet, MotiveContext(
        sheet.name, description, context, background, entities=tuple(entities.values())
    )
