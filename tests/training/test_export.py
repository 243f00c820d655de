"""Exporting: the file says what the tuned model says, or there is no file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from random_lora import load, logits_of, torch, write_base, write_lora
from test_merge import NOISE, TOKENS, read_logits

from daydream_motives.errors import RunError, StoreError
from daydream_motives.modelstore.download import sha256_of
from daydream_motives.modelstore.gguf_file import open_gguf, value
from daydream_motives.modelstore.promotion import style_beside
from daydream_motives.modelstore.quantise import Measured
from daydream_motives.training.base import open_base
from daydream_motives.training.cli import main
from daydream_motives.training.exporting import stage
from daydream_motives.training.exporting.gguf_model import write_model
from daydream_motives.training.exporting.stage import Wish, run_export
from daydream_motives.training.exporting.verify import Bounds, Checked, judged, valid_text

GOOD = '{"purpose_a": "Ann mends the net.", "purpose_b": "Bo feeds a dog.", "purpose_c": "Go on!"}'


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An export of a tiny model of each architecture: its folders, base and tuned model."""
    root = tmp_path_factory.mktemp(request.param)
    base = write_base(root, request.param, tied=request.param == "llama")
    tuned = write_lora(base, root / "tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYDREAM_HOME", str(root / "home"))
        patch.setenv("OMP_THREAD_LIMIT", "1")
        said: list[str] = []
        manifest = run_export(
            root / "tuned", open_base(str(base)), root / "out", Wish(["Q8_0"], "F32"),
            say=said.append,
        )  # fmt: skip
    return root, base, tuned, manifest, said


def test_the_exported_file_computes_what_the_tuned_model_computes(made: Any) -> None:
    root, _, tuned, _, _ = made
    found = read_logits(root / "out" / "merged.gguf")
    assert np.abs(found - logits_of(tuned, TOKENS)).max() < NOISE


def test_all_that_was_made_is_in_the_manifest(made: Any) -> None:
    root, base, _, manifest, _ = made
    out = root / "out"
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert set(manifest["files"]) == {"merged.gguf", "adapter.gguf", "q8_0.gguf"}
    assert {p.name for p in out.iterdir()} == {*manifest["files"], "README.md", "manifest.json"}
    for name, told in manifest["files"].items():
        assert told["sha256"] == sha256_of(out / name)
    assert manifest["file"] == "q8_0.gguf"
    assert manifest["base"]["sha256"] == sha256_of(base)
    assert manifest["style"] == "plain"


def test_files_are_measured_against_the_tuned_model(made: Any) -> None:
    _, _, _, manifest, _ = made
    whole, small = manifest["measured"]
    assert whole["kl"] < 1e-3  # against torch, not against itself
    assert whole["bits_per_weight"] == 32
    assert 8.4 < small["bits_per_weight"] < 9
    assert 0 < small["kl"] < 0.03
    assert small["greedy"] > 0.92
    assert (whole["greedy"], whole["answers"]) == (1, 6)
    assert [row["verdict"] for row in (whole, small)] == ["unquantised", "chosen"]


def test_the_card_states_the_limits_and_why(made: Any) -> None:
    text = (made[0] / "out" / "README.md").read_text()
    assert "KL at most 0.03 nats" in text
    assert "| Q8_0 |" in text
    assert made[3]["sha256"] in text


def test_the_adapter_alone_does_the_same_in_llama_cpp(made: Any) -> None:
    root, base, tuned, _, _ = made
    found = read_logits(base, lora=root / "out" / "adapter.gguf")
    assert np.abs(found - logits_of(tuned, TOKENS)).max() < 3 * NOISE


def test_what_is_done_is_not_done_again(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, base, _, manifest, _ = made
    monkeypatch.setenv("DAYDREAM_HOME", str(root / "home"))
    said: list[str] = []
    found = run_export(
        root / "tuned", open_base(str(base)), root / "out", Wish(["Q8_0"], "F32"), say=said.append
    )
    assert found == manifest
    assert said == [f"{root / 'out'} is done already"]


@pytest.mark.parametrize(
    ("told", "wish", "asked"),
    [({}, None, 1.0), ({"temperature": 0.9}, None, 0.9), ({"temperature": 0.9}, 0.2, 0.2)],
)
def test_it_is_asked_with_the_temperature_of_its_recipe(
    pair: tuple[Path, Path], tmp_path: Path, told: dict[str, float], wish: float | None,
    asked: float,
) -> None:  # fmt: skip
    base, tuned = pair
    manifest = json.loads((tuned / "manifest.json").read_text())
    manifest["recipe"] = {"sampling": told} if told else {}
    (tuned / "manifest.json").write_text(json.dumps(manifest))
    wishes = Wish(["Q8_0"], "F32", temperature=wish)
    found = run_export(tuned, open_base(str(base)), tmp_path / "out", wishes)
    assert found["temperature"] == asked
    assert style_beside(tmp_path / "out" / "q8_0.gguf") == ("plain", asked)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A base and an adapter of it that are not exported yet."""
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    base = write_base(tmp_path, "llama")
    write_lora(base, tmp_path / "tuned")
    return base, tmp_path / "tuned"


def run(*args: Any) -> Any:
    return CliRunner().invoke(main, ["export", *map(str, args)])


@pytest.mark.parametrize("after", ["q8_0.gguf"])
def test_what_was_killed_is_done_again_to_the_same_bytes(
    made: Any, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, base, _, manifest, _ = made
    monkeypatch.setenv("DAYDREAM_HOME", str(root / "home"))
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    out = tmp_path / "out"
    args = ["export", root / "tuned", "--base", base, "-o", out, "--format", "Q8_0", "--merged",
            "F32"]  # fmt: skip
    command = [sys.executable, "-m", "daydream_motives.training", *map(str, args)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (out / after).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (out / "manifest.json").exists()
    done = CliRunner().invoke(main, list(map(str, args)))
    assert done.exit_code == 0, done.output
    again = json.loads((out / "manifest.json").read_text())
    assert again["files"] == manifest["files"]
    assert {p.name for p in out.iterdir()} == {*manifest["files"], "README.md", "manifest.json"}


def test_a_file_beyond_the_limits_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(pair[1], "--base", pair[0], "-o", out, "--format", "Q8_0", "--limit", "max_kl=1e-6")
    assert done.exit_code == 7
    assert "no file of Q8_0 is within the limits" in done.output
    assert "KL" in (out / "refused.md").read_text()
    assert not (out / "manifest.json").exists()
    assert not (out / "q8_0.gguf").exists()


@pytest.mark.parametrize("name", ["q8_0.gguf", "README.md"])
def test_a_file_of_the_user_is_not_written_over(
    pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    out, mine = tmp_path / "out", {name, "mine.gguf"}
    out.mkdir()
    for file in mine:
        (out / file).write_text("mine")
    args = (pair[1], "--base", pair[0], "-o", out, "--format", "Q8_0")
    done = run(*args)
    assert done.exit_code == 6
    assert f"{name} is in the way" in done.output
    assert {path.name for path in out.iterdir()} == mine
    (out / name).unlink()
    for _ in range(2):  # what came of it is the stage's own
        assert run(*args, "--fresh").exit_code == 0
    assert (out / "mine.gguf").read_text() == "mine"


def test_a_wrong_conversion_is_refused_whatever_comes_of_it(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daydream_motives.training.exporting import gguf_model

    monkeypatch.setattr(gguf_model, "rotary", lambda name, weights, reader: weights)
    done = run(pair[1], "--base", pair[0], "-o", tmp_path / "out", "--format", "Q8_0")
    assert done.exit_code == 7
    assert "as shipped: KL" in done.output
    assert "made of a wrong file" in done.output


def test_weights_that_were_tuned_whole_are_exported_too(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    model = load(pair[0])
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.05)
    reader = open_gguf(pair[0])
    write_model(model, pair[0], tmp_path / "full.gguf", kind="F32", base_sha256="ab" * 32)
    assert np.abs(read_logits(tmp_path / "full.gguf") - logits_of(model, TOKENS)).max() < NOISE
    other = open_gguf(tmp_path / "full.gguf")
    assert value(other, "tokenizer.ggml.tokens") == value(reader, "tokenizer.ggml.tokens")
    assert "output.weight" not in {tensor.name for tensor in other.tensors}


def test_a_model_of_another_architecture_is_refused(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = load(write_base(tmp_path / "b", "qwen2"))
    with pytest.raises(StoreError, match="has not the tensors"):
        write_model(other, pair[0], tmp_path / "out.gguf", kind="F32", base_sha256="")


def test_another_base_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(pair[1], "--base", write_base(tmp_path / "b", "llama", seed=3), "-o", tmp_path / "o")
    assert done.exit_code == 6
    assert "tuned from" in done.output
    assert not (tmp_path / "o" / "manifest.json").exists()


@pytest.mark.parametrize("damage", ["no manifest", "changed", "missing", "nothing"])
def test_a_damaged_training_is_refused(
    pair: tuple[Path, Path], damage: str, tmp_path: Path
) -> None:
    weights = pair[1] / "adapter_model.safetensors"
    if damage == "no manifest":
        (pair[1] / "manifest.json").unlink()
    elif damage == "changed":
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    elif damage == "missing":
        weights.unlink()
    tuned = tmp_path / "nowhere" if damage == "nothing" else pair[1]
    done = run(tuned, "--base", pair[0], "-o", tmp_path / "out")
    assert done.exit_code == 6
    assert not list(tmp_path.glob("out/*.gguf"))


@pytest.mark.parametrize("limit", ["max_kl", "max_kl=x", "nonsense=1", "max_kl=-1", "max_kl=inf"])
def test_a_limit_that_is_none_is_a_wrong_usage(pair: tuple[Path, Path], limit: str) -> None:
    assert run(pair[1], "--base", pair[0], "--limit", limit).exit_code == 2


def test_another_stages_folder_is_left_alone(pair: tuple[Path, Path]) -> None:
    before = sorted(p.name for p in pair[1].iterdir())
    with pytest.raises(RunError, match="another stage"):
        run_export(pair[1], open_base(str(pair[0])), pair[1], Wish())
    assert sorted(p.name for p in pair[1].iterdir()) == before


def test_a_full_disk_leaves_no_manifest(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, "write_model", full)
    with pytest.raises(RunError, match="No space left"):
        run_export(pair[1], open_base(str(pair[0])), tmp_path / "out", Wish())
    assert not (tmp_path / "out" / "manifest.json").exists()


# Judging


def row(format: str, seconds: float = 1.0, *, kl: float = 0.001, top1: float = 0.99,
        greedy: float = 0.99, valid: int = 6) -> Checked:  # fmt: skip
    decode = {"16": 75 / seconds}
    return Checked(Measured(format, 1, 8, kl, top1, "", 1e9, decode), greedy, valid, 6)


def verdicts(*rows: Checked) -> list[str]:
    return [one.verdict for one in judged(rows, Bounds())]


def test_the_fastest_within_the_limits_is_chosen() -> None:
    found = verdicts(row("F16", 0.1), row("a", 2), row("b", 1), row("c", 0.5, kl=0.2))
    assert found == ["unquantised", "slower", "chosen", "KL 0.2000 > 0.03"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [({"kl": float("nan")}, "KL"), ({"top1": 0.9}, "top-1"), ({"greedy": 0.9}, "greedy"),
     ({"valid": 4}, "valid 4 of 6, were 6"), ({"greedy": float("nan")}, "greedy")],
)  # fmt: skip
def test_each_limit_refuses_by_itself(bad: dict[str, Any], says: str) -> None:
    found = verdicts(row("F16"), row("a", 2), row("b", 1, **bad))
    assert found[1] == "chosen"
    assert says in found[2]


def test_one_answer_may_be_lost() -> None:
    assert verdicts(row("F16"), row("a", valid=5)) == ["unquantised", "chosen"]


@pytest.mark.parametrize(
    ("text", "valid"),
    [(GOOD, True), (GOOD[:-1], False), (GOOD + " and", False), ("[]", False), ("", False),
     (GOOD.replace("purpose_c", "purpose_d"), False), (GOOD.replace('"Go on!"', "3"), False),
     (GOOD.replace("Go on!", ""), False), (GOOD.replace("Go on!", "Bo feeds a dog."), False),
     ("[" * 100_000, False)],
)  # fmt: skip
def test_a_valid_answer_is_three_different_purposes(text: str, valid: bool) -> None:
    assert valid_text(text) is valid
