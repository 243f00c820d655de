"""`export`: what was learnt as a file that the game runs, checked against what was learnt."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click


@click.command()
@click.argument("tuned", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: TUNED-export.")
@click.option("--base", help="Name or GGUF file of the base; default: the one it was tuned from.")
@click.option("--format", "formats", multiple=True,
              help="Like Q8_0 or Q4_0/Q8_0; the fastest within the limits is taken.")  # fmt: skip
@click.option("--merged", "kind", type=click.Choice(["F16", "BF16", "F32"]), default="F16",
              show_default=True, help="How the unquantised file is stored.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0, 2), help="Default: the recipe's.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER",
              help="Another limit, such as max_kl=0.01.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Also where it is done already.")
def export(
    tuned: Path, output: Path | None, base: str | None, formats: tuple[str, ...], kind: str,
    temperature: float | None, limits: tuple[str, ...], fresh: bool,
) -> None:  # fmt: skip
    """Merge what TUNED holds into its base, write GGUF, quantise it, and verify what came of it.

    Exits with 7, and leaves no manifest, where no file is within the limits.
    """
    from daydream_motives.training.tokens import missing

    try:
        from daydream_motives.training.base import open_base
        from daydream_motives.training.exporting.stage import Wish, folder_name, run_export
        from daydream_motives.training.exporting.verify import Bounds, as_markdown
    except ImportError as exc:
        raise missing(exc) from exc
    from daydream_motives.training.folder import read_manifest

    known = {field.name for field in fields(Bounds)}
    told: dict[str, float] = {}
    for limit in limits:
        name, _, number = limit.partition("=")
        try:
            told[name] = int(number) if name == "lost_answers" else float(number)
        except ValueError:
            raise click.UsageError(f"--limit {limit}: write it as max_kl=0.01") from None
        if name not in known or not 0 <= told[name] < float("inf"):
            raise click.UsageError(f"--limit {limit}: there are {', '.join(sorted(known))}")
    learnt = read_manifest(tuned)
    found = open_base(base or str(learnt.get("base", {}).get("name", "")))
    target = output or folder_name(tuned)
    wish = Wish(formats, kind, Bounds(**told), temperature)  # type: ignore[arg-type]  # by name
    manifest = run_export(tuned, found, target, wish, fresh=fresh, say=_say)
    click.echo(as_markdown(manifest["measured"], manifest["bounds"]))
    click.echo(f"{manifest['file']} is in {target}")


def _say(text: str) -> None:
    click.echo(text, err=True)
