"""The only reader of the environment and of settings files. Knows nothing of what they are for.

Variables: DAYDREAM_HOME (where models are kept), DAYDREAM_MODEL (name or path of the default
model), DAYDREAM_THREADS (threads of llama.cpp; the default is all cores but one, at least one,
at most eight), DAYDREAM_GPU_LAYERS (layers of the model to put on a GPU, where llama.cpp was built
for one; the default is 0), DAYDREAM_API_KEY (the key of the server that is asked instead of a local
model), DAYDREAM_API_INSECURE (1: send that key unencrypted over a network) and DAYDREAM_WORKER (the
command line that starts the worker process, where a game ships a Python of its own).
"""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import platformdirs

from daydream_motives.errors import SettingsError


def home() -> Path:
    """The folder of everything kept on this machine between runs."""
    if value := os.environ.get("DAYDREAM_HOME"):
        return Path(value).expanduser()
    return Path(platformdirs.user_data_dir("daydream-motives", appauthor=False))


def default_model() -> str | None:
    """The user's own default model, or None."""
    return os.environ.get("DAYDREAM_MODEL") or None


def threads_of_a_command() -> int:
    """Threads where no game runs beside: all cores, or DAYDREAM_THREADS."""
    return _given_threads() or os.cpu_count() or 1


def default_threads() -> int:
    """Threads for llama.cpp; raises SettingsError where DAYDREAM_THREADS is no positive number."""
    return _given_threads() or min(8, max(1, (os.cpu_count() or 2) - 1))


def worker_command() -> list[str]:
    """The user's own command for the worker process, from DAYDREAM_WORKER; empty where not set.

    Raises SettingsError where its quotes do not match.
    """
    value = os.environ.get("DAYDREAM_WORKER", "")
    try:  # on Windows a backslash is part of a path
        parts = shlex.split(value, posix=os.name != "nt")
    except ValueError as exc:
        raise SettingsError(
            f"DAYDREAM_WORKER is {value!r}: {exc}", remedy="mend its quotes, or unset it"
        ) from exc
    return [part.strip('"') for part in parts] if os.name == "nt" else parts


def gpu_layers() -> int:
    """Layers of a model to put on the GPU, from DAYDREAM_GPU_LAYERS; 0 where it is not set."""
    return _number("DAYDREAM_GPU_LAYERS", "layers", 0, 999)


def api_key() -> str:
    """The key for a model's server, from the environment only; empty where there is none.

    Raises SettingsError, which does not show it, where it cannot be sent in a header.
    """
    key = os.environ.get("DAYDREAM_API_KEY", "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise SettingsError(
            "DAYDREAM_API_KEY holds blanks or characters that no key has",
            remedy="set it to the key alone, or unset it",
        )
    return key


def api_insecure() -> bool:
    """Whether the user allows the key to be sent unencrypted."""
    return os.environ.get("DAYDREAM_API_INSECURE") == "1"


def _given_threads() -> int:
    return _number("DAYDREAM_THREADS", "threads", 1, 512)


def _number(name: str, of: str, low: int, high: int) -> int:
    """An environment variable as a number within bounds; 0 where it is not set."""
    value = os.environ.get(name)
    if not value:
        return 0
    if not value.isdecimal() or not low <= int(value) <= high:
        raise SettingsError(
            f"{name} is {value!r}, which is no number of {of}",
            remedy=f"set it to a number from {low} to {high}, or unset it",
        )
    return int(value)


def spin_briefly() -> None:
    """Keep OpenMP's threads from spinning long at barriers; call before llama.cpp is loaded.

    llama.cpp meets hundreds of barriers a token. With GNU OpenMP's default a second busy process
    on two cores cut decoding from 51 to 3 tokens/s; with short spins it is 47 alone, 28 beside one.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def shipped(name: str) -> Path:
    """A folder that ships with the package: `models`, `training` or `sim_examples`."""
    inside = Path(__file__).parent / "shipped" / name
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def read_toml(path: Path) -> dict[str, Any]:
    """One TOML file; raises SettingsError naming file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"{path}: {exc}", remedy="mend the file or reinstall") from exc


def is_terminal() -> bool:
    """Whether progress can be drawn: standard error is a terminal."""
    return sys.stderr.isatty()
