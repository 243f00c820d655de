"""A dataset and a recipe as a folder that LLaMA-Factory trains from. Trains nothing.

Its template `empty` adds nothing to a turn, and it tokenises each turn by itself: so what is a
piece to the game becomes a turn with an empty one opposite, a user's where it is read and an
assistant's where it is learnt, and both see the same tokens, whatever the base's chat template.
Formats: data/README.md and src/llamafactory/hparams of LLaMA-Factory 0.9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daydream_motives.errors import RunError
from daydream_motives.motives.prompt import Piece, answer_pieces, encode, prompt_pieces
from daydream_motives.training.base import Base
from daydream_motives.training.dataset.sharegpt import Record
from daydream_motives.training.folder import described, lines, pretty, write_whole
from daydream_motives.training.preferring.pairs import NoPairs, Pairs, read_pairs
from daydream_motives.training.recipe import Recipe
from daydream_motives.training.tokens import Rendering, Words
from daydream_motives.training.tuning.corpus import Corpus
from daydream_motives.training.tuning.model import device_of, method_of

SCHEMA_VERSION, STAGE = 1, "export-llamafactory"
SAVES = "saves"  # where LLaMA-Factory writes to, within the folder
_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "user", "assistant_tag": "assistant",
}  # fmt: skip
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one file, and the tokens of each, with those of both answers where there are two."""

    rows: Rows
    lengths: list[int]
    left_out: int


def run_llamafactory(recipe: Recipe, base: Base, corpus: Corpus, target: Path) -> dict[str, Any]:
    """Write the folder; returns the manifest.

    Raises RunError where no record is left, and as `write_whole` does.
    """
    rendering, theirs = Rendering(base.words()), base.file_words()
    longest = recipe.train.max_tokens
    parts = {
        part: _records(rendering, theirs, corpus.parts[part], longest)
        for part in ("train", "validation")
    }
    for name, part in parts.items():
        if not part.rows:
            raise RunError(
                f"no record of {name} is left: all are longer than {longest} tokens, or have "
                "control tokens in their texts",
                remedy="raise train.max_tokens, or mend the dataset",
            )
    try:
        pairs = read_pairs(corpus.folder)
    except NoPairs:
        pairs = {}
    ranked = {part: _pairs(rendering, theirs, pairs[part], longest) for part in pairs}
    if not all(part.rows for part in ranked.values()):
        ranked = {}
    parts |= {f"preferences-{part}": rows for part, rows in ranked.items()}
    # What a GPU is to do may be prepared where there is none.
    device = "cuda" if recipe.train.device == "cuda" else device_of(recipe)
    told = recipe.changed(device=device, method=method_of(recipe, device))
    files = {f"{name}.jsonl": lines(part.rows) for name, part in parts.items()}
    files["dataset_info.json"] = pretty({_name(part): _info(part) for part in parts})
    settings = {"train.yaml": supervised(told, base.folder, parts["train"].lengths)}
    if ranked:
        lengths = parts["preferences-train"].lengths
        settings["dpo.yaml"] = preferring(told, base.folder, lengths)
    for name, values in settings.items():
        files[name] = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    left_out = {name: part.left_out for name, part in parts.items()}
    files["README.md"] = _readme(base, left_out, list(settings))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": STAGE,
        "base": {"name": base.name, "sha256": base.sha256},
        "dataset": {"sha256": corpus.hash},
        "recipe": told.model_dump(mode="json"),
        "left_out": left_out,
        "files": described(files),
    }
    write_whole(target, files, manifest)
    return manifest


def _name(part: str) -> str:
    return f"daydream_{part}".replace("-", "_")


def _info(part: str) -> dict[str, Any]:
    columns, ranking = {"messages": "conversations"}, part.startswith("preferences")
    if ranking:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    return {
        "file_name": f"{part}.jsonl", "formatting": "sharegpt", "ranking": ranking,
        "columns": columns, "tags": _TAGS,
    }  # fmt: skip


def _question(rendering: Rendering, record: Record) -> list[Piece]:
    shared, own = prompt_pieces(rendering.around, record.fields)
    return [*shared, *own]


def _answer(rendering: Rendering, record: Record) -> list[Piece]:
    return answer_pieces(record.purposes, rendering.end_of_turn)


def turns(pieces: Sequence[Piece]) -> list[dict[str, str]]:
    """A turn for each piece, and an empty one opposite: user and assistant take turns."""
    found = []
    for piece in pieces:
        told = ("", piece.text) if piece.supervised else (piece.text, "")
        roles = zip(("user", "assistant"), told, strict=True)
        found += [{"from": role, "value": text} for role, text in roles]
    return found


def _same(rendering: Rendering, theirs: Words, pieces: Sequence[Piece]) -> bool:
    """Whether LLaMA-Factory makes the same tokens of it. It does not where a text spells a control
    token: there a text cannot be told from the chat's own marks."""
    ids = encode(pieces, rendering.words.tokenize)
    return ids == [id for piece in pieces for id in theirs.tokenize(piece.text, True)]


def _records(rendering: Rendering, theirs: Words, records: Sequence[Record], longest: int) -> Part:
    rows, lengths = Rows(), list[int]()
    for record in records:
        pieces = _question(rendering, record) + _answer(rendering, record)
        length = len(encode(pieces, rendering.words.tokenize))
        if length <= longest and _same(rendering, theirs, pieces):
            rows.append({"conversations": turns(pieces)})
            lengths.append(length)
    return Part(rows, lengths, len(records) - len(rows))


def _pairs(rendering: Rendering, theirs: Words, pairs: Pairs, longest: int) -> Part:
    """An answer is one turn here, whatever its pieces: there is no other way to tell of a pair."""
    rows, lengths = Rows(), list[int]()
    for sides in pairs:
        asked = _question(rendering, sides[0])
        answers = [_answer(rendering, side) for side in sides]
        wholes = ["".join(piece.text for piece in answer) for answer in answers]
        question = len(encode(asked, rendering.words.tokenize))
        sizes = [question + len(theirs.tokenize(text, True)) for text in wholes]
        same = all(_same(rendering, theirs, asked + answer) for answer in answers)
        if same and max(sizes) <= longest:
            chosen, rejected = ({"from": "assistant", "value": text} for text in wholes)
            turned = turns(asked)[:-1]
            rows.append({"conversations": turned, "chosen": chosen, "rejected": rejected})
            lengths.append(sum(sizes))
    return Part(rows, lengths, len(pairs) - len(rows))


def supervised(recipe: Recipe, base: Path, lengths: Sequence[int]) -> dict[str, Any]:
    """LLaMA-Factory's arguments for the recipe's training on records of these lengths."""
    train = recipe.train
    found = {
        "model_name_or_path": str(base), **_of_model(recipe),
        "stage": "sft", "do_train": True, **_of_method(recipe),
        **_of_data(recipe, ""),
    }  # fmt: skip
    if train.layout == "packed":
        # It keeps a token free, and fills up to a multiple of 8, which else would be one too many.
        room = train.tokens_of_a_pass
        found |= {"cutoff_len": 8 * (room // 8 + 1), "packing": True, "neat_packing": True}
        lengths = [room] * math.ceil(sum(lengths) / room)
    return found | _of_training(recipe, lengths, train.epochs, train.learning_rate, "sft")


def preferring(recipe: Recipe, base: Path, lengths: Sequence[int]) -> dict[str, Any]:
    """The same for the recipe's learning from pairs, which goes on with what `supervised` made."""
    preference, before = recipe.preference, f"{SAVES}/sft"
    models: dict[str, Any] = {"model_name_or_path": before}
    if recipe.train.method in ("lora", "qlora"):
        # Without a reference named it would compare with the untuned base.
        models = {
            "model_name_or_path": str(base), "adapter_name_or_path": before,
            "ref_model": str(base), "ref_model_adapters": before,
        }  # fmt: skip
    if recipe.train.method == "qlora":
        models |= {"ref_model_quantization_bit": 4}
    return {
        **models, **_of_model(recipe),
        "stage": "dpo", "do_train": True, **_of_method(recipe),
        "pref_beta": preference.beta, "pref_loss": "sigmoid", "pref_ftx": preference.sft,
        **_of_data(recipe, "preferences_"),
        **_of_training(recipe, lengths, preference.epochs, preference.learning_rate, "dpo"),
    }  # fmt: skip


def _of_model(recipe: Recipe) -> dict[str, Any]:
    found: dict[str, Any] = {"disable_gradient_checkpointing": not recipe.train.recompute}
    if recipe.train.method == "qlora":
        found |= {
            "quantization_bit": 4, "quantization_method": "bnb", "quantization_type": "nf4",
            "double_quantization": True,
        }  # fmt: skip
    if recipe.train.dtype == "float32":
        found["infer_dtype"] = "float32"
    return found


def _of_method(recipe: Recipe) -> dict[str, Any]:
    if recipe.train.method == "full":
        return {"finetuning_type": "full"}
    if recipe.train.method == "frozen":
        layers = recipe.train.trained_layers
        return {"finetuning_type": "freeze", "freeze_trainable_layers": layers}
    lora = recipe.lora
    alpha = int(lora.alpha)
    if alpha != lora.alpha:
        raise RunError(
            f"LLaMA-Factory takes whole numbers as lora.alpha, not {lora.alpha}",
            remedy="change lora.alpha, and the learning rate to make up for it",
        )
    return {
        "finetuning_type": "lora", "lora_rank": lora.rank, "lora_alpha": alpha,
        "lora_dropout": lora.dropout, "lora_target": ",".join(lora.targets) or "all",
        "use_dora": lora.dora,
    }  # fmt: skip


def _of_data(recipe: Recipe, kind: str) -> dict[str, Any]:
    return {
        "dataset_dir": ".", "dataset": f"daydream_{kind}train",
        "eval_dataset": f"daydream_{kind}validation",
        "template": "empty", "cutoff_len": recipe.train.max_tokens,
    }  # fmt: skip


def _of_training(
    recipe: Recipe, lengths: Sequence[int], epochs: int, rate: float, stage: str
) -> dict[str, Any]:
    train = recipe.train
    # It counts records in a batch, not tokens.
    mean = sum(lengths) / len(lengths)
    together = max(1, int(train.tokens_of_a_pass / mean))
    passes = max(1, round(train.batch_tokens / mean / together))
    steps = epochs * math.ceil(math.ceil(len(lengths) / together) / passes)
    every: dict[str, Any] = {"eval_strategy": "epoch", "save_strategy": "epoch"}
    if train.evaluate_every and stage == "sft":
        every = {"eval_strategy": "steps", "eval_steps": train.evaluate_every}
        every |= {"save_strategy": "steps", "save_steps": train.evaluate_every}
    # A processor has nothing to page.
    paged = train.device == "cuda" and (
        train.optimizer == "paged_adamw_8bit"
        or (train.optimizer == "auto" and train.method == "qlora")
    )
    found = {
        "output_dir": f"{SAVES}/{stage}", "logging_steps": 10,
        "report_to": "none", "save_total_limit": 1, **every, "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss", "greater_is_better": False,
        "per_device_train_batch_size": together, "per_device_eval_batch_size": together,
        "gradient_accumulation_steps": passes, "learning_rate": rate,
        "num_train_epochs": float(epochs), "lr_scheduler_type": "linear",
        # Not warmup_ratio, which newer transformers no longer have.
        "warmup_steps": math.ceil(train.warmup * steps),
        "weight_decay": train.weight_decay, "max_grad_norm": train.clip,
        "optim": "paged_adamw_8bit" if paged else "adamw_torch",
        "bf16": train.dtype == "bfloat16", "seed": train.seed,
    }  # fmt: skip
    if train.device == "cpu":
        found["use_cpu"] = True
    if train.patience and stage == "sft":
        found["early_stopping_steps"] = train.patience
    return found


def _readme(base: Base, left_out: Mapping[str, int], settings: Sequence[str]) -> str:
    commands = "\n".join(f"llamafactory-cli train {name}" for name in settings)
    lost = ", ".join(f"{count} of {name}" for name, count in left_out.items() if count)
    answers = (
        "\n- Learning from pairs, it tokenises an answer as one text: at the quotes around a\n"
        "  purpose the tokens are others than in the game. Those of the question are the same."
        if "dpo.yaml" in settings
        else ""
    )
    return f"""\
# For LLaMA-Factory

```
cd {{this folder}}
{commands}
```
What is learnt goes to `{SAVES}/`: peft's adapter, where the recipe trains one.

The base is {base.name}, a GGUF of SHA-256
{base.sha256}. As transformers reads it, it lies in
`{base.folder}`. On another machine, change `model_name_or_path` and `ref_model`; take out `use_cpu`
where that has a GPU.

A record looks broken up: one turn for each piece that the game tokenises by itself, and empty turns
between. That is on purpose. With `template: empty`, and each turn tokenised by itself, the tokens
are those of the game, chat template and end of turn among them, and those of the answer are learnt.
Another template would write the chat's marks twice.

What differs from our own `train`:

- A batch has a number of records, as many as have the recipe's tokens on average, filled up to the
  longest. The warm-up counts steps on one device.
- Texts that spell a control token cannot be kept apart from the chat's own marks. Such records, and
  those above `cutoff_len`, are left out: {lost or "none"}.
- Logits are computed for every token, not only where something is learnt.{answers}
"""
