"""Command line: a group whose commands are imported when asked for, and whose errors are shown."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from daydream_motives.errors import DaydreamError

_INTERRUPTED = 130


class CommandGroup(click.Group):
    """Shows our errors as a message with a remedy and an exit code, never as a traceback.

    `modules` says in which module each command is, under its own name or, where that is a word of
    Python's own, with an underscore behind it.
    """

    def __init__(
        self,
        *given: Any,
        modules: Mapping[str, str],
        spoken: str,
        stopped: str = "stopped",
        **options: Any,
    ) -> None:
        super().__init__(
            *given, context_settings={"help_option_names": ["-h", "--help"]}, **options
        )
        self.modules, self.spoken, self.stopped = modules, spoken, stopped

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's argument
        return list(self.modules)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """A command, whose module is imported only when it is asked for."""
        if name not in self.modules:
            return None
        module, function = import_module(self.modules[name]), name.replace("-", "_")
        command: click.Command = getattr(module, function, None) or getattr(module, f"{function}_")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # names are in every script, whatever the console
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="replace")
        try:
            return super().invoke(ctx)
        except DaydreamError as exc:
            click.echo(f"{self.spoken}: {exc}", err=True)
            ctx.exit(exc.exit_code)
        except KeyboardInterrupt:
            click.echo(f"{self.spoken}: {self.stopped}", err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
