"""`retrain`: from journals to a better model in one command, or to the reason why not."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_path = click.Path(path_type=Path)
_INTERRUPTED = 130


@click.command()
@click.argument("recipe", default="smollm2-135m")
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=_path,
    metavar="FILE|FOLDER",
    help="A run, a folder of runs, or a journal's file; more than one may be given.",
)
@click.option(
    "--names",
    type=_path,
    help="Names to take out of journals, one a line; NAME = STAND-IN puts another.",
)
@click.option("--game-version", default="", help="For journals that do not say it.")
@click.option("--world", default="", help="For journals that do not say it.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=_path,
    metavar="WORK",
    help="Where to work. Default: runs/training/RECIPE-N, the last if it is unfinished.",
)
@click.option("--data", type=_path, help="The shipped dataset, instead of the recipe's.")
@click.option(
    "--earlier",
    type=_path,
    help="An earlier WORK or dataset, whose held-out characters stay held out. Default: "
    "the last beside WORK.",
)
@click.option("--base", help="Another base: a catalogue's name or a GGUF file.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Another seed.")
@click.option(
    "--format",
    default="",
    help="How weights are kept, like Q8_0. Default: as the base's "
    "are here, which were chosen for speed on pull.",
)
@click.option("--name", default="", help="What to call the model. Default: base and hash.")
@click.option("--no-promote", is_flag=True, help="Decide and tell, and leave what serves.")
@click.option("--no-embeddings", is_flag=True, help="Judge without figures of meaning.")
@click.option("--fresh", is_flag=True, help="Begin again; drops all that WORK holds.")
@click.option("--yes", is_flag=True, help="Do not ask before a long training.")
def retrain(
    recipe: str, journals: tuple[Path, ...], names: Path | None, game_version: str, world: str,
    folder: Path | None,
    data: Path | None, earlier: Path | None, base: str | None, device: str | None,
    seed: int | None, format: str, name: str, no_promote: bool, no_embeddings: bool, fresh: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Train a model by RECIPE from journals and the shipped data; promote it if it is better.

    Harvest, curate, preflight, train, prefer, export, compare, promote: each stage goes on where it
    was stopped. Exits with 7, and the reason, where a stage refuses: what serves goes on serving.
    """
    from daydream_motives.errors import Refused
    from daydream_motives.training.dataset.build import default_target
    from daydream_motives.training.process import settle
    from daydream_motives.training.recipe import find_recipe, read_recipe
    from daydream_motives.training.tokens import missing

    file = find_recipe(recipe)
    told = read_recipe(file)
    prefers = "preference" in told.model_fields_set
    told = told.changed(device=device, seed=seed)
    try:
        settle()
        import llama_cpp  # noqa: F401 - what judges is lacking better now than after training

        from daydream_motives.training.retraining.pipeline import Voices, run
        from daydream_motives.training.retraining.work import Order, choose_folder, opened
    except ImportError as exc:
        raise missing(exc) from exc
    shipped = Path(told.data.folder).expanduser() if told.data.folder else default_target()
    order = Order(
        file.stem, told, base or told.base.model, data or shipped, journals, names, earlier,
        format, prefers, not no_embeddings, game_version, world,
    )  # fmt: skip
    inputs = order.inputs()
    folder = folder or choose_folder(Path("runs") / "training", order, inputs)
    click.echo(f"{'work':10} {folder}")
    voices = Voices(_tell, _say, lambda text: yes or not _asked() or click.confirm(text))
    try:
        with opened(folder, order, inputs, fresh=fresh) as work:
            outcome = run(work, order, name, voices, serve=not no_promote)
    except (KeyboardInterrupt, click.Abort):
        _say(f"stopped; the same command with -o {folder} goes on from here, without --fresh")
        raise SystemExit(_INTERRUPTED) from None
    if not outcome.decision.promoted:
        raise Refused(
            f"{outcome.name} does not take the place of {outcome.incumbent}: "
            f"{outcome.decision.why}",
            remedy=f"{folder / 'compared' / 'page.html'} shows both; train on more or better data",
        )


def _asked() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _tell(stage: str, text: str) -> None:
    click.echo(f"{stage:10} {text}")


def _say(text: str) -> None:
    click.echo(f"           {text}", err=True)
