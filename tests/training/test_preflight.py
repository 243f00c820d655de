"""`preflight`: what it shows, and what it refuses."""

from __future__ import annotations

import json
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from click.testing import CliRunner, Result
from tiny_school import RECIPE, record, write_dataset, write_gguf, write_school

from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.motives.prompt import CHATML
from daydream_motives.training.base import Base, open_base
from daydream_motives.training.cli import main
from daydream_motives.training.folder import lines
from daydream_motives.training.recipe import Recipe, default_folder, read_recipe
from daydream_motives.training.tokens import Rendered, Rendering
from daydream_motives.training.tuning import checks, preflight
from daydream_motives.training.tuning.estimate import (
    Shape,
    activations_of_a_layer,
    adapter_size,
    memory_of,
    seconds_of,
    trained_size,
)
from daydream_motives.training.tuning.loss import batch_of, summed_loss
from daydream_motives.training.tuning.model import compiler, prepare


def run(args: list[str], *more: str, color: bool = False) -> Result:
    return CliRunner().invoke(main, ["preflight", *args, *more], color=color)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_all_is_well(tmp_path: Path, architecture: str) -> None:
    result = run(write_school(tmp_path, architecture))
    assert result.exit_code == 0, result.output
    assert "refused" not in result.output
    for what in ("architecture", "chat template", "BOS", "EOS", "pad", "rendering", "mask",
                 "length", "overlap", "memory", "disk", "trains ", "tokens by lora"):  # fmt: skip
        assert what in result.output
    assert result.output.count('⟦{"purpose_a"') == 2
    assert result.output.count('"}<|im_end|>⟧') == 2


def test_the_mask_is_in_colour(tmp_path: Path) -> None:
    result = run(write_school(tmp_path), "--samples", "1", color=True)
    learnt = result.output.split("⟦")[1].split("⟧")[0]
    assert "\x1b[32m" in learnt
    assert "\x1b[32m" not in result.output.split("⟦")[0]


def test_it_writes_nothing(tmp_path: Path) -> None:
    args = write_school(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    run(args, "-o", str(tmp_path / "out"))
    assert [p for p in sorted(tmp_path.rglob("*")) if "home" not in p.parts] == before


SHORT = "batch_tokens = 1200\nmax_tokens = 600"
NO_MARKS = "{% for m in messages %}{{ m['content'] }} the end {% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (NO_MARKS, "EOS: a turn ends with 'the end'"),
        (CHATML.replace("{% for", "<|im_start|><|im_start|>{% for", 1), "BOS: begins with"),
    ],
)
def test_a_chat_template_that_would_go_wrong_is_refused(
    tmp_path: Path, template: str, said: str
) -> None:
    args = write_school(tmp_path)
    write_gguf(tmp_path / "tiny.gguf", template=template)
    result = run(args)
    assert result.exit_code == 7, result.output
    assert f"refused  {said}" in result.output


def test_a_base_without_a_template_is_minded_and_refused_without_its_words(
    tmp_path: Path,
) -> None:
    base = open_base(str(write_gguf(tmp_path / "tiny.gguf")))
    bare = replace(base, manifest={**base.manifest, "template": False})
    assert "mind" in {one.level for one in checks.check_words(bare)}
    file = base.folder / "tokenizer.json"
    file.write_text(file.read_text().replace("<|im_start|>", "<|other|>"))
    (refused,) = [one for one in checks.check_words(bare) if one.level == "refused"]
    assert "has none" in refused.what
    assert refused.remedy == "tune a base that was made for chat"


def test_a_vocabulary_that_differs_from_the_runtimes_is_refused(tmp_path: Path) -> None:
    args = write_school(tmp_path)
    folder = open_base(args[2]).folder
    data = json.loads((folder / "tokenizer.json").read_text())
    data["model"]["merges"] = data["model"]["merges"][:-40]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["tokenizer.json"] = (folder / "tokenizer.json").stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = run(args)
    assert result.exit_code == 7
    assert "refused  rendering: train r" in result.output


def test_without_llama_cpp_that_is_minded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Base, "runtime_words", lambda _: None)
    result = run(write_school(tmp_path))
    assert result.exit_code == 0
    assert "mind  rendering: not held against the runtime's" in result.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_tokens = 600", "max_tokens = 192", "length: "),
        ("max_tokens = 600", "max_tokens = 1100", ""),
        (SHORT, SHORT.replace("1200", "9000").replace("600", "9000"), "window"),
    ],
)  # fmt: skip
def test_lengths_are_held_against_recipe_and_window(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in RECIPE
    result = run(write_school(tmp_path, recipe=RECIPE.replace(old, new)))
    assert result.exit_code == (7 if said else 0), result.output
    assert said in result.output


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("same", ["question", "answer"])
def test_what_is_asked_later_must_not_be_learnt(tmp_path: Path, part: str, same: str) -> None:
    args = write_school(tmp_path)
    known, other = record(3), record(15) | {"id": "later"}  # of one name
    turn = 0 if same == "question" else 1
    other["conversations"][turn] = known["conversations"][turn]
    write_dataset(tmp_path / "data", **{part: lines([other])})
    result = run(args)
    assert result.exit_code == 7, result.output
    assert f"overlap: {part} later" in result.output
    assert "train r3" in result.output


class Free(NamedTuple):
    free: int
    available: int = 0


def test_no_memory_and_no_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available", lambda *_: 1000)
    args = write_school(tmp_path)
    open_base(args[2])
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: Free(10))
    result = run(args)
    assert result.exit_code == 7
    assert "refused  memory: lora takes" in result.output
    assert "refused  disk: checkpoints take" in result.output
    assert "refused for 2 reasons" in result.output


def test_a_mask_that_learns_too_much_or_no_end_is_refused() -> None:
    for ids, marks in (((5, 2), (True, True)), ((5, 3), (False, True)), ((5, 2), (False, False))):
        (found,) = checks.check_mask([Rendered("x", ids, marks)], 2)
        assert found.level == "refused"


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({"schema_version": 1, "base": {"model": "x"}, **changes})


def causal(architecture: str, tied: bool, layers: int = 2) -> Any:
    config = transformers.AutoConfig.for_model(
        architecture, vocab_size=500, hidden_size=64, intermediate_size=160, pad_token_id=0,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=tied, attn_implementation="sdpa",
    )  # fmt: skip
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_parameters_are_counted_as_transformers_does(architecture: str, tied: bool) -> None:
    model = causal(architecture, tied)
    shape = Shape.of(model.config.to_dict())
    assert shape.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("more", ["", "dora = true", 'targets = ["q_proj", "down_proj"]'])
def test_the_adapter_is_counted_as_peft_makes_it(tmp_path: Path, more: str) -> None:
    text = RECIPE.replace("rank = 4", f"rank = 4\n{more}")
    args = write_school(tmp_path, "qwen2", text)
    base, told = open_base(args[2]), read_recipe(Path(args[0]))
    learner = prepare(base, told, "cpu")
    count = sum(p.numel() for p in learner.trained.values())
    assert count == adapter_size(Shape.of(base.config), told)
    assert count == trained_size(Shape.of(base.config), told, "lora")


def test_activations_are_about_what_is_kept(tmp_path: Path) -> None:
    args = write_school(tmp_path, "llama")
    base = open_base(args[2])
    learner = prepare(base, recipe(train={"device": "cpu"}), "cpu")
    text = [Rendering(base.words()).pair("x", dict.fromkeys(
        ("Character_name", "Character_description", "Context", "Background"), "net " * 40
    ), ("A.", "B.", "C."))] * 4  # fmt: skip
    batch, kept = batch_of(text, packed=False), dict[int, int]()
    weights = {p.untyped_storage().data_ptr() for p in learner.model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), learner.precision():
        summed_loss(learner.causal, batch)
    shape = Shape.of(base.config)
    logits = len(batch.targets) * shape.vocabulary * 4
    expected = batch.tokens * shape.layers * activations_of_a_layer(shape, 2, batch.ids.shape[1])
    assert 0.5 < (sum(kept.values()) - logits) / expected < 2.0


def test_memory_falls_from_full_to_lora_to_qlora_and_with_recomputing() -> None:
    config = causal("llama", tied=True, layers=30).config.to_dict() | {
        "hidden_size": 2048, "intermediate_size": 5504, "vocab_size": 151936,
    }  # fmt: skip
    shape = Shape.of(config)
    full, lora, qlora = (memory_of(shape, recipe(), m, 0.3) for m in ("full", "lora", "qlora"))
    assert full.total > lora.total > qlora.total
    less = memory_of(shape, recipe(train={"recompute": True}), "lora", 0.3)
    assert less.activations < lora.activations / 4
    smaller = memory_of(shape, recipe(train={"pass_tokens": 1024}), "lora", 0.3)
    assert smaller.activations == pytest.approx(lora.activations / 2, rel=0.01)
    assert seconds_of(shape, recipe(), "full", "cpu", 1000, 0.3) > 0


SHAPES = {
    "smollm2-135m": Shape(30, 576, 1536, 576, 192, 49152, tied=True, biased=False, heads=9),
    "qwen1.5-0.5b": Shape(24, 1024, 2816, 1024, 1024, 151936, tied=True, biased=True, heads=16),
    "qwen1.5-1.8b": Shape(24, 2048, 5504, 2048, 2048, 151936, tied=False, biased=True, heads=16),
    "qwen2.5-coder-1.5b": Shape(
        28, 1536, 8960, 1536, 256, 151936, tied=True, biased=True, heads=16
    ),
}


@pytest.mark.parametrize("file", sorted(default_folder().glob("*.toml")), ids=lambda f: f.stem)
def test_every_shipped_recipe_fits_its_machine(file: Path) -> None:
    told = read_recipe(file)
    shape, method = SHAPES[told.base.model], told.train.method
    assert shape.parameters == Catalogue.load().entry(told.base.model).parameters
    assert method != "auto"
    memory = memory_of(shape, told, method, 0.42)
    most = told.train.gpu_memory or 12
    assert memory.total < 0.9 * most * 2**30, memory


def test_without_a_compiler_layers_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = write_school(tmp_path, recipe=RECIPE + "compile = true\n")
    assert "layers are compiled with" in run(args).output
    monkeypatch.setattr(preflight, "compiler", lambda: None)
    result = run(args)
    assert result.exit_code == 0, result.output
    assert "there is no C++ compiler" in result.output


def test_a_compiler_is_found_by_name_or_by_cxx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiler() is None
    (tmp_path / "mine").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("CXX", "mine")
    assert compiler() == str(tmp_path / "mine")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert compiler() is None  # and there is no Python.h
