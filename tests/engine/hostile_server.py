"""A real HTTP server on the loopback that behaves as it is told: well, badly, or worse."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]
TEXTS = ("Ines wants to ask Karl for the key, because the shed is locked.",
         "Ines wants to walk to the quay, because the bell rang twice.",
         "Ines wants to sleep for an hour, because the night was short.")  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers GET /v1/models; each POST by the next behaviour, at last by the same for ever."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out apart
    server: HostileServer
    asked: dict[str, Any]

    def do_GET(self) -> None:
        self.server.names_asked += 1
        self.server.models(self)

    def do_POST(self) -> None:
        server = self.server
        self.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.asked)
            server.asked.append(self.asked)
            server.headers_seen.append(dict(self.headers))
            server.ports.add(self.client_address[1])
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
        try:
            server.behaviours[min(number, len(server.behaviours) - 1)](self)
        finally:
            with server.lock:
                server.busy -= 1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(
        self, body: bytes | str | object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        raw = body.encode() if isinstance(body, str) else body
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def wait(self, seconds: float = 30.0) -> None:
        self.server.ending.wait(seconds)


class HostileServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behaviours: Sequence[Behaviour], port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behaviours = behaviours
        self.models: Behaviour = lambda h: h.send({"data": [{"id": "tiny"}, {"id": "other"}]})
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.asked: list[dict[str, Any]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.ports: set[int] = set()
        self.names_asked = self.busy = self.most_busy = self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what these tests are about


@contextmanager
def hostile(*behaviours: Behaviour, port: int = 0) -> Iterator[HostileServer]:
    server = HostileServer(behaviours or (good,), port)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


def completion(content: object, **more: Any) -> dict[str, Any]:
    """A chat completion as OpenAI writes it."""
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"),
              "message": {"role": "assistant", "content": content, **more.pop("message", {})},
              "logprobs": more.pop("logprobs", None)}  # fmt: skip
    usage = {"prompt_tokens": 300, "completion_tokens": 75,
             "prompt_tokens_details": {"cached_tokens": 200}}  # fmt: skip
    return {"model": "tiny-1", "choices": [choice], "usage": usage, **more}


def purposes(texts: Sequence[str] = TEXTS) -> str:
    named = {f"purpose_{k}": t for k, t in zip("abc", texts, strict=True)}
    return json.dumps(named, ensure_ascii=False)


def good(h: Handler) -> None:
    h.send(completion(purposes()))


def say(content: object, **more: Any) -> Behaviour:
    return lambda h: h.send(completion(content, **more))


def status(code: int, body: object = "", **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda h: h.send(body, code, named)


def hangs(h: Handler) -> None:
    h.wait()


def hangs_in_the_body(h: Handler) -> None:
    h.send_response(200)
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(b'{"choices": [')
    h.wait()


def drips(h: Handler) -> None:
    """Never quiet for long, and never done."""
    h.send_response(200)
    h.send_header("Content-Length", "1000")
    h.end_headers()
    with suppress(OSError):
        while not h.server.ending.wait(0.1):
            h.wfile.write(b" ")


def drips_headers(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    with suppress(OSError):
        while not h.server.ending.wait(0.1):
            h.wfile.write(b"x")


def endless_headers(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while not h.server.ending.is_set():
            h.wfile.write(b"X-More: " + b"x" * 10_000 + b"\r\n")


def dies_halfway(h: Handler) -> None:
    h.send_response(200)
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(b'{"choices": [')
    h.wfile.flush()
    # Lingering for no time at all makes the close a reset.
    h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    h.close_connection = True
    h.connection.close()


def endless(h: Handler) -> None:
    """100 MB, if anyone wants them."""
    h.send_response(200)
    h.send_header("Content-Length", str(100_000_000))
    h.end_headers()
    for _ in range(1000):
        h.wfile.write(b"x" * 100_000)
        h.server.sent += 100_000


def not_http(h: Handler) -> None:
    h.wfile.write(b"\x16\x03\x01 hello\r\n\r\n")
    h.close_connection = True


def slow(seconds: float) -> Behaviour:
    def answer(h: Handler) -> None:
        time.sleep(seconds)
        good(h)

    return answer
