"""`python -m daydream_motives.training curate`: harvests and the shipped data to a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import click

_path = click.Path(path_type=Path)


@click.command()
@click.argument("harvests", nargs=-1, required=True, type=_path)
@click.option(
    "-o", "--output", type=_path, default=Path("dataset"), show_default=True,
    help="The folder of the dataset.",
)  # fmt: skip
@click.option("--shipped", type=_path, help="The dataset to join; default: the project's.")
@click.option(
    "--earlier", type=_path,
    help="A dataset curated before: its frozen questions and held-out characters stay so.",
)  # fmt: skip
@click.option(
    "--replay", type=float, default=0.8, show_default=True,
    help="The least share of the training records that is shipped data.",
)  # fmt: skip
@click.option(
    "--quota", type=int, default=8, show_default=True,
    help="The most samples of one occupation, MBTI type and world.",
)  # fmt: skip
@click.option(
    "--hold-out", type=float, default=0.1, show_default=True,
    help="The share of samples held out, whole characters at a time.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
def curate(
    harvests: tuple[Path, ...],
    output: Path,
    shipped: Path | None,
    earlier: Path | None,
    replay: float,
    quota: int,
    hold_out: float,
    as_json: bool,
) -> None:
    """Choose from HARVESTS (folders) what joins the shipped data, and write the dataset.

    Drops what is broken, said before or asked before, and what would outweigh the rest; report.txt,
    report.json and dropped.jsonl in the folder say what and why.
    """
    from daydream_motives.training.curate import assemble
    from daydream_motives.training.curate.telling import told

    found = assemble.curate(
        harvests, shipped=shipped, earlier=earlier,
        settings=assemble.Settings(replay, quota, hold_out),
    )  # fmt: skip
    report = assemble.write(found, output)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    click.echo(told(report))
    click.echo(f"The dataset is in {output}")
