"""One training by others, in whatever Python has them; of this project it needs nothing.

python training_speed_theirs.py trl|llamafactory WORK SEED OUT
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from peft import LoraConfig
from safetensors import safe_open
from transformers import TrainerCallback

# Settings that speed and memory hang on, told as they were; those that one has not are not.
TOLD = (
    "per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "gradient_checkpointing",
    "optim", "lr_scheduler_type", "max_length", "packing", "padding_free", "loss_type",
    "logging_steps", "max_grad_norm",
)  # fmt: skip
PACKAGES = ("trl", "transformers", "torch", "peft", "accelerate", "datasets")
STOCK_BATCH = 8


class Stopwatch(TrainerCallback):
    """The seconds of all steps, batches being put together outside of them; and the settings."""

    seconds = began = 0.0
    steps = 0
    model = settings = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.settings, self.model = args, more["model"]

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds += time.monotonic() - self.began
        self.steps += 1


def trl(plan: dict[str, Any], given: dict[str, Any], records: Dataset, watch: Stopwatch) -> None:
    from trl import SFTConfig, SFTTrainer

    lora = plan["lora"]
    config = LoraConfig(
        r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"],
        use_dora=lora["dora"], bias="none", task_type="CAUSAL_LM",
        target_modules=lora["targets"] or "all-linear",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=plan["folder"], args=SFTConfig(**given), train_dataset=records,
        peft_config=config, callbacks=[watch],
    )  # fmt: skip
    trainer.train()
    trainer.save_model()


def llamafactory(
    plan: dict[str, Any], given: dict[str, Any], records: Dataset, watch: Stopwatch
) -> None:
    from llamafactory.train.tuner import run_exp

    lora = plan["lora"]
    tokens = Path(given["output_dir"]) / "tokens"
    DatasetDict({"train": records}).save_to_disk(tokens)
    args = {
        "model_name_or_path": plan["folder"], "tokenized_path": str(tokens), "template": "default",
        "dataset": "none",  # wanted, but not read where there are tokens
        "stage": "sft", "do_train": True, "finetuning_type": "lora", "lora_rank": lora["rank"],
        "lora_alpha": round(lora["alpha"]), "lora_dropout": lora["dropout"],
        "lora_target": ",".join(lora["targets"]) or "all", "use_dora": lora["dora"],
    }  # fmt: skip
    run_exp(given | args, callbacks=[watch])


def main(kind: str, work: Path, seed: int, out: Path) -> None:
    plan = json.loads((work / "plan.json").read_text(encoding="utf-8"))
    records = json.loads((work / "train.json").read_text(encoding="utf-8"))
    train, own = plan["train"], {}
    if not torch.cuda.is_available():
        own["use_cpu"] = True  # else SFTConfig refuses its own bf16
    if plan["batch"] != STOCK_BATCH:
        own["per_device_train_batch_size"] = plan["batch"]
    given = {
        **own,
        "num_train_epochs": train["epochs"],
        "learning_rate": train["learning_rate"],
        "warmup_steps": plan["warmup_steps"],
        "weight_decay": train["weight_decay"],
        "seed": seed,
        "save_strategy": "no",
    }
    if kind == "trl":
        given |= plan["set"]
    else:
        given["bf16"] = True  # as in all of its examples
    watch = Stopwatch()
    {"trl": trl, "llamafactory": llamafactory}[kind](
        plan, given | {"output_dir": str(out)}, Dataset.from_list(records), watch
    )
    with safe_open(out / "adapter_model.safetensors", "pt") as adapter:
        shapes = [adapter.get_slice(name).get_shape() for name in adapter.keys()]  # noqa: SIM118
    settings = {key: getattr(watch.settings, key, None) for key in TOLD}
    weights = {str(p.dtype)[6:] for p in watch.model.parameters() if not p.requires_grad}
    found = {
        "tokens": sum(len(record["input_ids"]) for record in records) * train["epochs"],
        "seconds": watch.seconds,
        "steps": watch.steps,
        "trained_parameters": sum(torch.Size(shape).numel() for shape in shapes),
        "given": given,
        "stock": {"weights": " and ".join(sorted(weights))}
        | {key: value for key, value in settings.items() if value is not None},
        "versions": {name: version(name) for name in (kind, *PACKAGES[kind == "trl" :])},
    }
    (out / "found.json").write_text(json.dumps(found, default=str), encoding="utf-8")
    (out / "manifest.json").write_text(json.dumps({"base": plan["told"]}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
