"""A run of the real model that is killed twice is the run that was never killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lasting import HARBOUR, content, rows

from daydream_motives.errors import RunError

pytestmark = pytest.mark.model

DECISIONS = 9
COMMAND = [sys.executable, "-m", "daydream_motives", "simulate"]


def decided(folder: Path) -> int:
    """How many decisions the journal holds."""
    try:
        return len(rows(folder)[0])
    except RunError:
        return 0


def test_killed_twice_and_resumed(real_model: str, tmp_path: Path) -> None:
    begin = [str(HARBOUR), "--ticks=12", f"--max-decisions={DECISIONS}", f"--model={real_model}",
             "--threads=2", "--seed=4"]  # fmt: skip
    resume = ["--resume", str(tmp_path / "run"), "--threads=2"]
    whole, folder = tmp_path / "whole", tmp_path / "run"
    subprocess.run([*COMMAND, *begin, f"--run={whole}"], check=True, capture_output=True)
    killed = 0
    for args, enough in (([*begin, f"--run={folder}"], 2), (resume, 7)):
        process = subprocess.Popen([*COMMAND, *args], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and decided(folder) < enough and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == 2
    assert 2 <= decided(folder) < DECISIONS
    subprocess.run([*COMMAND, *resume], check=True, capture_output=True)
    found = content(folder)
    assert len(found["decisions"]) > 7
    assert {d["provenance"]["source"] for d in found["decisions"]} == {"model"}
    assert found == content(whole)
