"""Which model is this machine's default, and how another one takes its place. Knows no metrics.

`default.json` among the models says it: the one that serves, those that did before, and every
decision. It is replaced in one step, and last, so that at any moment one whole model is the
default. A model that was promoted stays until somebody deletes its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from daydream_motives.characters.files import parse_json, write_atomic
from daydream_motives.errors import ModelCorrupt, StoreError
from daydream_motives.modelstore.download import check_space, sha256_of

STATE, CARD = "default.json", "README.md"
SCHEMA_VERSION = 1
_NAME_LENGTH = 80
_SAME = ("sha256", "style", "temperature")  # a file asked otherwise is another model


@dataclass(frozen=True, slots=True)
class State:
    """What `default.json` holds: names of models, None for the catalogue's default."""

    current: str | None = None
    before: tuple[str | None, ...] = ()
    log: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)


def read_state(models: Path) -> State:
    """Raises ModelCorrupt where the file is damaged or of a newer version."""
    file = models / STATE
    try:
        data = parse_json(file.read_text(encoding="utf-8"))
        version, current, before = data["schema_version"], data["current"], data["before"]
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema {version}, and this version knows {SCHEMA_VERSION}")
        if not all(name is None or is_name(name) for name in (current, *before)):
            raise ValueError("a name that is none")
        return State(current, tuple(before), tuple(data["log"]))
    except (FileNotFoundError, NotADirectoryError):
        return State()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ModelCorrupt(
            f"{file} is damaged: {exc}",
            remedy=f"delete it, and the catalogue's default serves again: {file}",
        ) from exc


def promoted(models: Path) -> str | None:
    """The promoted model that serves; None for the catalogue's default."""
    return read_state(models).current


def is_tuned(folder: Path) -> bool:
    """Whether this model's folder was filled by a promotion."""
    try:
        manifest = parse_json((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("tuned") is not None


def style_beside(file: Path) -> tuple[str, float] | None:
    """Style and temperature that an export states of this file; None where nothing is stated."""
    try:
        manifest = parse_json(file.with_name("manifest.json").read_text(encoding="utf-8"))
        if manifest["stage"] == "export" and manifest["file"] == file.name:
            return str(manifest["style"]), float(manifest["temperature"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def promote(
    models: Path,
    export: Path,
    manifest: Mapping[str, Any],
    *,
    name: str,
    title: str,
    licence: str,
    why: str,
    card: str,
    expected: str | None,
) -> str:
    """Put an exported model among `models` and make it the default; returns its name.

    `manifest` is the export's. `expected` is the promoted model the decision was made against: an
    incumbent that changed since is an error. Doing it twice is doing it once. Raises StoreError.
    """
    if not is_name(name):
        raise StoreError(
            f"{name!r} cannot be a model's name",
            remedy="use letters, digits, dots and dashes, with a letter or a digit first",
        )
    try:
        models.mkdir(parents=True, exist_ok=True)
        with FileLock(models / f".{STATE}.lock"):
            state = read_state(models)
            if state.current == name and is_same(models / name, manifest):
                return name
            if state.current != expected:
                raise StoreError(
                    f"the default is now {_called(state.current)}, and it was judged against "
                    f"{_called(expected)}",
                    remedy="compare it with the new default, and promote again",
                )
            _install(models, export, manifest, name=name, title=title, licence=licence, card=card)
            before = (*state.before, state.current)
            _write(models, state, name, before, {"what": "promote", "why": why})
    except OSError as exc:
        raise _unwritable(models, exc) from exc
    return name


def rollback(models: Path, *, why: str = "") -> tuple[str | None, str | None]:
    """Make the model before the default again; returns what served and what serves now.

    Raises StoreError where nothing was promoted, and where the one before is gone.
    """
    try:
        with FileLock(models / f".{STATE}.lock"):
            state = read_state(models)
            if not state.before:
                raise StoreError(
                    "nothing was promoted here: the catalogue's default serves",
                    remedy="set DAYDREAM_MODEL to use another model",
                )
            *rest, previous = state.before
            if previous is not None and not is_tuned(models / previous):
                raise StoreError(
                    f"the model before, {previous}, is no longer among {models}",
                    remedy=f"put it back, or delete {models / STATE} to go back to the catalogue's",
                )
            _write(models, state, previous, tuple(rest), {"what": "rollback", "why": why})
    except OSError as exc:
        raise _unwritable(models, exc) from exc
    return state.current, previous


def _write(
    models: Path, state: State, name: str | None, before: Sequence[str | None], told: dict[str, str]
) -> None:
    entry = {"at": int(time.time()), "from": state.current, "to": name, **told}
    data = {
        "schema_version": SCHEMA_VERSION, "current": name, "before": list(before),
        "log": [*state.log, entry],
    }  # fmt: skip
    write_atomic(models / STATE, json.dumps(data, indent=2) + "\n")


def _install(
    models: Path, export: Path, manifest: Mapping[str, Any], *, name: str, title: str,
    licence: str, card: str,
) -> None:  # fmt: skip
    """The model's folder, whole or not at all; raises StoreError where another has its name."""
    folder, fresh = models / name, models / f".{name}.{os.getpid()}"
    if folder.exists():
        if not is_same(folder, manifest):
            raise StoreError(
                f"there is another model called {name}", remedy="give this one another --name"
            )
        return
    file = export / manifest["file"]
    check_space(models, 2 * int(manifest["size"]))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        shutil.copyfile(file, fresh / file.name)
        if sha256_of(fresh / file.name) != manifest["sha256"]:
            raise ModelCorrupt(f"{file} is not as it was exported", remedy="export it again")
        if (export / "adapter.gguf").is_file():
            shutil.copyfile(export / "adapter.gguf", fresh / "adapter.gguf")
        (fresh / CARD).write_text(card, encoding="utf-8")
        bounds = manifest["bounds"]
        told = {
            "schema_version": 1, "name": name, "title": title, "licence": licence,
            "file": file.name, "size": manifest["size"], "sha256": manifest["sha256"],
            "limits": {key: bounds[key] for key in ("max_kl", "min_top1")},
            "measured": manifest["measured"], "style": manifest["style"],
            "temperature": manifest["temperature"],
            "tuned": {key: manifest[key] for key in ("base", "method", "dataset", "plan")},
        }  # fmt: skip
        write_atomic(fresh / "manifest.json", json.dumps(told, indent=2) + "\n")
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def is_same(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very model, promoted before."""
    if not is_tuned(folder):
        return False
    found = parse_json((folder / "manifest.json").read_text(encoding="utf-8"))
    return all(found.get(key) == manifest[key] for key in _SAME)


def is_name(name: object) -> bool:
    """Whether it can be a folder's name on every system."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= _NAME_LENGTH
        and name[0].isalnum()
        and all(char.isascii() and (char.isalnum() or char in ".-_") for char in name)
        and not name.endswith(".")
    )


def _called(name: str | None) -> str:
    return name or "the catalogue's default"


def _unwritable(models: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"cannot write under {models}: {exc.strerror or exc}",
        remedy="set DAYDREAM_HOME to a folder you may write, with room for the model",
    )
