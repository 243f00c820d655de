"""A real OpenAI-compatible server on this machine: llama.cpp's own, from the package xllamacpp.

It runs in a process of its own and ends with the one that started it. Knows nothing of the engine:
the ladder compares with it, and the remote backend is tested against it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from daydream_motives.errors import BackendError
from daydream_motives.settings import spin_briefly

_REMEDY = "pip install 'daydream-motives[bench]'"


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that answers: `url` ends in /v1, `pid` is its process, `compiled` are version and
    processor features that it was built with."""

    url: str
    pid: int
    compiled: str


@contextmanager
def serve(
    model: Path,
    *,
    threads: int = 2,
    slots: int = 1,
    context: int = 2048,
    api_key: str = "",
    timeout: float = 120.0,
) -> Iterator[LocalServer]:
    """The GGUF file served on a free port of 127.0.0.1, ready to answer; killed on the way out.

    `slots` are sequences decoded at once, of `context` tokens each. Raises BackendError where
    xllamacpp is missing, or the server is not ready within `timeout` seconds.
    """
    if find_spec("xllamacpp") is None:
        raise BackendError("the package xllamacpp is not installed", remedy=_REMEDY)
    asked = {"model": str(model), "threads": threads, "slots": slots, "context": context,
             "api_key": api_key}  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "daydream_motives.bench.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        stopping = threading.Timer(timeout, process.kill)
        stopping.start()
        try:
            # What is asked goes over standard input, which stays open: its end is the sign to stop.
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            # llama.cpp may print lines of its own before ours.
            said = next((row for row in process.stdout if row.startswith(b"{")), b"")
            stopping.cancel()
            if not said:
                raise BackendError(
                    f"the server did not start with {model}: {_last_lines(log)}",
                    remedy="look at the lines above; is the file a model, and is memory free?",
                )
            ready = json.loads(said)
            yield LocalServer(ready["url"], process.pid, ready["compiled"])
        finally:
            stopping.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
            with suppress(OSError):
                process.stdin.close()


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    return " | ".join(log.read()[-600:].decode("utf-8", errors="replace").split("\n")[-4:]).strip()


def main() -> None:
    """The server's process: settings as one line on standard input, one line back when ready."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    spin_briefly()  # before llama.cpp loads OpenMP: other processes may want the processor too
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = asked["model"]
    params.model_alias = {Path(asked["model"]).stem}
    params.n_parallel = asked["slots"]
    params.n_ctx = asked["context"] * asked["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.n_gpu_layers = 0
    params.port = 0
    params.api_keys = [asked["api_key"]] if asked["api_key"] else []
    server = xllamacpp.Server(params)  # returns when the model is loaded
    features = xllamacpp.get_system_info().strip(" |")
    ready = {
        "url": f"{server.listening_address}/v1",
        "compiled": f"xllamacpp {xllamacpp.__version__}: {features}",
    }
    print(json.dumps(ready), flush=True)
    sys.stdin.read()  # until whoever started us is gone


if __name__ == "__main__":
    main()
