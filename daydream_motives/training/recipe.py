"""A recipe: everything that decides how a model is trained, read from TOML. Trains nothing.

A key that is unknown or wrong is told with its file and line, all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from daydream_motives.characters.files import problems_of
from daydream_motives.characters.sheet import Strict
from daydream_motives.errors import SettingsError
from daydream_motives.settings import read_toml, shipped

SCHEMA_VERSION = 1
Method = Literal["lora", "qlora", "full", "frozen"]
_Share = Annotated[float, Field(ge=0, le=1)]
_Rate = Annotated[float, Field(gt=0, le=1)]
_Count = Annotated[int, Field(ge=1)]


class BaseSection(Strict):
    """What is tuned: a name of the catalogue, or the path of a GGUF file."""

    model: str


class Data(Strict):
    """What it learns from: a dataset's folder; the shipped one where none is given."""

    folder: str = ""


class Lora(Strict):
    """The adapter. Without `targets` every linear layer but the output head has one."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dora: bool = False
    targets: tuple[str, ...] = ()


class Train(Strict):
    """How it learns. Lengths are in tokens, of questions and answers, without filling.

    `method` auto is qlora on a GPU and lora elsewhere. A step learns from `batch_tokens`, in
    passes of `pass_tokens` at most (0: in one). Records above `max_tokens` are left out.
    `evaluate_every` steps (0: each epoch) the loss on the validation part is taken and the best
    weights kept; after `patience` evaluations without a better one it ends (0: never).
    `trained_layers` are the last ones, which `frozen` trains. `recompute` spends time to save the
    memory of activations. `compile` has torch compile the layers first: it takes a minute or two
    and a C++ compiler, and saves a third of the time from then on. `gpu_memory` bounds what
    preflight allows, in GiB (0: all there is).
    """

    method: Literal["auto", "lora", "qlora", "full", "frozen"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    layout: Literal["buckets", "packed"] = "buckets"
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    learning_rate: _Rate = 2e-4
    warmup: _Share = 0.05
    weight_decay: _Share = 0.0
    clip: Annotated[float, Field(gt=0)] = 1.0
    batch_tokens: _Count = 2048
    pass_tokens: Annotated[int, Field(ge=0)] = 0
    max_tokens: _Count = 1024
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=0)] = 0
    trained_layers: _Count = 4
    recompute: bool = False
    compile: bool = False
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 1.0
    gpu_memory: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def tokens_of_a_pass(self) -> int:
        return self.pass_tokens or self.batch_tokens

    @model_validator(mode="after")
    def _fits(self) -> Train:
        if self.tokens_of_a_pass > self.batch_tokens:
            raise ValueError("pass_tokens of at most batch_tokens")
        if self.max_tokens > self.tokens_of_a_pass:
            raise ValueError("max_tokens of at most a pass: a record is never cut in two")
        return self


class Preference(Strict):
    """How it learns from pairs of a chosen and a rejected answer; all else is as in [train].

    The larger `beta`, the closer it stays to what it was. `sft` is the weight of the chosen
    answer's own loss, per token: 1 as in Pang and others 2024 (arXiv:2404.19733). Without it DPO
    may win by making both answers less likely, and small models forget how to answer at all.
    """

    epochs: Annotated[int, Field(ge=1, le=100)] = 1
    learning_rate: _Rate = 5e-6
    beta: Annotated[float, Field(gt=0)] = 0.1
    sft: Annotated[float, Field(ge=0)] = 1.0


class Sampling(Strict):
    """How the game asks what was learnt, which wants another warmth than its base does."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0


# Not those of pairs: the search goes by the loss of `train`.
_TUNABLE = {"lora": Lora.model_fields, "train": Train.model_fields}


class Tune(Strict):
    """What is searched: `ranges` of keys like "train.learning_rate", each [least, most]."""

    trials: _Count = 20
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)

    @field_validator("ranges")
    @classmethod
    def _known(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for key, (least, most) in ranges.items():
            section, _, name = key.partition(".")
            field = _TUNABLE[section].get(name) if section in _TUNABLE else None
            if field is None or field.annotation not in (int, float) or name == "seed":
                raise ValueError(f"ranges of numbers of lora or train, not of {key!r}")
            if least >= most:
                raise ValueError(f"a range of {key} that begins below its end")
        return ranges


class Recipe(Strict):
    """The whole file."""

    schema_version: Literal[1]
    base: BaseSection
    data: Data = Data()
    lora: Lora = Lora()
    train: Train = Train()
    preference: Preference = Preference()
    sampling: Sampling = Sampling()
    tune: Tune = Tune()

    def changed(self, **train: Any) -> Recipe:
        """The same with other values under [train], None for those that stay.

        Raises SettingsError where they are wrong.
        """
        given = {key: value for key, value in train.items() if value is not None}
        return self.with_values({f"train.{key}": value for key, value in given.items()})

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The same with values by keys like "lora.rank"; raises SettingsError as `changed` does.

        A section that was not told stays so: `retrain` minds that of [preference].
        """
        data = self.model_dump(mode="json", exclude_unset=True)
        for key, value in values.items():
            section, _, name = key.partition(".")
            data.setdefault(section, {})[name] = value
        return _checked(data, "the recipe", "")


def default_folder() -> Path:
    """Where the recipes of the project are."""
    return shipped("training") / "recipes"


def find_recipe(name: str) -> Path:
    """A recipe's file by its path, or by its name among those of the project."""
    path = Path(name).expanduser()
    known = {file.stem: file for file in sorted(default_folder().glob("*.toml"))}
    if path.suffix.lower() == ".toml":
        return path
    if name not in known:
        raise SettingsError(
            f"no recipe named {name!r}",
            remedy=f"use one of {', '.join(known)}, or the path of a .toml file",
        )
    return known[name]


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file; raises SettingsError with everything that is wrong, by its line."""
    data = read_toml(path)
    return _checked(data, str(path), path.read_text(encoding="utf-8"))


def _checked(data: dict[str, Any], source: str, text: str) -> Recipe:
    try:
        return Recipe.model_validate(data)
    except ValidationError as exc:
        lines = []
        for problem in problems_of(exc, source):
            known = "a known key" if problem.found == "an unknown key" else problem.expected
            line = line_of(text, problem.path)
            place = f"{source}:{line}" if line else source
            lines.append(f"{place}: {problem.path}: found {problem.found}; expected {known}")
        raise SettingsError("\n".join(lines), remedy="mend the recipe") from None


def line_of(text: str, path: str) -> int:
    """The line on which a dotted path of a TOML text is set; that of its table where it is not
    found, and 0 where neither is."""
    section, table, best = "", 0, 0
    wanted = path.split(".")
    for number, row in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", row):
            section = re.sub(r"[\"'\s]", "", header[1])
            if section == path:
                return number
            table = number if section.split(".") == wanted[: section.count(".") + 1] else table
        elif key := re.match(r"\s*([\w\"'.-]+)\s*=", row):
            name = re.sub(r"[\"']", "", key[1])
            whole = f"{section}.{name}" if section else name
            if whole == path:
                return number
            if path.startswith(f"{whole}."):
                best = number
    return best or table
