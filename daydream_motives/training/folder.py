"""What a stage leaves behind: files, and a manifest, written last, that says they are whole.

Knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import parse_json, write_atomic
from daydream_motives.errors import RunError

MANIFEST = "manifest.json"
_BUILD = "data build"  # which writes no stage
_BEGUN = ".unfinished"  # stands while a stage writes, and says which and what


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON Lines."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def pretty(data: Mapping[str, Any]) -> str:
    """Data for people to read."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def described(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What a manifest says of each file."""
    return {
        name: {
            "sha256": sha256(text.encode()),
            "bytes": len(text.encode()),
            "records": text.count("\n"),
        }
        for name, text in files.items()
    }


def write_whole(
    target: Path, files: Mapping[str, str], manifest: Mapping[str, Any], *, ours: bool = False
) -> None:
    """Write every file and then the manifest; files that an older manifest names are removed.

    `ours` says that the folder is known to be the stage's own. Raises RunError as `claim` does, and
    for a bad disk.
    """
    try:
        stage = manifest.get("stage", _BUILD)
        old = claim(target, stage, () if ours else files)
        begin(target, stage, old | files.keys())
        for name, text in files.items():
            write_atomic(target / name, text)
        for name in old - files.keys():
            (target / name).unlink(missing_ok=True)
        end(target, manifest)
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}",
            remedy="free some space or choose another folder with -o; it is not complete as it is",
        ) from exc


def claim(target: Path, stage: str, names: Iterable[str]) -> set[str]:
    """The files that the stage left in a folder, which it may write `names` into.

    Raises RunError for a folder that another stage has filled or begun to, for one whose manifest
    is damaged or not to be read, and for a file in the way that no stage wrote.
    """
    old: set[str] = set()
    try:
        for file in (MANIFEST, _BEGUN):
            if not (target / file).exists():
                continue
            told = read_manifest(target, file)
            if (other := told.get("stage", _BUILD)) != stage:
                raise RunError(
                    f"{target} holds what another stage wrote ({other})",
                    remedy="choose another folder with -o",
                )
            old |= told["files"].keys()
        foreign = [name for name in names if name not in old and (target / name).exists()]
    except OSError as exc:
        raise RunError(
            f"{target} cannot be read: {exc.strerror or exc}",
            remedy="choose another folder with -o",
        ) from exc
    if foreign:
        raise RunError(
            f"{target / foreign[0]} is in the way: it is there already, and no {stage} wrote it",
            remedy="choose another folder with -o, or move that file",
        )
    return old


def begin(target: Path, stage: str, names: Iterable[str]) -> None:
    """From here to `end` the folder is not whole, and what it may hold is written in it."""
    target.mkdir(parents=True, exist_ok=True)
    files = {name: {"sha256": ""} for name in sorted(names)}
    write_atomic(target / _BEGUN, pretty({"stage": stage, "files": files}))
    (target / MANIFEST).unlink(missing_ok=True)
    for name in (*files, MANIFEST, _BEGUN):
        for left in target.glob(f".{escape(name)}.*.part"):  # of a process that was killed
            left.unlink(missing_ok=True)


def end(target: Path, manifest: Mapping[str, Any]) -> None:
    """All is written: the manifest says so."""
    write_atomic(target / MANIFEST, pretty(manifest))
    (target / _BEGUN).unlink(missing_ok=True)


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of a folder; raises RunError where there is none or it is damaged."""
    file = folder / name
    if not file.exists():
        found = "is not complete: it has no manifest" if folder.is_dir() else "does not exist"
        raise RunError(f"{folder} {found}", remedy="make it with `data build`, harvest or curate")
    try:
        manifest = parse_json(file.read_text(encoding="utf-8"))
        names = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        if any(Path(name).name != name for name in names):
            raise ValueError("it names files elsewhere")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RunError(
            f"{file} is damaged, or no stage wrote it: {exc}",
            remedy=f"choose another folder, or remove {file} and what its stage wrote beside it, "
            "and run that stage again",
        ) from exc
    return dict(manifest)


def read_whole(folder: Path, stage: str, newest: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest and every file it names, each as it was written.

    Raises RunError where one is missing or altered, where another stage wrote them, and where the
    schema is newer than `newest`.
    """
    manifest = read_manifest(folder)
    if manifest.get("stage", "dataset") != stage:
        found = f"what `{manifest['stage']}` wrote" if "stage" in manifest else "a dataset"
        raise RunError(f"{folder} holds {found}, not a {stage}", remedy=f"give a {stage}'s folder")
    version = manifest.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= newest:
        raise RunError(
            f"{folder} has schema {version}; this version knows {newest}",
            remedy="upgrade daydream-motives",
        )
    files = {}
    for name, entry in manifest["files"].items():
        try:
            data = (folder / name).read_bytes()
        except OSError as exc:
            raise RunError(
                f"{folder / name} cannot be read: {exc.strerror or exc}",
                remedy="run the stage that writes it again",
            ) from exc
        if sha256(data) != entry["sha256"]:
            raise RunError(
                f"{folder / name} is not as it was written: its SHA-256 differs",
                remedy="run the stage that writes it again; a dataset is changed at its source",
            )
        files[name] = data.decode("utf-8", "replace")
    return manifest, files
