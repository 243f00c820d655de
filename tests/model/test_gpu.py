"""The model on a GPU answers as validly as on a processor."""

from __future__ import annotations

import pytest

from daydream_motives import Character, CharacterSheet, MotiveEngine
from daydream_motives.engine.llama import llama_cpp
from daydream_motives.errors import SettingsError
from daydream_motives.settings import gpu_layers


@pytest.mark.gpu
def test_the_model_runs_on_the_gpu(real_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp was built without GPU support")
    monkeypatch.setenv("DAYDREAM_GPU_LAYERS", "999")
    with MotiveEngine(model=real_model) as engine:
        decision = Character(CharacterSheet(name="Ines"), engine=engine).next_purposes()
    assert decision.provenance.source == "model"


@pytest.mark.parametrize("value", ["many", "-1", "1000"])
def test_a_wrong_number_of_layers_is_explained(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DAYDREAM_GPU_LAYERS", value)
    with pytest.raises(SettingsError, match="number of layers"):
        gpu_layers()
