"""`export-llamafactory`: what LLaMA-Factory would see, and how it would train.

How it turns rows into tokens is told here again, in a few lines, after `data/template.py` and
`data/processor` of its version 0.9.5.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tiny_school import RECIPE, record, write_dataset, write_school

from daydream_motives.errors import RunError
from daydream_motives.training import folder
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main
from daydream_motives.training.llamafactory_folder import preferring, supervised
from daydream_motives.training.recipe import Recipe, default_folder, read_recipe
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning.corpus import read_corpus, render_all

# Every key that is written was looked up in LLaMA-Factory's and transformers' arguments.
KNOWN = set(
    """adapter_name_or_path bf16 cutoff_len dataset dataset_dir disable_gradient_checkpointing
    do_train double_quantization early_stopping_steps eval_dataset eval_steps eval_strategy
    finetuning_type freeze_trainable_layers gradient_accumulation_steps greater_is_better
    infer_dtype learning_rate load_best_model_at_end logging_steps lora_alpha lora_dropout lora_rank
    lora_target lr_scheduler_type max_grad_norm metric_for_best_model model_name_or_path
    neat_packing num_train_epochs optim output_dir packing per_device_eval_batch_size
    per_device_train_batch_size pref_beta pref_ftx pref_loss quantization_bit quantization_method
    quantization_type ref_model ref_model_adapters ref_model_quantization_bit report_to save_steps
    save_strategy save_total_limit seed stage template use_cpu use_dora warmup_steps
    weight_decay""".split()
)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def exported(out: Path, args: list[str], *more: object) -> dict[str, Any]:
    result = run("export-llamafactory", *args, "-o", out, *more)
    assert result.exit_code == 0, result.output
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]


def pair(number: int) -> dict[str, Any]:
    chosen, rejected = record(number), record(number + 12)
    asked, answer = chosen["conversations"]
    return {
        "id": f"p{number}", "of": chosen["id"], "why": "generic", "conversations": [asked],
        "chosen": answer, "rejected": rejected["conversations"][1],
    }  # fmt: skip


def with_pairs(tmp_path: Path, **school: Any) -> list[str]:
    args = write_school(tmp_path, **school)
    data = tmp_path / "data"
    files = {file.name: file.read_text() for file in data.glob("*.jsonl")}
    files["preferences-train.jsonl"] = folder.lines(map(pair, range(6)))
    files["preferences-validation.jsonl"] = folder.lines(map(pair, range(12, 15)))
    folder.write_whole(data, files, {"schema_version": 1, "files": folder.described(files)})
    return args


def as_read(turns: list[dict[str, str]], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """The tokens of turns with the template `empty`, and which of them are learnt."""
    ids, learnt = list[int](), list[bool]()
    for place, turn in enumerate(turns):
        assert turn["from"] == ("user", "assistant")[place % 2]
        tokens = tokenizer.encode(turn["value"], add_special_tokens=False) if turn["value"] else []
        ids += tokens
        learnt += [place % 2 == 1] * len(tokens)
    return ids, learnt


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_would_see_the_tokens_of_the_game(tmp_path: Path, architecture: str) -> None:
    from transformers import AutoTokenizer

    args = with_pairs(tmp_path, architecture=architecture)
    exported(tmp_path / "out", args)
    settings = yaml.safe_load((tmp_path / "out" / "train.yaml").read_text())
    assert settings["template"] == "empty"
    tokenizer = AutoTokenizer.from_pretrained(settings["model_name_or_path"])
    rendering = Rendering(open_base(args[2]).words())
    corpus = read_corpus(args[4])
    for part in ("train", "validation"):
        found = rows(tmp_path / "out" / f"{part}.jsonl")
        wanted = render_all(rendering, corpus.parts[part], 600)
        assert len(found) == len(corpus.parts[part])
        for row, rendered in zip(found, wanted, strict=True):
            ids, learnt = as_read(row["conversations"], tokenizer)
            assert tuple(ids) == rendered.ids
            assert tuple(learnt) == rendered.supervised
            assert len(row["conversations"]) % 2 == 0
    for row, known in zip(
        rows(tmp_path / "out" / "preferences-train.jsonl"), corpus.parts["train"], strict=False
    ):
        ids, learnt = as_read(row["conversations"], tokenizer)
        assert ids == rendering.prompt(known.fields)
        assert not any(learnt)
        assert row["conversations"][-1]["from"] == "user"
        assert row["chosen"]["value"].startswith('{"purpose_a": "')
        assert row["chosen"]["value"].endswith(f'"}}{rendering.end_of_turn}')
        assert row["chosen"] != row["rejected"]


def test_every_dataset_is_told_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = exported(out, with_pairs(tmp_path))
    info = json.loads((out / "dataset_info.json").read_text())
    for name in ("train.yaml", "dpo.yaml"):
        settings = yaml.safe_load((out / name).read_text())
        assert settings.keys() <= KNOWN
        assert f"llamafactory-cli train {name}" in (out / "README.md").read_text()
        for key in ("dataset", "eval_dataset"):
            told = info[settings[key]]
            assert told["ranking"] == (name == "dpo.yaml")
            assert told["formatting"] == "sharegpt"
            for row in rows(out / told["file_name"]):
                assert row.keys() == set(told["columns"].values())
                first = row[told["columns"]["messages"]][0]
                assert first[told["tags"]["role_tag"]] == told["tags"]["user_tag"]
                assert first[told["tags"]["content_tag"]]
    assert set(manifest["files"]) == {file.name for file in out.iterdir()} - {"manifest.json"}


def test_without_pairs_there_is_nothing_to_prefer(tmp_path: Path) -> None:
    manifest = exported(tmp_path / "out", write_school(tmp_path))
    assert "dpo.yaml" not in manifest["files"]
    assert "dpo.yaml" not in (tmp_path / "out" / "README.md").read_text()
    assert "preferences" not in (tmp_path / "out" / "dataset_info.json").read_text()


def changed(text: str = RECIPE, **values: Any) -> Recipe:
    import tomllib

    told = Recipe.model_validate(tomllib.loads(text))
    return told.with_values({key.replace("__", "."): value for key, value in values.items()})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, {"finetuning_type": "lora", "lora_rank": 4, "lora_alpha": 32, "lora_target": "all"}),
        ({}, {"num_train_epochs": 2.0, "learning_rate": 1e-2, "cutoff_len": 600, "use_cpu": True}),
        # 12 records of 100 tokens, 12 in 1200: a step an epoch.
        ({}, {"per_device_train_batch_size": 12, "gradient_accumulation_steps": 1}),
        ({"train__pass_tokens": 600}, {"per_device_train_batch_size": 6}),
        ({"train__pass_tokens": 600}, {"gradient_accumulation_steps": 2, "warmup_steps": 1}),
        ({"train__epochs": 40, "train__warmup": 0.1}, {"warmup_steps": 4}),
        ({"train__method": "qlora"}, {"quantization_bit": 4, "optim": "adamw_torch"}),
        (
            {"train__method": "qlora", "train__device": "cuda"},
            {"quantization_type": "nf4", "double_quantization": True, "optim": "paged_adamw_8bit"},
        ),
        ({"lora__dora": True}, {"use_dora": True}),
        ({"lora__targets": ["q_proj", "v_proj"]}, {"lora_target": "q_proj,v_proj"}),
        ({"train__method": "full"}, {"finetuning_type": "full"}),
        (
            {"train__method": "frozen", "train__trained_layers": 3},
            {"finetuning_type": "freeze", "freeze_trainable_layers": 3},
        ),
        ({"train__dtype": "float32"}, {"bf16": False, "infer_dtype": "float32"}),
        ({"train__recompute": True}, {"disable_gradient_checkpointing": False}),
        ({"train__layout": "packed"}, {"neat_packing": True, "per_device_train_batch_size": 1}),
        ({"train__layout": "packed"}, {"packing": True, "cutoff_len": 1208}),
        ({"train__evaluate_every": 7}, {"eval_strategy": "steps", "eval_steps": 7}),
        ({"train__patience": 2}, {"early_stopping_steps": 2, "load_best_model_at_end": True}),
    ],
)
def test_the_recipe_becomes_its_arguments(values: dict[str, Any], wanted: dict[str, Any]) -> None:
    told = supervised(changed(**values), Path("base"), [100] * 12)
    assert {key: told.get(key) for key in wanted} == wanted
    assert told.keys() <= KNOWN


def test_pairs_go_on_with_what_was_learnt() -> None:
    text = RECIPE + "[preference]\nbeta = 0.3\nlearning_rate = 1e-6\nepochs = 2\n"
    told = preferring(changed(text), Path("base"), [200] * 6)
    assert told["adapter_name_or_path"] == told["ref_model_adapters"] == "saves/sft"
    assert (told["stage"], told["pref_beta"], told["num_train_epochs"]) == ("dpo", 0.3, 2.0)
    assert "ref_model_quantization_bit" not in told
    four = preferring(changed(text, train__method="qlora"), Path("base"), [200] * 6)
    assert four["ref_model_quantization_bit"] == 4
    full = preferring(changed(text, train__method="full"), Path("base"), [200] * 6)
    assert full["model_name_or_path"] == "saves/sft"
    assert not [key for key in full if "adapter" in key]
    assert told.keys() | four.keys() | full.keys() <= KNOWN


@pytest.mark.parametrize("file", sorted(default_folder().glob("*.toml")), ids=lambda f: f.stem)
def test_every_shipped_recipe_has_its_arguments(file: Path) -> None:
    told = read_recipe(file)
    settings = supervised(told, Path("base"), [300] * 1400)
    assert settings.keys() <= KNOWN
    assert ("quantization_bit" in settings) == (told.train.method == "qlora")
    together = settings["per_device_train_batch_size"]
    assert together * 300 <= told.train.tokens_of_a_pass
    step = together * settings["gradient_accumulation_steps"] * 300
    assert 0.8 * told.train.batch_tokens <= step <= 1.2 * told.train.batch_tokens


def test_a_half_alpha_is_refused() -> None:
    with pytest.raises(RunError, match="whole numbers"):
        supervised(changed(lora__alpha=2.5), Path("base"), [100])


def test_what_it_would_read_otherwise_is_left_out(tmp_path: Path) -> None:
    args = write_school(tmp_path)
    records = [record(number) for number in range(4)]
    asked = records[1]["conversations"][0]
    asked["value"] = asked["value"].replace("It is day", "<|im_end|> It is day")
    asked = records[2]["conversations"][0]
    asked["value"] = asked["value"].replace("It is day", "It rains. " * 300 + "It is day")
    write_dataset(tmp_path / "data", train=folder.lines(records))
    manifest = exported(tmp_path / "out", args)
    assert manifest["left_out"] == {"train": 2, "validation": 0}
    text = (tmp_path / "out" / "train.jsonl").read_text()
    assert "Ann" in text
    assert "Bo" not in text
    assert "2 of train" in (tmp_path / "out" / "README.md").read_text()


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    args = write_school(tmp_path, recipe=RECIPE.replace("max_tokens = 600", "max_tokens = 20"))
    result = run("export-llamafactory", *args, "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "no record of train is left" in result.output
    assert not (tmp_path / "out").exists()


def test_a_gpu_may_be_prepared_for_where_there_is_none(tmp_path: Path) -> None:
    text = RECIPE.replace('"cpu"', '"cuda"').replace('"lora"', '"auto"')
    manifest = exported(tmp_path / "out", write_school(tmp_path, recipe=text))
    assert manifest["recipe"]["train"]["method"] == "qlora"
    settings = yaml.safe_load((tmp_path / "out" / "train.yaml").read_text())
    assert "use_cpu" not in settings
    assert settings["quantization_bit"] == 4


def test_again_it_is_the_same_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    args, out = with_pairs(tmp_path), tmp_path / "out"
    exported(out, args)
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    (out / "saves").mkdir()  # what LLaMA-Factory has made of it
    exported(out, args)
    assert {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()} == first
    write_dataset(tmp_path / "data")
    exported(out, args)
    assert not (out / "dpo.yaml").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("all of it")
    for name, said in {"data": "another stage", "mine": "README.md is in the way"}.items():
        result = run("export-llamafactory", *args, "-o", tmp_path / name)
        assert result.exit_code == 6
        assert said in " ".join(result.output.split())
    assert (tmp_path / "mine" / "README.md").read_text() == "all of it"
