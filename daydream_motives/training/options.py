"""Options that every stage takes which learns by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--data", help="The dataset's folder, instead of the recipe's."),
    click.option("--base", help="Another base: a catalogue's name or a GGUF file."),
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute."
    ),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Another seed."),
)  # fmt: skip


def of_learning(command: Command) -> Command:
    """Add --data, --base, --device and --seed to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
