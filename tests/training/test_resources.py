"""What a training takes of the machine is told while it runs, and changes nothing."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from daydream_motives.training.tuning import resources
from daydream_motives.training.tuning.log import Log, read_log
from daydream_motives.training.tuning.resources import Recorder

Rows = list[dict[str, float]]


def waited(rows: Rows, count: int) -> Rows:
    end = time.monotonic() + 10
    while len(rows) < count and time.monotonic() < end:
        time.sleep(0.005)
    return rows


def recorders() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "resources"]


def test_it_tells_every_so_often_and_once_more_at_its_end() -> None:
    rows: Rows = []
    recorder = Recorder(rows.append, 0.01)
    assert len(waited(rows, 3)) >= 3
    recorder.close()
    ended = len(rows)
    assert not recorders()
    recorder.close()
    assert len(rows) == ended
    for row in rows:
        assert row["memory_peak"] >= row["memory"] > 1e6
        assert 0 < row["memory_free"] < psutil.virtual_memory().total
        assert row["cores"] == psutil.cpu_count()
        assert row["cpu_percent"] >= 0
        assert "gpu_memory" not in row


def test_a_short_run_has_one_row() -> None:
    rows: Rows = []
    Recorder(rows.append).close()
    assert len(rows) == 1


def test_work_shows() -> None:
    rows: Rows = []
    recorder = Recorder(rows.append)
    held, end = bytearray(b"x" * 50_000_000), time.process_time() + 0.2
    while time.process_time() < end:
        pass
    recorder.close()
    assert rows[0]["cpu_percent"] > 5
    assert rows[0]["memory"] > len(held)


@pytest.mark.parametrize("error", [OSError("no disk"), RuntimeError("no device")])
def test_what_it_cannot_tell_ends_it_and_nothing_else(error: Exception) -> None:
    said = threading.Event()

    def tell(row: dict[str, float]) -> None:
        said.set()
        raise error

    recorder = Recorder(tell, 0.001)
    assert said.wait(10)
    recorder.close()  # pytest makes an error of an exception that a thread lets go
    assert not recorders()


class _Cuda(SimpleNamespace):
    def is_initialized(self) -> bool:
        return True

    def memory_allocated(self) -> int:
        return 3

    def max_memory_allocated(self) -> int:
        return 5

    def mem_get_info(self) -> tuple[int, int]:
        return 7, 9

    def utilization(self) -> int:
        if self.nvml:
            return 42
        raise ModuleNotFoundError("pynvml")


@pytest.mark.parametrize("nvml", [True, False])
def test_a_gpu_is_told_as_far_as_it_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, nvml: bool
) -> None:
    monkeypatch.setitem(
        resources.sys.modules, "torch", SimpleNamespace(cuda=_Cuda(nvml=nvml))
    )  # fmt: skip
    rows: Rows = []
    Recorder(rows.append).close()
    found = {key: value for key, value in rows[0].items() if key.startswith("gpu")}
    told = {"gpu_memory": 3, "gpu_peak": 5, "gpu_free": 7}
    assert found == (told | {"gpu_percent": 42} if nvml else told)


def test_the_log_keeps_use_beside_what_was_learnt(tmp_path: Path) -> None:
    log = Log(tmp_path, 0, lambda _: None)
    for step in (1, 2, 3):
        log.add("step", step, {"loss": 1.0 / step})
    log.close()
    rows = [json.loads(row) for row in log.file.read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["step", "step", "step", "use"]
    assert rows[-1]["step"] == 3
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3]
    Log(tmp_path, 2, lambda _: None).close()  # gone on with: what came later is dropped
    rows = [json.loads(row) for row in log.file.read_text().splitlines()]
    assert [(row["kind"], row["step"]) for row in rows] == [("step", 1), ("step", 2), ("use", 2)]
