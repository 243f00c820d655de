"""The stages that need no model: journals to samples, samples to a dataset, and what is frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import parse_json
from daydream_motives.errors import RunError
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.training.curate import assemble
from daydream_motives.training.curate.shipped import DATASET
from daydream_motives.training.dataset.build import SCHEMA_VERSION
from daydream_motives.training.folder import MANIFEST, read_whole
from daydream_motives.training.harvest import gather
from daydream_motives.training.harvest.journals import files_of
from daydream_motives.training.harvest.redaction import Redaction, read_names
from daydream_motives.training.judging.questions import Questions, of_dataset
from daydream_motives.training.promoting import MIN_SCENES
from daydream_motives.training.retraining.work import Order, Work, read_state

Tell = Callable[[str], None]


def harvested(work: Work, order: Order, tell: Tell) -> Path | None:
    """The samples of the journals; None where none are given. Raises RunError."""
    if not order.journals:
        tell("no journals: it learns from the shipped data alone")
        return None
    target = work.folder / "harvest"
    if (target / MANIFEST).exists():
        manifest, _ = read_whole(target, gather.STAGE, gather.SCHEMA_VERSION)
        if _changed(order, manifest):
            tell("the journals have grown since; it goes on with what was taken from them then")
    else:
        redaction = Redaction(read_names(order.names) if order.names else ())
        found = gather.harvest(
            order.journals, redaction=redaction, game_version=order.game_version, world=order.world
        )
        manifest = gather.write(found, target)
    counts, why = manifest["counts"], manifest["reasons"]
    tell(
        f"{counts['decisions']} decisions of {len(manifest['journals'])} journals: "
        f"{counts['teach']} teach{_listed(why['teach'])}, {counts['reject']} rejected"
        f"{_listed(why['reject'])} of which {counts['paired']} beside a better one, "
        f"{counts['dropped']} dropped{_listed(why['dropped'])}; {counts['broken']} broken"
    )
    for problem in manifest["broken"][:3]:
        tell(f"broken: {problem}")
    return target


def _changed(order: Order, manifest: Mapping[str, Any]) -> bool:
    """Whether the journals are others than those that were read; not whether they are there."""
    try:
        now = {sha256_of(path) for path in files_of(order.journals)}
    except (OSError, RunError):
        return False
    return not now <= {one["sha256"] for one in manifest["journals"]}


def _listed(reasons: Mapping[str, int]) -> str:
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f" ({told})" if told else ""


def curated(work: Work, order: Order, harvest: Path | None, tell: Tell) -> Path:
    """The dataset to learn from; the shipped one itself where nothing is to be added to it."""
    if harvest is None and work.earlier is None:
        tell(f"the dataset is {order.data}, as it is")
        return order.data
    target = work.folder / "dataset"
    if (target / MANIFEST).exists():
        _, files = read_whole(target, DATASET, SCHEMA_VERSION)
        report = parse_json(files["report.json"])
    else:
        found = assemble.curate(
            [harvest] if harvest else [], shipped=order.data, earlier=work.earlier
        )
        report = assemble.write(found, target)
    kept, counts = report["kept"], report["counts"]
    tell(
        f"train {counts['train']} ({kept['train']} from journals), test {counts['test']} "
        f"({kept['test']} held out now, {kept['frozen_before']} before), pairs "
        f"{counts['preferences']}; dropped {sum(report['dropped'].values())}"
        f"{_listed(report['dropped'])}"
    )
    return target


def frozen(work: Work, order: Order, dataset: Path, tell: Tell) -> Questions:
    """The questions that decide, held against those of the first run in this folder.

    They are the shipped ones, then what each retraining held out, which stays as it is. Raises
    RunError where they are not what they were, or too few to decide anything.
    """
    questions = of_dataset(dataset)
    told = {"sha256": questions.sha256, "count": len(questions.items)}
    if (before := work.state.get("questions")) is None:
        shipped = (order.data / "test.jsonl").read_bytes().count(b"\n")
        work.keep(questions={**told, "slices": _slices(work, questions, shipped)})
    elif {key: before.get(key) for key in told} != told:
        raise RunError(
            f"the frozen questions in {dataset} are not those that this was begun with",
            remedy="choose another folder with -o, or begin again with --fresh",
        )
    scenes = questions.summary["scenes"]
    if scenes < MIN_SCENES:
        raise RunError(
            f"the test part of {dataset} has {scenes} scenes, which say nothing of noise",
            remedy=f"give the shipped data {MIN_SCENES} scenes or more in its test part",
        )
    parts = ", ".join(f"{one['count']} {one['from']}" for one in work.state["questions"]["slices"])
    tell(f"{told['count']} questions are frozen ({parts}), SHA-256 {questions.sha256[:12]}")
    return questions


def _slices(work: Work, questions: Questions, shipped: int) -> list[dict[str, Any]]:
    """The questions by where they come from, each part with its hash."""
    state = read_state(work.earlier.parent) if work.earlier else None
    earlier = state.get("questions", {}).get("slices", [])[1:] if state else []
    slices: list[dict[str, Any]] = []
    start = 0
    wanted = [("shipped", shipped), *((one["from"], one["count"]) for one in earlier)]
    for name, count in (*wanted, (f"held out by {work.state['name']}", len(questions.items))):
        items = questions.items[start : start + count]
        start += count
        if items:
            part = Questions(name, items)
            slices.append({"from": name, "count": len(items), "sha256": part.sha256})
    if slices[1 : 1 + len(earlier)] != earlier:
        raise RunError(
            f"what was held out before {work.folder} is not asked as it was",
            remedy="give the dataset of the last retraining with --earlier, whole",
        )
    return slices
