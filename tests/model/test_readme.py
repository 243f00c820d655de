"""What the README promises: its commands run, its program is ten lines, its demo works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

pytestmark = pytest.mark.model

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if not line.startswith("make ")
]
FIRST_STEPS = REPOSITORY / "sim_examples" / "first_steps.py"


def run(command: str | list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, shell=isinstance(command, str), cwd=cwd, env=environment, text=True,
        capture_output=True, timeout=900, check=False,
    )  # fmt: skip


def test_every_command_of_the_readme_runs(real_model: str, tmp_path: Path) -> None:
    assert len(COMMANDS) >= 8
    (tmp_path / "sim_examples").symlink_to(REPOSITORY / "sim_examples")
    for command in COMMANDS:
        # The demo's 150 decisions are for a person to watch; the path is the same for six.
        done = run(command.replace("--max-decisions 150", "--max-decisions 6"), tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_program_in_the_readme_is_first_steps(real_model: str, tmp_path: Path) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    program = FIRST_STEPS.read_text(encoding="utf-8")
    assert program.endswith(shown)
    own = [line for line in shown.splitlines() if line.strip() and "import" not in line]
    assert len(own) <= 10
    done = run([sys.executable, str(FIRST_STEPS)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line[0] for line in done.stdout.splitlines()] == ["1", "2", "3"]
    assert "instinct" not in done.stderr


def test_make_demo(real_model: str) -> None:
    if not (REPOSITORY / ".venv" / ".setup").exists():
        pytest.skip("run `make setup` first: `make demo` would install everything here")
    done = run("make demo DECISIONS=6", REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"6 decisions by \d+ people: 100% from the model", done.stdout), done.stdout


def test_shell_words_are_plain() -> None:
    assert all(shlex.split(command) for command in COMMANDS)
