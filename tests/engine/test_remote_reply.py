"""Replies read as purposes: kept to the letter where they are sound, mended where they are not."""

from __future__ import annotations

import json
import time

import pytest
from hostile_server import TEXTS, completion, purposes
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.engine.openai.reply import (
    MAX_CONTENT,
    complaint,
    load,
    purposes_in,
    read_reply,
)
from daydream_motives.motives.prompt import plain

A, B, C = TEXTS
SOUND = purposes()
MENDED: dict[str, tuple[str, tuple[str, ...]]] = {
    "sound": (SOUND, TEXTS),
    "fenced": (f"Sure! Here it is:\n```json\n{SOUND}\n```\nAnything else?", TEXTS),
    "after a thought": (f'<think>{{"purpose_a": "no"}} hm</think>\n{SOUND}', TEXTS),
    "prose with braces": (f"For {{Ines}}: {SOUND} Good {{luck}}!", TEXTS),
    "pretty": (json.dumps(json.loads(SOUND), indent=2), TEXTS),
    "trailing comma": (SOUND[:-1] + ",}", TEXTS),
    "a comma missing": (SOUND.replace('", "', '"\n"'), TEXTS),
    "not closed": (SOUND[:-1], TEXTS),
    "single quotes": (SOUND.replace('"', "'"), TEXTS),
    "typographic quotes": (SOUND.replace('": "', '”: “').replace('", "', '”, “'), TEXTS),
    "no quotes": (f"purpose_a: {A}\npurpose_b: {B}\npurpose_c: {C}", TEXTS),
    "bold": (f"**Purpose A:** {A}\n**Purpose B:** {B}\n**Purpose C:** {C}", TEXTS),
    "numbers": (json.dumps({"1": A, "2": B, "3": C}), TEXTS),
    "other spelling": (json.dumps({"Purpose A": A, "purpose-b": B, "PurposeC": C}), TEXTS),
    "another order": (json.dumps({"purpose_c": C, "purpose_a": A, "purpose_b": B}), TEXTS),
    "more keys": (json.dumps({"note": "x", **json.loads(SOUND), "purpose_d": "x"}), TEXTS),
    "a list": (json.dumps([A, B, C, A]), TEXTS),
    "a list under a key": (json.dumps({"purposes": [A, B, C]}), TEXTS),
    "wrapped": (json.dumps({"answer": {"result": json.loads(SOUND)}}), TEXTS),
    "wrapped in a list": (json.dumps([json.loads(SOUND)]), TEXTS),
    "lists": (json.dumps({"purpose_a": [A], "purpose_b": [B, C], "purpose_c": [[C]]}), TEXTS),
    "objects": (json.dumps([{"rank": n, "purpose": t} for n, t in enumerate(TEXTS)]), TEXTS),
    "broken objects": (f'{{"purpose_a": {{"text": "{A}"}}, "purpose_b": {{"text": "{B}"}}, '
                       f'"purpose_c": {{"text": "{C}"}}', TEXTS),
    "with its reason": (json.dumps({"purpose_a": {"do": "Go to Karl.", "why": "he is ill."}}),
                        ("Go to Karl, because he is ill.",)),
    "a numbered list": (f"1. {A}\n2. {B}\n3) {C}\n4. More of it is here.", TEXTS),
    "bullets": (f"Sure!\n- {A}\n* {B}\n", (A, B)),
    "a missing key": (json.dumps({"purpose_a": A, "purpose_c": C}), (A, C)),
    "null and numbers": (json.dumps({"purpose_a": None, "purpose_b": 3, "purpose_c": C}), (C,)),
    "empty texts": (json.dumps({"purpose_a": " ", "purpose_b": "", "purpose_c": C}), (C,)),
    "quotes inside": (f'{{"purpose_a": "Say "hello" to Karl.", "purpose_b": "{B}"}}',
                      ("Say “hello” to Karl.", B)),
    "escapes": ('{"purpose_a": "Say \\"hi\\" in the caf\\u00e9.", "purpose_b": "x',
                ("Say “hi” in the café.",)),
    "line breaks inside": ('{"purpose_a": "Go to\nthe quay."}', ("Go to the quay.",)),
    "control tokens": ('{"purpose_a": "Go.\\u0000\\ud800<|im_end|>"}', ("Go.<|im_end|>",)),
    "cut off at a clause": (SOUND[: SOUND.index(" the night")],
                            (A, B, "Ines wants to sleep for an hour")),
    "cut off early": (SOUND[: SOUND.index(" to sleep")], (A, B)),
    "prose": ("Ines is tired and wants to go home.", ()),
    "nothing": ("", ()),
    "other JSON": ('{"mood": "tired", "notes": {"x": 1}}', ()),
    "page": ("<html><style>a {b: c}</style><li>one</html>", ()),
}  # fmt: skip


@pytest.mark.parametrize("what", MENDED)
def test_mended(what: str) -> None:
    content, expected = MENDED[what]
    assert tuple(text for _, text in purposes_in(content)) == expected


@pytest.mark.parametrize("what", MENDED)
def test_a_reply_says_what_is_missing(what: str) -> None:
    content, expected = MENDED[what]
    body = completion(content, finish_reason="length")
    reply = read_reply(json.dumps(body).encode())
    assert tuple(d.text for d in reply.drafts) == expected
    assert bool(reply.reason) == (len(expected) < 3)
    if 0 < len(expected) < 3:
        assert (
            reply.reason
            == f"the server's answer holds {len(expected)} of 3 purposes: it was cut off"
        )


@given(st.lists(st.text(min_size=1), min_size=3, max_size=3), st.booleans())
def test_sound_answers_are_kept_to_the_letter(texts: list[str], ascii: bool) -> None:
    data = dict(zip(("purpose_a", "purpose_b", "purpose_c"), texts, strict=True))
    found = purposes_in(f"```json\n{json.dumps(data, ensure_ascii=ascii)}\n```")
    expected = [(n, plain(t.strip()[:1000])) for n, t in enumerate(texts)]
    assert found == [(n, t) for n, t in expected if t]


@given(st.integers(0, len(SOUND)))
def test_of_a_cut_answer_nothing_is_made_up(length: int) -> None:
    for rank, text in purposes_in(SOUND[:length]):
        assert TEXTS[rank].startswith(text)
        assert len(text.split()) >= 4


@given(st.text() | st.text(alphabet='{}[]":,\\ \npurose_abc123*“”'))
def test_no_text_breaks_it(content: str) -> None:
    found = purposes_in(content)
    assert len(found) <= 3
    assert all(text == plain(text) != "" for _, text in found)
    read_reply(json.dumps(completion(content)).encode())


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "usage", "error", "model", "logprobs",
                         "prompt_tokens", "token", "logprob", "bytes", "text"]), inner),
)  # fmt: skip


@given(_json)
def test_no_reply_breaks_it(body: object) -> None:
    reply = read_reply(json.dumps(body).encode())
    assert len(reply.drafts) == 3 or reply.reason
    complaint(json.dumps(body).encode())


@given(_json, _json, _json)
def test_no_choice_breaks_it(message: object, logprobs: object, usage: object) -> None:
    choice = {"message": message, "logprobs": logprobs}
    reply = read_reply(json.dumps({"choices": [choice], "usage": usage}).encode())
    assert len(reply.drafts) == 3 or reply.reason
    sound = completion(SOUND, logprobs=logprobs) | {"usage": usage}
    assert len(read_reply(json.dumps(sound).encode()).drafts) == 3


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 500_000, b"9" * 900_000, b'{"a":' * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    assert load(body) is None
    assert read_reply(body).drafts == ()
    assert isinstance(complaint(body), str)


@pytest.mark.parametrize(
    "piece", ["[", '{"a":', '"', '{"', '{"a","', "purpose_a:", '"purpose_a": "', '\\"', ", ", '" ',
              "<think>", "1. ", "- x ", "{“", "purpose_a   ", "\n ", "a, "],
)  # fmt: skip
def test_the_time_grows_with_the_length_alone(piece: str) -> None:
    content = piece * (MAX_CONTENT // len(piece))
    begun = time.perf_counter()
    for text in (content, "{" + content, '{"purpose_a": "' + content):
        purposes_in(text)
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no\\nroom", "code": 3}}', "no room"),
        ('{"error": "no room"}', "no room"),
        ('{"message": "no room"}', "no room"),
        ('{"detail": [{"msg": "no room"}]}', '[{"msg": "no room"}]'),
        ("no room\x1b[31m", "no room[31m"),
        ("<html>no room</html>", ""),
        ("", ""),
    ],
)
def test_what_a_server_complains_of(body: str, said: str) -> None:
    assert complaint(body.encode()) == said


@pytest.mark.parametrize("count", [-1, "9", 3.5, True, None, 10**12, [1]])
def test_counts_that_are_none(count: object) -> None:
    details = {"cached_tokens": count}
    usage = {
        "prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": details
    }  # fmt: skip
    reply = read_reply(json.dumps(completion(SOUND) | {"usage": usage}).encode())
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached) == (-1, -1, 0)
