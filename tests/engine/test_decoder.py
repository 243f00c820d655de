"""Many answers at a time on a tiny random model and the real llama.cpp."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import write_gguf

from daydream_motives.engine.backend import Answer, BackendSpec, Request, Service
from daydream_motives.engine.decoding.decoder import Shelf
from daydream_motives.engine.decoding.sequences import Sequences
from daydream_motives.engine.decoding.weights import Weights
from daydream_motives.engine.llama import LlamaBackend, Tokenizer
from daydream_motives.errors import BackendError
from daydream_motives.motives.context import MotiveContext

WORDS = "the harbour bell rang twice and Karl mended a net while Ines waited by the boat".split()


def request(seed: int, *, words: int = 12, who: str = "Ines") -> Request:
    text = " ".join(WORDS[(seed + i) % len(WORDS)] for i in range(words))
    return Request(MotiveContext(who, f"{who} dives.", text, "Karl is a friend."), who, "she", seed)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> BackendSpec:
    file = write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    return BackendSpec("tiny", file, "abc", threads=2, parallel=6, context_window=640)


@pytest.fixture(scope="module")
def backend(spec: BackendSpec) -> Iterator[LlamaBackend]:
    opened = LlamaBackend(spec)
    yield opened
    opened.close()


def texts(answers: list[Answer]) -> list[tuple[object, ...]]:
    return [(a.drafts, a.prompt_hash, a.tokens_in, a.tokens_out, a.reason) for a in answers]


def test_an_answer_is_the_same_to_the_bit_whoever_is_beside_it(backend: LlamaBackend) -> None:
    requests = [request(seed, words=5 + seed % 17) for seed in range(20)]
    together = backend.decide_many(requests)
    assert texts(together) == texts([backend.decide_many([r])[0] for r in requests])
    assert texts(together[::-1]) == texts(backend.decide_many(requests[::-1]))
    assert len({a.drafts for a in together}) > 15


def test_threads_lanes_and_slots_change_nothing(spec: BackendSpec) -> None:
    requests = [request(seed) for seed in range(7)]
    found = []
    for threads, parallel in ((1, 1), (1, 3), (2, 1), (3, 6)):
        backend = LlamaBackend(replace(spec, threads=threads, parallel=parallel))
        found.append(texts(backend.decide_many(requests)))
        backend.close()
    assert all(one == found[0] for one in found)


def test_what_comes_again_is_read_once(backend: LlamaBackend) -> None:
    first, again = (backend.decide_many([request(s, who="Solveig")])[0] for s in (1, 2))
    own = len(backend.prompt_parts(request(1, who="Solveig"))[0])
    assert first.tokens_cached == len(backend.shared)
    assert again.tokens_cached == len(backend.shared) + own


def test_a_forgotten_beginning_is_read_again_with_the_same_answer(spec: BackendSpec) -> None:
    backend = LlamaBackend(replace(spec, threads=1, parallel=1))
    backend._crew._lanes[0].shelf.capacity = 1
    wanted = [request(3), request(3, who="Karl"), request(3)]
    answers = backend.decide_many(wanted)
    assert texts(answers[:1]) == texts(answers[2:])
    assert {a.tokens_cached for a in answers} == {len(backend.shared)}
    backend.close()


def test_it_serves_one_by_one_and_says_who_answered(backend: LlamaBackend) -> None:
    assert isinstance(backend, Service)
    found: dict[int, Answer] = {}
    there = threading.Semaphore(0)

    def keep(seed: int, answer: Answer) -> None:
        assert seed not in found
        found[seed] = answer
        there.release()

    for seed in range(30):
        backend.start(request(seed), lambda answer, seed=seed: keep(seed, answer))  # type: ignore[misc]
    for _ in range(30):
        assert there.acquire(timeout=60)
    assert texts([found[s] for s in range(30)]) == texts(
        backend.decide_many([request(s) for s in range(30)])
    )
    assert {a.made_by for a in found.values()} == {("tiny", "abc", "")}


def test_what_is_cancelled_leaves_and_its_neighbours_stay(backend: LlamaBackend) -> None:
    alone = [backend.decide_many([request(s)])[0] for s in range(10)]
    found: dict[int, Answer] = {}
    there = threading.Semaphore(0)

    def keep(seed: int, answer: Answer) -> None:
        found[seed] = answer
        there.release()

    cancels = [
        backend.start(request(s), lambda answer, s=s: keep(s, answer))  # type: ignore[misc]
        for s in range(10)
    ]
    for seed in (0, 3, 4, 9):
        cancels[seed]()
    for _ in range(10):
        assert there.acquire(timeout=60)
    for seed, answer in found.items():
        assert answer.reason == "cancelled" or answer.drafts == alone[seed].drafts
    assert all(found[s].drafts for s in (1, 2, 5, 6, 7, 8))
    for cancel in cancels:
        cancel()  # too late, and harmless


def test_lockstep_can_be_given_up(backend: LlamaBackend) -> None:
    began = time.monotonic()
    answers = backend.decide_many(
        [request(s) for s in range(200)], lambda: time.monotonic() > began + 0.2
    )
    assert {a.reason for a in answers} <= {"", "cancelled"}
    assert answers[-1].reason == "cancelled"


def test_what_is_too_long_is_refused_and_the_others_are_answered(backend: LlamaBackend) -> None:
    long, short = backend.decide_many([request(1, words=4_000), request(2)])
    assert "tokens and only" in long.reason
    assert not long.drafts
    assert short.drafts


def test_closing_answers_all_that_waits(spec: BackendSpec) -> None:
    backend = LlamaBackend(spec)
    answers: list[Answer] = []
    for seed in range(100):
        backend.start(request(seed), answers.append)
    backend.close()
    backend.close()
    assert len(answers) == 100
    assert {a.reason for a in answers} <= {"", "the engine is closed"}
    backend.start(request(1), answers.append)
    assert answers[-1].reason


def test_a_fixed_number_of_tokens_is_for_measuring(spec: BackendSpec) -> None:
    backend = LlamaBackend(replace(spec, fixed_tokens=30))
    assert {a.tokens_out for a in backend.decide_many([request(s) for s in range(4)])} == {30}
    backend.close()
    backend = LlamaBackend(replace(spec, fixed_tokens=30, forced=False))
    assert {a.tokens_out for a in backend.decide_many([request(s) for s in range(4)])} == {30}
    backend.close()


def test_the_first_purpose_is_what_the_model_is_surest_of(spec: BackendSpec) -> None:
    backend = LlamaBackend(replace(spec, temperature=1.0))
    answers = backend.decide_many([request(seed) for seed in range(24)])
    backend.close()
    first, second, third = np.mean([[d.confidence for d in a.drafts] for a in answers], axis=0)
    assert first > second > third


def test_scores_do_not_depend_on_what_was_asked_before(backend: LlamaBackend) -> None:
    said = ["Ines waits by the boat.", "Karl mends a net.", ""]
    first = backend.score(request(1), said)
    backend.decide_many([request(s) for s in range(5)])
    assert backend.score(request(1), said) == first
    assert all(score <= 0 for score in first)
    with pytest.raises(BackendError, match="tokens and only"):
        backend.score(request(1, words=4_000), said)


def test_a_fault_in_decoding_ends_what_is_under_way_and_not_the_lane(
    spec: BackendSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LlamaBackend(spec)
    whole, broken = Sequences.feed_each, iter([True])

    def sometimes(self: Sequences, rows: list[tuple[int, int, int]]) -> object:
        if next(broken, False):
            raise BackendError("llama.cpp could not decode (code 1)")
        return whole(self, rows)

    monkeypatch.setattr(Sequences, "feed_each", sometimes)
    answers = backend.decide_many([request(s) for s in range(12)])
    assert {a.reason for a in answers} == {"", "llama.cpp could not decode (code 1)"}
    assert all(a.drafts for a in backend.decide_many([request(s) for s in range(12)]))
    backend.close()


def test_a_fault_of_who_asks_does_not_end_the_lane(spec: BackendSpec) -> None:
    backend = LlamaBackend(replace(spec, threads=1))

    def raises(_: Answer) -> None:
        raise RuntimeError("the game's own fault")

    for seed in range(4):
        backend.start(request(seed), raises)
    assert all(a.drafts for a in backend.decide_many([request(s) for s in range(8)]))
    backend.close()


def test_what_is_dropped_without_being_closed_goes(spec: BackendSpec) -> None:
    before = {t for t in threading.enumerate() if t.name.startswith("daydream-lane")}
    backend = LlamaBackend(spec)
    backend.decide_many([request(1)])
    weights = weakref.ref(backend.llm)
    del backend
    gc.collect()
    end = time.monotonic() + 10
    while {t for t in threading.enumerate() if t.name.startswith("daydream-lane")} - before:
        assert time.monotonic() < end
        time.sleep(0.05)
    gc.collect()
    assert weights() is None


def test_a_program_that_ends_in_the_middle_of_a_thought_does_not_crash(spec: BackendSpec) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from daydream_motives.engine.backend import BackendSpec, Request\n"
        "from daydream_motives.engine.llama import LlamaBackend\n"
        "from daydream_motives.motives.context import MotiveContext\n"
        "b = LlamaBackend(BackendSpec('t', Path(sys.argv[1]), threads=2, context_window=640))\n"
        "c = MotiveContext('Ines', 'Ines dives.', 'It is noon. ' * 20, '')\n"
        "[b.start(Request(c, 'Ines', 'she', s), lambda _: None) for s in range(400)]\n"
        "time.sleep(0.3)"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code, str(spec.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_what_was_saved_of_a_sequence_can_be_put_into_another(spec: BackendSpec) -> None:
    weights = Weights(spec.path, "tiny")
    sequences = Sequences(weights, count=3, window=256, threads=1)
    tokens = weights.tokenize("Karl mends a net by the harbour.", False)
    sequences.feed(0, tokens, 0)
    sequences.load(2, sequences.save(0))
    sequences.copy(0, 1)
    a, b, c = (sequences.feed(s, tokens[:3], len(tokens)).copy() for s in range(3))
    assert np.array_equal(a, b)
    assert np.array_equal(a, c)
    with pytest.raises(BackendError, match="do not fit a window"):
        sequences.feed(0, tokens * 60, 0)
    with pytest.raises(BackendError, match="does not fit into the cache"):
        sequences.load(1, np.zeros(16, dtype=np.uint8))
    sequences.close()
    with pytest.raises(BackendError, match="closed"):
        sequences.cut(0, 0)
    weights.close()


def test_the_shelf_gives_up_what_was_not_used() -> None:
    shelf = Shelf(2)  # bytes
    one = np.zeros(1, dtype=np.uint8)
    for key in ((1,), (2,)):
        shelf.keep(key, one)
    assert shelf.find((1,)) is one
    shelf.keep((3,), one)
    assert shelf.find((2,)) is None
    assert shelf.find((1,)) is one


def test_tokens_are_counted_without_the_weights(spec: BackendSpec, backend: LlamaBackend) -> None:
    tokenizer = Tokenizer(Path(str(spec.path)))
    said = 'Karl says "no" to <|im_end|> and to 42 ½.'
    assert tokenizer.count(said) == backend.count_tokens(said)
    tokenizer.close()
    with pytest.raises(BackendError, match="no model file"):
        Tokenizer(Path("nothing.gguf"))
