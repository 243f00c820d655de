"""All stages in their order. Each finds what it has done before, and goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daydream_motives.characters.files import write_atomic
from daydream_motives.errors import Refused, RunError, StoreError
from daydream_motives.modelstore.promotion import is_name
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.base import open_base
from daydream_motives.training.dataset import similarity
from daydream_motives.training.folder import MANIFEST, read_manifest
from daydream_motives.training.reporting.page import page
from daydream_motives.training.retraining import data, judgement, models
from daydream_motives.training.retraining.judgement import Outcome
from daydream_motives.training.retraining.work import REPORT, Order, Work
from daydream_motives.training.tuning import checkpoint
from daydream_motives.training.tuning.corpus import read_corpus

_LONG = 600.0  # seconds of training that are asked about


@dataclass(frozen=True, slots=True)
class Voices:
    """Whom the pipeline talks to: `tell` what came of a stage, `say` how far it is, `agree` to."""

    tell: Callable[[str, str], None]
    say: Callable[[str], None]
    agree: Callable[[str], bool]


def run(work: Work, order: Order, name: str, voices: Voices, *, serve: bool) -> Outcome:
    """From journals to a model that serves, or to the reason why it does not.

    `name` is what the model will be called, by default after its base. Raises Refused where a stage
    refuses; what is better, but only compared (`serve` is False), is no refusal.
    """

    def telling(stage: str) -> Callable[[str], None]:
        return lambda text: voices.tell(stage, text)

    say = voices.say
    _check_name(name, work.folder / "exported")
    judgement.incumbent_of(order)  # whether there is one is better known before than after
    if order.meaning:
        similarity.model_folder()
    samples = data.harvested(work, order, telling("harvest"))
    dataset = data.curated(work, order, samples, telling("curate"))
    questions = data.frozen(work, order, dataset, telling("questions"))
    base, corpus = open_base(order.base), read_corpus(str(dataset))
    seconds = models.preflighted(work, order, base, corpus, telling("preflight"))
    tuned = work.folder / "tuned"
    begun = any((tuned / file).exists() for file in (checkpoint.FILE, MANIFEST))
    if seconds > _LONG and not begun and not voices.agree("Go on?"):
        raise Refused("you did not agree", remedy="the same command asks again; --yes does not ask")
    models.trained(work, order, base, corpus, telling("train"), say)
    learnt = models.preferred(work, order, base, corpus, tuned, telling("prefer"), say)
    export = models.exported(work, order, base, learnt, telling("export"), say)
    found = judgement.compared(work, order, questions, export, telling("compare"), say)
    outcome = judgement.promoted_or_not(
        work, found, export, name, serve=serve, tell=telling("promote")
    )
    _reported(work, dataset, telling("report"))
    work.keep(finished=True)
    return outcome


def _reported(work: Work, dataset: Path, tell: Callable[[str], None]) -> None:
    """One page of all this; the same folders give the same bytes."""
    file = work.folder / REPORT
    text, found = page([work.folder, *([dataset] if work.folder not in dataset.parents else [])])
    try:
        write_atomic(file, text)
    except OSError as exc:
        raise RunError(
            f"cannot write {file}: {exc.strerror or exc}", remedy="free some space"
        ) from exc
    for line in found.broken:
        tell(line)
    tell(f"{file} shows it all")


def _check_name(name: str, export: Path) -> None:
    """Raise StoreError for a name that could not be given after all the work."""
    if not name:
        return
    store = ModelStore()
    if not is_name(name):
        raise StoreError(
            f"{name!r} cannot be a model's name", remedy="use letters, digits, dots and dashes"
        )
    mine = (export / MANIFEST).is_file() and store.is_tuned(name)
    if mine and store.installed(name).sha256 == read_manifest(export).get("sha256"):
        return  # promoted from here, by a run that was killed then
    if name in store.catalogue.models or (store.folder / name).exists():
        raise StoreError(
            f"there is another model called {name}", remedy="give this one another --name"
        )
