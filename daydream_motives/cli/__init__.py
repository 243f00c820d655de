"""The `daydream` command: parses, calls, shows. Knows nothing of how anything is computed.

Exit codes: 0 done; 1 other failure; 2 wrong usage or settings; 3 an author's file is wrong;
4 model store; 5 a model failed; 6 a run's folder or journal; 7 refused, as it would make things
worse; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import logging

import click

from daydream_motives import __version__
from daydream_motives.command_group import CommandGroup

# Each holds commands of its own, under the names listed here.
_COMMANDS = {
    "simulate": "simulate",
    "ask": "ask", "decide": "ask",
    "validate": "world", "schema": "world",
    "models": "models",
    "journal": "journal",
    "replay": "replay", "bench": "bench", "report": "report",
    "import": "exchange", "export": "exchange",
}  # fmt: skip


@click.group(
    cls=CommandGroup,
    modules={name: f"daydream_motives.cli.{module}" for name, module in _COMMANDS.items()},
    spoken="daydream",
    stopped="stopped; what was written is whole",
)
@click.version_option(__version__, prog_name="daydream")
@click.option("-v", "--verbose", is_flag=True, help="Log more, also what llama.cpp says.")
def main(verbose: bool) -> None:
    """Motives for game characters, from a small language model on this machine."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="daydream: %(message)s"
    )
