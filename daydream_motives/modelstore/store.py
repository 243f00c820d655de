"""The models on this machine: pull, list, look up, verify. Knows nothing of characters.

A model lives in DAYDREAM_HOME/models/NAME: `shipped.gguf` as it was fetched, the file chosen on
pull, and `manifest.json`, written last: a folder without one is not a model.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import exists, write_atomic
from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.openai.address import is_address, read_address
from daydream_motives.errors import (
    ModelCorrupt,
    ModelMissing,
    ModelUnknown,
    StoreError,
)
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.modelstore.download import Progress, fetch, forget, sha256_of
from daydream_motives.modelstore.promotion import is_tuned, promoted, style_beside
from daydream_motives.modelstore.quantise import CHOSEN, Measured, choose, compare, judged
from daydream_motives.modelstore.tuned import keep_card, make
from daydream_motives.settings import default_model, home

MANIFEST_VERSION = 1
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that is ready: its file, the file's hash, and what was measured on pull."""

    name: str
    path: Path
    sha256: str
    manifest: dict[str, Any]


class ModelStore:
    """Models under `folder` (default: DAYDREAM_HOME/models)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or home() / "models"
        self.catalogue = Catalogue.load()

    def installed(self, name: str) -> Installed:
        """The model `name`, ready to be opened.

        Raises ModelMissing where it was not pulled, ModelCorrupt where its file was cut since (its
        size is looked at here; `verify` reads every byte).
        """
        folder = self.folder / name
        pull = f"daydream models pull {name}"
        again = f"{pull} --force"
        if name not in self.catalogue.models:
            pull = again = "python -m daydream_motives.training rollback, or promote it again"
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            path = folder / manifest["file"]
            size, digest = manifest["size"], manifest["sha256"]
            manifest["format"] = next(
                row["format"] for row in manifest["measured"] if row["verdict"] == CHOSEN
            )
        except FileNotFoundError:
            raise ModelMissing(f"the model {name} is not on this machine", remedy=pull) from None
        except (ValueError, KeyError, TypeError, StopIteration, OSError) as exc:
            raise ModelCorrupt(f"{folder / 'manifest.json'} is damaged", remedy=again) from exc
        if not path.is_file() or path.stat().st_size != size:
            there = path.stat().st_size if path.is_file() else 0
            raise ModelCorrupt(f"{path} has {there} bytes instead of {size}", remedy=again)
        return Installed(name, path, digest, manifest)

    def verify(self, name: str) -> Installed:
        """`installed`, with every byte of the file checked against its SHA-256."""
        model = self.installed(name)
        if (digest := sha256_of(model.path)) != model.sha256:
            raise ModelCorrupt(
                f"{model.path} has SHA-256 {digest}, not {model.sha256}",
                remedy=f"daydream models pull {name} --force",
            )
        return model

    def default(self) -> str:
        """The model that is asked where none is named: the user's own, else the promoted one, else
        the catalogue's."""
        return default_model() or promoted(self.folder) or self.catalogue.default

    def is_tuned(self, name: str) -> bool:
        """Whether it was trained and promoted here, and is in no catalogue."""
        plain = name == Path(name).name and name not in self.catalogue.models
        return plain and is_tuned(self.folder / name)

    def tuned(self) -> list[Installed]:
        """Models that were trained and promoted here, by name; damaged ones are left out."""
        found = []
        with suppress(OSError):
            for folder in sorted(self.folder.iterdir()):
                if self.is_tuned(folder.name) and not folder.name.startswith("."):
                    with suppress(StoreError):
                        found.append(self.installed(folder.name))
        return found

    def spec(self, model: str | None = None) -> tuple[str, BackendSpec]:
        """Backend and its settings for a catalogue name, a GGUF path, a server's URL, or the
        default model.

        The file's hash is checked once per change of the file. Raises StoreError, and
        SettingsError for a URL that is none.
        """
        name = model or self.default()
        if name == "scripted":
            return "scripted", BackendSpec("scripted")
        if is_address(name):
            address = read_address(name)
            style = self.catalogue.style("guided")
            return "remote", BackendSpec(address.model, style=style, url=address.base)
        if name in self.catalogue.models:
            entry = self.catalogue.models[name]
            found = self._checked(name)
            return "llama", BackendSpec(
                name, found.path, found.sha256,
                style=self.catalogue.style(entry.style), temperature=entry.temperature,
            )  # fmt: skip
        if self.is_tuned(name):
            found = self._checked(name)
            return "llama", BackendSpec(
                name, found.path, found.sha256,
                style=self.catalogue.style(str(found.manifest["style"])),
                temperature=float(found.manifest["temperature"]),
            )  # fmt: skip
        path = Path(name).expanduser()
        if path.suffix.lower() != ".gguf":
            self.catalogue.entry(name)
        if not (exists(path) and path.is_file()):
            raise ModelUnknown(
                f"no model file at {path}", remedy="give a catalogue name or an existing GGUF file"
            )
        spec = BackendSpec(path.stem, path, sha256_of(path), style=self.catalogue.style("guided"))
        if told := style_beside(path):
            spec = replace(spec, style=self.catalogue.style(told[0]), temperature=told[1])
        return "llama", spec

    def _checked(self, name: str) -> Installed:
        """Verify the bytes when the file is not the one last verified (by its size and time)."""
        model = self.installed(name)
        stat = model.path.stat()
        stamp = f"{stat.st_size} {stat.st_mtime_ns} {model.sha256}"
        seen = model.path.with_suffix(".verified")
        if not seen.is_file() or seen.read_bytes() != stamp.encode():
            self.verify(name)
            with suppress(OSError):  # a read-only store is verified every time
                write_atomic(seen, stamp)
        return model

    def pull(
        self,
        name: str,
        *,
        force: bool = False,
        progress: Progress = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Installed:
        """Fetch, check, requantise and put a model in place; does nothing where it is whole.

        Raises StoreError and its kin; what was there before stays until the new one is ready.
        """
        entry = self.catalogue.entry(name)
        if not force:
            try:
                found = self.verify(name)
            except (ModelMissing, ModelCorrupt):
                pass
            else:
                if not entry.adapter or found.manifest.get("adapter") == entry.adapter.model_dump():
                    return found
        folder, cache = self.folder / name, home() / "downloads"
        fresh = self.folder / f".{name}.{os.getpid()}"  # two pulls at once do not meet
        with _explained(self.folder):
            for left in self.folder.glob(f".{name}.*"):  # by a pull that was killed
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            try:
                shipped = folder / "shipped.gguf"
                if entry.adapter:
                    make(
                        self.catalogue, entry.adapter, self.folder, fresh / "shipped.gguf", cache,
                        progress, say,
                    )  # fmt: skip
                    keep_card(entry, fresh)
                elif entry.sha256 and shipped.is_file() and sha256_of(shipped) == entry.sha256:
                    shutil.copyfile(shipped, fresh / "shipped.gguf")
                else:
                    fetch(entry, fresh / "shipped.gguf", cache, progress)
                best, table = choose(
                    fresh / "shipped.gguf", entry.formats, self.catalogue.limits, say=say
                )
                manifest = {
                    "schema_version": MANIFEST_VERSION,
                    "name": name,
                    "title": entry.title,
                    "licence": entry.licence,
                    "file": best.name,
                    "size": best.stat().st_size,
                    "sha256": sha256_of(best),
                    "shipped_sha256": entry.sha256 or sha256_of(fresh / "shipped.gguf"),
                    "limits": self.catalogue.limits.model_dump(),
                    "measured": [row.as_data() for row in table],
                }
                if entry.adapter:
                    manifest["adapter"] = entry.adapter.model_dump()
                write_atomic(fresh / "manifest.json", json.dumps(manifest, indent=2) + "\n")
                old = self.folder / f".{name}.old"
                shutil.rmtree(old, ignore_errors=True)
                if folder.exists():
                    folder.rename(old)
                try:
                    fresh.rename(folder)
                except OSError:
                    if old.exists():
                        old.rename(folder)
                    raise
                shutil.rmtree(old, ignore_errors=True)
                forget(entry, cache)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return self.installed(name)

    def compare(
        self, name: str, formats: Sequence[str] = (), *, say: Callable[[str], None] = lambda _: None
    ) -> list[Measured]:
        """Measure an installed model in `formats` (default: all of its entry), and change nothing.

        Raises ModelMissing where it was not pulled, StoreError where llama.cpp does not know one.
        """
        entry, limits = self.catalogue.entry(name), self.catalogue.limits
        shipped = self.installed(name).path.with_name("shipped.gguf")
        table = []
        with (
            _explained(self.folder),
            tempfile.TemporaryDirectory(dir=self.folder, prefix=f".{name}.") as folder,
        ):
            for path, row in compare(
                shipped, formats or (*entry.formats, *entry.compared), limits, Path(folder),
                say=say, time_all=True,
            ):  # fmt: skip
                table.append(row)
                if path != shipped:
                    path.unlink()
        return judged(table, limits)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the operating system says into errors with a remedy."""
    try:
        yield
    except OSError as exc:
        remedy = "set DAYDREAM_HOME to a folder you may write, with room for the model"
        raise StoreError(
            f"cannot write under {folder}: {exc.strerror or exc}", remedy=remedy
        ) from exc
