"""`python -m daydream_motives.training data`: the dataset, checked and built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from daydream_motives.training.dataset.pairs import Pair

_WRONG = 3  # as everywhere: an author's file is wrong


@click.group()
def data() -> None:
    """The book of motives: check its scenes, build the dataset, report on it."""


@data.command("check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--shortcut", is_flag=True, help="List contrast sets that word overlap solves, worst first."
)
def check_data(files: tuple[Path, ...], shortcut: bool) -> None:
    """Check scene FILES (default: the whole book); lists everything that is wrong."""
    from daydream_motives.training.dataset.book import default_folder, read_book, scene_files
    from daydream_motives.training.dataset.rules import check
    from daydream_motives.training.dataset.tally import tally

    given = files or tuple(scene_files(default_folder()))
    known = {file.resolve() for file in given}
    folders = dict.fromkeys(file.resolve().parent for file in given)
    others = [p for folder in folders for p in scene_files(folder) if p.resolve() not in known]
    book, beside = read_book(given), read_book(others)
    pairs, findings = check(book, beside)
    for finding in findings:
        click.echo(str(finding))
    click.echo(tally(book, pairs))
    click.echo(f"{len(findings)} problem{'' if len(findings) == 1 else 's'} in {len(given)} files")
    if shortcut:
        _show_shortcuts(pairs, check(beside)[0])
    if findings:
        raise SystemExit(_WRONG)


def _show_shortcuts(pairs: list[Pair], beside: list[Pair]) -> None:
    """The sets of these pairs that give themselves away, in the light of the whole book."""
    from daydream_motives.training.dataset.pairs import contrast_sets
    from daydream_motives.training.dataset.shortcuts import giveaways, in_sets, without_names

    every, sets = [*pairs, *beside], contrast_sets(pairs)
    labels = {one.label for one in sets}
    for away in giveaways(every):
        if away.label in labels:
            words = "; ".join(f"{key}: {' '.join(found)}" for key, found in away.words)
            click.echo(f"{away.place}: {away.label}: by {away.margin:.3f} ({words})")
    found = in_sets(every, "word overlap in contrast sets, names masked", without_names, sets)
    click.echo(
        f"{found.name}: {found.accuracy:.1%} right ({found.low:.1%} to {found.high:.1%}), "
        f"chance {found.chance:.1%}"
    )
