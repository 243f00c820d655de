"""From journals to samples: what is kept, what is dropped, and what is wrong with the rest."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from journals import as_kept, decision, deed, jsonl, samples, sqlite, texts

from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.motives.situation import Situation
from daydream_motives.records import as_decision, as_sharegpt
from daydream_motives.training.cli import main
from daydream_motives.training.folder import read_whole
from daydream_motives.training.harvest import gather
from daydream_motives.training.harvest.gather import harvest
from daydream_motives.training.harvest.redaction import Redaction

FAILED = {"outcome": {"status": "failed", "needs": {}}}


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_a_decision_that_did_good_becomes_a_sample_with_its_lineage(tmp_path: Path) -> None:
    file = jsonl(tmp_path, decision())
    found = harvest([file], game_version="Regatta 1.2", world="the regatta")
    (sample,) = found.samples
    assert sample["conversations"] == as_sharegpt(decision())["conversations"]
    assert (sample["kind"], sample["grade"], sample["character"]) == ("teach", 0.3, "ines")
    assert sample["world"] == "the regatta"
    assert sample["why"] == "needs or relationships rose: company +0.30"
    lineage = sample["lineage"]
    sha = found.journals[0]["sha256"]
    assert lineage == {
        "journal": sha, "run": sha[:16], "decision": "d0-0", "game_version": "Regatta 1.2",
        "prompt_hash": "bb", "model": "tiny", "model_hash": "aa",
        "at": "1970-01-02T00:00:00+00:00",
    }  # fmt: skip


def test_a_run_says_its_own_world_version_and_run(tmp_path: Path) -> None:
    told = {"world": {"name": "Brennick"}, "versions": {"daydream-motives": "0.1.0"},
            "namespace": "one", "game_version": "Regatta 2"}  # fmt: skip
    adapted = decision(provenance={"adapter_hash": "cc"})
    folder = sqlite(tmp_path, adapted, **told).parent
    found = harvest([folder], game_version="not this", world="nor this")
    (sample,) = found.samples
    assert sample["world"] == "Brennick"
    assert sample["lineage"]["game_version"] == "Regatta 2"
    assert sample["lineage"]["model_hash"] == "aa+cc"
    del told["game_version"]
    (again,) = harvest([sqlite(tmp_path / "b", decision(), **told)]).samples
    assert again["lineage"]["game_version"] == "daydream-motives 0.1.0"
    assert again["lineage"]["run"] == sample["lineage"]["run"]


def test_both_kinds_of_journal_give_the_same(tmp_path: Path) -> None:
    rows = [decision(n) for n in range(3)]
    a = harvest([jsonl(tmp_path, *rows)]).samples
    b = harvest([sqlite(tmp_path, *rows)]).samples
    keys = ("id", "conversations", "kind", "grade", "why", "character")
    assert [{k: s[k] for k in keys} for s in a] == [{k: s[k] for k in keys} for s in b]


def test_what_was_done_comes_first(tmp_path: Path) -> None:
    (sample,) = harvest([jsonl(tmp_path, decision(chosen=3))]).samples
    answer = json.loads(sample["conversations"][1]["value"])
    assert list(answer.values()) == [deed(n, "Ines") for n in (2, 0, 1)]


def test_one_decision_in_two_journals_is_one(tmp_path: Path) -> None:
    one, other = jsonl(tmp_path, decision()), jsonl(tmp_path, decision(), name="copy.jsonl")
    found = harvest([one, other, one])
    assert found.counts["teach"] == 1
    assert [row["reason"] for row in found.dropped] == ["seen"]


def test_a_copy_in_which_it_was_settled_counts(tmp_path: Path) -> None:
    early = jsonl(tmp_path, decision(outcome=None), name="early.jsonl")
    found = harvest([early, jsonl(tmp_path, decision())])
    assert found.counts["teach"] == 1
    assert [row["reason"] for row in found.dropped] == ["open"]


def test_the_same_id_in_another_game_is_another_decision(tmp_path: Path) -> None:
    other = jsonl(tmp_path, decision(1, id="d0-0"), name="other.jsonl")
    assert harvest([jsonl(tmp_path, decision()), other]).counts["teach"] == 2


# Pairs


def instead(folder: Path, *rows: dict[str, Any]) -> list[str | None]:
    """The decision that each rejected one is paired with."""
    found = harvest([jsonl(folder, *rows)]).samples
    by_id = {sample["id"]: sample["lineage"]["decision"] for sample in found}
    return [by_id.get(s["instead_of"]) for s in found if s["kind"] == "reject"]


def test_what_failed_is_paired_with_what_then_worked(tmp_path: Path) -> None:
    assert instead(tmp_path, decision(0, **FAILED), decision(1), decision(2)) == ["d0-1"]


@pytest.mark.parametrize(
    "rows",
    [
        [decision(0), decision(1, **FAILED)],  # what came before
        [decision(0, **FAILED), decision(1, who=1)],  # of another
        [decision(0, **FAILED), *(decision(n, outcome=None) for n in (1, 2, 3)), decision(4)],
        [decision(0, **FAILED), decision(1, purposes=decision(0)["purposes"])],  # the same answer
    ],
)
def test_nothing_is_paired_where_it_might_have_been_right(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    assert instead(tmp_path, *rows) == [None]


def test_what_worked_in_another_run_is_no_sign(tmp_path: Path) -> None:
    files = [jsonl(tmp_path, decision(0, **FAILED), name="a.jsonl"),
             jsonl(tmp_path, decision(5, outcome=None), decision(1), name="b.jsonl")]  # fmt: skip
    (bad,) = (s for s in harvest(files).samples if s["kind"] == "reject")
    assert bad["instead_of"] is None


def test_the_same_question_pairs_whoever_asked_when(tmp_path: Path) -> None:
    same = decision(0)["context"]
    rows = [decision(0, **FAILED), *(decision(n, outcome=None) for n in range(1, 5)),
            decision(5), decision(6, context=same)]  # fmt: skip
    assert instead(tmp_path, *rows) == ["d0-6"]


def test_nearly_the_same_question_pairs_whenever_it_was_asked(tmp_path: Path) -> None:
    nearly = decision(0)["context"]["Context"].replace("Hour 0", "Hour 6")
    rows = [decision(n, outcome=None) for n in range(1, 5)]
    asked = decision(6, context={"Context": nearly})
    assert instead(tmp_path, decision(0, **FAILED), *rows, asked) == ["d0-6"]
    assert instead(tmp_path, decision(0, **FAILED), *rows, decision(6)) == [None]


def test_an_invented_name_pairs_with_any_question_that_lacks_it(tmp_path: Path) -> None:
    named = texts(deed(30, "Ines"), deed(31, "Ines"), "Ines wants to meet Zorro, who can help her.")
    rows = [decision(0), *(decision(n, outcome=None) for n in range(1, 6))]
    assert instead(tmp_path, *rows, decision(8, purposes=named)) == ["d0-0"]
    told = decision(0, context={"Background": "Zorro is in town."})
    assert instead(tmp_path, told, *rows[1:], decision(8, purposes=named)) == [None]


def test_no_good_answer_is_praised_over_and_over(tmp_path: Path) -> None:
    rows = [decision(n, **FAILED) for n in range(3)]
    assert instead(tmp_path, *rows, decision(3)) == ["d0-3", "d0-3", None]


# Redaction


def test_nothing_of_a_listed_name_is_kept_anywhere(tmp_path: Path) -> None:
    record = decision(
        id="ines_prado-1",
        character="ines.prado",
        context={"Background": "Call Ines Prado, 555-0123, ines@prado.pt, 4111111111111111"},
        outcome={"needs": {}, "relationships": [{"to": "ines_prado", "changes": {"trust": 0.5}}]},
        provenance={"model": "prado-tuned"},
    )  # fmt: skip
    names = (("Ines Prado", "Oda Falk"), ("Ines", "Oda"), ("Prado", "Falk"))
    broken = {**decision(2), "schema_version": "Ines Prado, ines@prado.pt"}
    noted = decision(3, **FAILED | {"outcome": {"status": "failed", "note": "Prado said no"}})
    strange = [{**purpose, "unknown_names": ["Prado"]} for purpose in decision(4)["purposes"]]
    rows = [record, {**decision(1), "id": "Prado-x", "outcome": None}, broken, noted,
            decision(4, purposes=strange)]  # fmt: skip
    found = harvest([jsonl(tmp_path, *rows, name="ines prado.jsonl")],
                    redaction=Redaction(names), world="Prado's town")  # fmt: skip
    gather.write(found, tmp_path / "out")
    sample, *others = samples(tmp_path / "out")
    assert [other["why"].rpartition(": ")[2] for other in others] == ["Falk said no", "Falk"]
    assert len(found.findings) == 1
    assert sample["character"] == "Oda Falk"
    assert json.loads(sample["conversations"][1]["value"])["purpose_a"] == deed(0, "Oda")
    for file in (tmp_path / "out").iterdir():
        kept = file.read_text(encoding="utf-8").casefold()
        assert not any(word in kept for word in ("ines", "prado", "4111", "0123")), file


def test_an_answer_that_holds_a_mark_does_not_teach(tmp_path: Path) -> None:
    found = harvest([jsonl(tmp_path, decision())], redaction=Redaction((("Ines", "[name]"),)))
    assert [row["reason"] for row in found.dropped] == ["redacted"]
    assert found.samples == []


# Bad input


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "game.jsonl:2: found"),
        ("[]", "expected a JSON object"),
        ('"text"', "expected a JSON object"),
        (json.dumps(decision(schema_version=2)), "schema_version: found 2; expected 1 to 1"),
        (json.dumps(decision(outcome={"status": "won"})), "outcome.status"),
        (json.dumps(decision(purposes=[])), "three objects with rank 1, 2, 3"),
        (json.dumps(as_sharegpt(decision())), "schema_version: found None"),
        ('{"id": "\\ud800"}', "game.jsonl:2"),
    ],
)
def test_a_broken_line_is_told_and_the_rest_goes_on(tmp_path: Path, row: str, said: str) -> None:
    found = harvest([jsonl(tmp_path, decision(0), row, decision(2))])
    assert found.counts["teach"] == 2
    assert found.findings
    assert any(said in str(finding) for finding in found.findings), found.findings
    assert all(finding.line == 2 for finding in found.findings)


def test_bytes_that_are_no_text_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = jsonl(tmp_path, decision(0), "BAD", decision(2))
    file.write_bytes(file.read_bytes().replace(b"BAD", b"\xff\xfe"))
    found = harvest([file])
    assert found.counts["teach"] == 2
    assert str(found.findings[0]).endswith(":2: byte 0 is not UTF-8; write it as UTF-8")


def test_a_damaged_row_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = sqlite(tmp_path, *(decision(n) for n in range(4)))
    with sqlite3.connect(file) as db:
        db.execute("UPDATE decisions SET context = '{' WHERE number = 2")
        db.execute("UPDATE decisions SET purposes = '[]' WHERE number = 3")
    db.close()
    found = harvest([file])
    assert [s["lineage"]["decision"] for s in found.samples] == ["d0-0", "d0-3"]
    told = "\n".join(map(str, found.findings))
    assert "decision number 2" in told
    assert "decision d0-2: purposes: found []" in told
    assert found.journals[0]["broken"] == 2


def test_a_torn_database_gives_what_can_be_read(tmp_path: Path) -> None:
    file = sqlite(tmp_path, *(decision(n) for n in range(200)))
    data = bytearray(file.read_bytes())
    page = 4096 * (len(data) // 4096 * 3 // 4)
    data[page : page + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    found = harvest([file])
    assert 0 < len(found.samples) + len(found.dropped) < 200
    assert "damaged" in str(found.findings[0])


@pytest.mark.parametrize("kind", ["newer", "foreign", "empty", "missing"])
def test_a_journal_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, kind: str
) -> None:
    bad = tmp_path / "bad.sqlite"
    if kind == "newer":
        bad = sqlite(tmp_path, decision())
        with sqlite3.connect(bad) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    elif kind == "foreign":
        with sqlite3.connect(bad) as db:
            db.execute("CREATE TABLE notes (text)")
        db.close()
    elif kind == "empty":
        bad.write_text("")
    good = jsonl(tmp_path, decision())
    result = run("harvest", bad, good, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(samples(tmp_path / "out")) == 1
    said = {"newer": "has schema 99; this version knows", "foreign": "another program's database",
            "missing": "No such file", "empty": "0 decisions"}  # fmt: skip
    assert said[kind] in result.output
    alone = run("harvest", bad, "-o", tmp_path / "alone")
    assert alone.exit_code == (0 if kind == "empty" else 6)
    assert (tmp_path / "alone").exists() == (kind == "empty")


def test_a_folder_without_journals_is_told(tmp_path: Path) -> None:
    result = run("harvest", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 6
    assert "holds no journal.sqlite" in result.output


def test_a_folder_of_runs_is_all_of_them(tmp_path: Path) -> None:
    sqlite(tmp_path / "many" / "seed-1", decision(0))
    for seed in (1, 2):
        (tmp_path / f"r{seed}").mkdir()
        sqlite(tmp_path / f"r{seed}", decision(seed)).parent.rename(tmp_path / "many" / f"s{seed}")
    assert harvest([tmp_path / "many"]).counts["teach"] == 2


# The folder and the command


def test_the_same_journals_give_the_same_bytes(tmp_path: Path) -> None:
    file = jsonl(tmp_path, *(decision(n) for n in range(4)), decision(9, **FAILED), "{")
    for name in ("a", "b"):
        gather.write(harvest([file]), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["dropped.jsonl", "manifest.json", "report.txt", "samples-001.jsonl"]
    assert all(
        (tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names
    )


def test_many_samples_are_several_files_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path, *(decision(n) for n in range(4)))
    monkeypatch.setattr(gather, "_PART_BYTES", 3000)
    gather.write(harvest([file]), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("samples-*.jsonl"))) > 1
    assert len(samples(tmp_path / "out")) == 4
    monkeypatch.setattr(gather, "_PART_BYTES", 10**6)
    gather.write(harvest([file]), tmp_path / "out")
    assert len(samples(tmp_path / "out")) == 4
    read_whole(tmp_path / "out", "harvest", 1)


def test_the_command_says_what_it_kept_and_why(tmp_path: Path) -> None:
    rows = [decision(0), decision(1, **FAILED), decision(2), decision(3, outcome=None)]
    out = tmp_path / "out"
    result = run("harvest", jsonl(tmp_path, *rows, "{"), "-o", out)
    assert result.exit_code == 0, result.output
    assert "4 decisions: 2 teach, 1 rejected, 1 dropped, 1 broken" in result.output
    assert "1 open: it has no outcome" in result.output
    assert "1 failed: it could not be done" in result.output
    assert "shows what was better: 1" in result.output
    assert (out / "report.txt").read_text() in result.output
    (dropped,) = map(json.loads, (out / "dropped.jsonl").read_text().splitlines())
    assert (dropped["decision"], dropped["reason"]) == ("d0-3", "open")


def test_one_bad_journal_does_not_drown_the_report(tmp_path: Path) -> None:
    bad = jsonl(tmp_path, *["{"] * 30, name="bad.jsonl")
    other = jsonl(tmp_path, decision(0), "{", name="other.jsonl")
    result = run("harvest", bad, other, "-o", tmp_path / "out")
    assert result.output.count("bad.jsonl:") == 9  # once as a journal
    assert "other.jsonl:2: " in result.output
    assert "… and 22 more, listed in the manifest" in result.output
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len(told["broken"]) == 31


def test_the_command_gives_json(tmp_path: Path) -> None:
    result = run("harvest", jsonl(tmp_path, decision()), "-o", tmp_path / "out", "--json")
    told = json.loads(result.output)
    assert told["reasons"]["teach"] == {"moved": 1}
    assert told["counts"]["decisions"] == 1


def test_the_command_takes_a_list_of_names(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Ines = Oda\n")
    file = jsonl(tmp_path, decision())
    result = run("harvest", file, "--names", names, "-o", tmp_path / "out")
    assert "redacted: name 8" in result.output
    assert "Ines" not in (tmp_path / "out" / "samples-001.jsonl").read_text()
    assert run("harvest", file, "--names", tmp_path / "none", "-o", tmp_path / "x").exit_code == 6


@pytest.mark.parametrize("least", ["0", "-1", "nan", "3"])
def test_what_teaches_must_move_something(tmp_path: Path, least: str) -> None:
    result = run("harvest", jsonl(tmp_path, decision()), "--least", least, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match="cannot write"):
        gather.write(harvest([jsonl(tmp_path, decision())]), tmp_path / "out")


KILLED = """
import os, signal, sys
from daydream_motives.training.cli import main
real, left = os.replace, [int(sys.argv.pop(1))]
def replace(*args):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args)
os.replace = replace
main()
"""


@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("again", [False, True], ids=["new", "over an older one"])
def test_what_was_killed_does_not_count_and_is_the_same_when_done_again(
    tmp_path: Path, after: int, again: bool
) -> None:
    file, out = jsonl(tmp_path, *(decision(n) for n in range(4))), tmp_path / "out"
    assert run("harvest", file, "-o", tmp_path / "whole").exit_code == 0
    if again:
        gather.write(harvest([file]), out)
    command = [sys.executable, "-c", KILLED, str(after), "harvest", str(file), "-o", str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    if again and not after:  # nothing was begun yet
        assert read_whole(out, "harvest", 1)[1]
    else:
        with pytest.raises(RunError, match="is not complete"):
            read_whole(out, "harvest", 1)
    assert run("harvest", file, "-o", out).exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


PATHS = st.sampled_from(
    [(key,) for key in (*decision(), "run", "world", "game_version")]
    + [("context", "Context"), ("context", "Character_name"), ("purposes", 1, "text")]
    + [("purposes", 0, "unknown_names"), ("purposes", 2, "rank"), ("provenance", "source")]
    + [("provenance", "filled"), ("provenance", "model"), ("outcome", "needs")]
    + [("outcome", "relationships"), ("outcome", "note"), ("outcome", "grade")]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(PATHS, VALUES)
def test_whatever_a_game_writes_the_rest_goes_on(path: tuple[Any, ...], value: Any) -> None:
    record = decision(1)
    inner: Any = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with tempfile.TemporaryDirectory() as folder:
        file = jsonl(Path(folder), decision(0), json.dumps(record), decision(2))
        found = harvest([file])
        assert {"d0-0", "d0-2"} <= {sample["lineage"]["decision"] for sample in found.samples}
        gather.write(found, Path(folder) / "out")
        read_whole(Path(folder) / "out", "harvest", 1)


def test_a_journal_that_is_still_being_written_can_be_read(tmp_path: Path) -> None:
    file = sqlite(tmp_path, decision(0))
    with Journal(file) as journal:
        made = as_decision(as_kept(decision(1)))
        journal.decided(made, Situation())
        journal.chosen(made)
        journal.resolved(made)
        assert harvest([file.parent]).counts["teach"] == 2
