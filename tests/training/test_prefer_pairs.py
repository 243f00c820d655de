"""Pairs: read or refused, put in tokens, and how likely a model finds their answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_prefer import PREFERENCE, pair, pairs, run, write_pairs
from tiny_school import RECIPE, write_school

from daydream_motives.errors import RunError
from daydream_motives.training import folder
from daydream_motives.training.base import open_base
from daydream_motives.training.dataset.build import default_target
from daydream_motives.training.folder import lines
from daydream_motives.training.preferring import loss
from daydream_motives.training.preferring.loss import (
    Index,
    batch_of,
    index_of,
    judged,
    log_probabilities,
)
from daydream_motives.training.preferring.pairs import NoPairs, Pairs, questions_of, read_pairs
from daydream_motives.training.recipe import Preference
from daydream_motives.training.tokens import Rendering
from daydream_motives.training.tuning import loss as plain


def changed(**values: Any) -> str:
    return lines([pair(0) | values])


def answer(**purposes: str) -> dict[str, str]:
    return {"from": "assistant", "value": json.dumps(purposes)}


WRONG = {
    "broken JSON": "{broken\n",
    "a record that is a int": "1\n",
    "conversations: found": '{"id": "x"}\n',
    "the roles": changed(conversations=[]),
    "conversations: found 'so'": changed(conversations="so"),
    "p0-0/chosen.conversations: found": changed(chosen=None),
    "p0-0/rejected.conversations: found": changed(rejected=7),
    "rejected.conversations: the roles": changed(rejected={"from": "user", "value": "{}"}),
    "no purpose_b, purpose_c": changed(rejected=answer(purpose_a="One.")),
    "an empty purpose": changed(chosen=answer(purpose_a="A.", purpose_b="B.", purpose_c=" ")),
    "the chosen answer rejected": changed(rejected=pair(0)["chosen"]),
    "and 1 more": changed(chosen=None) + "{broken\n",
}


@pytest.mark.parametrize("said", WRONG)
def test_broken_pairs_are_told_by_their_line(tmp_path: Path, said: str) -> None:
    write_school(tmp_path)
    write_pairs(tmp_path / "data", train=WRONG[said])
    with pytest.raises(RunError) as caught:
        read_pairs(tmp_path / "data")
    assert "preferences-train.jsonl:1: " in caught.value.message
    assert said in caught.value.message


def test_a_rejected_answer_may_name_whom_nobody_knows(tmp_path: Path) -> None:
    write_school(tmp_path)
    strange = answer(**{f"purpose_{k}": f"Ann asks Zbigniew {k}, as ever." for k in "abc"})
    write_pairs(tmp_path / "data", train=changed(rejected=strange))
    assert len(read_pairs(tmp_path / "data")["train"]) == 1
    write_pairs(tmp_path / "data", train=changed(chosen=strange))
    with pytest.raises(RunError, match="Zbigniew"):
        read_pairs(tmp_path / "data")


def fake_tuned(target: Path, **changes: Any) -> Path:
    """A folder as `train` leaves it, but for what is in the adapter."""
    told = {"schema_version": 1, "stage": "train", "method": "lora", "base": {}} | changes
    files = {"adapter_model.safetensors": "weights", "adapter_config.json": "{}"}
    if told["method"] == "full":
        files = {"tensors.safetensors": "weights"}
    folder.write_whole(target, files, {**told, "files": folder.described(files)})
    return target


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("text", ["", None, "\n"])
def test_a_dataset_without_pairs_is_refused_in_its_own_way(
    tmp_path: Path, part: str, text: str | None
) -> None:
    args = write_school(tmp_path, recipe=RECIPE + PREFERENCE)
    write_pairs(tmp_path / "data", **{part: text})
    with pytest.raises(NoPairs):
        read_pairs(tmp_path / "data")
    result = run("prefer", *args, "--from", fake_tuned(tmp_path / "tuned"), "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert f"preferences-{part}.jsonl: found no preference pairs" in result.output
    assert "leave `prefer` out" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("full", "was trained by full and has no adapter"),
        ("newer", "has schema 2"),
        ("dataset", "holds what `dataset` wrote, nothing tuned"),
        ("export", "holds what `export` wrote, nothing tuned"),
        ("unfinished", "has no manifest"),
        ("nowhere", "does not exist"),
        ("altered", "its SHA-256 differs"),
        ("lost", "cannot be read"),
    ],
)
def test_what_cannot_be_gone_on_with_is_told(tmp_path: Path, harm: str, said: str) -> None:
    args, tuned = write_school(tmp_path), tmp_path / "tuned"
    write_pairs(tmp_path / "data")
    changes: dict[str, dict[str, Any]] = {
        "full": {"method": "full"}, "newer": {"schema_version": 2}, "export": {"stage": "export"},
    }  # fmt: skip
    if harm == "dataset":
        tuned = tmp_path / "data"
    elif harm != "nowhere":
        fake_tuned(tuned, **changes.get(harm, {}))
    if harm == "unfinished":
        (tuned / "manifest.json").unlink()
    elif harm == "altered":
        (tuned / "adapter_model.safetensors").write_text("others")
    elif harm == "lost":
        (tuned / "adapter_config.json").unlink()
    result = run("prefer", *args, "--from", tuned, "-o", tmp_path / "out")
    assert result.exit_code == 6, result.output
    assert said in result.output
    assert "->" in result.output


def test_the_projects_own_pairs_can_be_read() -> None:
    found = read_pairs(default_target())
    assert len(found["train"]) > len(found["validation"]) > 50
    assert all(chosen.fields == rejected.fields for chosen, rejected in found["train"])


School = tuple[Any, Rendering, Pairs]


@pytest.fixture(params=["llama", "qwen2"])
def school(tmp_path: Path, request: pytest.FixtureRequest) -> School:
    """A model, its vocabulary, and pairs, four of them of one question."""
    _, _, base, _, data = write_school(tmp_path, request.param)
    more = lines([pair(5, 2), pair(5, 3)])
    write_pairs(Path(data), train=pairs(0, 5, 7, 9) + more)
    found = open_base(base)
    return found.load("float32").eval(), Rendering(found.words()), read_pairs(Path(data))["train"]


def test_what_is_not_too_long_comes_once(school: School) -> None:
    _, rendering, given = school
    whole, none = questions_of(rendering, given, 600, 1200)
    assert ([len(one.starts) - 1 for one in whole], none) == ([2, 4, 2, 2], 0)
    assert sum(map(len, whole)) < 0.6 * sum(
        len(rendering.record(record)) for one in given for record in one
    )
    for room in (600, 400, 330, 300, 280, 250):
        parts, left_out = questions_of(rendering, given, 600, room)
        assert all(len(one) <= room for one in parts)
        assert sum(len(one.starts) - 1 for one in parts) + left_out == len(given)
        assert (left_out == 0) == (room >= 330)
    assert not parts
    assert questions_of(rendering, given, 150, 1200) == ([], len(given))


def test_answers_in_one_row_are_as_likely_as_each_alone(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    causal, rendering, given = school
    questions, _ = questions_of(rendering, given, 600, 1200)
    records = []
    for one in questions:
        chosen = next(chosen for chosen, _ in given if chosen.id == one.id)
        records += [chosen, *(other for first, other in given if first.fields == chosen.fields)]
    rows = [rendering.record(record) for record in records]
    index, weights = index_of(questions), causal.model.layers[0].self_attn.k_proj.weight
    assert index.sizes.tolist() == [sum(row.supervised) for row in rows]
    sign = torch.linspace(-1, 1, len(rows))
    alone = -torch.stack(
        [plain.summed_loss(causal, plain.batch_of([row], packed=False)) for row in rows]
    )
    (expected,) = torch.autograd.grad((sign * alone).sum(), weights)
    for at_once in (plain.MOST_LOGITS, 300 * causal.config.vocab_size):
        monkeypatch.setattr(loss, "MOST_LOGITS", at_once)
        found = log_probabilities(causal, batch_of(questions), len(rows))
        assert torch.allclose(found, alone, rtol=1e-4)
        (gradient,) = torch.autograd.grad((sign * found).sum(), weights)
        assert torch.allclose(
            gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())
        )


def test_the_loss_is_that_of_the_papers() -> None:
    index = Index(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([4, 5, 2]))
    found, before = torch.tensor([-8.0, -9.0, -3.0]), torch.tensor([-9.0, -7.0, -3.0])
    losses, margins = judged(index, found, before, Preference(beta=0.5, sft=2.0))
    assert margins.tolist() == [0.5 * (1 + 2), 0.5 * (1 - 0)]
    expected = [2 * 8 / 4 + math.log(1 + math.exp(-margin)) for margin in (1.5, 0.5)]
    assert losses.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("key", ["sft = -1", "beta = 0", "sft = nan", "stf = 1", "epochs = 0"])
def test_a_wrong_wish_is_told_by_its_line(tmp_path: Path, key: str) -> None:
    args = write_school(tmp_path, recipe=f"{RECIPE}[preference]\n{key}\n")
    result = run("prefer", *args, "--from", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert f"recipe.toml:14: preference.{key.split()[0]}" in result.output
