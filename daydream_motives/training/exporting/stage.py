"""The stage as a whole: merge, write GGUF, quantise, verify, and say so in a manifest and a card.

A file that is beyond the bounds is no export: no manifest is written then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import DaydreamError, Refused, RunError
from daydream_motives.modelstore.adapter import GGUF_NAME, PEFT_NAME, read_adapter, write_adapter
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.modelstore.download import check_space, sha256_of
from daydream_motives.modelstore.gguf_file import KINDS, open_gguf
from daydream_motives.modelstore.quantise import file_of
from daydream_motives.training.base import Base
from daydream_motives.training.exporting.gguf_model import (
    expected,
    patient_with_libraries,
    write_model,
)
from daydream_motives.training.exporting.verify import Bounds, as_markdown, check
from daydream_motives.training.folder import MANIFEST, begin, claim, end, read_manifest
from daydream_motives.training.recipe import Sampling

SCHEMA_VERSION, STAGE = 1, "export"
MERGED, CARD, REFUSED = "merged.gguf", "README.md", "refused.md"
DEFAULT_FORMATS = ("Q8_0", "Q4_0/Q8_0")


class OutOfBounds(Refused):
    """No file of the wished formats is near enough to the tuned model."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be exported: the number formats tried, how the whole file is stored, the bounds,
    and the temperature the model is asked with, else that of the recipe it was tuned by."""

    formats: Sequence[str] = ()
    kind: str = "F16"
    bounds: Bounds = field(default_factory=Bounds)
    temperature: float | None = None


def run_export(
    tuned: Path,
    base: Base,
    target: Path,
    wish: Wish,
    *,
    fresh: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export what was learnt in the folder `tuned`, or find it done; returns the manifest.

    Raises OutOfBounds where no file is within the bounds, RunError where the folder holds something
    else, and StoreError where adapter and base do not belong together.
    """
    if wish.kind not in KINDS:
        raise RunError(f"{wish.kind} is no format to merge in", remedy=f"use {', '.join(KINDS)}")
    learnt = read_manifest(tuned)
    entry = Catalogue.load().models.get(base.name)
    formats = tuple(wish.formats or (entry.formats if entry else ()) or DEFAULT_FORMATS)
    temperature = _temperature(tuned, learnt) if wish.temperature is None else wish.temperature
    plan = {
        "tuned": sha256_of(tuned / MANIFEST), "base": base.sha256, "formats": list(formats),
        "kind": wish.kind, "bounds": asdict(wish.bounds), "temperature": temperature,
    }  # fmt: skip
    try:
        names = {MERGED, GGUF_NAME, CARD, REFUSED, *map(file_of, formats)}
        # `promote` writes into the card, so that no manifest names it.
        known = {CARD} if (target / MANIFEST).exists() else set()
        names |= claim(target, STAGE, names - known)
        if (target / MANIFEST).exists():
            done = read_manifest(target)
            if done.get("plan") == plan and not fresh and _whole(target, done):
                say(f"{target} is done already")
                return done
        _check_files(tuned, learnt)
        target.mkdir(parents=True, exist_ok=True)
        bytes_each = 4 if wish.kind == "F32" else 2
        check_space(target, 2 * bytes_each * int(base.manifest["parameters"]))
        begin(target, STAGE, names)
        _clear(target, names)
        return _export(tuned, learnt, base, target, plan, wish.bounds, say)
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}",
            remedy="free some space or choose another folder with -o",
        ) from exc


def _export(
    tuned: Path, learnt: dict[str, Any], base: Base, target: Path, plan: dict[str, Any],
    bounds: Bounds, say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    from daydream_motives.training.tuning.model import load_tuned

    say("merging into a freshly loaded base")
    with patient_with_libraries():
        model = load_tuned(base, tuned, "float32").eval()
    write_model(
        model, base.file, target / MERGED, kind=plan["kind"], base_sha256=base.sha256
    )  # fmt: skip
    files = [MERGED]
    if (tuned / PEFT_NAME).exists():
        files += _adapter(tuned, base, target, say)
    say("asking the tuned model what it expects")
    original = expected(model, base.words())
    del model
    best, rows = check(target / MERGED, plan["formats"], original, bounds, say=say)
    data = [row.as_data() for row in rows]
    table = as_markdown(data, asdict(bounds))
    if best is None:
        write_atomic(target / REFUSED, f"# Refused\n\n{table}")
        worst = "; ".join(f"{row.measured.format}: {row.verdict}" for row in rows)
        raise OutOfBounds(
            f"no file of {', '.join(plan['formats'])} is within the limits: {worst}",
            remedy=f"see {target / REFUSED}; try --format Q8_0 or BF16, or loosen a limit if "
            "you accept what it guards against",
        )
    files += [best.name]
    manifest = {
        "schema_version": SCHEMA_VERSION, "stage": STAGE, "plan": plan,
        "base": learnt["base"], "method": learnt.get("method", "lora"),
        "dataset": learnt.get("dataset", {}), "recipe": learnt.get("recipe", {}),
        "file": best.name, "size": best.stat().st_size, "sha256": sha256_of(best),
        "style": "plain", "temperature": plan["temperature"],
        "bounds": asdict(bounds), "measured": data,
    }  # fmt: skip
    card = _card(manifest, table)
    write_atomic(target / CARD, card)
    manifest["files"] = {
        name: {"sha256": sha256_of(target / name), "bytes": (target / name).stat().st_size}
        for name in files
    }
    end(target, manifest)
    return manifest


def _temperature(tuned: Path, learnt: dict[str, Any]) -> float:
    """That of the recipe it was tuned by; recipes had none once."""
    try:
        return Sampling.model_validate(learnt.get("recipe", {}).get("sampling", {})).temperature
    except (ValueError, AttributeError) as exc:
        raise RunError(
            f"{tuned / MANIFEST} tells no temperature: {exc}", remedy="give one: --temperature 1"
        ) from exc


def _adapter(tuned: Path, base: Base, target: Path, say: Callable[[str], None]) -> list[str]:
    """The adapter as GGUF; none, said so, where its kind cannot be written as one."""
    reader = open_gguf(base.file)
    adapter = read_adapter(tuned, reader)
    try:
        write_adapter(adapter, reader, target / GGUF_NAME)
    except DaydreamError as exc:
        say(f"no {GGUF_NAME}: {exc.message}")
        return []
    return [GGUF_NAME]


def _check_files(tuned: Path, learnt: dict[str, Any]) -> None:
    """Raise RunError unless every file of the training is as it was written."""
    for name, entry in learnt["files"].items():
        path = tuned / name
        if not path.is_file() or sha256_of(path) != entry["sha256"]:
            raise RunError(f"{path} is not as it was written", remedy="train again")


def _whole(target: Path, done: dict[str, Any]) -> bool:
    return all(
        (target / name).is_file() and (target / name).stat().st_size == entry["bytes"]
        for name, entry in done["files"].items()
    )


def _clear(target: Path, names: Iterable[str]) -> None:
    """Drop what an earlier export left, half-written files too."""
    for name in names:
        for path in (target / name, (target / name).with_suffix(".part")):
            path.unlink(missing_ok=True)
    for scratch in (*target.glob(".check-*"), *target.glob(".measure-*")):  # of one that was killed
        shutil.rmtree(scratch, ignore_errors=True)


def _card(manifest: dict[str, Any], table: str) -> str:
    base, data = manifest["base"], manifest["dataset"]
    return (
        f"# {base['name']}, tuned\n\n"
        f"Base: {base['name']}, SHA-256 {base['sha256']}. Method: {manifest['method']}. "
        f"Dataset: SHA-256 {data.get('sha256', 'unknown')}. "
        f"File: {manifest['file']}, {manifest['size']} bytes, SHA-256 {manifest['sha256']}. "
        f"Asked without instructions, at a temperature of {manifest['temperature']}.\n\n"
        f"## The file against the tuned model\n\n{table}"
    )


def folder_name(tuned: Path) -> Path:
    """Where an export goes by default: beside what it is made of."""
    return tuned.parent / f"{tuned.resolve().name}-export"
