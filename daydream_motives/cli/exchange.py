"""`daydream import` and `daydream export`: worlds and graphs in the formats of others."""

from __future__ import annotations

import json
from pathlib import Path

import click

from daydream_motives.cli.common import json_option
from daydream_motives.exchange.formats import EXPORTS, IMPORTS

_REPORT = "import-report.json"


@click.command("import")
@click.argument("form", metavar="FORMAT", type=click.Choice(IMPORTS))
@click.option("--source", required=True, type=click.Path(), help="The file or folder to read.")
@click.option("--world", "base", type=click.Path(), help="node-link only: whose relationships.")
@click.option("-o", "--output", type=click.Path(), help="A new folder; default: worlds/<name>.")
@click.option("--strict", is_flag=True, help="Write nothing if any file is refused.")
@json_option
def import_(
    form: str, source: str, base: str | None, output: str | None, strict: bool, as_json: bool
) -> None:
    """Make a world of characters written elsewhere, and say what was not understood.

    FORMAT is smallville, light, tinytroupe or node-link.
    """
    from daydream_motives.characters.files import exists, write_atomic
    from daydream_motives.characters.sheet import slug
    from daydream_motives.errors import Problem, WorldError
    from daydream_motives.exchange.formats import import_world

    imported = import_world(form, source, base)
    world, report = imported.world, imported.report
    if strict and report.refused:
        raise WorldError(report.refused, remedy="mend these, or leave out --strict")
    target = Path(output) if output else Path("worlds") / slug(world.name)
    if exists(target) and not target.is_dir():
        found = Problem(str(target), "", "a file there already", "a new or empty folder")
        raise WorldError([found], remedy="choose another with -o")
    try:
        world.save(target)
        written = target / _REPORT if target.is_dir() else target.with_name(
            f"{target.stem}.{_REPORT}"
        )  # fmt: skip
        full = {"world": str(target), **report.as_data()}
        write_atomic(written, json.dumps(full, ensure_ascii=False, indent=1) + "\n")
    except OSError as exc:
        raise WorldError([Problem(str(target), "", f"{exc.strerror}", "a folder to write to")],
                         remedy="choose another with -o") from exc  # fmt: skip
    for problem in report.refused:
        click.echo(f"daydream: refused {problem}", err=True)
    if as_json:
        click.echo(json.dumps({**full, "report": str(written)}, ensure_ascii=False))
        return
    click.echo(f"{world.name} is in {target}")
    click.echo(report.as_text(refused=False))
    click.echo(f"the full report is in {written}")


@click.command("export")
@click.argument("source", type=click.Path())
@click.argument("output", type=click.Path())
@click.option("--format", "form", type=click.Choice(EXPORTS), help="Default: as OUTPUT ends.")
@click.option("--at", type=click.IntRange(min=0), help="Of a run: the tick; default: the last.")
def export(source: str, output: str, form: str | None, at: int | None) -> None:
    """Write the relationships of a world or a run SOURCE to OUTPUT: .json, .graphml or .gexf."""
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.errors import Problem, WorldError
    from daydream_motives.exchange.formats import export_text, form_of, world_at

    chosen = form or form_of(output)
    text, lost = export_text(world_at(source, at), chosen)
    try:
        write_atomic(Path(output), text)
    except (OSError, ValueError) as exc:
        raise WorldError([Problem(output, "", str(exc), "a file to write to")],
                         remedy="choose another file") from exc  # fmt: skip
    for sentence in lost:
        click.echo(f"daydream: {sentence}", err=True)
    click.echo(f"{output} is written as {chosen}")
