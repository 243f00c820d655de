"""One run of the worker program: its pipes, and the threads that listen to it.

Knows what a line is, when it came, and how the program ended; not what is asked of it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from daydream_motives.engine.worker.launch import creation_flags, environment
from daydream_motives.engine.worker.wire import (
    MAX_LINE,
    Beat,
    FromWorker,
    ToWorker,
    read_from_worker,
    to_worker,
)
from daydream_motives.errors import BackendError

log = logging.getLogger("daydream_motives.worker")
_LAST_WORDS = 6  # lines of standard error that are told when it dies
_LINE = 500
_DYING = 0.5  # seconds that a worker which said its last may take to end by itself


class WorkerProcess:
    """Starts the program; raises OSError or ValueError where that is impossible.

    `hear` is called with each message and may raise BackendError, which ends the program; `ended`
    is called last, once, from the thread that read the messages. Only one thread may `send`. The
    thread that makes this must outlive the program: on Linux the program dies with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        hear: Callable[[WorkerProcess, FromWorker], None],
        ended: Callable[[WorkerProcess], None],
    ) -> None:
        self._hear, self._ended = hear, ended
        self._popen = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment(),
            creationflags=creation_flags(),
        )
        self.pid = self._popen.pid
        self.started = self.heard = self.progress = time.monotonic()
        self.greeted = 0.0  # when it said hello
        self.why = ""  # what was wrong with it, where it did not end by itself
        self.killed: float | None = None
        self.delivering = False  # nothing is read while the game takes an answer
        self._steps = 0
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        _running.add(self)
        self._threads = [
            threading.Thread(target=work, name=f"daydream-worker-{name}", daemon=True)
            for work, name in ((self._listen, "errors"), (self._read, "answers"))
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: ToWorker) -> None:
        """Write a message; raises BackendError where it cannot be told. That nobody reads it any
        more is no error: `ended` follows."""
        line = memoryview(to_worker(message))
        with contextlib.suppress(OSError, ValueError):
            while line:
                line = line[_pipe(self._popen.stdin).write(line) or 0 :]

    def hang_up(self) -> None:
        """Close its input, upon which it ends; from the thread that sends."""
        with contextlib.suppress(OSError):
            _pipe(self._popen.stdin).close()

    def fault(self, why: str) -> None:
        """Kill it, for this reason; the first reason counts."""
        self.why = self.why or why
        self.kill()

    def kill(self) -> None:
        """End it at once; harmless where it is gone."""
        self.killed = self.killed or time.monotonic()
        with contextlib.suppress(OSError):
            self._popen.kill()

    def forgive(self, seconds: float) -> None:
        """Nobody watched for so long (the machine slept): the time does not count."""
        self.started += seconds
        self.heard += seconds
        self.progress += seconds

    def is_mine(self, thread: threading.Thread) -> bool:
        return thread in self._threads

    def epitaph(self) -> str:
        """How it ended and, where it said something, its last words."""
        words = " | ".join(self._last_words)
        return self.cause() + (f"; it said last: {words}" if words else "")

    def cause(self) -> str:
        """How it ended, in one short sentence."""
        if self.why:
            return f"the worker process was ended: {self.why}"
        code = self._popen.returncode
        if code is None:
            return "the worker process does not end"
        if code < 0 or code > 0xFFFF:
            return f"the worker process died ({_signal_name(code)})"
        return f"the worker process ended (exit code {code})"

    def _read(self) -> None:
        stream = io.BufferedReader(_pipe(self._popen.stdout))
        try:
            while line := stream.readline(MAX_LINE + 1):
                message = read_from_worker(line)
                self.heard = time.monotonic()
                if isinstance(message, Beat):
                    if message.steps != self._steps:
                        self._steps, self.progress = message.steps, self.heard
                else:
                    self.delivering = True
                    self._hear(self, message)
                    self.delivering = False
        except BackendError as exc:
            self.fault(exc.message)
        except (OSError, ValueError):
            pass  # the pipe is gone, and with it the worker
        except Exception as exc:
            log.exception("a message could not be taken")
            self.fault(f"{type(exc).__name__}: {exc}")
        try:
            self._popen.wait(_DYING)
        except subprocess.TimeoutExpired:
            self.fault("it closed its output")
            self._popen.wait()
        _running.discard(self)
        self._threads[0].join(_DYING)  # its last words
        stream.close()
        self._ended(self)

    def _listen(self) -> None:
        stream = io.BufferedReader(_pipe(self._popen.stderr))
        with contextlib.suppress(OSError, ValueError), stream:
            while line := stream.readline(_LINE):
                if text := line.decode("utf-8", errors="replace").rstrip():
                    self._last_words.append(text)
                    log.debug("%s", text)


def _pipe(stream: IO[bytes] | None) -> io.FileIO:
    if not isinstance(stream, io.FileIO):
        raise ValueError("there is no pipe")
    return stream


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code & 0xFFFFFFFF:#x}"


_running: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def _let_go() -> None:
    """In a fork of the game: its worker is none of ours, and must not be kept alive by us."""
    for process in list(_running):
        process.hang_up()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go)
