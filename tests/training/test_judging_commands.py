"""`evaluate` and `compare`: what they write, say and refuse, with a fake model and a tiny one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from judged import BREAD, NETS, WOOD, by_words, choice, record, save_rows, three
from tiny import write_gguf

from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.llama import LlamaBackend, LlamaModel
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.errors import BackendError
from daydream_motives.motives.prompt import KEYS, plain
from daydream_motives.motives.purposes import Draft
from daydream_motives.training.cli import main
from daydream_motives.training.dataset import similarity
from daydream_motives.training.judging import asking
from daydream_motives.training.judging.losses import of_backend
from daydream_motives.training.tokens import Rendering


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(similarity, "minilm", lambda: by_words)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [record("q0", BREAD), record("q1", NETS, "Bo"), record("q2", WOOD, "Cy")]
    return save_rows(tmp_path / "q.jsonl", *rows)


def by_hand(path: Path, *answers: Sequence[str]) -> Path:
    return save_rows(path, *({"id": f"q{i}", "purposes": a} for i, a in enumerate(answers)))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# evaluate


def test_evaluate_asks_judges_and_writes(tmp_path: Path, file: Path) -> None:
    result = run("evaluate", "--model", "scripted", "--questions", file)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "evaluation-scripted"
    assert sorted(p.name for p in folder.iterdir()) == [
        "answers.jsonl", "figures.json", "manifest.json",
    ]  # fmt: skip
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [(row["id"], len(row["purposes"])) for row in rows] == [("q0", 3), ("q1", 3), ("q2", 3)]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["model"]["model"] == "scripted"
    assert manifest["questions"]["count"] == 3
    assert "scripted: 3 questions of 3 scenes (q.jsonl)" in result.output
    for word in ("Valid", "Distinct-2", "Self-BLEU", "MRR", "Rank lift", "echo", "overlap"):
        assert word in result.output
    assert "Loss" not in result.output


def test_answers_are_judged_again_without_a_model(tmp_path: Path, file: Path) -> None:
    first = run("evaluate", "--model", "scripted", "--questions", file, "-o", "a", "--json")
    again = run("evaluate", "--answers", "a", "--questions", file, "--json")
    assert again.exit_code == 0, again.output
    line = first.output.splitlines()[-1]
    assert json.loads(again.output) == json.loads(line)
    assert run("evaluate", "--model", "scripted", "--questions", file, "-o", "b").exit_code == 0
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    other = run("evaluate", "--model", "scripted", "--questions", file, "-o", "c", "--seed", 1)
    assert other.exit_code == 0
    assert bytes_of(tmp_path / "a")["answers.jsonl"] != bytes_of(tmp_path / "c")["answers.jsonl"]


def test_figures_of_answers_by_hand(tmp_path: Path, file: Path) -> None:
    answers = by_hand(tmp_path / "mine.jsonl", BREAD, NETS, BREAD[:1])
    result = run("evaluate", "--answers", answers, "--questions", file, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["model"]["name"] == "mine"
    values = {k: f["value"] for k, f in found["figures"].items() if f}
    assert values["valid"] == values["hit_1"] == pytest.approx(2 / 3)
    assert found["figures"]["rank_lift"]["count"] == 2
    assert found["figures"]["contrast"] is None
    assert values["repeats"] == 0  # too short to be near-duplicates


def test_candidates_are_asked_too(tmp_path: Path) -> None:
    file = save_rows(tmp_path / "m.jsonl", *(choice(id=f"c{i}") for i in range(5)), choice(gold=9))
    result = run("evaluate", "--model", "scripted", "--questions", file, "-o", "out")
    assert result.exit_code == 0, result.output
    assert "m.jsonl:6: c0: gold is 9" in result.output
    assert "5 questions" in result.output


class _Stops(ScriptedBackend):
    """A fake that is killed after its first batch; `asked` are all its questions."""

    parallel = 1
    asked: list[str] = []  # noqa: RUF012 - of all that were opened
    last = 2

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        if len(self.asked) == self.last:
            raise KeyboardInterrupt
        self.asked.extend(request.context.name for request in requests)
        return super().decide_many(requests, cancelled)


def test_an_evaluation_that_was_stopped_goes_on(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("evaluate", "--model", "scripted", "--questions", file, "-o", "whole")
    assert whole.exit_code == 0
    monkeypatch.setattr(_Stops, "asked", [])
    monkeypatch.setattr(asking, "open_backend", lambda _kind, spec: _Stops(spec))
    args = ("evaluate", "--model", "scripted", "--questions", file, "-o", "cut")
    assert run(*args).exit_code == 130
    assert [p.name for p in (tmp_path / "cut").iterdir()] == [".asked.jsonl"]
    assert run("evaluate", "--answers", "cut", "--questions", file).exit_code == 6
    monkeypatch.setattr(_Stops, "last", -1)
    assert run(*args).exit_code == 0
    assert _Stops.asked == ["Ada", "Bo", "Cy"]
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


class _Fails(ScriptedBackend):
    """A fake whose answers the test gives: an error, or what stands for an answer."""

    parallel = 1

    def __init__(self, spec: BackendSpec, given: Sequence[object]) -> None:
        super().__init__(spec)
        self._given = iter(given)

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        one = next(self._given)
        if isinstance(one, Exception):
            raise one
        return one if isinstance(one, list) else super().decide_many(requests)


def test_one_answer_that_fails_is_told_and_the_rest_goes_on() -> None:
    spec = BackendSpec("x")
    given = [None, ValueError("lost"), [Answer((Draft("Cy saws."),))]]
    found = asking.ask(three(), _Fails(spec, given), spec)
    assert [a.fault for a in found.items] == ["", "ValueError: lost", "1 purposes"]
    assert [len(a.purposes) for a in found.items] == [3, 0, 1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (BackendError("the server is gone"), "the server is gone"),
        ([Answer((), reason="no memory")], "no memory"),
        (["nonsense"], "the backend answered with str"),
        ([], "0 answers came to 1 requests"),
    ],
)
def test_a_model_that_answers_nothing_ends_the_stage(given: object, said: str) -> None:
    spec = BackendSpec("x")
    with pytest.raises(BackendError, match=said):
        asking.ask(three(), _Fails(spec, [given]), spec)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--model", "scripted", "--answers", "q.jsonl"], 2, "both --answers and --model"),
        (["--answers", "missing.jsonl"], 3, "cannot be read"),
        (["--answers", "."], 6, "not complete"),
        (["--model", "no-such-model"], 4, "no-such-model"),
        (["--model", "no-such-file.gguf"], 4, "no model file"),
        (["--model", "scripted", "--free"], 5, "cannot be told to write freely"),
        (["--model", "scripted", "--dataset", "d"], 2, "both --questions and --dataset"),
        (["--model", "scripted", "--part", "exam"], 2, "exam"),
        (["--model", "scripted", "-o", "q.jsonl"], 6, "cannot write"),
    ],
)
def test_evaluate_refuses(file: Path, args: list[str], code: int, said: str) -> None:
    result = run("evaluate", "--questions", file, *args)
    assert result.exit_code == code, result.output
    assert said in result.output


@pytest.mark.parametrize("content", ["", "{broken\n", '{"id": "x"}\n'])
def test_a_file_without_a_question_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.jsonl").write_text(content)
    result = run("evaluate", "--model", "scripted", "--questions", "bad.jsonl")
    assert result.exit_code == 3
    assert "no question that can be asked" in result.output
    assert not (tmp_path / "evaluation-scripted").exists()


def test_a_dataset_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run("evaluate", "--model", "scripted", "--dataset", "nowhere")
    assert result.exit_code == 6
    assert "does not exist" in result.output


def test_a_folder_of_another_stage_is_not_written_over(tmp_path: Path, file: Path) -> None:
    assert run("compare", "scripted", "--questions", file, "-o", "out").exit_code == 0
    before = bytes_of(tmp_path / "out")
    result = run("evaluate", "--answers", "out/answers-1-scripted.jsonl", "--questions", file,
                 "-o", "out")  # fmt: skip
    assert result.exit_code == 6
    assert "another stage" in result.output
    assert bytes_of(tmp_path / "out") == before


# What a model writes where nothing is forced


_TEXT = st.text(st.characters(categories=("L", "Nd", "Zs")), min_size=1).map(str.strip)


@given(st.tuples(_TEXT, _TEXT, _TEXT))
def test_json_written_freely_is_read(purposes: tuple[str, str, str]) -> None:
    whole = json.dumps(dict(zip(KEYS, map(plain, purposes), strict=True)), ensure_ascii=False)
    said = plain(whole.removeprefix('{"purpose_a": "'))
    assert asking.written_freely(said) == (tuple(map(plain, purposes)), "")


@pytest.mark.parametrize(
    ("text", "purposes"),
    [
        ('a.", "purpose_b": "b.", "purpose_c": "c."', 3),
        ('a.", "purpose_b": "b."}', 2),
        ('a.", "purpose_b": "b.", "purpose_d": "c."}', 2),
        ('a.", "purpose_a": "b.", "purpose_c": "c."}', 2),
        ('a.", "purpose_b": "b.", "purpose_c": "c."} And so on.', 3),
    ],
)
def test_what_is_no_json_is_a_fault_but_its_purposes_count(text: str, purposes: int) -> None:
    found, fault = asking.written_freely(plain(text))
    assert fault == "no JSON object of three purposes"
    assert len(found) == purposes


# A tiny real model


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_loss_is_that_of_one_token_after_another(tmp_path: Path, architecture: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", architecture)
    item = three().items[0]
    with asking.opened(str(path), threads=1) as (backend, spec):
        loss = of_backend(backend, spec)
        assert loss is not None
        (found,) = loss([item])
        around = backend.around  # type: ignore[attr-defined]
    model = LlamaModel(BackendSpec("tiny", path, threads=1))
    rendering = Rendering(model)
    rendering.around = around
    rendered = rendering.pair(item.id, item.fields, item.gold)
    nats = 0.0
    for at, (token, learnt) in enumerate(zip(rendered.ids, rendered.supervised, strict=True)):
        if learnt:
            logits = model.logits().astype(np.float64)
            nats += float(
                np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token]
            )
        model.feed([token], at)
    model.close()
    assert found is not None
    assert found[1] == sum(rendered.supervised)
    assert found[0] == pytest.approx(nats, rel=1e-4)  # batches are rounded otherwise


@pytest.mark.parametrize("how", [[], ["--free"], ["--temperature", 0]])
def test_a_tiny_model_is_evaluated_with_its_loss(
    tmp_path: Path, file: Path, how: list[object]
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    args = ("evaluate", "--model", path, "--questions", file, "--threads", 1, *how)
    result = run(*args, "-o", "out")
    assert result.exit_code == 0, result.output
    assert "Loss" in result.output
    assert "Perplexity" in result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"]["free"] is ("--free" in how)
    assert len(manifest["model"]["sha256"]) == 64
    assert run(*args, "-o", "again").exit_code == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "again")
    if "--free" in how:  # random weights write no JSON
        figures = json.loads((tmp_path / "out" / "figures.json").read_text())
        assert figures["figures"]["valid"]["value"] == 0


class _StopsInTheMiddle(LlamaBackend):
    """A real model, asked one by one and killed at the second question."""

    def __init__(self, spec: BackendSpec) -> None:
        super().__init__(spec)
        self.parallel, self.calls = 1, 0

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.calls += 1
        if self.calls > 1:
            raise KeyboardInterrupt
        return super().decide_many(requests, cancelled)


def test_a_tiny_model_that_was_stopped_goes_on_to_the_same_answers(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    args = ("evaluate", "--model", path, "--questions", file, "--threads", 1)
    assert run(*args, "-o", "whole").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(asking, "open_backend", lambda _kind, spec: _StopsInTheMiddle(spec))
        assert run(*args, "-o", "cut").exit_code == 130
    assert len((tmp_path / "cut" / ".asked.jsonl").read_text().splitlines()) == 2
    assert run(*args, "-o", "cut").exit_code == 0
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_a_question_too_long_for_the_window_has_no_loss(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    item = three().items[0]
    long = type(item)(item.id, item.scene, "", {**item.fields, "Context": "oar " * 900}, item.gold)
    short = type(item)(item.id, item.scene, "", item.fields, item.gold[:1])
    with asking.opened(str(path), threads=1) as (backend, spec):
        loss = of_backend(backend, spec)
        assert loss is not None
        assert loss([long, short]) == [None, None]


def test_a_fake_has_no_loss() -> None:
    spec = BackendSpec("scripted")
    assert of_backend(ScriptedBackend(spec), spec) is None


# compare


def test_compare_puts_answers_and_models_side_by_side(tmp_path: Path, file: Path) -> None:
    right = by_hand(tmp_path / "right.jsonl", BREAD, NETS, WOOD)
    run("evaluate", "--model", "scripted", "--questions", file, "-o", "ev")
    result = run("compare", f"good={right}", "ev", "asked=scripted", "--questions", file)
    assert result.exit_code == 0, result.output
    out = tmp_path / "comparison"
    manifest = json.loads((out / "manifest.json").read_text())
    assert [model["name"] for model in manifest["models"]] == ["good", "scripted", "asked"]
    assert sorted(manifest["files"]) == [
        "answers-1-good.jsonl", "answers-2-scripted.jsonl", "answers-3-asked.jsonl",
        "figures.json", "page.html", "page.md",
    ]  # fmt: skip
    assert sorted(p.name for p in out.iterdir()) == sorted([*manifest["files"], "manifest.json"])
    data = json.loads((out / "figures.json").read_text())
    one, two, three_ = data["models"]
    assert one["against_first"] == {}
    assert two["figures"] == three_["figures"]
    assert two["against_first"]["hit_1"]["value"] < 0
    page, text = (out / "page.html").read_text(), (out / "page.md").read_text()
    for told in (page, text):
        assert "Ada bakes dark bread." in told
        assert "Rank lift" in told
        assert "▼" in told
    assert "src=" not in page
    assert "url(" not in page
    assert run("compare", f"good={right}", "ev", "asked=scripted", "--questions", file,
               "-o", "again").exit_code == 0  # fmt: skip
    assert bytes_of(tmp_path / "again") == bytes_of(out)


def test_no_text_of_a_model_becomes_markup(tmp_path: Path, file: Path) -> None:
    bad = ("<script>alert(1)</script>", "**bold** | cell", "[a](javascript:b)\n# head")
    answers = by_hand(tmp_path / "bad.jsonl", bad, bad, bad)
    result = run("compare", f"<i>={answers}", "--questions", file)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "comparison" / "page.html").read_text()
    assert "<script" not in page
    assert "<i>=" not in page
    assert "&lt;script&gt;alert(1)" in page
    text = (tmp_path / "comparison" / "page.md").read_text()
    assert "<script" not in text
    assert "**bold**" not in text
    assert "[a]" not in text
    assert "\n# head" not in text


def test_compare_without_embeddings_says_so(tmp_path: Path, file: Path) -> None:
    result = run("compare", "scripted", "--questions", file, "--no-embeddings", "--shown", 1)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "comparison" / "page.html").read_text()
    assert "Figures of meaning were left out" in page
    assert page.count('<article class="asked">') == 1


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["scripted", "scripted"], 6, "two of these are called scripted"),
        (["a=scripted", "part.jsonl"], 6, "no answer to 2 of 3 questions, the first q1"),
        (["bad.jsonl"], 3, "purposes"),
        (["no-such-model"], 4, "no-such-model"),
    ],
)
def test_compare_refuses(tmp_path: Path, file: Path, what: list[str], code: int, said: str) -> None:
    by_hand(tmp_path / "part.jsonl", BREAD)
    save_rows(tmp_path / "bad.jsonl", {"id": "q0", "purposes": 3})
    result = run("compare", *what, "--questions", file)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert not (tmp_path / "comparison" / "manifest.json").exists()
