"""A base made ready to learn, by a recipe's method, and what of it is kept afterwards."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from daydream_motives.errors import RunError
from daydream_motives.training.base import Base
from daydream_motives.training.recipe import Method, Recipe
from daydream_motives.training.tuning.fused import fuse

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
TENSORS = "tensors.safetensors"
_FP32 = 4


@dataclass(frozen=True)
class Learner:
    """The whole model, the causal model inside it, and how it learns.

    `trained` are the parameters that change, in full precision, by their names.
    """

    model: Any
    causal: Any
    method: Method
    device: str
    dtype: str
    trained: dict[str, torch.nn.Parameter]

    def precision(self) -> AbstractContextManager[Any]:
        """Within it the computations are in the recipe's precision."""
        if self.dtype == "float32":
            return nullcontext()
        autocast: AbstractContextManager[Any] = torch.autocast(self.device, torch.bfloat16)
        return autocast

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of what is learnt."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self.trained.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state[name])

    def files(self, state: dict[str, torch.Tensor], name: str) -> dict[str, bytes]:
        """What is learnt as files: peft's adapter in half precision, or the trained tensors."""
        from safetensors.torch import save

        if self.method in ("full", "frozen"):
            kept = {key: value.to(torch.float16).contiguous() for key, value in state.items()}
            return {TENSORS: save(kept, metadata={"format": "pt"})}
        from peft import get_peft_model_state_dict

        state_dict = get_peft_model_state_dict(self.model, state_dict=dict(state))
        kept = {key: value.to(torch.float16).contiguous() for key, value in state_dict.items()}
        config = self.model.peft_config["default"].to_dict()
        config |= {"base_model_name_or_path": name, "inference_mode": True, "revision": None}
        text = json.dumps(config, indent=2, sort_keys=True, default=_listed) + "\n"
        return {
            ADAPTER: save(kept, metadata={"format": "pt"}),
            CONFIG: text.encode(),
        }


def device_of(recipe: Recipe) -> str:
    """Where it is trained; raises RunError where the recipe wants a GPU that is not there."""
    wanted, there = recipe.train.device, torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise RunError(
            "the recipe wants a GPU, and torch sees none",
            remedy="install a torch built for it, or give --device cpu or another recipe",
        )
    return "cuda" if there and wanted != "cpu" else "cpu"


def method_of(recipe: Recipe, device: str) -> Method:
    """The recipe's method; by default QLoRA on a GPU, and LoRA on a CPU, where NF4 is slower."""
    if recipe.train.method != "auto":
        return recipe.train.method
    return "qlora" if device == "cuda" else "lora"


def prepare(base: Base, recipe: Recipe, device: str) -> Learner:
    """The base, loaded and made ready; what is new in it follows from the seed alone."""
    method, train = method_of(recipe, device), recipe.train
    torch.manual_seed(train.seed)
    dtype = "float32" if method == "full" else train.dtype
    model = causal = base.load(dtype, nf4=method == "qlora", device=device)
    model.requires_grad_(False)
    if method in ("lora", "qlora"):
        model = _with_adapter(causal, recipe)
    elif method == "full":
        model.requires_grad_(True)
    else:
        layers = list(causal.model.layers)
        if train.trained_layers > len(layers):
            raise RunError(
                f"the recipe trains {train.trained_layers} layers of {len(layers)}",
                remedy="lower train.trained_layers",
            )
        for layer in layers[-train.trained_layers :]:
            layer.float().requires_grad_(True)
    if method == "lora" and train.dtype == "bfloat16" and device == "cpu":
        fuse(model, causal)
    if train.compile and compiler():
        for layer in causal.model.layers:  # one by one: they are alike, and compiled once
            layer.compile(dynamic=True)
    if train.recompute:
        causal.activation_checkpointing_enable({"use_reentrant": False})
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for parameter in trained.values():  # updates are lost in half precision
        if parameter.element_size() != _FP32:
            parameter.data = parameter.data.float()
    return Learner(model, causal, method, device, train.dtype, trained)


def compiler() -> str | None:
    """The C++ compiler that torch would compile layers with; None where it, or what it needs of
    Python, is missing."""
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return None
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def linear_layers(causal: Any) -> list[str]:
    """Names of the linear layers that may have an adapter: all but the output head."""
    head = causal.get_output_embeddings()
    return [
        name
        for name, module in causal.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]


def targets_of(causal: Any, recipe: Recipe) -> list[str]:
    """The layers that the recipe's adapter is on; raises RunError where it names one in vain."""
    found = linear_layers(causal)
    wanted = recipe.lora.targets
    if vain := [name for name in wanted if not any(_is(layer, name) for layer in found)]:
        last = sorted({layer.rpartition(".")[2] for layer in found})
        raise RunError(
            f"the model has no linear layer {', '.join(vain)}",
            remedy=f"give lora.targets of {', '.join(last)}, or leave it out",
        )
    return [layer for layer in found if not wanted or any(_is(layer, name) for name in wanted)]


def _is(layer: str, name: str) -> bool:
    return layer == name or layer.endswith(f".{name}")


def _with_adapter(causal: Any, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = recipe.lora
    last = sorted({name.rpartition(".")[2] for name in targets_of(causal, recipe)})
    config = LoraConfig(
        r=lora.rank, lora_alpha=cast(int, lora.alpha), lora_dropout=lora.dropout,
        use_dora=lora.dora, bias="none", task_type="CAUSAL_LM",
        target_modules=last if not lora.targets else targets_of(causal, recipe),
    )  # fmt: skip
    with _future_aside():
        model = get_peft_model(causal, config)
    if recipe.train.dtype == "bfloat16" and not lora.dora:
        for module in model.modules():  # autocast does it, and does not go up and down again
            if hasattr(module, "lora_A"):
                module.cast_input_dtype_enabled = False
    return model


@contextmanager
def _future_aside() -> Iterator[None]:
    """peft asks transformers for what that is going to rename."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _listed(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)


def check_base(base: Base, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise RunError where what lies in a folder was not tuned from this base."""
    if (told := manifest["base"])["sha256"] != base.sha256:
        raise RunError(
            f"{folder} was tuned from {told['name']} ({told['sha256'][:12]}), "
            f"not from {base.name} ({base.sha256[:12]})",
            remedy=f"give --base {told['name']}, as it was then, or train again",
        )


def load_tuned(base: Base, folder: Path, dtype: str = "bfloat16") -> Any:
    """The base with what was learnt, merged into it, for whoever measures or exports it.

    Raises RunError where the folder holds nothing that was learnt, or not of this base.
    """
    from safetensors.torch import load_file

    check_base(base, folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    model = base.load("float32")
    if (folder / TENSORS).exists():
        model.load_state_dict(load_file(folder / TENSORS), strict=False)
    elif (folder / ADAPTER).exists():
        from peft import PeftModel

        with _future_aside():
            model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    else:
        raise RunError(f"{folder} holds no adapter", remedy="train again")
    return model.to(getattr(torch, dtype))
