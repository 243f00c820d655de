"""The templates of all pages of training. Knows nothing of what they tell."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def templates() -> Environment:
    """Every text is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("daydream_motives.training", "templates"),
                PackageLoader("daydream_motives.report", "templates"),  # the style sheet
            ]
        ),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"count": lambda n: f"{n:,}", "label": lambda s: s.replace("_", " ")}
    return environment
