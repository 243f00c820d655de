"""`daydream report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from daydream_motives.cli.common import json_option
from daydream_motives.errors import RunError


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(), help="The page; default: report.html in the RUN's folder."
)
@json_option
def report(runs: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """Make an HTML page of a RUN: who did what, who is tied to whom, and whether it drifts.

    Several runs, or an ensemble of --seeds, are compared. A journal or its JSON Lines will do, but
    tell decisions only. With --json the figures go to stdout, and a page is written only with -o.
    """
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.report.page import tell

    target = _page(Path(output)) if output else None
    told = tell(runs)
    if as_json:
        click.echo(json.dumps(told.as_data(), ensure_ascii=False))
    elif target is None:
        only = Path(runs[0])
        target = only / "report.html" if len(runs) == 1 and only.is_dir() else Path("report.html")
    if target is None:
        return
    try:
        write_atomic(target, told.html())
    except OSError as exc:
        raise RunError(
            f"cannot write {target}: {exc.strerror or exc}", remedy="choose another file with -o"
        ) from exc
    click.echo(f"The report is in {target}", err=as_json)


def _page(path: Path) -> Path:
    """Where the page goes: never over a journal or a world by a slip of the hand."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{path} is no name for a page", remedy="choose one that ends in .html")
    return path
