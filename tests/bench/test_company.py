"""Answers alone and in a batch: the figures say what they should, on a real if tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import write_gguf

from daydream_motives.bench import company
from daydream_motives.engine.backend import Answer
from daydream_motives.errors import DaydreamError
from daydream_motives.motives.purposes import Draft


def test_the_same_answers_alone_and_in_a_batch(tmp_path: Path) -> None:
    found = company.measure(
        str(write_gguf(tmp_path / "tiny.gguf")), decisions=4, batch=3, threads=1
    )
    assert found["repeatable"] == {"identical": 1, "first_identical": 1, "to_the_bit": 1}
    assert 0 <= found["mean_kl"] <= found["max_kl"] < 1e-3
    assert found["tokens"] > 0
    assert "repeatable" in company.as_text(found)


def test_what_differs_is_seen() -> None:
    one, other = (Answer((Draft(text, -1.0), Draft("b", -1.0))) for text in ("a", "c"))
    assert company._same([one, one], [one, other]) == {
        "identical": 0.5, "first_identical": 0.5, "to_the_bit": 0.5,
    }  # fmt: skip
    logits = np.array([0.0, 1.0, 2.0], dtype=np.float32)
    assert company._kl(logits, logits + 3) == pytest.approx(0, abs=1e-12)
    assert company._kl(logits, logits[::-1]) > 0.1


@pytest.mark.parametrize("model", ["scripted", "nothing.gguf", "http://127.0.0.1:1/v1"])
def test_only_a_file_that_is_there_can_be_asked(model: str) -> None:
    with pytest.raises(DaydreamError) as caught:
        company.measure(model, decisions=2, batch=2)
    assert caught.value.remedy
