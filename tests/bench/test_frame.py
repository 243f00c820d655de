"""The benches of frames, of soaking and of swapping: their figures, and a short run of each."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from daydream_motives.bench import frame, soak, swap, working
from daydream_motives.bench.arcade import Arcade
from daydream_motives.bench.frame import LATE_S, Phase, Thinkers
from daydream_motives.bench.soak import Answered, growth, tenths
from daydream_motives.bench.swap import Sent, judge, mixed
from daydream_motives.bench.town import Cast, decisions
from daydream_motives.bench.working import Watch, needs
from daydream_motives.cli import main
from daydream_motives.engine.backend import Answer, BackendSpec, Request
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.engine.scripted import ScriptedBackend
from daydream_motives.engine.worker.backend import WorkerBackend
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import rough_count
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import Draft

SCRIPTED = BackendSpec("scripted")


@pytest.mark.parametrize(
    ("frames", "late"),
    [([], 0), ([1 / 60], 0), ([LATE_S], 0), ([LATE_S + 1e-6, 1 / 60], 0.5), ([0.1, 0.1], 1)],
)
def test_what_counts_as_late(frames: list[float], late: float) -> None:
    assert Phase(frames=frames).figures()["late"] == late


def test_figures_of_a_phase() -> None:
    phase = Phase([0.016, 0.018], [0.004, 0.006], 2.0, Counter(model=5, instinct=1))
    found = phase.figures()
    assert found["frame_ms"] == pytest.approx(
        {"p50": 16, "p95": 18, "p99": 18, "p99.9": 18, "max": 18}
    )
    assert found["work_ms"]["p50"] == pytest.approx(4)
    assert found["model_decisions_per_s"] == 2.5


def test_the_game_draws_without_a_window() -> None:
    arcade = Arcade(10)
    try:
        began = time.perf_counter()
        for _ in range(12):
            arcade.frame()
            arcade.wait()
        assert time.perf_counter() - began > 11 / 60 * 0.8  # it does wait for the next frame
    finally:
        arcade.close()


def test_everyone_faces_ever_new_things() -> None:
    with MotiveEngine("instinct") as engine:
        cast = Cast(engine, 60)
        assert len(cast.people) == 60
        faced = [cast.situation(7) for _ in range(5)]
    assert len({one.model_dump_json() for one in faced}) == 5
    assert all(one.happened and one.place for one in faced)


class Broken(MotiveEngine):
    """An engine that fails as none may."""

    def submit(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")


def test_what_the_engine_raises_is_counted_and_does_not_end_the_game() -> None:
    with Broken("instinct") as engine:
        thinkers = Thinkers(engine, 3, 0)
        for _ in range(4):
            thinkers.frame(Counter())
    assert len(thinkers.exceptions) > 3
    assert "broken" in thinkers.exceptions[0]


class Silent:
    """A ticket that is never answered."""

    deadline = 0.0

    def poll(self) -> None:
        return None


def test_an_answer_that_never_comes_is_missing() -> None:
    with MotiveEngine("instinct") as engine:
        thinkers = Thinkers(engine, 2, 0)
        thinkers.open[0] = Silent()  # type: ignore[assignment]
        thinkers.frame(Counter(), asking=False)
    assert thinkers.missing == 1
    assert not thinkers.open


def test_a_short_game_with_a_worker_that_is_killed() -> None:
    found = frame.measure("scripted", seconds=1, slice_s=1, storm=1, characters=4)
    assert list(found["phases"]) == ["off", "on", "killed", "storm"]
    assert all(phase["frames"] > 5 for phase in found["phases"].values())
    assert found["phases"]["off"]["decisions"] == {}
    assert found["kills"] >= 1
    assert found["workers"] >= 2
    assert found["exceptions"] == []
    assert found["missing_answers"] == 0
    assert found["orphans"] == []
    assert found["answered"].get("model", 0) >= 4
    assert sum(found["answered"].values()) == found["submitted"]
    for calls in found["calls_ms"].values():
        assert 0 < calls["p50"] <= calls["p99"] <= calls["max"]
    text = frame.as_text(json.loads(json.dumps(found)))
    assert "orphans: 0" in text
    assert "engine storm" in text


def test_a_process_that_outlives_its_engine_is_an_orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "_GOING", 0.1)
    worker = WorkerBackend("scripted", SCRIPTED)
    try:
        worker.wait(60)
        watch = Watch(worker)
        pid = watch.look()
        assert watch.orphans() == [pid]
        assert watch.kill()
        monkeypatch.setattr(working, "_GOING", 10.0)
        watch.seen = dict(list(watch.seen.items())[:1])
        assert watch.orphans() == []
    finally:
        worker.close()


def test_a_number_that_another_process_has_now_is_no_orphan() -> None:
    worker = WorkerBackend("scripted", SCRIPTED)
    try:
        worker.wait(60)
        watch = Watch(worker)
        pid = watch.look()
        assert pid
        watch.seen[pid] -= 1000  # born at another time: not the one that was seen
        assert watch.alive() == []
    finally:
        worker.close()
    assert watch.look() is None
    assert not watch.kill()


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(BackendError, match="no_such_package") as found:
        needs("json", "no_such_package")
    assert "pip install" in found.value.remedy


@pytest.mark.parametrize(
    "command",
    [["frame", "--seconds", "0"], ["frame", "--characters", "0"], ["soak", "--minutes", "-1"],
     ["soak", "--characters", "x"], ["swap", "--swaps", "0"], ["swap", "--pause", "-1"]],
)  # fmt: skip
def test_wrong_options_are_wrong_usage(command: list[str]) -> None:
    assert CliRunner().invoke(main, ["bench", *command]).exit_code == 2


@pytest.mark.parametrize("command", ["frame", "soak", "swap"])
def test_a_model_that_is_not_here_is_an_error_of_the_store(command: str) -> None:
    done = CliRunner().invoke(main, ["bench", command, "--model", "smollm2-135m"])
    assert done.exit_code == 4


def answered(*latencies: tuple[float, float], source: str = "model") -> list[Answered]:
    return [Answered(at, latency, source) for at, latency in latencies]


def test_the_first_and_the_last_tenth() -> None:
    answers = answered((5, 9.0), (11, 1.0), (12, 3.0), (50, 7.0), (95, 2.0), (99, 4.0))
    found = tenths(answers, 10, 100)
    assert found["first"] == {"answers": 2, "p50": 1000, "p95": 3000, "p99": 3000}
    assert found["last"] == {"answers": 2, "p50": 2000, "p95": 4000, "p99": 4000}
    nothing = tenths(answered((11, 1.0), source="instinct"), 0, 100)
    assert nothing["first"]["answers"] == 0


def test_memory_that_grows_is_seen() -> None:
    flat = growth([(float(t), 100) for t in range(101)])
    assert flat == {"early": 100, "late": 100, "peak": 100, "ratio": 1}
    rising = growth([(float(t), 100 + t) for t in range(101)])
    assert rising["ratio"] == pytest.approx(195 / 115)
    assert growth([])["ratio"] is None
    assert growth([(1.0, 5)])["ratio"] == 1


def test_a_short_soak() -> None:
    found = soak.measure("scripted", minutes=0.06, characters=6)
    assert found["answers"] > 6
    assert found["stuck"] == 0
    assert found["orphans"] == []
    assert found["memory"]["worker"]["peak"] > 1e6
    assert set(found["answered"]) == {"model"}
    assert "full load" in soak.as_text(json.loads(json.dumps(found)))


DRAFTS = (Draft("a"), Draft("b"), Draft("c"))
ONE, TWO = BackendSpec("one", model_hash="1" * 64), BackendSpec("two", model_hash="2" * 64)


def sent(*answers: Answer) -> Sent:
    context = MotiveContext("Ines", "", "", "", (), ())
    return Sent(Request(context, "Ines", "she", 1), list(answers))


def made(name: str, model_hash: str, drafts: Sequence[Draft] = DRAFTS) -> Answer:
    return Answer(tuple(drafts), made_by=(name, model_hash, ""))


def test_what_goes_wrong_in_a_swap_is_seen() -> None:
    good = [sent(made("one", "1" * 64)), sent(made("two", "2" * 64))]
    found = judge(good, [ONE, TWO])
    assert (found["sent"], found["answered"]) == (2, 2)
    assert (found["lost"], found["twice"], found["by_neither"]) == (0, 0, 0)
    assert found["by_model"] == {"one 11111111": 1, "two 22222222": 1}
    bad = [
        sent(), sent(Answer((), reason="gone")), sent(made("one", "2" * 64)),
        sent(made("one", "1" * 64), made("two", "2" * 64)), sent(Answer(DRAFTS)),
    ]  # fmt: skip
    found = judge(bad, [ONE, TWO])
    assert found["lost"] == 2
    assert found["twice"] == 1
    assert found["by_neither"] == 3  # an odd pair, and two of whom nobody says who made them
    assert found["reasons"] == ["gone"]


def test_an_answer_that_its_model_would_not_give_is_mixed() -> None:
    backend = ScriptedBackend(SCRIPTED)
    spec = replace(SCRIPTED, model_hash=backend.model_hash)
    requests = decisions(3, rough_count)
    found = [
        Sent(request, [replace(answer, made_by=("scripted", backend.model_hash, ""))])
        for request, answer in zip(requests, backend.decide_many(requests), strict=True)
    ]
    assert mixed(found, [("scripted", spec)]) == (0, 3)
    first = found[0].answers[0]
    found[0].answers[0] = replace(first, drafts=(*first.drafts[:2], Draft("something else")))
    assert mixed(found, [("scripted", spec)]) == (1, 3)


def test_a_swap_with_itself_is_refused() -> None:
    done = CliRunner().invoke(main, ["bench", "swap", "--model", "scripted", "--to", "scripted"])
    assert done.exit_code == 2
    assert "the same" in done.output


@pytest.mark.model
def test_a_swap_of_the_real_model_loses_nothing(real_model: str) -> None:
    found = swap.measure(real_model, swaps=1, pause=1.0)
    assert found["lost"] == found["twice"] == found["by_neither"] == 0
    assert found["made_again"] == found["answered"] == found["sent"] > 0
    assert found["mixed"] == 0
    assert found["orphans"] == []
    assert swap.as_text(found)
