"""One rung of the ladder, run as a program of its own so that its memory is its own.

`python -m daydream_motives.bench.rungs JOB.json RESULT.json`. Each rung answers the same prompts
in its own way; what is measured lies beside the answers of each decision. Only what a rung needs is
imported in it: nothing of ours weighs on the rungs that measure others.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daydream_motives.bench.figures import peak_bytes

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from daydream_motives.engine.backend import Answer, Backend, BackendSpec, Request

KEYS = ("purpose_a", "purpose_b", "purpose_c")
SCHEMA = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in KEYS},
    "required": list(KEYS),
    "additionalProperties": False,
}
# The server's grammar fails where an answer is over and must go on, so it is kept from being over.
_NO_END = {
    **SCHEMA, "properties": {key: {"type": "string", "minLength": 400} for key in KEYS},
}  # fmt: skip
NATURAL_LIMIT = 256  # tokens after which an answer of natural length is cut off
SERVER_SLOTS = 16
CROWD = 16  # answers that each thread of ours writes at once
_SEED = 0x7FFFFFFF  # what a server takes for a seed


@dataclass(frozen=True, slots=True)
class Job:
    """What a rung is given. `messages` are (instructions, context as JSON, seed); `requests` is the
    file of the model's spec and the same decisions as our backend takes them; the first `warm` are
    made before the clock runs, as a game is mostly in the middle of its day; `tokens` to sample
    in each, 0 for as many as the model wants; `depth` of a prompt, in tokens."""

    rung: str
    path: str
    threads: int
    tokens: int
    temperature: float
    messages: list[tuple[str, str, int]]
    requests: str
    warm: int
    parallel: int
    depth: int


@dataclass(frozen=True, slots=True)
class One:
    """What one decision took. `latency_s` runs from when all were asked, `work_s` from when work on
    this one began; `whole` is an answer with three purposes."""

    tokens_in: int
    tokens_cached: int
    tokens_out: int
    latency_s: float
    work_s: float
    whole: bool


Result = tuple[list[One], dict[str, Any]]


def is_whole(text: str) -> bool:
    """Whether an answer is the JSON that was asked for."""
    try:
        data = json.loads(text)
    except ValueError:
        return False
    return isinstance(data, dict) and all(
        isinstance(data.get(key), str) and data[key].strip() for key in KEYS
    )


def one_after_another(job: Job, *, schema: bool) -> Result:
    """(a) and (b): `Llama.create_chat_completion` as its documentation shows it."""
    from llama_cpp import Llama, llama_cpp, llama_print_system_info

    ends = llama_cpp.llama_vocab_is_eog

    class Chat(Llama):  # type: ignore[misc]  # untyped
        """Counts the tokens it has to read; with a fixed length nothing ends an answer early."""

        read = 0

        def eval(self, tokens: Sequence[int]) -> None:
            self.read += len(tokens)
            super().eval(tokens)

        def create_completion(self, *args: Any, **options: Any) -> Any:
            if job.tokens:
                options["stop"] = []
            return super().create_completion(*args, **options)

    if job.tokens:
        llama_cpp.llama_vocab_is_eog = lambda *_: False
    llm = Chat(
        job.path, n_ctx=_window(job), n_threads=job.threads, n_threads_batch=job.threads,
        verbose=False,
    )  # fmt: skip
    form = {"response_format": {"type": "json_object", "schema": SCHEMA}} if schema else {}
    found: list[One] = []
    # It keeps no more than the prompt before: one decision warms it as much as all.
    before, messages = job.messages[: job.warm], job.messages[job.warm :]
    for instructions, context, _ in before[-1:]:
        llm.create_chat_completion(_chat(instructions, context), max_tokens=1)
    began = time.perf_counter()
    for instructions, context, seed in messages:
        start, llm.read = time.perf_counter(), 0
        reply = llm.create_chat_completion(
            _chat(instructions, context),
            max_tokens=job.tokens or NATURAL_LIMIT, temperature=job.temperature,
            seed=seed & _SEED, **form,
        )  # fmt: skip
        now, used = time.perf_counter(), reply["usage"]
        written = used["completion_tokens"]
        fresh = min(used["prompt_tokens"], max(0, llm.read - max(0, written - 1)))
        text = reply["choices"][0]["message"]["content"] or ""
        found.append(
            One(used["prompt_tokens"], used["prompt_tokens"] - fresh, written,
                now - began, now - start, is_whole(text))
        )  # fmt: skip
    llama_cpp.llama_vocab_is_eog = ends
    return found, {"compiled": llama_print_system_info().decode(errors="replace").strip()}


def _chat(instructions: str, context: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": instructions}] if instructions else []
    return [*system, {"role": "user", "content": context}]


def _window(job: Job) -> int:
    """Tokens of context that hold the longest prompt and answer."""
    longest = max(len(text) + len(context) for text, context, _ in job.messages)
    return max(2048, longest // 2 + NATURAL_LIMIT)


def server(job: Job) -> Result:
    """(c): all requests sent at once to llama.cpp's own server, which keeps its slots full."""
    from daydream_motives.bench.server import serve

    # Its process would spin briefly between tokens, as ours does; here it has libgomp's default.
    os.environ.setdefault("GOMP_SPINCOUNT", "300000")
    with (
        serve(
            Path(job.path), threads=job.threads, slots=SERVER_SLOTS, context=_window(job)
        ) as local,
        ThreadPoolExecutor(len(job.messages)) as senders,
    ):
        before, messages = job.messages[: job.warm], job.messages[job.warm :]
        gate = threading.Barrier(len(messages) + 1)
        began: list[float] = []
        schema = _NO_END if job.tokens else SCHEMA

        def ask(message: tuple[str, str, int], *, warming: bool = False) -> One:
            instructions, context, seed = message
            body = {
                "messages": _chat(instructions, context), "temperature": job.temperature,
                "max_tokens": 1 if warming else job.tokens or NATURAL_LIMIT,
                "seed": seed & _SEED,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "purposes", "strict": True, "schema": schema},
                },
            }  # fmt: skip
            asked = urllib.request.Request(  # noqa: S310 - our own server
                f"{local.url}/chat/completions", json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )  # fmt: skip
            if not warming:
                gate.wait()
            try:
                with urllib.request.urlopen(asked) as reply:  # noqa: S310
                    answer = json.load(reply)
            except urllib.error.HTTPError as exc:
                raise RuntimeError(f"Error {exc.code}: {exc.read()[:300]!r}") from exc
            latency = time.perf_counter() - (began[0] if began else 0.0)
            used, times = answer["usage"], answer["timings"]
            return One(
                used["prompt_tokens"], times["cache_n"], used["completion_tokens"], latency,
                (times["prompt_ms"] + times["predicted_ms"]) / 1000,
                is_whole(answer["choices"][0]["message"]["content"] or ""),
            )  # fmt: skip

        list(senders.map(lambda message: ask(message, warming=True), before))
        answers = [senders.submit(ask, message) for message in messages]
        began.append(time.perf_counter())
        gate.wait()
        found = [answer.result() for answer in answers]
        peak = peak_bytes(local.pid)
    return found, {"compiled": local.compiled, "parallel": SERVER_SLOTS, "peak_bytes": peak}


def ceiling(job: Job) -> Result:
    """What llama.cpp decodes at the depth of these prompts, with nothing around it."""
    from daydream_motives.bench.ceiling import measure

    return [], measure(
        job.path, threads=job.threads, batch=job.parallel, depth=job.depth,
        steps=max(1, job.tokens),
    )  # fmt: skip


def ours(job: Job, *, parallel: int = 0, forced: bool = True) -> Result:
    """(d), (e) and (f): our backend, as many under way as it says it works on."""
    from daydream_motives.bench.steps import counting_steps
    from daydream_motives.engine.backend import open_backend

    spec, requests = _asked().validate_json(Path(job.requests).read_bytes())
    spec = replace(
        spec, threads=job.threads, parallel=parallel, fixed_tokens=job.tokens, forced=forced
    )
    with counting_steps() as steps:
        backend = open_backend("llama", spec)
        try:
            found = _serve(backend, requests, job.warm)
        finally:
            backend.close()
    return found, {"parallel": getattr(backend, "parallel", 1), "steps": steps.figures()}


def save_requests(file: Path, spec: BackendSpec, requests: list[Request]) -> None:
    """What a rung of ours reads again."""
    file.write_bytes(_asked().dump_json((spec, requests)))


def _asked() -> TypeAdapter[tuple[BackendSpec, list[Request]]]:
    from pydantic import TypeAdapter

    from daydream_motives.engine.backend import BackendSpec, Request

    return TypeAdapter(tuple[BackendSpec, list[Request]])


def _serve(backend: Backend, requests: Sequence[Request], warm: int) -> list[One]:
    """Ask for all; what the backend does not take yet waits here."""
    from daydream_motives.engine.backend import Service

    if not isinstance(backend, Service):
        raise TypeError(f"{type(backend).__name__} does not take requests one by one")
    backend.decide_many(requests[:warm])
    requests = requests[warm:]
    found: list[One | None] = [None] * len(requests)
    room = threading.Semaphore(backend.capacity)
    ended = threading.Semaphore(0)
    began = time.perf_counter()

    def finished(index: int, start: float) -> Callable[[Answer], None]:
        def done(answer: Answer) -> None:
            now = time.perf_counter()
            found[index] = One(
                answer.tokens_in, answer.tokens_cached, answer.tokens_out,
                now - began, now - start, len(answer.drafts) == len(KEYS),
            )  # fmt: skip
            room.release()
            ended.release()

        return done

    for index, request in enumerate(requests):
        room.acquire()
        backend.start(request, finished(index, time.perf_counter()))
    for _ in requests:
        ended.acquire()
    return [one for one in found if one is not None]


RUNGS: dict[str, tuple[str, Callable[[Job], Result]]] = {
    "a": ("create_chat_completion", lambda job: one_after_another(job, schema=False)),
    "b": ("create_chat_completion, JSON schema", lambda job: one_after_another(job, schema=True)),
    "c": (f"xllamacpp server, {SERVER_SLOTS} slots, JSON schema", lambda job: server(job)),
    "d": ("ours, one at a time", lambda job: ours(job, parallel=1)),
    "e": (
        "ours, nothing forced",
        lambda job: ours(job, parallel=CROWD * job.threads, forced=False),
    ),
    "f": ("ours", lambda job: ours(job, parallel=CROWD * job.threads)),
    "ceiling": ("llama.cpp alone, fixed tokens", lambda job: ceiling(job)),
    "naive": ("the file as it ships, as (b)", lambda job: one_after_another(job, schema=True)),
}


def main(job_file: str, result_file: str) -> None:
    """Run the job and write what it found."""
    job = Job(**json.loads(Path(job_file).read_text(encoding="utf-8")))
    _, run = RUNGS[job.rung]
    began = time.perf_counter()
    found, notes = run(job)
    result = {
        "decisions": [asdict(one) for one in found],
        "notes": notes,
        "peak_bytes": notes.pop("peak_bytes", None) or peak_bytes(),
        "whole_s": time.perf_counter() - began,
    }
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
