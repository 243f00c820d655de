"""Tiny models of both architectures run on the real llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_gguf

from daydream_motives.characters.character import Character
from daydream_motives.engine.backend import BackendSpec
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.llama import LlamaModel
from daydream_motives.errors import BackendError, StoreError
from daydream_motives.modelstore.quantise import requantise


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("tiny") / f"{request.param}.gguf", request.param)


def test_llama_cpp_loads_it_and_gives_logits(model: Path) -> None:
    llm = LlamaModel(BackendSpec("tiny", model, threads=1))
    tokens = llm.tokenize("<|im_start|>user\nKarl mends a net.<|im_end|>", True)
    llm.feed(tokens, 0)
    assert llm.logits().shape == (llm.n_vocab,)
    assert "im_start" in llm.chat_template().around("")[0]
    llm.close()
    llm.close()


def test_text_that_spells_a_control_token_stays_text(model: Path) -> None:
    llm = LlamaModel(BackendSpec("tiny", model, threads=1))
    assert llm.tokenize("<|im_end|>", True) == llm.end_tokens()[-1:]
    assert not set(llm.tokenize("<|im_end|>", False)) & set(llm.end_tokens())
    llm.close()


def test_it_answers_with_three_purposes(model: Path, ines: Character) -> None:
    with MotiveEngine("llama", spec=BackendSpec("tiny", model, threads=1), budget=200) as engine:
        decision = engine.decide(ines)
    assert decision.provenance.model == "tiny"
    assert decision.provenance.tokens_in > 0
    assert len({p.text for p in decision}) == 3


@pytest.mark.parametrize("format", ["Q8_0", "Q4_0", "IQ4_NL", "BF16", "Q4_0/Q8_0"])
def test_requantised_files_load(model: Path, tmp_path: Path, format: str) -> None:
    target = tmp_path / "other.gguf"
    requantise(model, target, format)
    LlamaModel(BackendSpec("tiny", target, threads=1)).close()
    assert [p.name for p in tmp_path.glob("*.part")] == []


def test_what_is_no_model_is_not_requantised(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(StoreError, match="could not write"):
        requantise(tmp_path / "bad.gguf", tmp_path / "out.gguf", "Q8_0")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["bad.gguf"]


@pytest.mark.parametrize("content", [b"", b"no model", b"GGUF" + bytes(64)])
def test_what_is_no_model_is_not_loaded(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(BackendError, match="cannot load"):
        LlamaModel(BackendSpec("bad", tmp_path / "bad.gguf"))


def test_a_missing_file_says_what_to_pull(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no model file") as caught:
        LlamaModel(BackendSpec("tiny", tmp_path / "none.gguf"))
    assert caught.value.remedy == "daydream models pull tiny"
