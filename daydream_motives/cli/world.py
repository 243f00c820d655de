"""`daydream validate` and `daydream schema`."""

from __future__ import annotations

import json

import click

from daydream_motives.cli.common import json_option
from daydream_motives.errors import ContentError


@click.command()
@click.argument("world", type=click.Path())
@json_option
def validate(world: str, as_json: bool) -> None:
    """Check a WORLD and name everything wrong with it."""
    from daydream_motives.simulation.world import World

    try:
        loaded = World.load(world)
    except ContentError as exc:
        if as_json:
            problems = [
                {"file": p.source, "path": p.path, "found": p.found, "expected": p.expected}
                for p in exc.problems
            ]
            click.echo(json.dumps({"valid": False, "problems": problems}, ensure_ascii=False))
            raise click.exceptions.Exit(exc.exit_code) from None
        raise
    counts = {
        "characters": len(loaded.sheets), "relationships": len(loaded.relationships),
        "places": len(loaded.places), "lore": len(loaded.lore), "events": len(loaded.events),
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps({"valid": True, "name": loaded.name, **counts}, ensure_ascii=False))
    else:
        listed = ", ".join(f"{count} {noun}" for noun, count in counts.items())
        click.echo(f"{loaded.name} is a valid world: {listed}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a character sheet, for editors."""
    from daydream_motives.characters.sheet import sheet_schema

    click.echo(json.dumps(sheet_schema(), indent=2))
