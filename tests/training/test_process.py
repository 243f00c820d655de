"""Memory is given back when far more is held than a step needs, and not else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from daydream_motives.training import process

psutil = pytest.importorskip("psutil")


def given_back(held: list[int], monkeypatch: pytest.MonkeyPatch, free: int = 2**34) -> list[int]:
    """After which steps memory was given back, by what was held after each."""
    done, found = list[int](), list[int]()
    fake = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=done[-1]))
    monkeypatch.setattr(psutil, "Process", lambda: fake)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(process, "give_memory_back", lambda: found.append(len(done)))
    tidying = process.Tidying()
    for value in held:
        done.append(value)
        tidying.after_step()
    return found


@pytest.mark.parametrize(
    ("held", "after"),
    [
        ([100, 100, 100, 100], []),
        ([100, 110, 120, 124, 125], []),
        ([100, 126, 80, 126, 90], [2, 4]),  # what a step needs is the most one alone has held
        ([100, 130, 120, 140, 151, 100], [2, 5]),
        ([], []),
    ],
)
def test_memory_is_given_back_above_a_quarter_more(
    held: list[int], after: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given_back(held, monkeypatch) == after


def test_where_memory_is_scarce_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_back([100, 100, 90], monkeypatch, free=2**29) == [1, 2, 3]
