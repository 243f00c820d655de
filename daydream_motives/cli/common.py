"""What the commands share: options, an engine, showing a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from daydream_motives.settings import threads_of_a_command

if TYPE_CHECKING:
    from daydream_motives.engine.engine import MotiveEngine

model_option = click.option(
    "--model",
    help="Catalogue name, GGUF file, URL of an OpenAI-compatible server "
    "(http://HOST:PORT/v1#MODEL), 'instinct' (no model), or 'scripted' (a fake).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
seed_option = click.option("--seed", type=int, default=0, show_default=True)
threads_option = click.option("--threads", type=click.IntRange(1, 512), help="Default: all cores.")


@contextmanager
def engine_of(model: str | None, threads: int | None, seed: int) -> Iterator[MotiveEngine]:
    """An engine with the model; a headless command may use every core."""
    from dataclasses import replace

    from daydream_motives.engine.backend import open_backend
    from daydream_motives.engine.engine import MotiveEngine
    from daydream_motives.errors import ModelMissing
    from daydream_motives.modelstore.store import ModelStore

    if model == "instinct":
        with MotiveEngine("instinct", seed=seed) as engine:
            yield engine
        return
    try:
        kind, spec = ModelStore().spec(model)
    except ModelMissing:
        if model:  # asked for by name: instinct would not be what was asked for
            raise
        with MotiveEngine(seed=seed) as engine:
            yield engine
        return
    spec = replace(spec, threads=threads or threads_of_a_command())
    with MotiveEngine(open_backend(kind, spec), seed=seed) as engine:
        yield engine
