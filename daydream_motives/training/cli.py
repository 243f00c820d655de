"""`python -m daydream_motives.training`: parses, calls, shows.

Exit codes are those of `daydream`: 0 done; 1 other failure; 2 wrong usage; 3 the data is wrong;
7 refused, as it would make things worse.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any

import click

from daydream_motives.errors import DaydreamError

_INTERRUPTED = 130
# Each stage is a module of commands, imported only when it is asked for.
_STAGES = {
    "data": "data_commands",
    "harvest": "harvest_commands",
    "curate": "curate_commands",
    "preflight": "preflight_commands",
    "train": "train_commands",
    "prefer": "prefer_commands",
    "tune": "tune_commands",
    "evaluate": "judging_commands",
    "compare": "judging_commands",
    "export": "export_commands",
    "retrain": "retrain_commands",
    "promote": "promote_commands",
    "rollback": "promote_commands",
    "export-llamafactory": "llamafactory_commands",
    "report": "report_commands",
}


class _Group(click.Group):
    """Shows our errors as a message with a remedy and an exit code, never as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's argument
        return list(_STAGES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """A stage of training by its name."""
        if name not in _STAGES:
            return None
        module = import_module(f"daydream_motives.training.{_STAGES[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DaydreamError as exc:
            click.echo(f"training: {exc}", err=True)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            click.echo("training: stopped", err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """From scenes and journals to better models."""
    for stream in (sys.stdout, sys.stderr):  # names are in every script, whatever the console
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
