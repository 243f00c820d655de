"""How the worker process is started: its command line and its environment.

Light enough for a frozen game to import before anything else. Knows no pipes and no models.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from daydream_motives.errors import BackendError
from daydream_motives.settings import worker_command

ARGUMENT = "--daydream-worker"
_INSIDE = "DAYDREAM_INSIDE_WORKER"
_game_asks = False  # whether this program would become the worker when started as one


def run_worker_if_asked() -> None:
    """Become the worker process where this program was started as one; else return at once.

    A frozen game (PyInstaller and its like) calls this first thing: it has no Python to start
    `-m daydream_motives.engine.worker.main` with, so it starts itself.
    """
    global _game_asks
    _game_asks = True
    if ARGUMENT in sys.argv[1:2]:
        from daydream_motives.engine.worker.main import main

        main()


def default_command() -> list[str]:
    """The command line of the worker; raises BackendError where none is safe to run.

    A program that would not become the worker is never started: it would be the game once more.
    """
    if os.environ.get(_INSIDE):
        raise BackendError(
            "a worker process would start another worker",
            remedy='put the game\'s code under `if __name__ == "__main__":`',
        )
    if given := worker_command():
        return given
    executable = sys.executable or ""
    python = any(name in Path(executable).stem.lower() for name in ("python", "pypy"))
    if python and not getattr(sys, "frozen", False):
        return [executable, "-P", "-m", "daydream_motives.engine.worker.main"]
    if executable and _game_asks:
        return [executable, ARGUMENT]
    raise BackendError(
        "this program cannot start a worker process: it is no Python interpreter",
        remedy="call daydream_motives.run_worker_if_asked() first thing, or set DAYDREAM_WORKER",
    )


def environment() -> dict[str, str]:
    """The worker's environment: it imports what the game would import.

    The standard library comes first, so that a file beside the game cannot stand in for it.
    """
    environment = {**os.environ, _INSIDE: "1", "GGML_NO_BACKTRACE": "1"}
    if not getattr(sys, "frozen", False):
        environment["PYTHONPATH"] = os.pathsep.join(_search_path(sys.path))
    return environment


def _search_path(entries: Sequence[str]) -> list[str]:
    names = ("stdlib", "platstdlib")
    library = {path for name in names if (path := sysconfig.get_path(name))}
    library |= {str(Path(path, "lib-dynload")) for path in library}
    found = list(dict.fromkeys(os.path.abspath(entry) for entry in entries))  # noqa: PTH100
    return sorted(found, key=lambda path: path not in library and not path.endswith(".zip"))


def creation_flags() -> int:
    """What Windows is told about the new process: no window, below normal priority."""
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return 0
