"""The remote backend against a real server that misbehaves in every way we could think of."""

from __future__ import annotations

import json
import logging
import re
import time
from email.utils import formatdate

import pytest
from hostile_server import (
    TEXTS,
    Behaviour,
    Handler,
    completion,
    dies_halfway,
    drips,
    drips_headers,
    endless,
    endless_headers,
    good,
    hangs,
    hangs_in_the_body,
    hostile,
    not_http,
    purposes,
    say,
    status,
)
from remotely import KEY, ask, backend, request, texts

from daydream_motives import Character, CharacterSheet, MotiveEngine
from daydream_motives.engine.openai.transport import Dialect


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYDREAM_API_KEY", KEY)
    monkeypatch.delenv("DAYDREAM_API_INSECURE", raising=False)


# A server that misbehaves: an answer with a reason, a line in the log, and the key in neither

BAD: dict[str, tuple[Behaviour, str, int]] = {
    "hangs": (hangs, "said nothing for 1 s", 1),
    "hangs in the body": (hangs_in_the_body, "said nothing for 1 s", 1),
    "drips": (drips, "no answer within 3 s", 1),
    "drips headers": (drips_headers, "no answer within 3 s", 1),
    "endless headers": (endless_headers, "connection broke", 3),
    "dies halfway": (dies_halfway, "connection broke", 3),
    "is no web server": (not_http, "connection broke", 3),
    "100 MB": (endless, "longer than 1,000,000 bytes", 1),
    "compresses": (status(200, "x", Content_Encoding="gzip"), "compresses", 1),
    "invalid JSON": (status(200, '{"choices": ['), "no JSON object", 1),
    "HTML": (status(200, "<html><body>Welcome</body></html>"), "no JSON object", 1),
    "deep JSON": (status(200, "[" * 900_000), "no JSON object", 1),
    "a number": (status(200, "3"), "no JSON object", 1),
    "bytes": (status(200, b"\xff\xfe\x00"), "no JSON object", 1),
    "an error with 200": (status(200, {"error": {"message": "no slot"}}), "error: no slot", 1),
    "no choices": (status(200, {"choices": []}), "no choices", 1),
    "strange choices": (status(200, {"choices": [3]}), "no choices", 1),
    "null": (say(None), "is empty", 1),
    "only thought": (say("<think>hm", message={"reasoning": "x"}), "holds no purposes", 1),
    "refuses": (say(None, message={"refusal": "I will not."}), "refused: I will not.", 1),
    "prose": (say("I'm sorry, I cannot do [that]."), "holds no purposes", 1),
    "another schema": (say('{"answer": "yes", "x": {"y": 1}}'), "holds no purposes", 1),
    "401": (status(401, {"error": "bad key"}), "401: bad key: DAYDREAM_API_KEY is refused", 1),
    "403": (status(403, "<html>"), "HTTP 403: DAYDREAM_API_KEY is refused", 1),
    "404": (status(404, {"error": {"message": "model 'tiny' not found"}}),
            "404: model 'tiny' not found: no such path, or no model named 'tiny'", 1),
    "redirect": (status(307, Location="https://elsewhere.example/v1"), "sends us elsewhere", 1),
    "429": (status(429, {"error": {"message": "slow down"}}), "429: slow down", 3),
    "429, wait long": (status(429, Retry_After="3600"), "429; there is no time to ask again", 1),
    "500": (status(500, "oops"), "HTTP 500: oops", 3),
    "503": (status(503, "<html>"), "^HTTP 503$", 3),
    "418": (status(418), "HTTP 418", 1),
    "too long a prompt": (status(400, {"error": "exceeds the context size"}),
                          "refuses the request .HTTP 400: exceeds the context", 1),
    "refuses everything": (status(400, {"error": "no"}), "refuses the request .HTTP 400: no", 5),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_servers(what: str, caplog: pytest.LogCaptureFixture) -> None:
    behaviour, reason, times = BAD[what]
    caplog.set_level(logging.DEBUG)
    with hostile(behaviour) as server, backend(server.url) as opened:
        begun = time.monotonic()
        (answer,) = opened.decide_many([request()])
        assert time.monotonic() - begun < 10
        assert len(server.asked) == times
        assert server.sent < 50_000_000
        assert KEY not in repr(opened) + repr(vars(opened)) + repr(vars(opened.server))
    assert answer.drafts == ()
    assert re.search(reason, answer.reason), answer.reason
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [answer.reason in line for line in warnings] == [True]
    assert KEY not in caplog.text + repr(answer)


def test_a_server_that_is_not_there() -> None:
    with hostile() as server:
        gone = server.url
    assert "no connection to 127.0.0.1" in ask(gone).reason


def test_the_game_gets_purposes_whatever_the_server_does() -> None:
    with (
        hostile(dies_halfway) as server,
        backend(server.url) as opened,
        MotiveEngine(opened) as engine,
    ):
        decision = Character(CharacterSheet(name="Ines"), engine=engine).next_purposes()
    assert (len(decision), decision.provenance.source) == (3, "instinct")
    assert "connection broke" in decision.provenance.reason


@pytest.mark.parametrize("place", ["header", "status line", "error", "model", "purpose", "list"])
def test_a_server_that_repeats_the_key(place: str, caplog: pytest.LogCaptureFixture) -> None:
    def repeats(h: Handler) -> None:
        if place == "status line":
            h.send_response_only(418, f"hello {KEY}")
            h.send_header("Content-Length", "0")
            h.end_headers()
        elif place == "header":
            h.send("", 418, {"X-Seen": KEY})
        elif place == "error":
            h.send({"error": {"message": "x" * 190 + KEY}}, 418)
        elif place == "model":
            h.send(completion(purposes(), model=f"tiny {KEY}"))
        else:
            h.send(completion(purposes((f"Ines wants to say {KEY}.", *TEXTS[1:]))))

    caplog.set_level(logging.DEBUG)
    with hostile(repeats) as server:
        if place == "list":
            server.models = lambda h: h.send({"data": [{"id": KEY}]})
        answer = ask(server.url)
    assert "0123456" not in caplog.text
    assert "0123456" not in repr(answer)


def test_a_redirect_takes_the_key_nowhere() -> None:
    with hostile() as other, hostile(status(307, Location=other.url)) as server:
        assert "elsewhere" in ask(server.url).reason
        assert other.asked == []


def test_the_same_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    troubles = [*[status(418)] * 4, good, status(418)]
    with hostile(*troubles) as server, backend(server.url, parallel=1) as opened:
        opened.decide_many([request(seed) for seed in range(6)])
    assert sum(r.levelno == logging.WARNING for r in caplog.records) == 2


# Asking again, and in another form


@pytest.mark.parametrize(
    "trouble", [status(500), status(503), dies_halfway, status(429, Retry_After="0"),
                status(429, Retry_After=formatdate(time.time() - 9)),
                status(429, Retry_After="soon")],
)  # fmt: skip
def test_trouble_that_passes(trouble: Behaviour) -> None:
    with hostile(trouble, trouble, good) as server:
        assert texts(ask(server.url)) == TEXTS
        assert len(server.asked) == 3


def test_the_server_says_how_long_to_wait() -> None:
    with hostile(status(429, Retry_After="0.4"), good) as server:
        begun = time.monotonic()
        assert texts(ask(server.url)) == TEXTS
        assert time.monotonic() - begun >= 0.4


def refusing(*words: str, code: int = 400, explain: bool = True) -> Behaviour:
    """Refuses requests in which any of the words occurs."""

    def answer(h: Handler) -> None:
        found = [w for w in words if w in json.dumps(h.asked)]
        if found:
            h.send(
                {"error": {"message": f"{found[0]} is not supported" if explain else "no"}}, code
            )
        else:
            good(h)

    return answer


@pytest.mark.parametrize("explain", [True, False])
@pytest.mark.parametrize("code", [400, 422, 501])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pattern"], Dialect("json_schema")),
        (["json_schema"], Dialect("json_object")),
        (["response_format"], Dialect("")),
        (["logprobs"], Dialect("pattern", frozenset({"logprobs"}))),
        (["response_format", "logprobs"], Dialect("", frozenset({"logprobs"}))),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_leaner_request_where_the_server_takes_no_other(
    words: list[str], expected: Dialect, code: int, explain: bool
) -> None:
    picky = refusing(*words, code=code, explain=explain)
    with hostile(picky) as server, backend(server.url) as opened:
        (answer,) = opened.decide_many([request()])
        assert texts(answer) == TEXTS
        learned, tried = opened.server.dialect, len(server.asked)
        assert opened.decide_many([request(8)])[0].drafts
        assert len(server.asked) == tried + 1  # it is remembered
    if explain:
        assert learned == expected
    assert learned != Dialect()


def test_the_newer_name_of_max_tokens() -> None:
    with hostile(refusing('"max_tokens"')) as server:
        assert texts(ask(server.url)) == TEXTS
        assert server.asked[-1]["max_completion_tokens"] == server.asked[0]["max_tokens"]


def test_a_refusal_that_no_form_mends_changes_nothing() -> None:
    with hostile(status(400, "no"), status(400, "no"), status(400, "no"), status(400, "no"),
                 status(400, "no"), good) as server, backend(server.url) as opened:  # fmt: skip
        assert opened.decide_many([request()])[0].drafts == ()
        assert opened.server.dialect == Dialect()
        assert texts(opened.decide_many([request()])[0]) == TEXTS
