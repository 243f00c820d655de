"""The worker around the real 135M model: killed under load, and given files that are broken."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daydream_motives.engine.backend import Answer, BackendSpec, Request, open_backend
from daydream_motives.engine.decoding.weights import Tokenizer
from daydream_motives.engine.worker.backend import Limits, WorkerBackend
from daydream_motives.errors import BackendError
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.motives.context import MotiveContext

pytestmark = pytest.mark.model
QUICK = Limits(first_pause=0.05, longest_pause=0.1, failures=1000)


@pytest.fixture(scope="module")
def spec(real_model: str) -> BackendSpec:
    kind, spec = ModelStore().spec(real_model)
    assert kind == "llama"
    return replace(spec, threads=2)


@pytest.fixture
def worker(spec: BackendSpec) -> Iterator[WorkerBackend]:
    backend = WorkerBackend(
        "llama", spec, limits=QUICK, tokenizer=lambda _, spec: Tokenizer(spec.path).count
    )
    backend.wait(120)
    yield backend
    backend.close()


def request(seed: int) -> Request:
    names = ("Ines", "Karl", "Odile", "Tomas")
    name = names[seed % len(names)]
    background = f"{name} owes {names[(seed + 1) % len(names)]} {seed + 2} crowns."
    context = MotiveContext(name, f"{name} is a diver.", "It is noon on the quay.", background)
    return Request(context, name, "she", seed)


def test_it_answers_what_the_model_answers_in_this_process(
    worker: WorkerBackend, spec: BackendSpec
) -> None:
    here = open_backend("llama", spec)
    requests = [request(seed) for seed in range(6)]
    expected = [replace(answer, tokens_cached=0) for answer in here.decide_many(requests)]
    got = [replace(answer, tokens_cached=0) for answer in worker.decide_many(requests)]
    assert got == expected
    assert all(len(answer.drafts) == 3 for answer in got)
    assert (worker.model, worker.model_hash) == (here.model, here.model_hash)
    for text in ("Ines counts the boats", "", "<|im_end|> 🦀"):
        assert worker.count_tokens(text) == here.count_tokens(text)
    texts = ["Ines wants to swim.", "Ines wants to repair the moon."]
    assert worker.score(request(0), texts) == pytest.approx(here.score(request(0), texts), abs=1e-3)  # type: ignore[attr-defined]
    here.close()


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_killed_under_load_every_request_has_one_answer(worker: WorkerBackend) -> None:
    got: dict[int, list[Answer]] = {seed: [] for seed in range(24)}
    pids, stop, rng = set(), threading.Event(), random.Random(3)

    def killing() -> None:
        while not stop.wait(rng.uniform(0.8, 2.5)):
            if pid := worker.pid:
                pids.add(pid)
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=killing)
    killer.start()
    for seed, answers in got.items():
        worker.start(request(seed), answers.append)
        time.sleep(0.05)
    time.sleep(4)
    stop.set()
    killer.join()
    end = time.monotonic() + 300
    while not all(got.values()):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(pids) >= 2
    assert {len(answers) for answers in got.values()} == {1}
    reasons = {answer.reason for (answer,) in got.values()}
    assert reasons <= {"", "the worker process died (SIGKILL)"}
    assert worker.decide_many([request(0)])[0].drafts


def test_another_format_takes_over_under_load(worker: WorkerBackend, spec: BackendSpec) -> None:
    got: dict[int, list[Answer]] = {seed: [] for seed in range(12)}
    new = replace(spec, model="other", model_hash="other hash")
    for seed in range(6):
        worker.start(request(seed), got[seed].append)
    swap = worker.swap("llama", new)
    swap.result(120)
    for seed in range(6, 12):
        worker.start(request(seed), got[seed].append)
    end = time.monotonic() + 300
    while not all(got.values()):
        assert time.monotonic() < end
        time.sleep(0.05)
    hashes = [answer.made_by and answer.made_by[1] for (answer,) in got.values()]
    assert all(answer.drafts for (answer,) in got.values())
    assert set(hashes[6:]) == {"other hash"}
    assert set(hashes[:6]) <= {spec.model_hash, "other hash"}


def broken(spec: BackendSpec, folder: Path, how: str) -> Path:
    """A copy of the model's file with something wrong."""
    assert spec.path
    data = bytearray(spec.path.read_bytes())
    if how == "truncated":
        del data[len(data) * 6 // 10 :]
    elif how == "only a head":
        del data[1000:]
    elif how == "empty":
        data.clear()
    elif how == "a wrong count":
        data[8:24] = b"\xff" * 16
    elif how == "scrambled metadata":
        rng = random.Random(1)
        for _ in range(2000):
            data[rng.randrange(32, 200_000)] = rng.randrange(256)
    file = folder / "broken.gguf"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    "how", ["truncated", "only a head", "empty", "a wrong count", "scrambled metadata"]
)
def test_a_broken_file_ends_nothing_but_the_worker(
    how: str, spec: BackendSpec, tmp_path: Path
) -> None:
    bad = replace(spec, path=broken(spec, tmp_path, how))
    limits = replace(QUICK, failures=2, cool_down=60)
    backend = WorkerBackend("llama", bad, limits=limits)
    answer = backend.decide_many([request(0)])[0]
    assert answer.drafts == ()
    assert answer.reason
    with pytest.raises(BackendError):
        backend.wait(60)
    backend.swap("llama", spec).result(120)
    assert len(backend.decide_many([request(0)])[0].drafts) == 3
    backend.close()


@pytest.mark.skipif(os.name == "nt", reason="needs limits of a process")
@pytest.mark.parametrize("megabytes", [450, 700])
def test_a_lack_of_memory_ends_nothing_but_the_worker(
    megabytes: int, spec: BackendSpec, tmp_path: Path
) -> None:
    script = tmp_path / "small_machine.py"
    script.write_text(
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20, {megabytes} << 20))\n"
        "from daydream_motives.engine.worker.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-P", str(script)]
    limits = replace(QUICK, failures=2, cool_down=60)
    backend = WorkerBackend("llama", spec, command=command, limits=limits)
    answer = backend.decide_many([request(0)])[0]
    assert answer.drafts == ()
    assert answer.reason
    backend.close()
