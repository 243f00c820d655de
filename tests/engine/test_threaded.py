"""A plain backend as a service: groups, cancelled requests, failures and the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
from workers import eventually, request

from daydream_motives.engine.backend import Answer, BackendSpec, Request, Scorer, Service
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.engine.threaded import Threaded, as_service
from daydream_motives.errors import BackendError


class Gated(ScriptedBackend):
    """Decides when it is let; remembers what it was asked together."""

    parallel = 3

    def __init__(self) -> None:
        super().__init__(BackendSpec("scripted"))
        self.groups: list[list[int]] = []
        self.gate = threading.Event()

    def decide_many(
        self, requests: Sequence[Request], cancelled: Callable[[], bool] | None = None
    ) -> list[Answer]:
        self.groups.append([request.seed for request in requests])
        while not self.gate.wait(0.005):
            if cancelled and cancelled():
                return [Answer((), reason="cancelled")] * len(requests)
        if requests[0].short_name == "Bad":
            raise MemoryError("no room")
        return super().decide_many(requests)[: None if requests[0].short_name != "Few" else 0]

    def score(self, request: Request, texts: Sequence[str]) -> list[float]:
        if not texts:
            raise RuntimeError("nothing to compare")
        return [-1.0] * len(texts)


def ask(service: Service, *seeds: int, name: str = "Ines") -> tuple[list[Answer], list[object]]:
    answers: list[Answer] = []
    return answers, [service.start(request(seed, name), answers.append) for seed in seeds]


def test_what_gathers_is_decided_together() -> None:
    backend = Gated()
    service = as_service(backend)
    assert isinstance(service, Threaded)
    assert isinstance(service, Scorer)
    assert as_service(service) is service  # type: ignore[arg-type]
    answers, _ = ask(service, *range(6))
    eventually(lambda: backend.groups)
    backend.gate.set()
    eventually(lambda: len(answers) == 6)
    assert [seed for group in backend.groups for seed in group] == list(range(6))
    assert max(map(len, backend.groups)) == 3
    assert answers == [backend._answer(request(seed)) for seed in range(6)]
    service.close()


def test_one_is_abandoned_alone_and_a_group_when_all_are() -> None:
    backend = Gated()
    service = Threaded(backend)
    first, cancels = ask(service, 0)
    eventually(lambda: backend.groups == [[0]])
    rest, later = ask(service, 1, 2)
    later[0]()  # type: ignore[operator]
    cancels[0]()  # type: ignore[operator]
    eventually(lambda: first and rest)
    assert (first[0].reason, rest[0].reason) == ("cancelled", "cancelled")
    backend.gate.set()
    eventually(lambda: len(rest) == 2)
    assert rest[1].drafts
    assert backend.groups == [[0], [2]]
    service.close()


@pytest.mark.parametrize(
    ("name", "why"), [("Bad", "MemoryError: no room"), ("Few", "0 answers came to 1 requests")]
)
def test_what_fails_is_a_reason(name: str, why: str) -> None:
    backend = Gated()
    backend.gate.set()
    service = Threaded(backend)
    bad, _ = ask(service, 0, name=name)
    eventually(lambda: bad)  # in a group of its own
    good, _ = ask(service, 1)
    eventually(lambda: good)
    assert (bad[0].drafts, bad[0].reason) == ((), why)
    assert good[0].drafts
    service.close()


def test_who_fails_to_take_an_answer_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    backend = Gated()
    backend.gate.set()
    service = Threaded(backend)
    service.start(request(), lambda _: [].pop())
    answers, _ = ask(service, 1)
    eventually(lambda: answers)
    assert "failed to take an answer" in caplog.text
    service.close()


def test_the_end_answers_everyone_once() -> None:
    backend = Gated()
    service = Threaded(backend)
    answers, _ = ask(service, *range(10))
    eventually(lambda: backend.groups)
    service.close()
    service.close()
    late, _ = ask(service, 11)
    assert len(answers) == 10
    assert {answer.reason for answer in answers[3:] + late} == {"the engine is closed"}
    with pytest.raises(BackendError, match="could not compare"):
        service.score(request(), ["a"])


def test_comparing_takes_its_turn() -> None:
    service = Threaded(Gated())
    assert service.score(request(), ["a", "b"]) == [-1.0, -1.0]
    with pytest.raises(BackendError, match="nothing to compare"):
        service.score(request(), [])
    service.close()
    plain = Threaded(ScriptedBackend(BackendSpec("scripted")))
    with pytest.raises(BackendError, match="scripted cannot compare"):
        plain.score(request(), ["a"])
    plain.close()
