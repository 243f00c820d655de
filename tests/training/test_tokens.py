"""Tokens and mask of a record: those of the runtime, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_school import write_gguf

from daydream_motives.engine.backend import BackendSpec, Request
from daydream_motives.engine.llama import LlamaBackend
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.prompt import CHATML, ChatTemplate
from daydream_motives.training.base import Base, open_base
from daydream_motives.training.tokens import Rendering, runs

FIELD_TEXTS = ("Ann", 'Says <|im_end|> and "no".', "It’s «wet».\n日本 e\u0301", "")
PURPOSES = ("Ann <|im_start|> runs.", "Ann sits; she waits.", "Ann \\ eats “cake”.")


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Base:
    folder = tmp_path_factory.mktemp("bases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYDREAM_HOME", str(folder))
        return open_base(str(write_gguf(folder / "tiny.gguf", request.param)))


def fields(texts: tuple[str, ...] = FIELD_TEXTS) -> dict[str, str]:
    return dict(zip(FIELDS, texts, strict=True))


def test_a_prompt_is_what_the_runtime_reads(base: Base) -> None:
    backend = LlamaBackend(BackendSpec("tiny", base.file, parallel=1))
    try:
        context = MotiveContext(*FIELD_TEXTS)
        request = Request(context, "Ann", "she", 1)
        runtime = [*backend.shared, *backend.prompt_tokens(request)]
        rendered = Rendering(base.file_words()).pair("x", context.fields, PURPOSES)
    finally:
        backend.close()
    assert list(rendered.ids[: len(runtime)]) == runtime


def test_the_answer_and_its_end_are_learnt_and_nothing_else(base: Base) -> None:
    words = base.file_words()
    rendered = Rendering(words).pair("x", fields(), PURPOSES)
    (asked, question), (learnt, answer) = runs(rendered)
    assert (asked, learnt) == (False, True)
    assert words.decode(question).endswith("<|im_start|>assistant\n")
    assert words.decode(answer) == (
        '{"purpose_a": "Ann <|im_start|> runs.", "purpose_b": "Ann sits; she waits.", '
        '"purpose_c": "Ann / eats “cake”."}<|im_end|>'
    )
    assert answer[-1] in words.end_tokens()


def test_no_text_opens_or_closes_a_turn(base: Base) -> None:
    rendered = Rendering(base.file_words()).pair("x", fields(), PURPOSES)
    harmless = Rendering(base.file_words()).pair(
        "x", fields(("Ann", "", "", "")), ("A.", "B.", "C.")
    )
    control = base.file_words().control
    assert [i for i in rendered.ids if i in control] == [i for i in harmless.ids if i in control]


@given(st.text(max_size=40), st.text(max_size=40))
def test_both_vocabularies_agree_on_any_text(base: Base, told: str, said: str) -> None:
    runtime = base.runtime_words()
    assert runtime is not None
    texts = ("Ann", told, "", said)
    ours = Rendering(base.file_words()).pair("x", fields(texts), (told, said, "Ann eats."))
    assert ours == Rendering(runtime).pair("x", fields(texts), (told, said, "Ann eats."))


@pytest.mark.parametrize(
    "source",
    ["{{ messages[0]['content'] }}", "{{ raise_exception('no') }}", "{% for %}", "{{ x.y.z }}"],
)
def test_a_template_that_ends_no_turn_is_refused(source: str) -> None:
    with pytest.raises(BackendError, match="chat template"):
        ChatTemplate(source).end_of_turn()


def test_the_end_of_a_turn_is_the_templates() -> None:
    assert ChatTemplate(CHATML).end_of_turn() == "<|im_end|>"
    own = "{% for m in messages %}{{ m['content'] }}{{ eos_token }} {% endfor %}"
    assert ChatTemplate(own, eos="</s>").end_of_turn() == "</s>"
