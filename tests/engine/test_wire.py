"""What game and worker say to each other: nothing is lost, and nothing odd is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.worker import wire
from daydream_motives.errors import BackendError
from daydream_motives.motives.context import MotiveContext, ReceiptEntry
from daydream_motives.motives.prompt import PromptStyle
from daydream_motives.motives.purposes import Draft
from daydream_motives.motives.situation import Entity, Verb

NUMBERS = st.integers(0, 2**70)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
WORDS = st.text(st.sampled_from("abcxyzäß "), min_size=1, max_size=12).filter(str.strip)
ENTITIES = st.builds(
    Entity,
    id=st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
    name=WORDS,
    kind=st.sampled_from(["person", "place", "thing"]),
    aliases=st.lists(WORDS, max_size=2).map(tuple),
)
CONTEXTS = st.builds(
    MotiveContext, TEXTS, TEXTS, TEXTS, TEXTS,
    entities=st.lists(ENTITIES, max_size=3).map(tuple),
    verbs=st.lists(st.builds(Verb, name=WORDS), max_size=3).map(tuple),
    tokens=NUMBERS,
)  # fmt: skip
REQUESTS = st.builds(
    Request, CONTEXTS, TEXTS, TEXTS, NUMBERS, st.lists(TEXTS, max_size=3).map(tuple)
)
ANSWERS = st.builds(
    Answer,
    st.lists(st.builds(Draft, TEXTS, FLOATS), max_size=3).map(tuple),
    prompt_hash=TEXTS, tokens_in=NUMBERS, tokens_out=NUMBERS, reason=TEXTS, tokens_cached=NUMBERS,
    made_by=st.none() | st.tuples(TEXTS, TEXTS, TEXTS),
)  # fmt: skip
STYLES = st.builds(PromptStyle, TEXTS, TEXTS, st.tuples(TEXTS), one_sentence=st.booleans())
SPECS = st.builds(
    BackendSpec, TEXTS, st.none() | st.just(Path("/models/a b.gguf")), TEXTS, STYLES, NUMBERS
)
TO_WORKER = st.one_of(
    st.builds(wire.Open, NUMBERS, TEXTS, SPECS),
    st.builds(wire.Close, NUMBERS),
    st.builds(wire.Ask, NUMBERS, NUMBERS, REQUESTS),
    st.builds(wire.Rate, NUMBERS, NUMBERS, REQUESTS, st.lists(TEXTS, max_size=3).map(tuple)),
    st.builds(wire.Abandon, NUMBERS),
    st.just(wire.Bye()),
)
FROM_WORKER = st.one_of(
    st.builds(wire.Hello, NUMBERS, NUMBERS),
    st.builds(wire.Beat, NUMBERS),
    st.builds(wire.Ready, NUMBERS, TEXTS, TEXTS, TEXTS, st.integers(1, 4096)),
    st.builds(wire.Failed, NUMBERS, TEXTS, TEXTS),
    st.builds(wire.Done, NUMBERS, ANSWERS),
    st.builds(wire.Rated, NUMBERS, st.lists(FLOATS, max_size=3).map(tuple), TEXTS),
)
ASK = wire.Ask(1, 2, Request(MotiveContext("Ines", "A diver.", "c", "b"), "Ines", "she", 2**64 - 1))


@given(TO_WORKER)
def test_what_the_game_says_arrives_as_it_was(message: wire.ToWorker) -> None:
    line = wire.to_worker(message)
    assert line.count(b"\n") == 1
    assert wire.read_to_worker(line) == message


@given(FROM_WORKER)
def test_what_the_worker_says_arrives_as_it_was(message: wire.FromWorker) -> None:
    line = wire.from_worker(message)
    assert line.count(b"\n") == 1
    assert wire.read_from_worker(line) == message


def test_a_receipt_stays_at_home() -> None:
    entry = ReceiptEntry("Context", "mood", "mood", "kept", "", 3)
    context = replace(ASK.request.context, receipt=(entry,))
    assert wire.to_worker(replace(ASK, request=replace(ASK.request, context=context))) == (
        wire.to_worker(ASK)
    )


@given(st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b"") + b"\n"))
def test_no_bytes_do_harm(line: bytes) -> None:
    for read in (wire.read_to_worker, wire.read_from_worker):
        with pytest.raises(BackendError, match="a line is no message"):
            read(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(FROM_WORKER, st.data())
def test_a_line_with_one_thing_wrong_is_refused_or_means_the_same(
    message: wire.FromWorker, data: st.DataObject
) -> None:
    told = json.loads(wire.from_worker(message))
    key = data.draw(st.sampled_from([*told, "more"]))
    told[key] = data.draw(JSON)
    try:
        read = wire.read_from_worker(json.dumps(told).encode() + b"\n")
    except BackendError:
        return
    assert wire.read_from_worker(wire.from_worker(read)) == read


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "broke off"),
        (b'{"t":"beat","steps":1}', "broke off"),
        (b'{"t":"beat","steps":-1}\n', "greater than or equal to 0"),
        (b'{"t":"beat","steps":"1"}\n', "valid integer"),
        (b'{"t":"beat","steps":1,"more":2}\n', "more"),
        (b'{"t":"ask","id":1}\n', "does not match any of the expected tags"),
        (b'{"t":"ready","model":1,"name":"","model_hash":"","adapter_hash":"","capacity":0}\n',
         "capacity"),
        (b'{"t":"rated","id":1,"scores":[NaN]}\n', "no numbers"),
        (b'{"t":"done","id":1,"answer":{"drafts":[{"text":"x","confidence":NaN}]}}\n',
         "nan for confidence"),
        (b'{"t":"done","id":1,"answer":{"drafts":[' + b",".join([b'{"text":"x"}'] * 4) + b"]}}\n",
         "4 drafts"),
        (b'{"t":"done","id":1,"answer":{"drafts":[{"text":"' + b"x" * 30_000 + b'"}]}}\n',
         "20000 characters"),
        (b"x" * (wire.MAX_LINE + 1), "more than 4000000 bytes"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_for_what_is_wrong_with_it(line: bytes, why: str) -> None:
    with pytest.raises(BackendError, match=why) as caught:
        wire.read_from_worker(line)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "three purposes",
        Answer(("text",)),  # type: ignore[arg-type]
        Answer((Draft("\ud800"),)),
        Answer((Draft(b"bytes"),)),  # type: ignore[arg-type]
        Answer((Draft("x", float("inf")),)),
        Answer((Draft("x"),) * 4),
        Answer((Draft("x" * 30_000),)),
        Answer((), tokens_in="many"),  # type: ignore[arg-type]
    ],
    ids=lambda answer: str(answer)[:40],
)
def test_an_answer_that_cannot_be_read_is_not_sent(answer: Any) -> None:
    with pytest.raises(BackendError):
        wire.from_worker(wire.Done(1, answer))


@pytest.mark.parametrize(
    "change", [{"short_name": "\ud800"}, {"short_name": "x" * wire.MAX_LINE}, {"seed": "one"}]
)
def test_a_request_that_is_no_text_or_too_long_is_not_sent(change: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match="sent"):
        wire.to_worker(replace(ASK, request=replace(ASK.request, **change)))
