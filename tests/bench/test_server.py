"""The server that tests and the ladder start: it says what is missing and leaves nothing behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daydream_motives.bench import server
from daydream_motives.errors import BackendError


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    with pytest.raises(BackendError, match="xllamacpp") as caught, server.serve(Path("x.gguf")):
        pass
    assert "daydream-motives[bench]" in caught.value.remedy


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_is_no_model(tmp_path: Path, there: bool) -> None:
    pytest.importorskip("xllamacpp")
    if there:
        (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BackendError, match="did not start") as caught:
        server.serve(tmp_path / "x.gguf").__enter__()
    assert str(tmp_path) in caught.value.message
    assert caught.value.remedy


def closed(url: str, seconds: float) -> bool:
    """Whether nobody listens there any more, soon."""
    parts = urlsplit(url)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), 1).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.model
def test_it_ends_with_the_block(real_model: str) -> None:
    pytest.importorskip("xllamacpp")
    from daydream_motives.modelstore.store import ModelStore

    with server.serve(ModelStore().installed(real_model).path) as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert not closed(running.url, 0.1)
        assert "xllamacpp" in running.compiled
    assert closed(running.url, 0.5)


@pytest.mark.model
def test_it_ends_with_whoever_started_it(real_model: str) -> None:
    pytest.importorskip("xllamacpp")
    from daydream_motives.modelstore.store import ModelStore

    code = (
        "import sys, os, pathlib; from daydream_motives.bench.server import serve\n"
        "with serve(pathlib.Path(sys.argv[1])) as s: print(s.url, flush=True); os._exit(9)"
    )
    path = str(ModelStore().installed(real_model).path)
    done = subprocess.run([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 9
    assert closed(done.stdout.strip(), 10)
