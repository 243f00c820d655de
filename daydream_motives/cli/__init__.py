"""The `daydream` command: parses, calls, shows. Knows nothing of how anything is computed.

Exit codes: 0 done; 1 other failure; 2 wrong usage or settings; 3 an author's file is wrong;
4 model store; 5 a model failed; 6 a run's folder or journal; 7 refused, as it would make things
worse; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from importlib import import_module
from typing import Any

import click

from daydream_motives import __version__
from daydream_motives.errors import DaydreamError

_INTERRUPTED = 130
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


class _Group(click.Group):
    """Shows our errors as a message with a remedy and an exit code, never as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """A command, whose module is imported only when it is asked for."""
        if name not in _COMMANDS:
            return None
        module = import_module(f"daydream_motives.cli.{_COMMANDS[name]}")
        # `import` is a word of Python's own, so that its function is called `import_`.
        command: click.Command = getattr(module, name, None) or getattr(module, f"{name}_")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DaydreamError as exc:
            click.echo(f"daydream: {exc}", err=True)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            click.echo("daydream: stopped; what was written is whole", err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="daydream")
@click.option("-v", "--verbose", is_flag=True, help="Log more, also what llama.cpp says.")
def main(verbose: bool) -> None:
    """Motives for game characters, from a small language model on this machine."""
    for stream in (sys.stdout, sys.stderr):  # names are in every script, whatever the console
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="daydream: %(message)s"
    )
