"""Runs that go on, branch, are told again and computed again: the commands and their errors."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from filelock import FileLock
from lasting import lived, rows, story, world
from small import small, split

from daydream_motives.bench import scale
from daydream_motives.cli import main
from daydream_motives.journal import Journal
from daydream_motives.simulation.checkpoint import file_of, read_checkpoint, ticks_in, write_packed
from daydream_motives.simulation.runner import Simulation

PEOPLE = ("--model", "scripted")


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def simulate(*args: object, code: int = 0) -> Result:
    result = run("simulate", *args)
    assert result.exit_code == code, result.stderr
    return result


def refused(result: Result, *words: str, code: int = 6) -> None:
    """An error says what, where and what to do, and nothing is on stdout."""
    assert (result.exit_code, result.stdout) == (code, "")
    for word in ("daydream: ", "  -> ", *words):
        assert word in result.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The small world as a folder of files."""
    return split(tmp_path / "world", small())


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    return lived(tmp_path / "cut", 20, until=11)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lived(tmp_path_factory.mktemp("whole") / "run", 20)


def test_resume_tells_the_rest(cut: Path, whole: Path) -> None:
    result = simulate("--resume", cut)  # with the model it was begun with
    assert "Fri 11:" in result.stdout
    assert "Fri 07:" not in result.stdout
    assert f"daydream replay {cut}" in result.stdout
    assert rows(cut) == rows(whole)


def test_resume_as_json(cut: Path, whole: Path) -> None:
    found = json.loads(simulate("--resume", cut, "--json").stdout)
    assert found["run"] == str(cut)
    assert found["summary"]["decisions"] == len(rows(whole)[0])


def test_a_complete_run_goes_on_with_more_days_in_all(cut: Path) -> None:
    simulate("--resume", cut)
    refused(run("simulate", "--resume", cut), "is complete: 20 ticks", "--branch")
    refused(run("simulate", "--resume", cut, "--ticks", 20), "is complete")
    simulate("--resume", cut, "--days", 0.5)
    assert json.loads((cut / "manifest.json").read_text())["scenario"]["ticks"] == 24
    assert run("replay", cut, "--verify").exit_code == 0


@pytest.mark.parametrize(
    "args",
    [
        ("--resume", "r", "--branch", "r@1"), ("--resume", "r", "--seeds", "1..2"),
        ("--branch", "r@1", "--seeds", "1..2"), ("--resume", "r", "--seed", 1),
        ("--resume", "r", "--run", "x"), ("--resume", "r", "--max-decisions", 3),
        ("--resume", "r", "w"), ("--watch",), ("--resume", "r", "--watch"),
        ("--branch", "r"), ("--branch", "r@"), ("--branch", "@5"), ("--branch", "r@x"),
        ("--branch", "r@-1"), ("--branch", "r@1.5"), ("--branch", "r@²"),
        ("--resume", ""), ("w", "--resume", "", "--watch"), ("--branch", ""),
        ("--branch", "r@" + "9" * 5000), ("--seeds", "1..2"), ("w", "--seeds", "1", "--seed", 2),
        ("w", "--seeds", "1", "--watch"), ("w", "--jobs", 0), ("w", "--checkpoint-minutes", 0),
    ],
    ids=lambda args: " ".join(map(str, args))[:40],
)  # fmt: skip
def test_what_does_not_go_together_is_exit_code_2(args: tuple[object, ...]) -> None:
    result = run("simulate", *args, *PEOPLE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error:" in result.stderr


@pytest.mark.parametrize("seeds", ["8..1", "a", "", "1..99999999"])
def test_seeds_that_are_none_are_exit_code_2(tmp_path: Path, source: Path, seeds: str) -> None:
    result = run("simulate", source, "--seeds", seeds, "--run", tmp_path / "many", *PEOPLE)
    assert result.exit_code == 2
    assert not (tmp_path / "many").exists()


@pytest.mark.parametrize("option", ["resume", "branch"])
@pytest.mark.parametrize("what", ["nothing", "a folder", "a file", "a game's journal"])
def test_where_there_is_no_run(tmp_path: Path, what: str, option: str) -> None:
    folder = tmp_path / "run"
    if what == "a folder":
        folder.mkdir()
    elif what == "a file":
        folder.write_text("x")
    elif what == "a game's journal":
        with Journal(folder / "journal.sqlite") as journal:
            journal.event("event", "It began.")
    at = "@3" if option == "branch" else ""
    refused(run("simulate", f"--{option}", f"{folder}{at}", *PEOPLE), str(folder))


@pytest.mark.parametrize("option", ["resume", "branch", "verify"])
def test_another_model_is_named(cut: Path, option: str) -> None:
    """Without an installed model the run of a model cannot go on."""
    db = sqlite3.connect(cut / "journal.sqlite")
    model = json.dumps({"name": "smollm2-135m", "hash": "12ab", "adapter_hash": None})
    db.execute("UPDATE manifest SET value = ? WHERE key = 'model'", (model,))
    db.commit()
    db.close()
    command = {
        "resume": ("simulate", "--resume", cut), "verify": ("replay", cut, "--verify"),
        "branch": ("simulate", "--branch", f"{cut}@9", "--run", cut.parent / "other"),
    }[option]  # fmt: skip
    refused(run(*command), "daydream models pull smollm2-135m", code=4)
    refused(run(*command, *PEOPLE), "was made with smollm2-135m (12ab); here is scripted")


def test_a_run_in_use(tmp_path: Path, cut: Path, source: Path) -> None:
    with FileLock(cut / "run.lock"):
        refused(run("simulate", "--resume", cut), "another process is writing", str(cut))
        refused(run("simulate", source, "--run", cut, *PEOPLE), "another process is writing")
        assert run("replay", cut).exit_code == 0
        simulate("--branch", f"{cut}@8", "--run", tmp_path / "other")


def test_damage_is_told_with_what_is_used_instead(
    cut: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = file_of(cut / "checkpoints", ticks_in(cut / "checkpoints")[-1])
    last.write_bytes(last.read_bytes()[:100])
    simulate("--resume", cut)
    assert f"{last} is damaged or was cut short" in caplog.text
    assert "an earlier checkpoint is used" in caplog.text
    assert rows(cut) == rows(whole)


def test_a_world_changed_behind_the_run_is_named(cut: Path) -> None:
    write_packed(cut / "world.json.gz", world(events=[]).to_data())
    refused(run("simulate", "--resume", cut), "is not the one its checkpoint", "world.json.gz")


def test_branch_with_an_edited_world_and_another_seed(
    tmp_path: Path, whole: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "characters" / "dee.yaml").write_text(yaml.safe_dump({"name": "Dee Orr"}))
    other = tmp_path / "other"
    simulate(source, "--branch", f"{whole}@9", "--seed", 5, "--days", 0.5, "--run", other)
    told = run("replay", other).stdout
    assert "edited: the writer added the character dee" in told
    assert "Dee wants to" in told
    assert run("replay", other, "--verify").exit_code == 0
    monkeypatch.chdir(tmp_path)
    simulate("--branch", f"{whole}@9")
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["run-at-9-0-1"]
    assert story(tmp_path / "runs" / "run-at-9-0-1") == story(whole)


def test_branches_that_cannot_be(tmp_path: Path, whole: Path, source: Path) -> None:
    target = ("--run", tmp_path / "other")
    refused(run("simulate", "--branch", f"{whole}@21", *target), "did not come that far")
    refused(run("simulate", "--branch", f"{whole}@9", "--ticks", 9, *target), "over at tick 9")
    refused(run("simulate", "--branch", f"{whole}@9", "--run", whole), "already holds a run")
    (source / "places.yaml").write_text(yaml.safe_dump({"house": {"name": "The House"}}))
    for file in (source / "events.yaml", *(source / "characters").glob("*.yaml")):
        file.unlink()
    (source / "characters" / "ada.yaml").write_text(yaml.safe_dump({"name": "Ada Marsh"}))
    (source / "relationships.yaml").write_text("[]")
    result = run("simulate", source, "--branch", f"{whole}@9", *target)
    refused(result, "places: well", "every place, while a run lasts", code=3)
    simulate("--branch", f"{whole}@9", *target)


def test_watch_takes_edits_in_and_says_what_it_refused(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Simulation.step
    bo = source / "characters" / "bo.yaml"

    def edited(self: Simulation) -> Any:
        told = step(self)
        if self.clock.tick == 5:
            data = yaml.safe_load(bo.read_text())
            bo.write_text(yaml.safe_dump({**data, "age": 41}))
        elif self.clock.tick == 8:
            (source / "events.yaml").write_text("- {id: x, text: Y., at: noon}\n")
        elif self.clock.tick == 10:
            (source / "events.yaml").write_text("- {id: x, text: Y., at: '2024-06-14T13:00'}\n")
        return told

    monkeypatch.setattr(Simulation, "step", edited)
    folder = tmp_path / "run"
    result = simulate(source, "--watch", "--ticks", 20, "--run", folder, *PEOPLE)
    lines = result.stderr.splitlines()
    assert "daydream: Fri 08:30  the writer changed the character bo" in lines
    assert any("the edit is refused, the run goes on as it was" in line for line in lines)
    assert "events[0].at" in result.stderr
    assert "daydream: Fri 11:00  the writer added the event x" in lines
    assert "Y." in result.stdout
    monkeypatch.undo()
    assert run("replay", folder, "--verify").exit_code == 0
    nowhere = run("simulate", tmp_path / "none", "--watch", "--resume", folder, "--days", 1)
    refused(nowhere, "nothing there", code=3)


def test_replay_tells_and_filters(whole: Path) -> None:
    everything = run("replay", whole)
    decisions, events = rows(whole)
    assert everything.exit_code == 0
    assert len(everything.stdout.splitlines()) == len(decisions) + len(events)
    assert "* A bell rings." in everything.stdout
    assert "[done]" in everything.stdout
    assert " tells " in everything.stdout
    ada = run("replay", whole, "--who", "ada").stdout
    assert 0 < len(ada) < len(everything.stdout)
    span = run("replay", whole, "--since", "2024-06-14T09:00:00", "--until", "2024-06-14 10:00:00")
    assert {line[7:12] for line in span.stdout.splitlines()} <= {"09:00", "09:30", "10:00"}
    ranks = run("replay", whole, "--all-ranks").stdout.splitlines()
    assert sum(line.startswith("    * ") for line in ranks) == len(decisions)
    assert len(ranks) == 4 * len(decisions) + len(events)
    lines = [json.loads(line) for line in run("replay", whole, "--json").stdout.splitlines()]
    assert [line["id"] for line in lines if line["kind"] == "decision"] == [
        d["id"] for d in decisions
    ]


def test_verify_says_yes_or_names_the_first_difference(cut: Path, whole: Path) -> None:
    for folder in (whole, cut):
        result = run("replay", folder, "--verify")
        assert (result.exit_code, "comes out the same" in result.stdout) == (0, True)
    found = json.loads(run("replay", whole, "--verify", "--from-tick", 17, "--json").stdout)
    assert found == {"same": True, "difference": None}
    db = sqlite3.connect(cut / "journal.sqlite")
    db.execute("UPDATE events SET text = 'It snows.' WHERE number = 3")
    db.commit()
    db.close()
    result = run("replay", cut, "--verify")
    refused(result, "does not come out the same", "event at", "text", "recorded: It snows.")
    result = run("replay", cut, "--verify", "--json")
    assert result.exit_code == 6
    assert json.loads(result.stdout)["difference"]["recorded"] == "It snows."


@pytest.mark.parametrize("args", [(), ("--verify",)])
def test_nothing_to_replay(tmp_path: Path, args: tuple[str, ...]) -> None:
    refused(run("replay", tmp_path / "none", *args, *PEOPLE), "none")


def test_an_ensemble_from_plan_to_mending(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "many"
    (folder / "seed-2").mkdir(parents=True)
    refused(run("simulate", source, "--seeds", "1..2", "--run", folder, *PEOPLE), "not empty")
    (folder / "seed-2").rmdir()
    result = simulate(source, "--seeds", "1..2", "--jobs", 2, "--ticks", 8, "--run", folder,
                      "--max-decisions", 4, *PEOPLE)  # fmt: skip
    assert result.stderr.count("complete") == 2
    assert f"daydream report {folder}" in result.stdout
    (folder / "manifest.json").unlink()
    (folder / "seed-2" / "manifest.json").unlink()
    with FileLock(folder / "seed-2" / "run.lock"):
        result = run("simulate", "--resume", folder)
    refused(result, "seed 2: stopped with exit code 6", "another process", f"--resume {folder}")
    assert run("simulate", "--resume", folder, "--days", 3).exit_code == 2
    found = json.loads(simulate("--resume", folder, "--json").stdout)
    assert set(found["figures"]) == {"seed-1", "seed-2"}
    refused(run("ask", folder, "ada", *PEOPLE), "holds several runs")
    refused(run("simulate", "--branch", f"{folder}@3", *PEOPLE), "holds several runs")


def test_ask_where_a_run_stands(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    def context(*args: object) -> str:
        result = run("ask", whole, "ada", "--json", *args, *PEOPLE)
        assert result.exit_code == 0
        return str(json.loads(result.stdout)["context"]["Context"])

    assert "16:00" in context()
    assert "15:00" in context("--at", 18)
    assert caplog.text == ""
    assert "15:00" in context("--at", 19)
    assert "no checkpoint at tick 19; this is tick 18" in caplog.text
    result = run("ask", whole, "zoe", *PEOPLE)
    assert (result.exit_code, "one of ada, bo, kit" in result.stderr) == (3, True)


def test_ask_at_a_tick_before_all_checkpoints_or_of_a_world(cut: Path, source: Path) -> None:
    file_of(cut / "checkpoints", 0).unlink()
    refused(run("ask", cut, "ada", "--at", 1, *PEOPLE), "no whole checkpoint up to tick 1", "8, 10")
    refused(run("ask", source, "ada", "--at", 1, *PEOPLE), "is no run")
    assert read_checkpoint(file_of(cut / "checkpoints", 8))["tick"] == 8


def test_ask_explains(whole: Path) -> None:
    result = run("ask", whole, "ada", "--explain", "--without", "bo", "--without", "kit", *PEOPLE)
    assert result.exit_code == 0
    for words in ("Told, in", "memories came to mind", "what became of it",
                  "Without the ties to Bo Lind:", "Without the ties to Kit Marsh:",
                  "Of the purposes above, 1 "):  # fmt: skip
        assert words in result.stdout
    args = ("ask", whole, "ada", "--explain", "--without", "bo", "--json", *PEOPLE)
    found = json.loads(run(*args).stdout)
    assert [entry["status"] for entry in found["receipt"]]
    assert found["memories"] > 0
    (without,) = found["without"]
    assert without["person"] == "bo"
    assert [p["rank"] for p in without["purposes"]] == [1, 2, 3]
    assert without["context"]["Background"] != found["context"]["Background"]
    result = run("ask", whole, "ada", "--without", "zoe", *PEOPLE)
    assert (result.exit_code, "--without: found 'zoe'" in result.stderr) == (3, True)


def test_bench_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = scale.journal_rates
    monkeypatch.setattr(scale, "journal_rates", lambda _, seed: rates(40, seed))
    result = run("bench", "scale", "--characters", 20, "--contexts", 10)
    assert result.exit_code == 0
    assert "times that in the small one" in result.stdout
    for wrong in (("--characters", 5), ("--contexts", 0)):
        assert run("bench", "scale", *wrong).exit_code == 2
