"""The game ends, however it ends: no worker is left. Each game here is a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workers import alive, environment, eventually

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals and forks")
BEGIN = """
import os, signal, sys, time
from workers import Answers, hostile, request
worker = hostile(KIND)
worker.wait()
print(worker.pid, flush=True)
"""


@contextmanager
def game(
    folder: Path, code: str, kind: str = "named"
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A game that has a worker and then runs `code`; its process, and the worker's id."""
    script = folder / "game.py"
    script.write_text(BEGIN.replace("KIND", repr(kind)) + code)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script)],
        env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        pid = int(process.stdout.readline())
        assert alive(pid)
        try:
            yield process, pid
        finally:
            process.kill()


BUSY = """
answers = Answers()
answers.ask(worker, 0, "Bad")
time.sleep(0.3)
print("asked", flush=True)
"""


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a stuck interpreter")


@pytest.mark.parametrize("kind", ["named", "hangs", pytest.param("stuck", marks=LINUX)])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_game_that_is_killed(tmp_path: Path, kind: str, how: signal.Signals) -> None:
    with game(tmp_path, BUSY + "time.sleep(60)", kind) as (process, pid):
        assert process.stdout
        process.stdout.readline()
        process.send_signal(how)
        process.wait()
        eventually(lambda: not alive(pid), 3)


def test_a_game_that_was_killed_and_left_children_holding_its_pipes(tmp_path: Path) -> None:
    """Forks of the game (without exec) and its other programs outlive it; the worker does not."""
    code = (
        "import subprocess\n"
        "other = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "fork = os._exit and os.fork()\n"
        "if not fork:\n"
        "    os.close(1); time.sleep(60)\n"
        "print(other.pid, fork, flush=True)\n"
        "time.sleep(60)\n"
    )
    with game(tmp_path, code) as (process, pid):
        assert process.stdout
        children = list(map(int, process.stdout.readline().split()))
        process.kill()
        process.wait()
        eventually(lambda: not alive(pid), 3)
        assert all(map(alive, children))
        for child in children:
            os.kill(child, signal.SIGKILL)


def test_a_worker_notices_that_its_parent_changed(tmp_path: Path) -> None:
    """Where the kernel does not end it and its pipes stay open: it looks for itself."""
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "from daydream_motives.engine.worker import main as worker\n"
        "worker._die_with = lambda parent: None\n"  # no help from the kernel
        "worker.main()\n"
    )
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import subprocess, sys, time\n"
        f"output = open({str(tmp_path / 'said')!r}, 'wb')\n"
        f"worker = subprocess.Popen([sys.executable, {str(launcher)!r}], stdin=0, stdout=output)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    said = tmp_path / "said"
    said.touch()
    read, write = os.pipe()  # the input that stays open
    with subprocess.Popen(
        [sys.executable, str(parent)], stdin=read, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        eventually(lambda: said.read_bytes().count(b"beat") > 1)
        running = alive(pid)
        process.kill()
        process.wait()
        assert running
        eventually(lambda: not alive(pid), 3)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    "end", ["", "os._exit(0)", "os.abort()", "worker.close()",
            "os.kill(os.getpid(), signal.SIGINT)"]
)  # fmt: skip
def test_a_game_that_ends_by_itself(tmp_path: Path, end: str) -> None:
    start = time.monotonic()
    with game(tmp_path, BUSY + "sys.stderr = open(os.devnull, 'w')\n" + end, "hangs") as (_, pid):
        eventually(lambda: not alive(pid), 5)
    assert time.monotonic() - start < 15


def test_a_fork_of_the_game_that_ends_does_not_end_the_worker(tmp_path: Path) -> None:
    code = (
        "if not os.fork():\n"
        "    sys.exit()\n"  # runs what runs at exit
        "os.wait()\n"
        "print(bool(worker.decide_many([request()])[0].drafts), worker.pid, flush=True)\n"
        "worker.close()\n"
    )
    with game(tmp_path, code) as (process, pid):
        assert process.stdout
        assert process.stdout.readline().split() == ["True", str(pid)]


def test_ctrl_c_is_the_games_affair(tmp_path: Path) -> None:
    code = (
        "import signal\n"  # a job in the background is started with Ctrl-C switched off
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n    print('now', flush=True)\n    time.sleep(30)\n"
        "except KeyboardInterrupt:\n    pass\n"
        "print(bool(worker.decide_many([request()])[0].drafts), worker.pid, flush=True)\n"
        "worker.close()\n"
    )
    with game(tmp_path, code) as (process, pid):
        assert process.stdout
        assert process.stdout.readline() == "now\n"
        for each in (pid, process.pid):  # a terminal tells the whole group
            os.kill(each, signal.SIGINT)
        assert process.stdout.readline().split() == ["True", str(pid)]


def test_a_main_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "game.py"
    script.write_text(
        "print('begin', flush=True)\n"
        "from daydream_motives.engine.backend import BackendSpec\n"
        "from daydream_motives.engine.worker.backend import WorkerBackend\n"
        "worker = WorkerBackend('scripted', BackendSpec('scripted'))\n"
        "worker.wait()\n"
        "worker.close()\n"
        "print('end', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["begin", "end"]
    assert done.stderr == ""


def test_a_frozen_game_becomes_its_own_worker(tmp_path: Path) -> None:
    """A game that is its own executable: here a script with a shebang plays the frozen program."""
    frozen = tmp_path / "harbour"
    frozen.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "import daydream_motives\n"
        "daydream_motives.run_worker_if_asked()\n"
        "assert not {'pydantic', 'numpy', 'networkx'} & sys.modules.keys()\n"
        "print('begin', flush=True)\n"
        f"sys.executable, sys.frozen = {str(frozen)!r}, True\n"
        "from daydream_motives.engine.backend import BackendSpec\n"
        "from daydream_motives.engine.worker.backend import WorkerBackend\n"
        "worker = WorkerBackend('scripted', BackendSpec('scripted'))\n"
        "worker.wait()\n"
        "worker.close()\n"
        "print('end', flush=True)\n"
    )
    frozen.chmod(0o755)
    done = subprocess.run([str(frozen)], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["begin", "end"], "")
