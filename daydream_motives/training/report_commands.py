"""`python -m daydream_motives.training report`: one page per model, and its card's figures."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("report.html"),
              show_default=True, help="The page, in HTML.")  # fmt: skip
@click.option("--card", type=click.Path(path_type=Path),
              help="Write the figures into this model card too, between its marks.")  # fmt: skip
def report(folders: tuple[Path, ...], output: Path, card: Path | None) -> None:
    """Tell of one model what lies beneath FOLDERS: data, training, figures, export, decision.

    What is missing is named; what is broken is told with its file, and the rest goes on.
    """
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.errors import RunError
    from daydream_motives.training.reporting.card import write_card
    from daydream_motives.training.reporting.page import page

    if output.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{output} is no name for a page", remedy="choose one that ends in .html")
    text, found = page(folders)
    try:
        write_atomic(output, text)
    except OSError as exc:
        raise RunError(
            f"cannot write {output}: {exc.strerror or exc}", remedy="choose another file"
        ) from exc
    broken = found.broken + (write_card(card, found) if card else [])
    for line in dict.fromkeys(broken):
        click.echo(line, err=True)
    click.echo(f"The report is in {output}")
