"""The comparison as one HTML page that needs nothing else. The same data gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daydream_motives.motives.budget import FIELDS
from daydream_motives.training.judging.comparing import number, rows, span, verdict
from daydream_motives.training.judging.metrics import CONTROLS, Metric
from daydream_motives.training.pages import templates

_PICTURED = ("loss", "unknown_names", "distinct_2", "self_bleu", "twins", "within", "copied",
             "hit_1", "mrr", "contrast", "rank_lift")  # fmt: skip


def page(compared: Mapping[str, Any]) -> str:
    """The page of what `compare` found."""
    return templates().get_template("compare.html").render(variables(compared))


def variables(compared: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of a comparison read."""
    metrics = rows(dict(compared))
    return {
        "c": compared,
        "fields": FIELDS,
        "controls": [name for name in CONTROLS if name in compared["controls"]],
        "rows": [_row(compared, metric) for metric in metrics],
        "pictures": [_picture(compared, metric) for metric in metrics if metric.key in _PICTURED],
    }


def _row(compared: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    """A line of the table: of each model value, interval, difference."""

    def cell(model: Mapping[str, Any]) -> dict[str, str]:
        figure, change = (
            model["figures"].get(metric.key),
            model["against_first"].get(metric.key),
        )
        return {
            "value": number(metric, figure["value"]) if figure else "",
            "span": span(metric, figure) if figure else "",
            "change": number(metric, change["value"], sign=True) if change else "",
            "change_span": span(metric, change, sign=True) if change else "",
            "verdict": verdict(metric, change),
        }

    controls = {
        name: number(metric, figure["value"])
        for name in CONTROLS
        if (figure := compared["controls"].get(name, {}).get(metric.key))
    }
    return {
        "metric": metric, "controls": controls,
        "cells": [cell(model) for model in compared["models"]],
    }  # fmt: skip


def _picture(compared: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    """A band and a dot for each model on one axis, and a mark for each control."""
    figures = [(m["model"]["name"], m["figures"].get(metric.key)) for m in compared["models"]]
    known = [(name, figure) for name, figure in figures if figure]
    marks = [
        (name, figure["value"])
        for name in CONTROLS
        if (figure := compared["controls"].get(name, {}).get(metric.key))
    ]
    ends = [end for _, f in known for end in (f["low"], f["high"])] + [v for _, v in marks]
    low, high = min(0.0, *ends), max(ends)
    wide = high - low or 1.0

    def at(value: float) -> str:
        return f"{100 * (value - low) / wide:.2f}"

    return {
        "metric": metric,
        "rows": [
            {
                "name": name, "left": at(f["low"]), "dot": at(f["value"]),
                "width": f"{100 * (f['high'] - f['low']) / wide:.2f}",
                "text": number(metric, f["value"]), "span": span(metric, f),
            }
            for name, f in known
        ],
        "marks": [{"name": name, "at": at(v), "text": number(metric, v)} for name, v in marks],
    }  # fmt: skip
