"""`python -m daydream_motives.training data`: the dataset, checked and built."""

from __future__ import annotations

from pathlib import Path

import click

_WRONG = 3  # as everywhere: an author's file is wrong


@click.group()
def data() -> None:
    """The book of motives: check its scenes, build the dataset, report on it."""


@data.command("check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check_data(files: tuple[Path, ...]) -> None:
    """Check scene FILES (default: the whole book); lists everything that is wrong."""
    from daydream_motives.training.dataset.book import default_folder, read_book, scene_files
    from daydream_motives.training.dataset.rules import check
    from daydream_motives.training.dataset.tally import tally

    given = files or tuple(scene_files(default_folder()))
    known = {file.resolve() for file in given}
    folders = dict.fromkeys(file.resolve().parent for file in given)
    others = [p for folder in folders for p in scene_files(folder) if p.resolve() not in known]
    book = read_book(given)
    pairs, findings = check(book, read_book(others))
    for finding in findings:
        click.echo(str(finding))
    click.echo(tally(book, pairs))
    click.echo(f"{len(findings)} problem{'' if len(findings) == 1 else 's'} in {len(given)} files")
    if findings:
        raise SystemExit(_WRONG)
