"""`python -m daydream_motives.training data`: the dataset, checked, built and reported on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from daydream_motives.training.dataset.findings import Finding
    from daydream_motives.training.dataset.pairs import Pair

_WRONG = 3  # as everywhere: an author's file is wrong
_RECORDS = (".json", ".jsonl")
_files = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


@click.group()
def data() -> None:
    """The book of motives: check its scenes, build the dataset, report on it."""


@data.command("check")
@_files
@click.option(
    "--shortcut",
    is_flag=True,
    help="List contrast sets that word overlap solves, worst first, and the words that do it.",
)
def check_data(files: tuple[Path, ...], shortcut: bool) -> None:
    """Check FILES: scenes (.yaml) or ShareGPT records (.jsonl, .json); default: all scenes.

    Lists everything that is wrong, a line each: file, line, where, what, remedy.
    """
    from daydream_motives.training.dataset.book import default_folder, read_book, scene_files
    from daydream_motives.training.dataset.rules import check
    from daydream_motives.training.dataset.tally import tally

    records = [file for file in files if file.suffix.lower() in _RECORDS]
    scenes = [file for file in files if file not in records]
    given = scenes if files else scene_files(default_folder())
    known = {file.resolve() for file in given}
    folders = dict.fromkeys(file.resolve().parent for file in given)
    others = [p for folder in folders for p in scene_files(folder) if p.resolve() not in known]
    book, beside = read_book(given), read_book(others)
    pairs, findings = check(book, beside)
    findings += _check_records(records)
    for finding in findings:
        click.echo(str(finding))
    if given:
        click.echo(tally(book, pairs))
    if shortcut:
        _show_shortcuts(pairs, check(beside)[0])
    _end(findings, len(given) + len(records))


@data.command("build")
@_files
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the dataset.")
def build_data(files: tuple[Path, ...], output: Path | None) -> None:
    """Check the scenes (default: all) and write the dataset from them; nothing if any is wrong."""
    from daydream_motives.training.dataset.build import default_target, write
    from daydream_motives.training.dataset.split import LEAST

    pairs = _checked(files)
    target = output or default_target()
    counts = write(pairs, target)["counts"]
    click.echo(", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))
    for part, least in LEAST.items():
        if counts[part] < least:
            click.echo(f"{part} has {counts[part]} of the {least} pairs that make it worth using")
    click.echo(f"The dataset is in {target}")


@data.command("report")
@_files
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page, in HTML.")
@click.option("--json", "as_json", is_flag=True, help="The figures on stdout; a page only with -o.")
@click.option("--card", is_flag=True, help="Write the figures into the data card too.")
@click.option("--no-embeddings", is_flag=True, help="Leave out similarities in meaning.")
def report_data(
    files: tuple[Path, ...], output: Path | None, as_json: bool, card: bool, no_embeddings: bool
) -> None:
    """Count and measure the scenes (default: all) and draw a page of it.

    Similarities need the extra `training` and, once, a download of 83 MB.
    """
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.errors import RunError
    from daydream_motives.training.dataset.card import default_card, write_card
    from daydream_motives.training.dataset.figures import figures_of
    from daydream_motives.training.dataset.page import page
    from daydream_motives.training.dataset.similarity import minilm

    target = output or (None if as_json else Path("report.html"))
    if target and target.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{target} is no name for a page", remedy="choose one that ends in .html")
    if card and no_embeddings:
        raise RunError("the card tells similarities", remedy="leave out --no-embeddings")
    pairs = _checked(files)
    figures = figures_of(pairs, None if no_embeddings else minilm())
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
    if card:
        write_card(default_card(), figures, pairs)
    if target:
        try:
            write_atomic(target, page(figures, pairs))
        except OSError as exc:
            raise RunError(
                f"cannot write {target}: {exc.strerror or exc}", remedy="choose another file"
            ) from exc
        click.echo(f"The report is in {target}", err=as_json)


def _checked(files: tuple[Path, ...]) -> list[Pair]:
    """Every pair of the scenes; lists what is wrong and ends if anything is."""
    from daydream_motives.training.dataset.book import default_folder, read_book, scene_files
    from daydream_motives.training.dataset.rules import check

    given = files or tuple(scene_files(default_folder()))
    pairs, findings = check(read_book(given))
    if findings or not pairs:
        for finding in findings:
            click.echo(str(finding))
        click.echo("nothing was made of it" if findings else "there are no scenes")
        _end(findings, len(given))
        raise SystemExit(_WRONG)
    return pairs


def _end(findings: list[Finding], files: int) -> None:
    """The last line, and the exit code."""
    several = "" if len(findings) == 1 else "s"
    click.echo(f"{len(findings)} problem{several} in {files} file{'' if files == 1 else 's'}")
    if findings:
        raise SystemExit(_WRONG)


def _check_records(files: list[Path]) -> list[Finding]:
    from daydream_motives.training.dataset.sharegpt import read_records

    seen: dict[str, str] = {}
    findings: list[Finding] = []
    for file in files:
        records, wrong = read_records(file, seen)
        findings += wrong
        click.echo(f"{file}: {len(records)} records")
    return findings


def _show_shortcuts(pairs: list[Pair], beside: list[Pair]) -> None:
    """The sets of these pairs that give themselves away, in the light of the whole book."""
    from daydream_motives.training.dataset.pairs import contrast_sets
    from daydream_motives.training.dataset.shortcuts import (
        Overlap,
        giveaways,
        in_sets,
        without_names,
    )

    sets = contrast_sets(pairs)
    overlap = Overlap([*pairs, *beside], without_names)
    for away in giveaways(overlap, sets):
        words = "; ".join(f"{key}: {' '.join(found)}" for key, found in away.words)
        click.echo(f"{away.place}: {away.label}: {away.solved:.0%} by {away.margin:.3f} ({words})")
    found = in_sets(overlap, "word overlap in contrast sets, names masked", sets)
    click.echo(
        f"{found.name}: {found.accuracy:.1%} right ({found.low:.1%} to {found.high:.1%}), "
        f"chance {found.chance:.1%}"
    )
