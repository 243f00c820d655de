"""From harvests and shipped data to a dataset: what is kept, dropped and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from journals import PEOPLE, decision, deed, jsonl, texts
from scene_texts import SCENE, save

from daydream_motives.errors import RunError
from daydream_motives.records import as_sharegpt
from daydream_motives.training.cli import main
from daydream_motives.training.curate.assemble import Settings, curate, write
from daydream_motives.training.curate.choosing import held_out
from daydream_motives.training.curate.shipped import data_files, read_dataset
from daydream_motives.training.dataset.sharegpt import read_records
from daydream_motives.training.folder import described, lines, read_whole, write_whole
from daydream_motives.training.harvest import gather
from daydream_motives.training.harvest.gather import harvest

FAILED = {"outcome": {"status": "failed", "needs": {}}}
ALL = Settings(replay=0, quota=99, hold_out=0)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def graded(number: int, grade: float = 0.5, **more: Any) -> dict[str, Any]:
    return decision(number, outcome={"needs": {}, "grade": grade}, **more)


def harvested(folder: Path, *rows: dict[str, Any], name: str = "h") -> Path:
    gather.write(harvest([jsonl(folder, *rows, name=f"{name}.jsonl")], world="regatta"),
                 folder / name)  # fmt: skip
    return folder / name


def dataset(folder: Path, *, train: int = 8, test: int = 1, pairs: int = 4) -> Path:
    """A shipped dataset of so many records, none of which is like what the journals hold."""

    def rows(part: str, count: int) -> list[dict[str, Any]]:
        words = [f"{part}{n}{k}" for n in range(count) for k in range(24)]
        made = []
        for n in range(count):
            four = [" ".join(words[24 * n + 6 * k : 24 * n + 6 * k + 6]) for k in range(4)]
            record = decision(n, id=f"{part}{n}", context={"Context": four[3]},
                              purposes=texts(*(f"Ines {text}." for text in four[:3])))  # fmt: skip
            made.append(as_sharegpt(record))
        return made

    files = dict.fromkeys(data_files(), "")
    made = {"train": rows("train", train), "validation": rows("val", 1), "test": rows("t", test)}
    files |= {f"{part}.jsonl": lines(some) for part, some in made.items()}
    files["index.jsonl"] = lines(
        {"id": r["id"], "scene": p, "split": p} for p, some in made.items() for r in some
    )
    files["preferences-train.jsonl"] = lines(
        {"id": f"p{n}", "of": made["train"][0]["id"]} for n in range(pairs)
    )
    manifest = {"schema_version": 1, "files": described(files)}
    write_whole(folder / "shipped", files, manifest)
    return folder / "shipped"


def reasons(folder: Path) -> dict[str, int]:
    return json.loads((folder / "report.json").read_text())["dropped"]  # type: ignore[no-any-return]


def ids(file: Path) -> list[str]:
    return [record.id for record in read_records(file)[0]]


def curated(folder: Path, *harvests: Path, settings: Settings = ALL, **more: Any) -> Path:
    shipped = more.pop("shipped", None) or dataset(folder)
    write(curate(harvests, shipped=shipped, settings=settings, **more), folder / "out")
    return folder / "out"


# What comes out


def test_what_teaches_joins_the_training_data(tmp_path: Path) -> None:
    out = curated(tmp_path, harvested(tmp_path, decision(0), decision(1)))
    shipped = tmp_path / "shipped"
    assert ids(out / "train.jsonl")[:8] == ids(shipped / "train.jsonl")
    assert len(ids(out / "train.jsonl")) == 10
    for name in ("validation.jsonl", "test.jsonl", "preferences-train.jsonl"):
        assert (out / name).read_bytes() == (shipped / name).read_bytes()
    rows = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    last = rows[-1]
    assert {"origin": "journal", "split": "train", "world": "regatta"}.items() <= last.items()
    assert last["lineage"]["decision"] in ("d0-0", "d0-1")
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["counts"]["scenes"], manifest["counts"]["train"]) == (3, 10)
    assert manifest["counts"]["from_journals"] == {"train": 2}
    assert manifest["sources"]["journals"] == [last["lineage"]["journal"]]


def test_a_dataset_can_be_read_as_one_that_was_built(tmp_path: Path) -> None:
    built = tmp_path / "built"
    assert run("data", "build", save(tmp_path, SCENE), "-o", built).exit_code == 0
    out = curated(tmp_path, harvested(tmp_path, decision(0)), shipped=built)
    result = run("data", "check", *(out / f"{part}.jsonl" for part in ("train", "test")))
    assert result.output.endswith("0 problems in 2 files\n")
    built_rows, rows = ((f / "contrast.jsonl").read_text() for f in (built, out))
    assert built_rows == rows
    again = read_dataset(out)
    assert again.hash == again.manifest["hash"]
    assert len(again.records["test"]) == 3


def test_the_same_input_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    a = harvested(tmp_path, *(graded(n) for n in range(4)), name="a")
    b = harvested(tmp_path, *(graded(n, who=1) for n in range(4)), name="b")
    shipped = dataset(tmp_path)
    settings = Settings(replay=0.6, quota=3, hold_out=0.1)
    for name, given in (("x", (a, b)), ("y", (b, a))):
        write(curate(given, shipped=shipped, settings=settings), tmp_path / name)
    x, y = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "xy")
    assert x["hash"] == y["hash"]
    for name in data_files():
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_other_data_has_another_hash(tmp_path: Path) -> None:
    hashes = set()
    for n in range(3):
        out = curated(tmp_path, harvested(tmp_path, *(decision(k) for k in range(n + 1))))
        hashes.add(json.loads((out / "manifest.json").read_text())["hash"])
    assert len(hashes) == 3


# What is dropped


def test_the_same_sample_and_the_same_question_are_there_once(tmp_path: Path) -> None:
    a = harvested(tmp_path, graded(0), name="a")
    b = harvested(tmp_path, graded(0), graded(5, 0.9, context=decision(0)["context"]), name="b")
    out = curated(tmp_path, a, b)
    assert reasons(out) == {"exact": 2}
    last = read_records(out / "train.jsonl")[0][-1]
    assert last.purposes[0] == deed(15, "Ines")  # the better graded one


def test_a_question_of_the_shipped_data_is_not_learnt_from_a_game(tmp_path: Path) -> None:
    shipped = dataset(tmp_path)
    for part, count in (("train", 8), ("test", 8)):
        fields = dict(read_records(shipped / f"{part}.jsonl")[0][0].fields)
        out = curated(tmp_path, harvested(tmp_path, decision(0, context=fields)), shipped=shipped)
        assert reasons(out) == {"shipped": 1}
        assert len(ids(out / "train.jsonl")) == count


@pytest.mark.parametrize(
    ("purposes", "dropped"),
    [
        (
            texts(deed(0, "Ines").replace("dawn", "sunrise"), deed(30, "Ines"), deed(31, "Ines")),
            True,
        ),
        (texts(deed(30, "Ines"), deed(1, "Ines"), deed(2, "Ines")), True),
        (texts(deed(30, "Ines"), deed(31, "Ines"), deed(1, "Ines")), False),
        (texts(deed(30, "Ines"), deed(0, "Ines"), deed(31, "Ines")), False),
    ],
)
def test_what_says_nearly_the_same_is_there_once(
    tmp_path: Path, purposes: list[dict[str, Any]], dropped: bool
) -> None:
    one = harvested(tmp_path, graded(0, 0.9), name="a")
    out = curated(tmp_path, one, harvested(tmp_path, graded(7, 0.1, purposes=purposes), name="b"))
    assert reasons(out) == ({"near": 1} if dropped else {})


def test_what_is_like_something_dropped_may_stay(tmp_path: Path) -> None:
    def words(*numbers: int) -> str:
        return "Ines wants to " + " ".join(f"word{'abcdefghijklmnop'[n]}" for n in numbers) + "."

    harvests = [
        harvested(
            tmp_path,
            graded(n, grade, purposes=texts(text, *(deed(40 + 2 * n + k, "Ines") for k in (0, 1)))),
            name=f"h{n}",
        )
        for n, (grade, text) in enumerate(
            [(0.9, words(*range(8))), (0.8, words(*range(2, 10))), (0.7, words(*range(4, 12)))]
        )
    ]
    out = curated(tmp_path, *harvests)
    assert reasons(out) == {"near": 1}


def test_what_the_shipped_data_says_is_not_said_again(tmp_path: Path) -> None:
    shipped = dataset(tmp_path)
    said = read_records(shipped / "test.jsonl")[0][0].purposes
    out = curated(tmp_path, harvested(tmp_path, decision(0, purposes=texts(*said))),
                  shipped=shipped)  # fmt: skip
    assert reasons(out) == {"near": 1}


def test_no_kind_of_people_has_more_than_its_quota(tmp_path: Path) -> None:
    described = {"Character_description": "Karl Brandt is a smith. Karl is of the type ESTJ."}
    rows = [graded(n, 0.1 + n / 10) for n in range(4)]
    rows += [graded(n, who=1, context=described) for n in range(5, 7)]
    out = curated(tmp_path, harvested(tmp_path, *rows), settings=Settings(0, 2, 0))
    assert reasons(out) == {"quota": 2}
    report = json.loads((out / "report.json").read_text())
    assert report["cells"] == [
        {"occupation": "baker", "type": "INFP", "world": "regatta", "samples": 2},
        {"occupation": "smith", "type": "ESTJ", "world": "regatta", "samples": 2},
    ]
    kept = [json.loads(line)["decision"] for line in (out / "index.jsonl").read_text().splitlines()
            if "origin" in json.loads(line)]  # fmt: skip
    assert "d0-0" not in kept  # the worst graded go
    told = (out / "dropped.jsonl").read_text()
    assert "baker × INFP × regatta" in told


@pytest.mark.parametrize(("replay", "kept"), [(0, 6), (0.5, 6), (0.8, 2), (0.9, 0), (1, 0)])
def test_the_shipped_data_keeps_its_share(tmp_path: Path, replay: float, kept: int) -> None:
    rows = [graded(n, 0.1 + n / 10) for n in range(6)] + [decision(9, **FAILED), graded(10, 1)]
    out = curated(tmp_path, harvested(tmp_path, *rows[:6]), settings=Settings(replay, 99, 0))
    assert len(ids(out / "train.jsonl")) == 8 + kept
    assert reasons(out) == ({"ratio": 6 - kept} if kept < 6 else {})


# Held out


def test_some_characters_are_held_out_for_the_frozen_questions(tmp_path: Path) -> None:
    rows = [graded(n, who=who) for who in range(8) for n in range(2)]
    out = curated(tmp_path, harvested(tmp_path, *rows), settings=Settings(0, 99, 0.25))
    parts = {part: read_records(out / f"{part}.jsonl")[0] for part in ("train", "test")}
    train, test = ({r.fields["Character_name"] for r in parts[p][n:]}
                   for p, n in (("train", 8), ("test", 1)))  # fmt: skip
    assert train | test == set(PEOPLE)
    assert not train & test
    assert len(test) == 2
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["held_out"]) == 2
    assert not any(name in json.dumps(manifest) for name in PEOPLE)


def test_with_few_characters_none_is_held_out(tmp_path: Path) -> None:
    rows = [graded(n, who=who) for who in range(4) for n in range(2)]
    out = curated(tmp_path, harvested(tmp_path, *rows), settings=Settings(0, 99, 0.5))
    assert len(ids(out / "test.jsonl")) == 1


def test_frozen_questions_stay_frozen(tmp_path: Path) -> None:
    rows = [graded(n, who=who) for who in range(8) for n in range(2)]
    first = harvested(tmp_path, *rows, name="first")
    shipped, settings = dataset(tmp_path), Settings(0, 99, 0.25)
    write(curate([first], shipped=shipped, settings=settings), tmp_path / "v1")
    later = harvested(tmp_path, *(graded(n, who=w) for w in range(8) for n in (2, 3)), name="later")
    settings = Settings(0, 99, 0)
    found = curate([later, first], shipped=shipped, settings=settings, earlier=tmp_path / "v1")
    write(found, tmp_path / "v2")
    one, two = (read_dataset(tmp_path / v) for v in ("v1", "v2"))
    assert two.manifest["version"] == 2
    assert two.manifest["earlier"] == one.hash
    assert two.manifest["held_out"] == one.manifest["held_out"]
    assert {r.id for r in one.records["test"]} <= {r.id for r in two.records["test"]}
    held = {r.fields["Character_name"] for r in one.records["test"][1:]}
    assert not held & {r.fields["Character_name"] for r in two.records["train"][8:]}
    assert {r.id for r in two.records["test"]} - {r.id for r in one.records["test"]}
    index = {row["id"]: row["split"] for row in two.rows("index.jsonl")}
    assert all(index[record.id] == "test" for record in two.records["test"])
    # It may take the place of the earlier one.
    again = curate([later], shipped=shipped, settings=settings, earlier=tmp_path / "v2")
    write(again, tmp_path / "v2")
    three = read_dataset(tmp_path / "v2")
    assert three.manifest["version"] == 3
    assert {r.id for r in one.records["test"]} <= {r.id for r in three.records["test"]}


def test_a_frozen_question_is_not_answered_in_training(tmp_path: Path) -> None:
    rows = [graded(n, who=who) for who in range(8) for n in range(2)]
    shipped, settings = dataset(tmp_path), Settings(0, 99, 0.1)
    first = harvested(tmp_path, *rows, name="first")
    write(curate([first], shipped=shipped, settings=settings), tmp_path / "v1")
    frozen = read_dataset(tmp_path / "v1").records["test"][1]
    held = frozen.fields["Character_name"]
    other = next(who for who, name in enumerate(PEOPLE) if name != held)
    said = [t.replace(held.split()[0], PEOPLE[other].split()[0]) for t in frozen.purposes]
    later = harvested(tmp_path, graded(9, who=other, purposes=texts(*said)), name="later")
    found = curate([later], shipped=shipped, settings=settings, earlier=tmp_path / "v1")
    assert [one.reason for one in found.dropped] == ["near"]
    assert frozen.id in found.dropped[0].detail


def test_who_is_held_out_does_not_depend_on_how_much_they_did(tmp_path: Path) -> None:
    some = curate([harvested(tmp_path, *(graded(0, who=w) for w in range(8)), name="a")],
                  shipped=dataset(tmp_path), settings=ALL)  # fmt: skip
    samples = some.kept["train"]
    one = held_out(samples, 0.01)
    assert len(one) == 1
    assert one < held_out(samples, 0.3)
    name = next(sample for sample in samples if sample.name in one)
    assert held_out([*samples, name, name], 0.01) == one


# Pairs


def test_a_rejected_answer_stands_beside_the_better_one(tmp_path: Path) -> None:
    out = curated(tmp_path, harvested(tmp_path, decision(0, **FAILED), decision(1)))
    row = json.loads((out / "preferences-train.jsonl").read_text().splitlines()[-1])
    good = read_records(out / "train.jsonl")[0][-1]
    assert row["of"] == good.id
    assert row["why"] == "failed"
    assert json.loads(row["conversations"][0]["value"]) == dict(good.fields)
    assert json.loads(row["chosen"]["value"])["purpose_a"] == good.purposes[0]
    assert json.loads(row["rejected"]["value"])["purpose_a"] == deed(0, "Ines")
    assert row["lineage"]["decision"] == "d0-0"
    index = json.loads((out / "index.jsonl").read_text().splitlines()[-1])
    assert index["rejected"] == ["failed"]


def test_a_pair_goes_where_its_better_answer_went(tmp_path: Path) -> None:
    rows = [r for w in range(8) for r in (decision(0, who=w, **FAILED), decision(1, who=w))]
    out = curated(tmp_path, harvested(tmp_path, *rows), settings=Settings(0, 99, 0.2))
    test = set(ids(out / "test.jsonl")[1:])
    assert test
    pairs = [json.loads(r)["of"] for r in (out / "preferences-test.jsonl").read_text().splitlines()]
    assert set(pairs) == test
    again = curate([harvested(tmp_path, decision(9))], shipped=tmp_path / "shipped", settings=ALL,
                   earlier=out)  # fmt: skip
    write(again, tmp_path / "next")
    assert (tmp_path / "next" / "preferences-test.jsonl").read_text() == (
        out / "preferences-test.jsonl"
    ).read_text()


def test_a_rejected_answer_without_a_better_one_is_dropped(tmp_path: Path) -> None:
    alone = harvested(tmp_path, decision(0, **FAILED), name="alone")
    rows = [decision(0, **FAILED), decision(1)]
    left = harvested(tmp_path, *rows, name="left")
    out = curated(tmp_path, alone, settings=ALL)
    assert reasons(out) == {"unpaired": 1}
    out = curated(tmp_path, left, settings=Settings(1, 99, 0))
    assert reasons(out) == {"ratio": 1, "orphaned": 1}


def test_shipped_pairs_keep_their_share_too(tmp_path: Path) -> None:
    rows = [r for n in (0, 5, 10) for r in (decision(n, **FAILED), decision(n + 1))]
    out = curated(tmp_path, harvested(tmp_path, *rows), settings=Settings(0.7, 99, 0))
    assert (out / "preferences-train.jsonl").read_text().count("\n") == 5
    assert reasons(out) == {"ratio": 2}


# Bad input


def spoilt_harvest(folder: Path, change: Any, rows: int = 2) -> Path:
    """A harvest whose first sample is changed, and whose manifest knows of it."""
    harvest_folder = harvested(folder, *(decision(n) for n in range(rows)))
    manifest, files = read_whole(harvest_folder, "harvest", 1)
    first, *others = files["samples-001.jsonl"].splitlines(keepends=True)
    changed = change(json.loads(first))
    line = changed if isinstance(changed, str) else json.dumps(changed)
    files["samples-001.jsonl"] = "".join([line + "\n", *others])
    write_whole(harvest_folder, files, manifest | {"files": described(files)})
    return harvest_folder


def without(key: str) -> Any:
    return lambda row: {k: v for k, v in row.items() if k != key}


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        (lambda row: "{", "broken", "broken JSON"),
        (lambda row: "[]", "broken", "found []"),
        (without("lineage"), "broken", "lineage: is missing"),
        (without("kind"), "broken", "kind: is missing"),
        (without("id"), "broken", "id: found None"),
        (without("conversations"), "broken", "neither of conversations and messages"),
        (lambda row: row | {"messages": []}, "broken", "both of conversations and messages"),
        (lambda row: row | {"grade": 2}, "broken", "grade: found 2"),
        (lambda row: row | {"kind": "maybe"}, "broken", "kind: found 'maybe'"),
        (lambda row: row | {"lineage": {"journal": ""}}, "broken", "lineage.journal"),
        (lambda row: row | {"conversations": row["conversations"][:1]}, "broken", "the roles"),
        (lambda row: json.loads(json.dumps(row).replace("Ines wants to hide", "Zorro wants to hide")
                                .replace("Ines wants to mend", "Zorro wants to mend")),
         "unfit", "names Zorro"),
    ],
)  # fmt: skip
def test_a_broken_sample_is_told_and_the_rest_goes_on(
    tmp_path: Path, change: Any, reason: str, said: str
) -> None:
    out = curated(tmp_path, spoilt_harvest(tmp_path, change))
    assert len(ids(out / "train.jsonl")) == 9
    assert reasons(out) == {reason: 1}
    report = json.loads((out / "report.json").read_text())
    dropped = (out / "dropped.jsonl").read_text()
    assert said in dropped
    assert bool(report["broken"]) == (reason == "broken")
    if reason == "broken":
        assert "samples-001.jsonl:1: " in report["broken"][0]


def newer(folder: Path) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 2}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "manifest.json").unlink(), "is not complete: it has no manifest"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json is damaged"),
        (newer, "has schema 2; this version knows 1"),
        (lambda f: next(f.glob("*s*.jsonl")).unlink(), "cannot be read"),
        (lambda f: next(f.glob("*t*.jsonl")).open("a").write("x"), "its SHA-256 differs"),
    ],
)
@pytest.mark.parametrize("which", ["harvest", "shipped", "earlier"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_folder_that_is_not_whole_is_refused(
    tmp_path: Path, spoil: Any, said: str, which: str
) -> None:
    given = harvested(tmp_path, decision(0))
    shipped = dataset(tmp_path)
    (tmp_path / "e").mkdir()
    earlier = dataset(tmp_path / "e")
    spoilt = {"harvest": given, "shipped": shipped, "earlier": earlier}[which]
    if which == "harvest" and "SHA" in said:
        (given / "samples-001.jsonl").write_text("x")
    else:
        spoil(spoilt)
    args = [given, "--shipped", shipped, "--earlier", earlier, "-o", tmp_path / "out"]
    result = run("curate", *args)
    assert result.exit_code == 6
    assert said in result.output
    assert "  -> " in result.output
    assert not (tmp_path / "out").exists()


def test_folders_of_the_wrong_stage_are_refused(tmp_path: Path) -> None:
    given, shipped = harvested(tmp_path, decision(0)), dataset(tmp_path)
    out = tmp_path / "out"
    wrong = run("curate", given, "--shipped", given, "-o", out)
    assert "holds what `harvest` wrote, not a dataset" in wrong.output
    assert run("curate", shipped, "--shipped", shipped, "-o", out).exit_code == 6
    assert run("curate", tmp_path / "none", "--shipped", shipped).exit_code == 6
    assert run("curate", given, "--shipped", tmp_path / "none").exit_code == 6
    over = run("curate", given, "--shipped", shipped, "-o", given)
    assert "holds what another stage wrote (harvest)" in over.output
    over = run("curate", given, "--shipped", shipped, "-o", shipped)
    assert "holds what another stage wrote (data build)" in over.output
    assert read_dataset(shipped)


def test_a_shipped_dataset_with_a_broken_record_is_refused(tmp_path: Path) -> None:
    shipped = dataset(tmp_path)
    manifest, files = read_whole(shipped, "dataset", 1)
    files["test.jsonl"] += "{\n"
    write_whole(shipped, files, manifest | {"files": described(files)})
    with pytest.raises(RunError, match=r"1 problems in .*test.jsonl:2: broken JSON"):
        read_dataset(shipped)
    files.pop("contrast.jsonl")
    (tmp_path / "b").mkdir()
    write_whole(tmp_path / "b", files, manifest | {"files": described(files)})
    with pytest.raises(RunError, match=r"it has no contrast.jsonl"):
        read_dataset(tmp_path / "b")


def test_a_manifest_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    shipped = dataset(tmp_path)
    file = shipped / "manifest.json"
    file.write_text(file.read_text().replace('"test.jsonl"', '"../test.jsonl"'))
    with pytest.raises(RunError, match="names files elsewhere"):
        read_dataset(shipped)


@pytest.mark.parametrize(
    "args",
    [["--replay", "1.5"], ["--replay", "nan"], ["--quota", "0"], ["--hold-out", "1"],
     ["--hold-out", "-0.1"]],
)  # fmt: skip
def test_settings_out_of_range_are_refused(tmp_path: Path, args: list[str]) -> None:
    result = run("curate", harvested(tmp_path, decision(0)), *args, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert args[0] in result.output


def test_a_full_disk_leaves_nothing_that_counts_as_done(tmp_path: Path) -> None:
    given, shipped = harvested(tmp_path, decision(0)), dataset(tmp_path)
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "from daydream_motives.training.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "curate", str(given), "--shipped", str(shipped)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 6
    assert f"training: cannot write {tmp_path / 'out'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(RunError, match="not complete"):
        read_dataset(tmp_path / "out")
    assert run(*command[3:], "-o", tmp_path / "out").exit_code == 0
    assert read_dataset(tmp_path / "out")


# The command


def test_the_command_says_what_it_kept_and_why(tmp_path: Path) -> None:
    rows = [decision(0, **FAILED), decision(1), decision(2, outcome=None)]
    given, shipped, out = harvested(tmp_path, *rows), dataset(tmp_path), tmp_path / "out"
    result = run("curate", given, "--shipped", shipped, "--replay", "0.5", "-o", out)
    assert result.exit_code == 0, result.output
    assert "samples: 1 teach, 1 rejected" in result.output
    assert "kept: 1 in train, 0 held out" in result.output
    assert "dataset: train 9 (88.9% shipped), validation 1, test 1, preferences 5" in result.output
    assert (out / "report.txt").read_text() in result.output
    result = run("curate", given, "--shipped", shipped, "-o", out, "--json")
    assert json.loads(result.output) == json.loads((out / "report.json").read_text())


def test_harvests_without_anything_give_the_shipped_data(tmp_path: Path) -> None:
    out = curated(tmp_path, harvested(tmp_path, decision(0, outcome=None)))
    assert "nothing was kept" in (out / "report.txt").read_text()
    assert (out / "train.jsonl").read_bytes() == (tmp_path / "shipped/train.jsonl").read_bytes()


def test_the_first_stages_need_no_torch(tmp_path: Path) -> None:
    code = "import sys; from daydream_motives.training.cli import main\n"
    code += "try: main()\nexcept SystemExit as e: assert not e.code, e.code\n"
    code += "assert not {'torch', 'transformers', 'peft', 'sklearn'} & sys.modules.keys()"
    given, shipped = harvested(tmp_path, decision(0)), dataset(tmp_path)
    for args in (["harvest", tmp_path / "h.jsonl", "-o", tmp_path / "again"],
                 ["curate", given, "--shipped", shipped, "-o", tmp_path / "out"]):  # fmt: skip
        command = [sys.executable, "-c", code, *map(str, args)]
        subprocess.run(command, check=True, capture_output=True)
