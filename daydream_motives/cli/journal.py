"""`daydream journal`: the record of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from daydream_motives.errors import RunError


@click.group()
def journal() -> None:
    """Journals of runs."""


@journal.command("export")
@click.argument("run", type=click.Path())
@click.option("--format", "kind", type=click.Choice(["jsonl", "sharegpt"]), default="jsonl")
@click.option("-o", "--output", type=click.Path(), help="A file; default: standard output.")
def journal_export(run: str, kind: str, output: str | None) -> None:
    """Write the decisions of a RUN as JSON Lines, or as ShareGPT training records."""
    from daydream_motives.characters.files import write_atomic
    from daydream_motives.journal import Journal
    from daydream_motives.records import as_sharegpt
    from daydream_motives.simulation.folder import journal_of

    with Journal(journal_of(run), read_only=True) as source:
        lines = [
            json.dumps(as_sharegpt(record) if kind == "sharegpt" else record, ensure_ascii=False)
            for record in source.records()
        ]
    if output is None:
        for line in lines:
            click.echo(line)
        return
    try:
        write_atomic(Path(output), "".join(f"{line}\n" for line in lines))
    except OSError as exc:
        raise RunError(f"cannot write {output}: {exc}", remedy="choose another file") from exc
    click.echo(f"{len(lines)} decisions written to {output}", err=True)


@journal.command("check")
@click.argument("file", type=click.Path())
def journal_check(file: str) -> None:
    """Check a JSON Lines journal, such as a game in another language writes."""
    from daydream_motives.errors import SituationError
    from daydream_motives.records import check_file

    count, problems = check_file(file)
    if problems:
        raise SituationError(problems)
    click.echo(f"{count} records, all valid")
