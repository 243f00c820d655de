"""The folder of a retraining: what it is of, what was decided on the way, and who works in it.

`state.json` is written first and says what is made of what: with anything else the folder is not
gone on with. Each stage has a sub-folder of its own, whole by its own manifest.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from daydream_motives.characters.files import parse_json, write_atomic
from daydream_motives.errors import RunError
from daydream_motives.training.base import find_file
from daydream_motives.training.curate.shipped import hash_of
from daydream_motives.training.folder import MANIFEST, pretty, read_manifest, sha256
from daydream_motives.training.recipe import Recipe

STATE, REPORT = "state.json", "report.html"
SCHEMA_VERSION = 1
FOLDERS = (
    "harvest", "dataset", "preflight", "tuned", "preferred", "exported", "compared", "promotion",
)  # fmt: skip
_LOCK = ".lock"
_FRESH = "choose another folder with -o, or begin again with --fresh"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, of `base` (a catalogue's name or a GGUF file) and of the dataset `data`.

    With `prefers` it learns from pairs, too; without `meaning` no embeddings are made. `names` is a
    file of names to take out of journals, `earlier` a retraining, or a dataset, whose held-out
    characters stay held out. `game_version` and `world` are for journals that do not say them.
    """

    called: str
    recipe: Recipe
    base: str
    data: Path
    journals: tuple[Path, ...] = ()
    names: Path | None = None
    earlier: Path | None = None
    format: str = ""
    prefers: bool = False
    meaning: bool = True
    game_version: str = ""
    world: str = ""

    def inputs(self) -> dict[str, Any]:
        """All that decides what comes out, by hash; journals by where they are, as they grow.

        Raises DaydreamError for a base or a dataset that is not there.
        """
        told = self.recipe.model_dump(mode="json")
        for key in ("checkpoint_minutes", "gpu_memory", "compile"):  # the same is learnt
            told["train"].pop(key)
        kept = {key: told[key] for key in ("lora", "train", "preference")}
        return {
            "recipe": sha256(json.dumps(kept, sort_keys=True).encode()),
            "base": find_file(self.base)[2],
            "shipped data": hash_of(read_manifest(self.data)["files"]),
            "journals": sorted(str(path.resolve()) for path in self.journals),
            "names": _hash_of_file(self.names) if self.names else None,
            "format": self.format,
            "preference": self.prefers,
            "embeddings": self.meaning,
            "game version": self.game_version or None,
            "world": self.world or None,
        }


def _hash_of_file(path: Path) -> str:
    try:
        return sha256(path.read_bytes())
    except OSError as exc:
        raise RunError(
            f"{path} cannot be read: {exc.strerror or exc}", remedy="give a file of names"
        ) from exc


class Work:
    """One retraining's folder and state; `state` is on disk as it is here."""

    def __init__(self, folder: Path, state: dict[str, Any]) -> None:
        self.folder, self.state = folder, state

    def keep(self, **decided: Any) -> None:
        """Write down what was decided, before it is acted on; raises RunError for a bad disk."""
        self.state |= decided
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / STATE, pretty(self.state))
        except OSError as exc:
            raise RunError(
                f"cannot write {self.folder}: {exc.strerror or exc}",
                remedy="free some space or choose another folder with -o",
            ) from exc

    @property
    def earlier(self) -> Path | None:
        """The dataset whose frozen questions stay."""
        return Path(self.state["earlier"]) if self.state["earlier"] else None


def choose_folder(root: Path, order: Order, inputs: Mapping[str, Any]) -> Path:
    """Where to work by default: the last of `<recipe>-<n>` if it is this and unfinished, else the
    next."""
    found = {0: root}
    pattern = re.compile(rf"{re.escape(order.called)}-(\d+)")
    for path in root.glob(f"{escape(order.called)}-*"):
        if match := pattern.fullmatch(path.name):
            found[int(match[1])] = path
    last = max(found)
    try:
        state = read_state(found[last]) if last else None
    except RunError:  # damaged: nothing to go on with
        state = None
    if state and not state["finished"] and not differing(state, order, inputs):
        return found[last]
    return root / f"{order.called}-{last + 1}"


@contextmanager
def opened(folder: Path, order: Order, inputs: Mapping[str, Any], *, fresh: bool) -> Iterator[Work]:
    """The work in `folder`, begun or gone on with, by nobody else at the same time.

    Raises RunError where it holds something else, or another's inputs.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"another retraining is at work in {folder}", remedy="wait for it, or give another -o"
        ) from None
    except OSError as exc:
        raise RunError(
            f"cannot write {folder}: {exc.strerror or exc}", remedy="choose another folder with -o"
        ) from exc
    try:
        yield _begun(folder, order, inputs, fresh=fresh)
    finally:
        lock.release()


def _begun(folder: Path, order: Order, inputs: Mapping[str, Any], *, fresh: bool) -> Work:
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    if others and STATE not in others:
        raise RunError(f"{folder} is not empty", remedy="choose another folder with -o")
    if fresh:
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / REPORT).unlink(missing_ok=True)
        (folder / STATE).unlink(missing_ok=True)
    if (state := read_state(folder)) is not None:
        if odd := differing(state, order, inputs):
            raise RunError(f"{folder} is of another {', '.join(odd)}", remedy=_FRESH)
        return Work(folder, state)
    earlier = _dataset_of(order.earlier) if order.earlier else _before(folder)
    work = Work(folder, {
        "schema_version": SCHEMA_VERSION, "stage": "retrain",
        "name": folder.resolve().name, "recipe": order.called,
        "begun": time.time(), "inputs": dict(inputs), "finished": False,
        "earlier": str(earlier) if earlier else None,
    })  # fmt: skip
    work.keep()
    return work


def read_state(folder: Path) -> dict[str, Any] | None:
    """What a folder says of itself; None where it is no retraining's. Raises RunError."""
    file = folder / STATE
    try:
        state = parse_json(file.read_text(encoding="utf-8"))
        version = state["schema_version"]
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema {version}, and this version knows {SCHEMA_VERSION}")
        _ = state["inputs"].keys(), state["begun"] + 0, state["earlier"], state["finished"]
        _ = state["name"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RunError(f"{file} is damaged: {exc}", remedy=_FRESH) from exc
    return dict(state)


def differing(state: Mapping[str, Any], order: Order, inputs: Mapping[str, Any]) -> list[str]:
    """Which inputs are others than they were; the earlier retraining may be gone by now."""
    odd = [key for key in inputs if state["inputs"].get(key) != inputs[key]]
    if (given := order.earlier) and state["earlier"] not in (
        str(given.resolve()), str((given / "dataset").resolve())
    ):  # fmt: skip
        odd.append("earlier")
    return odd


def _before(folder: Path) -> Path | None:
    """The dataset of the last retraining beside this one that curated one."""
    found: list[tuple[float, Path]] = []
    with suppress(OSError):  # beside it are others' folders, which may not be for us to read
        for path in folder.resolve().parent.iterdir():
            with suppress(OSError, RunError):
                if path == folder.resolve() or not (path / "dataset" / MANIFEST).is_file():
                    continue
                if state := read_state(path):
                    found.append((state["begun"], path / "dataset"))
    return max(found)[1] if found else None


def _dataset_of(folder: Path) -> Path:
    """The dataset of a retraining, or the one that the folder is."""
    inside = folder / "dataset"
    path = inside if (folder / STATE).is_file() else folder
    read_manifest(path)
    return path.resolve()
