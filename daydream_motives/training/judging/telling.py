"""Figures of models as plain text and as Markdown. Knows no models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daydream_motives.motives.budget import FIELDS
from daydream_motives.training.judging.comparing import number, rows, span, verdict
from daydream_motives.training.judging.metrics import CONTROLS, METRICS, Metric

_MARKS = {"up": " ▲", "down": " ▼", "": ""}
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def told(data: Mapping[str, Any]) -> str:
    """The figures of one model, each with its interval and what stands beside it."""
    asked, model = data["questions"], data["model"]
    lines = [
        f"{model['name']}: {asked['count']} questions of {asked['scenes']} scenes "
        f"({asked['name']}), the middle 95% of a bootstrap by scene",
        f"{'':32} {'':>9}  {'':21}" + "".join(f" {name:>9}" for name in CONTROLS),
    ]
    for metric in METRICS:
        if figure := data["figures"].get(metric.key):
            beside = "".join(f" {_control(data['controls'], metric, c):>9}" for c in CONTROLS)
            lines.append(
                f"{metric.title:32} {number(metric, figure['value']):>9}  "
                f"{span(metric, figure):21}{beside}".rstrip()
            )
    if share := data["distinct_2_of_gold"]:
        lines.append(
            f"Distinct-2 is {share['value']:.2f} of that of the right answers "
            f"({share['low']:.2f} to {share['high']:.2f})"
        )
    lines += [f"{row['answers']} answers: {row['fault']}" for row in data["faults"]]
    return "\n".join(lines)


def _control(controls: Mapping[str, Any], metric: Metric, name: str) -> str:
    figure = controls.get(name, {}).get(metric.key)
    return number(metric, figure["value"]) if figure else ""


def markdown(compared: Mapping[str, Any]) -> str:
    """The comparison as a document of tables and answers."""
    return "\n".join(_document(compared)) + "\n"


def _document(compared: Mapping[str, Any]) -> Iterator[str]:
    models = compared["models"]
    names = [plain(model["model"]["name"]) for model in models]
    yield f"# {', '.join(names)}"
    yield ""
    yield from figures(compared)
    yield ""
    for metric in rows(dict(compared)):
        yield f"- {metric.title}: {metric.text}"
    for name, model in zip(names, models, strict=True):
        for row in model["faults"]:
            yield f"- {name}: {row['answers']} answers, {plain(row['fault'])}"
    yield ""
    yield "## Answers"
    yield from _answers(compared)


def figures(compared: Mapping[str, Any]) -> Iterator[str]:
    """How the models were asked, and every figure of each."""
    asked, models = compared["questions"], compared["models"]
    names = [plain(model["model"]["name"]) for model in models]
    yield (
        f"{asked['count']} questions of {asked['scenes']} scenes ({plain(asked['name'])}). In "
        "brackets the middle 95% of a bootstrap by scene; below it, the difference to the first, "
        "paired by scene, of shares in percentage points: ▲ better, ▼ worse beyond noise."
    )
    yield ""
    controls = [name for name in CONTROLS if name in compared["controls"]]
    yield from _table(
        ["", *names, *controls],
        [
            [metric.title, *(_cell(metric, model) for model in models),
             *(_control(compared["controls"], metric, name) for name in controls)]
            for metric in rows(dict(compared))
        ],
    )  # fmt: skip


def _answers(compared: Mapping[str, Any]) -> Iterator[str]:
    for example in compared["examples"]:
        yield ""
        yield f"### {plain(example['fields'][FIELDS[0]])}"
        yield ""
        for field in FIELDS[1:]:
            if text := example["fields"][field]:
                yield f"> {plain(text)}"
                yield ">"
        yield ""
        for name, purposes, fault in [
            ("right", example["gold"], ""),
            *((a["name"], a["purposes"], a["fault"]) for a in example["answers"]),
        ]:
            yield f"**{plain(name)}**{f' ({plain(fault)})' if fault else ''}"
            yield ""
            for rank, text in enumerate(purposes, 1):
                yield f"{rank}. {plain(text)}"
            yield ""


def _cell(metric: Metric, model: Mapping[str, Any]) -> str:
    figure = model["figures"].get(metric.key)
    if not figure:
        return ""
    text = f"{number(metric, figure['value'])} ({span(metric, figure)})"
    if change := model["against_first"].get(metric.key):
        mark = _MARKS[verdict(metric, change)]
        text += f"<br>{number(metric, change['value'], sign=True)} "
        text += f"({span(metric, change, sign=True)}){mark}"
    return text


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in body:
        yield f"| {' | '.join(row)} |"


def plain(text: str) -> str:
    """Text that came from anywhere, so that it stays text."""
    return (
        _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")
    )
