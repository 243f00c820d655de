"""What needs the extra `training` is left out where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

_WITH_TORCH = [
    "test_base.py",
    "test_plan.py",
    "test_preflight.py",
    "test_tokens.py",
    "test_train.py",
]
collect_ignore = [] if find_spec("peft") else _WITH_TORCH
