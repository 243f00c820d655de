"""`python -m daydream_motives.training evaluate` and `compare`: what answers are worth."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from daydream_motives.training.dataset.similarity import Embed
    from daydream_motives.training.judging.answers import Answers
    from daydream_motives.training.judging.questions import Questions

_path = click.Path(path_type=Path)
_MODEL = (
    "catalogue name, GGUF file, URL of an OpenAI-compatible server (http://HOST:PORT/v1#MODEL), "
    "or 'scripted' (a fake)"
)
Command = TypeVar("Command", bound=Callable[..., Any])


def _asking(command: Command) -> Command:
    """Options of both stages: which questions, and how a model is asked."""
    options = [
        click.option("--questions", "file", type=_path,
                     help="A file of questions (JSON Lines) instead of a dataset."),
        click.option("--dataset", type=_path, help="A dataset; default: the project's."),
        click.option("--part", type=click.Choice(["test", "validation", "train"]), default="test",
                     show_default=True, help="Which part of the dataset is asked."),
        click.option("--limit", type=click.IntRange(1), metavar="N",
                     help="Whole scenes, always the same, until there are N questions."),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--threads", type=click.IntRange(1, 512), help="Default: all cores."),
        click.option("--temperature", type=click.FloatRange(0, 5), help="Default: the model's."),
        click.option("--free", is_flag=True,
                     help="A local model writes what it would: no form forced, no name ruled out."),
        click.option("--no-loss", is_flag=True, help="Leave out loss and perplexity."),
        click.option("--no-embeddings", is_flag=True, help="Leave out figures of meaning."),
        click.option("--json", "as_json", is_flag=True, help="All figures as JSON on stdout."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("--model", help=f"What to ask: {_MODEL}. Default: this machine's model.")
@click.option("--answers", type=_path, help="Judge these answers again; no model is asked.")
@click.option("--name", help="What to call it. Default: the model's name.")
@click.option("-o", "--output", type=_path, help="The folder. Default: evaluation-NAME.")
@_asking
def evaluate(
    model: str | None, answers: Path | None, name: str | None, output: Path | None,
    as_json: bool, seed: int, no_embeddings: bool, **asked: Any,
) -> None:  # fmt: skip
    """Ask a model the frozen questions and judge what it says.

    The folder keeps answers.jsonl and figures.json. Stopped in the middle, the same command goes on
    where it stopped.
    """
    from daydream_motives.errors import SettingsError
    from daydream_motives.training.folder import claim
    from daydream_motives.training.judging.answers import FIGURES, FILE, STAGE, write_answers
    from daydream_motives.training.judging.judge import Judge
    from daydream_motives.training.judging.telling import told
    from daydream_motives.training.judging.writing import file_name

    if answers and model:
        raise SettingsError(
            "both --answers and --model", remedy="give the one or the other: answers need no model"
        )
    questions = _questions(asked)
    embed = _embed(no_embeddings)
    if answers:
        target, kept = output, None
        found = _read(answers, questions, name)
    else:
        target = output or Path(f"evaluation-{file_name(name or model or 'default')}")
        claim(target, STAGE, (FILE, FIGURES))
        kept = target / ".asked.jsonl"
        found = _ask(model, questions, name, seed, kept, asked)
    judge = Judge(questions, random.Random(seed), embed)
    data = judge.data(judge.judge(found))
    if target:
        write_answers(found, questions, data, target)
        if kept:
            kept.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    click.echo(told(data))
    if target:
        click.echo(f"Answers and figures are in {target}")


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="[NAME=]WHAT...")
@click.option(
    "-o", "--output", type=_path, default=Path("comparison"), show_default=True,
    help="The folder of page, table, figures and answers.",
)  # fmt: skip
@click.option("--shown", type=click.IntRange(0), default=20, show_default=True,
              help="How many questions are shown with all answers.")  # fmt: skip
@_asking
def compare(
    what: tuple[str, ...], output: Path, shown: int,
    as_json: bool, seed: int, no_embeddings: bool, **asked: Any,
) -> None:  # fmt: skip
    """Put models side by side on the same questions; the first is what others are held against.

    WHAT is a folder of `evaluate`, a file of answers (.jsonl), or a model to be asked.
    """
    from daydream_motives.training.folder import claim
    from daydream_motives.training.judging.comparing import compare as compared
    from daydream_motives.training.judging.writing import PAGES, STAGE, file_name, write_comparison

    claim(output, STAGE, PAGES)
    questions = _questions(asked)
    embed = _embed(no_embeddings)
    every = []
    kept: list[Path] = []
    for one in what:
        name, found, rest = one.partition("=")
        called, source = (name, rest) if found and "/" not in name else (None, one)
        path = Path(source)
        if path.is_dir() or path.suffix.lower() == ".jsonl":
            every.append(_read(path, questions, called))
        else:
            kept.append(output / f".asked-{file_name(called or source)}.jsonl")
            every.append(_ask(source, questions, called, seed, kept[-1], asked))
    data = compared(questions, every, random.Random(seed), embed, shown=shown)
    write_comparison(data, every, output)
    for path in kept:
        path.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
    click.echo(f"The comparison is in {output / 'page.html'}", err=as_json)


def _questions(asked: dict[str, Any]) -> Questions:
    """What is to be asked; tells what is left out of a file."""
    from daydream_motives.errors import ContentError, Problem, SettingsError
    from daydream_motives.training.dataset.build import default_target
    from daydream_motives.training.judging.questions import of_dataset, of_file

    file, dataset, limit = asked["file"], asked["dataset"], asked["limit"]
    if file and dataset:
        raise SettingsError(
            "both --questions and --dataset", remedy="give the one or the other, not both"
        )
    if file:
        found, findings = of_file(file)
        for finding in findings:
            click.echo(str(finding), err=True)
        if not found.items:
            expected = "ShareGPT records, or characters with candidates"
            raise ContentError([Problem(str(file), "", "no question that can be asked", expected)])
    else:
        found = of_dataset(dataset or default_target(), asked["part"])
    return found.some(limit) if limit else found


def _read(path: Path, questions: Questions, name: str | None) -> Answers:
    from daydream_motives.training.judging.answers import read_answers

    return read_answers(path, questions, name or "")


def _ask(
    model: str | None, questions: Questions, name: str | None, seed: int, kept: Path,
    asked: dict[str, Any],
) -> Answers:  # fmt: skip
    from daydream_motives.training.judging.asking import ask, opened
    from daydream_motives.training.judging.losses import of_backend

    def say(done: int, of: int) -> None:
        click.echo(f"\r{done} of {of} answered", err=True, nl=done == of)

    free, warmth = asked["free"], asked["temperature"]
    with opened(model, threads=asked["threads"], free=free, temperature=warmth) as (backend, spec):
        loss = None if asked["no_loss"] else of_backend(backend, spec)
        return ask(
            questions, backend, spec, seed=seed, name=name or "", kept=kept, loss=loss, say=say
        )


def _embed(without: bool) -> Embed | None:
    from daydream_motives.training.dataset import similarity

    return None if without else similarity.minilm()
