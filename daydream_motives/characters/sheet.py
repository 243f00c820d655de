"""What is fixed about a character. Knows nothing of live state, models or runs.

A sheet is written by hand or by a tool, so it is strict: unknown keys are refused, and whatever
came from a foreign format lives under `extensions`, untouched.
"""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from daydream_motives.characters.files import (
    dump_yaml,
    read_document,
    shown,
    validated,
    write_atomic,
)
from daydream_motives.errors import Problem, SheetError

SCHEMA_VERSION = 1
ADULT_AGE = 18
_MAX_DEPTH = 64  # of extensions: deeper data cannot be written as YAML
MBTI_TYPES = frozenset(a + b + c + d for a in "IE" for b in "NS" for c in "TF" for d in "JP")
_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


def clean_text(value: Any) -> Any:
    """One line of text: control characters gone, white space collapsed; other types untouched."""
    if not isinstance(value, str):
        return value
    # Lone surrogates cannot be encoded, so they would break the tokenizer, the journal and saves.
    kept = "".join(
        " " if char.isspace() else char
        for char in value
        if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs")
    )
    return " ".join(unicodedata.normalize("NFC", kept).split())


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if text.encode() and _depth(value) > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    except (ValueError, TypeError, RecursionError) as exc:
        raise ValueError(f"plain data that can be saved ({exc})") from None
    return value


Extensions = Annotated[
    dict[str, Any], AfterValidator(_storable), Field(description="foreign data, kept, never read")
]
Text = Annotated[str, BeforeValidator(clean_text)]
Name = Annotated[str, BeforeValidator(clean_text), Field(min_length=1, max_length=120)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ClockTime = Annotated[str, Field(pattern=_CLOCK, description="HH:MM, 24 hours")]
_ID_LENGTH = 120
Identifier = Annotated[str, Field(pattern=r"^[\w][\w.\-]*$", max_length=_ID_LENGTH)]


class Strict(BaseModel):
    """Frozen, and deaf to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BigFive(Strict):
    """The five-factor model, each in [0, 1]; 0.5 is the population's middle."""

    openness: Fraction = 0.5
    conscientiousness: Fraction = 0.5
    extraversion: Fraction = 0.5
    agreeableness: Fraction = 0.5
    neuroticism: Fraction = 0.5


class Personality(Strict):
    """MBTI, Big Five, either or both."""

    mbti: str | None = None
    big_five: BigFive | None = None

    @field_validator("mbti", mode="before")
    @classmethod
    def _known_type(cls, value: Any) -> Any:
        if value is None:
            return None
        upper = value.strip().upper() if isinstance(value, str) else value
        if not isinstance(upper, str) or upper not in MBTI_TYPES:
            raise ValueError("one of the 16 MBTI types, such as INFP or ESTJ")
        return upper


class Need(Strict):
    """One need: 1 is satisfied, 0 is desperate."""

    decay: Annotated[float, Field(ge=0, le=10, description="lost per in-world hour")] = 0.05
    line: Annotated[Fraction, Field(description="below this the need presses")] = 0.3
    level: Annotated[Fraction, Field(description="at the start")] = 0.8


DEFAULT_NEEDS: dict[str, Need] = {
    "food": Need(decay=0.09, line=0.35, level=0.7),
    "rest": Need(decay=0.05, line=0.25, level=0.9),
    "company": Need(decay=0.06, line=0.3, level=0.7),
    "fun": Need(decay=0.05, line=0.25, level=0.7),
}


class RoutineEntry(Strict):
    """What the character does at a time of day unless something else matters more."""

    at: ClockTime
    activity: Text
    place: Text | None = None


class CharacterSheet(Strict):
    """Everything fixed about one character; text may be in any language and of any length."""

    name: Name
    aliases: tuple[Name, ...] = ()
    pronouns: Annotated[
        str | None, Field(description="she/her, he/him, they/them, it/its, or others like xe/xem")
    ] = None
    sex: Literal["female", "male", "intersex"] | None = None
    age: Annotated[int | None, Field(ge=0, le=100_000, strict=True, description="years")] = None
    occupation: Text = ""
    appearance: Annotated[Text, Field(description="what anyone can see")] = ""
    description: Text = ""
    traits: tuple[Text, ...] = ()
    personality: Personality = Personality()
    values: tuple[Text, ...] = ()
    wants: tuple[Text, ...] = ()
    fears: tuple[Text, ...] = ()
    secrets: Annotated[tuple[Text, ...], Field(description="known to this character alone")] = ()
    skills: tuple[Text, ...] = ()
    habits: tuple[Text, ...] = ()
    routine: tuple[RoutineEntry, ...] = ()
    speech: Annotated[Text, Field(description="how the character talks")] = ""
    factions: Annotated[
        tuple[Identifier, ...], Field(description="groups the character belongs to")
    ] = ()
    home: Annotated[Text | None, Field(description="a place's id in the world")] = None
    needs: dict[Identifier, Need] = Field(default_factory=lambda: dict(DEFAULT_NEEDS))
    extensions: Extensions = Field(default_factory=dict)

    @field_validator("pronouns", mode="before")
    @classmethod
    def _pronoun_pair(cls, value: Any) -> Any:
        if value is None:
            return None
        text = clean_text(value).lower() if isinstance(value, str) else value
        if not isinstance(text, str) or not re.fullmatch(r"[^\W\d_]+(/[^\W\d_]+){1,2}", text):
            raise ValueError("pronouns such as she/her, he/him, they/them or it/its")
        return text

    @field_validator("routine")
    @classmethod
    def _in_order(cls, value: tuple[RoutineEntry, ...]) -> tuple[RoutineEntry, ...]:
        return tuple(sorted(value, key=lambda entry: entry.at))

    def routine_at(self, time: datetime | None) -> RoutineEntry | None:
        """What the routine says for the hour of `time`, or at the day's end where none is known."""
        clock = f"{time:%H:%M}" if time else None
        past = [entry for entry in self.routine if clock is None or entry.at <= clock]
        return past[-1] if past else self.routine[-1] if self.routine else None

    @property
    def short_name(self) -> str:
        """What people call the character: the name's first word, or all of it after a title."""
        return "".join(first_name(self.name)) or self.name

    @property
    def is_minor(self) -> bool:
        """Whether the character counts as a minor; see `is_minor`."""
        return is_minor(self.age)

    @property
    def subject(self) -> str:
        """The pronoun that stands for the character as a subject: she, he, they, it …"""
        if self.pronouns:
            return self.pronouns.split("/")[0]
        return {"female": "she", "male": "he"}.get(self.sex or "", "they")

    @classmethod
    def from_data(cls, data: Any, *, source: str = "sheet", prefix: str = "") -> CharacterSheet:
        """A sheet from parsed YAML or JSON; raises SheetError naming each path under `prefix`."""
        if not isinstance(data, dict):
            kind = "nothing" if data is None else type(data).__name__
            raise SheetError([Problem(source, prefix, kind, "a mapping with at least 'name'")])
        if "schema_version" in data:
            data = dict(data)
            version = data.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise SheetError(
                    [
                        Problem(
                            source,
                            f"{prefix}.schema_version".lstrip("."),
                            shown(version),
                            f"{SCHEMA_VERSION}",
                        )
                    ],
                    remedy="upgrade daydream-motives to read sheets of a newer version",
                )
        return validated(cls, data, source, SheetError, prefix)

    @classmethod
    def load(cls, path: str | Path) -> CharacterSheet:
        """Read one sheet from a .yaml, .yml or .json file; raises SheetError."""
        file = Path(path)
        return cls.from_data(read_document(file, SheetError), source=str(file))

    def to_data(self) -> dict[str, Any]:
        """Plain data that `from_data` reads back to an equal sheet; defaults are left out."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        return {"schema_version": SCHEMA_VERSION, "name": self.name, **data}

    def save(self, path: str | Path) -> None:
        """Write YAML, or JSON where the name ends in .json; atomic."""
        file = Path(path)
        if file.suffix.lower() == ".json":
            write_atomic(file, json.dumps(self.to_data(), ensure_ascii=False, indent=2) + "\n")
        else:
            write_atomic(file, dump_yaml(self.to_data()))


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, items), default=0)


def is_minor(age: int | None) -> bool:
    """True under 18 years, and where no age is given: what is not known is not assumed."""
    return age is None or age < ADULT_AGE


def sheet_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a sheet file, for editors and other languages."""
    schema = CharacterSheet.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return schema


_TITLES = frozenset(
    """the a an old young mr mrs ms miss dr prof sir lady lord captain king queen prince princess
    father mother sister brother saint st don dona uncle aunt""".split()
)


def first_name(name: str) -> tuple[str, ...]:
    """The first word of a name, if it is a name: not an article or a title."""
    first = name.split(" ")[0].rstrip(",;:") or name
    return () if first.casefold().rstrip(".") in _TITLES else (first,)


def slug(name: str) -> str:
    """An identifier from a name: lower case, words joined by '_', any script; never empty."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).lower())
    kept = ("".join(c for c in word if c.isalpha() or c.isdecimal()) for word in words)
    return "_".join(word for word in kept if word)[:_ID_LENGTH].rstrip("_") or "someone"
