"""Fetching from a stand-in for Hugging Face that speaks as much of its HTTP as the client needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny import entry_data, write_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY, FILE = "someone/Tiny-GGUF", "tiny.gguf"

# Runs where HF_ENDPOINT is read on import: prints what each entry came to.
PROGRAM = """
import json, sys
from pathlib import Path
from daydream_motives.errors import DaydreamError
from daydream_motives.modelstore.catalogue import Entry
from daydream_motives.modelstore.download import fetch, sha256_of
results = {}
for name, data in json.load(sys.stdin).items():
    target, got = Path(sys.argv[1]) / name / "shipped.gguf", []
    try:
        fetch(Entry.model_validate(data), target, Path(sys.argv[1]) / "cache", got.append)
        results[name] = {"sha256": sha256_of(target), "progress": sum(got)}
    except DaydreamError as exc:
        results[name] = {"code": exc.code, "message": exc.message, "remedy": exc.remedy}
    except Exception as exc:
        results[name] = {"code": "not ours", "message": f"{type(exc).__module__}: {exc!r}"}
    results[name]["there"] = target.exists()
print(json.dumps(results))
"""


class Hub(BaseHTTPRequestHandler):
    """One repository with one model, under the revision `main`; `altered` is not what it states."""

    data: bytes

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path != f"/api/models/{REPOSITORY}/paths-info/main":
            self.answer(404, b"{}", X_Error_Code="RepoNotFound")
            return
        digest = hashlib.sha256(self.data).hexdigest()
        lfs = {"oid": digest, "size": len(self.data), "pointerSize": 134}
        row = {"type": "file", "path": FILE, "size": len(self.data), "oid": "1" * 40, "lfs": lfs}
        rows = [row] if FILE in body else []
        self.answer(200, json.dumps(rows).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        if self.path != f"/{REPOSITORY}/resolve/main/{FILE}":
            self.answer(404, b"", X_Error_Code="EntryNotFound")
            return
        digest = hashlib.sha256(self.data).hexdigest()
        self.answer(
            200, self.data, X_Repo_Commit=COMMIT, ETag=f'"{digest}"',
            X_Linked_Etag=f'"{digest}"', X_Linked_Size=str(len(self.data)),
        )  # fmt: skip

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    Hub.data = write_gguf(tmp_path_factory.mktemp("hub") / "t.gguf", "qwen2").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(endpoint: str, folder: Path, entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    proxies = {key for key in os.environ if key.lower().endswith("_proxy")}
    env = {key: value for key, value in os.environ.items() if key not in proxies}
    env |= {
        "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], input=json.dumps(entries), env=env,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def hub_entry(**changes: Any) -> dict[str, Any]:
    hub = {"repository": REPOSITORY, "file": FILE, "revision": "main", **changes.pop("hub", {})}
    return {**entry_data(Hub.data, hub=hub), **changes}


@pytest.fixture(scope="module")
def results(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    entries = {
        "pinned": hub_entry(),
        "unpinned": hub_entry(sha256=None, size=0),
        "altered": hub_entry(sha256="0" * 64),
        "no repository": hub_entry(hub={"repository": "no/body"}),
        "no file": hub_entry(hub={"file": "none.gguf"}),
        "no revision": hub_entry(hub={"revision": "none"}),
    }
    return fetched(endpoint, tmp_path_factory.mktemp("got"), entries)


@pytest.mark.parametrize("name", ["pinned", "unpinned"])
def test_a_file_arrives_whole(results: dict[str, dict[str, Any]], name: str) -> None:
    digest = hashlib.sha256(Hub.data).hexdigest()
    assert results[name] == {"sha256": digest, "progress": len(Hub.data), "there": True}


def test_a_file_that_is_not_the_pinned_one_is_refused(results: dict[str, dict[str, Any]]) -> None:
    assert results["altered"]["code"] == "model-corrupt"
    assert not results["altered"]["there"]


@pytest.mark.parametrize("name", ["no repository", "no file", "no revision"])
def test_what_the_hub_does_not_have_is_a_failed_download(
    results: dict[str, dict[str, Any]], name: str
) -> None:
    found = results[name]
    assert found["code"] == "download-failed"
    assert "pull again" in found["remedy"]
    assert "unpack" not in found["message"], "the message is Python's, not ours"


def test_no_hub_at_all_is_a_failed_download(endpoint: str, tmp_path: Path) -> None:
    found = fetched("http://127.0.0.1:9", tmp_path, {"offline": hub_entry()})["offline"]
    assert (found["code"], found["there"]) == ("download-failed", False), found["message"]
