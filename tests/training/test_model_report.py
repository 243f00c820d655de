"""`report`: what it tells of whatever is there, of what is missing and of what is broken."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from exports import export
from judged import BREAD, NETS, WOOD, asked, by_words, question
from tiny_school import record, write_dataset

from daydream_motives.training.cli import main
from daydream_motives.training.dataset.pictures import Curve, cells, curves
from daydream_motives.training.folder import described, lines, pretty, sha256, write_whole
from daydream_motives.training.judging.answers import Answer, Answers
from daydream_motives.training.judging.comparing import compare
from daydream_motives.training.reporting.parts import find
from daydream_motives.training.tuning.corpus import hash_of

OLD, HOSTILE = "aa" * 32, "<script>alert(1)</script>"
BOUNDS = {"conversion_kl": 0.002, "conversion_top1": 0.96, "max_kl": 0.03, "min_top1": 0.92,
          "min_greedy": 0.92, "lost_answers": 1}  # fmt: skip


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def log_rows(count: int = 6) -> list[dict[str, Any]]:
    """As a training of two epochs writes them, with a pause of an hour in the middle."""
    rows: list[dict[str, Any]] = [
        {"kind": "evaluation", "step": 0, "at": 100.0, "epoch": 0, "loss": 3.0}
    ]
    for step in range(1, count + 1):
        at = 100.0 + 6 * step + 3600 * (step > count // 2)
        rows += [
            {"kind": "step", "step": step, "at": at, "epoch": 1 + step // 4, "loss": 3.0 / step,
             "learning_rate": 1e-3 / step, "gradient": 0.5, "tokens": 600 * step,
             "seconds": 5.0 * step, "tokens_per_second": 120.0},
            {"kind": "use", "step": step, "at": at + 1, "cpu_percent": 180.0, "cores": 2,
             "memory": 2**30, "memory_peak": 3 * 2**30, "memory_free": 5 * 2**30},
        ]  # fmt: skip
    return [*rows, {"kind": "evaluation", "step": count, "at": 4000.0, "epoch": 2, "loss": 1.25}]


def write_training(
    target: Path, dataset: str, stage: str = "train", rows: Any = None, **more: Any
) -> str:
    """A folder as `train` leaves it, but for the weights; returns its manifest's SHA-256."""
    text = lines(log_rows() if rows is None else rows)
    manifest = {
        "schema_version": 1, "stage": stage, "plan": "x", "method": "lora", "device": "cpu",
        "base": {"name": "tiny", "sha256": "cc" * 32, "architecture": "llama", "parameters": 9},
        "dataset": {"sha256": dataset, "train": 12, "validation": 3},
        "recipe": {"schema_version": 1, "train": {"epochs": 2}, "data": {"folder": ""}}, "seed": 0,
        "losses": [{"step": 0, "epoch": 0, "loss": 3.0}, {"step": 6, "epoch": 2, "loss": 1.25}],
        "best": {"step": 6, "loss": 1.25}, "steps": {"planned": 6, "done": 6},
        "tokens": 3600, "seconds": 30.0, "wall": 40.0, "trained_parameters": 64,
        "versions": {"torch": "2.13.0"}, **more, "files": described({"log.jsonl": text}),
    }  # fmt: skip
    write_whole(target, {"log.jsonl": text}, manifest)
    return sha256((target / "manifest.json").read_bytes())


def write_comparison(target: Path, candidate: str, *, shown: int = 20) -> None:
    gold = (BREAD, NETS, WOOD)
    questions = asked(
        *(question(f"q{i}", *gold[i % 3], scene=f"s{i // 3}", told=f"{HOSTILE} & {i}")
          for i in range(36))
    )  # fmt: skip

    def said(name: str, sha: str, nats: float, off: int) -> Answers:
        items = tuple(
            Answer(
                f"q{i}",
                (f"{gold[(i + off) % 3][0]} {HOSTILE}", *gold[(i + off) % 3][1:]),
                "",
                (nats * 9 + i, 9),
            )
            for i in range(36)
        )
        about = {"name": name, "sha256": sha, "seed": 0, "temperature": 0.3, "free": False}
        return Answers(name, items, about)

    every = said("old", OLD, 3.0, 1), said(f"{HOSTILE} new", candidate, 1.0, 0)
    data = compare(questions, every, random.Random(0), by_words, shown=shown)
    files = {"figures.json": pretty(data)}
    write_whole(target, files, {
        "schema_version": 1, "stage": "compare", "questions": questions.summary,
        "models": [model["model"] for model in data["models"]], "files": described(files),
    })  # fmt: skip


def write_export(target: Path, tuned: str, seed: int = 1) -> str:
    manifest = export(target, seed)
    row = manifest["measured"][0] | {"greedy": 0.97, "valid": 6, "answers": 6}
    manifest |= {"measured": [row], "bounds": BOUNDS, "plan": {"tuned": tuned}}
    (target / "manifest.json").write_text(json.dumps(manifest))
    return str(manifest["sha256"])


def write_run(root: Path) -> Path:
    """A folder as `retrain` leaves it."""
    write_dataset(root / "dataset")
    text = json.loads((root / "dataset" / "manifest.json").read_text())
    tuned = write_training(root / "tuned", hash_of(text))
    candidate = write_export(root / "exported", tuned)
    write_comparison(root / "compared", candidate)
    files = {"decision.md": "Promoted\n"}
    write_whole(root / "promotion", files, {
        "schema_version": 1, "stage": "promotion", "promoted": True, "placed": True,
        "why": "better beyond noise", "name": f"{HOSTILE} 1", "sha256": candidate,
        "incumbent": {"name": "old", "sha256": OLD}, "files": described(files),
    })  # fmt: skip
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def told(root: Path, *more: object, code: int = 0) -> tuple[str, Result]:
    target = root.parent / "page.html"
    result = run("report", root, "-o", target, *more)
    assert result.exit_code == code, result.output
    return target.read_text(encoding="utf-8"), result


class _Outline(HTMLParser):
    """Which elements there are, and that each is closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert not {"src", "href", "onclick", "onload"} & found.keys() or tag == "a"
        assert tag not in ("script", "link", "img", "iframe", "object")
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag == "h2":
            self.sections.append(found["id"] or "")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img")


SECTIONS = ["decision", "data", "learning", "machine", "figures", "pictures", "answers", "export",
            "origin"]  # fmt: skip


def test_one_page_tells_everything(root: Path) -> None:
    text, result = told(root)
    outline = _Outline(text)
    assert outline.sections == SECTIONS
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert "Missing here" not in text
    assert result.output == f"The report is in {root.parent / 'page.html'}\n"
    for part in ("Promoted</span> <bdi>better beyond noise", "12 for train", "Words of a purpose",
                 "1.2500 at step 6", "Learning rate", "Tokens a second", "Percent of one core",
                 "Memory left", "Hit@1", "overlap", "8.50", "0.0010", "torch 2.13.0",
                 "epochs = 2", "cc" * 32):  # fmt: skip
        assert part in text, part
    assert text.count('<article class="asked">') == 20


def test_hostile_text_stays_text(root: Path) -> None:
    text, _ = told(root)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)") > 60
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_the_same_folders_give_the_same_bytes(root: Path) -> None:
    assert told(root)[0] == told(root)[0]


@pytest.mark.parametrize(
    ("gone", "sections", "named"),
    [
        ("dataset", ["data"], "data"),
        ("tuned", ["learning", "machine"], "learning"),
        ("compared", ["figures", "pictures", "answers"], "figures"),
        ("exported", ["export"], "export"),
    ],
)
def test_what_is_missing_is_named(root: Path, gone: str, sections: list[str], named: str) -> None:
    shutil.rmtree(root / gone)
    text, _ = told(root)
    assert _Outline(text).sections == [one for one in SECTIONS if one not in sections]
    missing = text.partition("Missing here: ")[2].partition("</p>")[0]
    assert f"{named} (" in missing


def test_without_a_promotion_the_comparison_speaks(root: Path) -> None:
    shutil.rmtree(root / "promotion")
    text, _ = told(root)
    assert "better beyond noise in Loss" in text
    assert "it is not told whether anything was done by it" in text


def test_one_part_alone_is_told(root: Path) -> None:
    text, _ = told(root / "tuned")
    assert _Outline(text).sections == ["learning", "machine", "origin"]


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("dataset/train.jsonl", "mends", "bends", "train.jsonl is not as it was written"),
        ("dataset/manifest.json", "{", "[", "manifest.json is damaged"),
        ("tuned/log.jsonl", '"loss": 3.0', '"loss": 4.0', "log.jsonl is not as it was written"),
        ("tuned/manifest.json", '"tokens": 3600', '"tokens": "many"', "tuned is damaged"),
        ("tuned/manifest.json", '"best"', '"worst"', "tuned is damaged: KeyError"),
        ("tuned/manifest.json", '"schema_version": 1', '"schema_version": 2', "has schema 2"),
        ("compared/figures.json", "old", "new", "figures.json is not as it was written"),
        ("exported/manifest.json", '"kl": 0.001', '"kl": "x"', "exported is damaged"),
        ("exported/manifest.json", '"measured"', '"guessed"', "exported is damaged"),
        ("promotion/manifest.json", '"why"', '"how"', "promotion is damaged"),
        ("promotion/manifest.json", '"stage": "promotion"', '"stage": 3', "of no stage"),
    ],
)
def test_what_is_broken_is_told_with_its_file_and_the_rest_goes_on(
    root: Path, file: str, old: str, new: str, says: str
) -> None:
    spoil(root / file, old, new)
    text, result = told(root)
    assert says in result.stderr
    assert file.partition("/")[0] in result.stderr
    assert says in text
    assert len(_Outline(text).sections) >= 5


def test_a_log_of_odd_rows_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    rows = [
        *log_rows(), {"kind": "step", "step": "x"}, {"kind": "step", "step": 7, "loss": "low"},
        {"kind": "step", "step": 8, "loss": float("nan"), "learning_rate": None},
        {"kind": "use", "step": 8, "at": 1e4, "memory": True},
        {"kind": "step", "step": 9, "loss": float("inf"), "<b>": 1.0},
    ]  # fmt: skip
    write_training(tmp_path / "run", "dd" * 32, rows=rows)
    text, _ = told(tmp_path / "run")
    assert not {"nan", "inf"} & set(text.replace(",", " ").split())
    assert "&lt;b&gt;" in text


def test_a_broken_log_takes_nothing_else_with_it(root: Path) -> None:
    spoil(root / "tuned" / "log.jsonl", '"loss": 3.0', '"loss": 4.0')
    text, result = told(root)
    assert result.stderr.count("log.jsonl is not as it was written") == 1
    assert "1.2500 at step 6" in text
    assert "machine" not in _Outline(text).sections


def test_a_folder_given_twice_is_told_once(root: Path) -> None:
    assert run("report", root, root / "tuned", "-o", root / "a.html").exit_code == 0
    assert find([root, root / "tuned", root]).others == []


def test_curves_have_both_ends_and_no_more_points_than_can_be_seen() -> None:
    known = Curve("x", [(float(i), i % 7) for i in range(5000)]).known
    assert (known[0], known[-1]) == ((0, 0), (4999, 4999 % 7))
    assert len(known) < 300
    assert len(Curve("x", [(1.0, float("nan")), (2.0, 3.0)]).known) == 1
    drawn = curves([Curve("x", [])], key="k", title="<t>", along="s", shown=str)
    assert "&lt;t&gt;" in drawn
    assert "nan" not in drawn


def test_cells_are_darker_the_more_they_hold() -> None:
    drawn = cells(["<a>"], ["b", "c"], {("<a>", "b"): 4}, key="k", title="t", unit="n")
    assert "opacity:1.00" in drawn
    assert "opacity:0.06" in drawn
    assert "&lt;a&gt;, b: 4 n" in drawn
    assert "<svg" in cells([], [], {}, key="k", title="t", unit="n")


def test_an_unfinished_training_is_told_too(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text(f'{lines(log_rows())}{{"kind": "st')
    text, _ = told(folder)
    assert "Training, unfinished" in text
    assert "and no end of it yet" in text
    (folder / "log.jsonl").write_text("")
    assert "Training, unfinished" in told(folder)[0]


def test_pauses_are_left_out_of_the_use_of_the_machine(root: Path) -> None:
    text, _ = told(root)
    assert "Pauses of more than a minute are left out: 1." in text
    assert ">0.4 min</text>" in text  # of five times six seconds, one of which was an hour


def test_preferences_have_curves_of_their_own(root: Path) -> None:
    rows = [
        {"kind": "evaluation", "step": 0, "loss": 1.2, "preference_loss": 0.69, "accuracy": 0.5},
        {"kind": "step", "step": 1, "loss": 0.65, "tokens": 800, "seconds": 2.0},
        {"kind": "preference", "step": 1, "margin": 0.1, "accuracy": 0.6},
        {"kind": "step", "step": 2, "loss": 0.65, "tokens": 1000, "seconds": 4.0},
        {"kind": "preference", "step": 2, "margin": 0.1, "accuracy": 0.6},
        {"kind": "evaluation", "step": 2, "loss": 1.2, "preference_loss": 0.6, "accuracy": 0.75},
    ]
    tuned = find([root]).parts["train"]
    dataset = tuned.manifest["dataset"]["sha256"]
    sha = write_training(root / "preferred", dataset, "prefer", rows, **{"from": tuned.sha256})
    write_export(root / "exported", sha)
    found = find([root])
    assert found.tuned is found.parts["prefer"]
    text, _ = told(root)
    for part in ("Learning from pairs", "Pairs told apart", "Loss of pairs", "Margin",
                 "step: from 400 to 100, least 100."):  # fmt: skip
        assert part in text
    write_export(root / "exported", tuned.sha256)  # where it made nothing better
    assert find([root]).tuned == tuned


def test_of_several_parts_the_one_that_others_name_is_taken(root: Path) -> None:
    write_training(root / "a-trial", "ee" * 32, seed=1)
    write_comparison(root / "another", "ff" * 32)
    found = find([root])
    assert found.parts["train"].name == "run/tuned"
    assert found.parts["compare"].name == "run/compared"
    assert sorted(part.name for part in found.others) == ["run/a-trial", "run/another"]
    assert "<bdi>run/a-trial</bdi> (train)" in told(root)[0]


def test_the_dataset_of_the_recipe_is_found_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "dataset").rename(tmp_path / "data")
    assert "data" not in find([root]).parts
    spoil(root / "tuned" / "manifest.json", '"folder": ""', f'"folder": "{tmp_path / "data"}"')
    assert find([root]).parts["dataset"].folder == tmp_path / "data"


def test_a_recipe_that_names_no_dataset_is_told_as_it_is(root: Path) -> None:
    shutil.rmtree(root / "dataset")
    spoil(root / "tuned" / "manifest.json", '"data": {', '"data": [], "datum": {')
    assert "data = []" in told(root)[0]


def test_another_dataset_is_said_to_be_another(root: Path) -> None:
    write_dataset(root / "dataset", count=13)
    assert "This is not the dataset that the model learnt from" in told(root)[0]


def test_answers_that_were_only_judged_are_told(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "compared")
    data = json.loads(json.dumps(_judged()))
    files = {"figures.json": pretty(data)}
    write_whole(root / "judged", files, {
        "schema_version": 1, "stage": "evaluate", "files": described(files),
    })  # fmt: skip
    text, _ = told(root)
    assert "figures" in _Outline(text).sections
    assert "Distinct-2" in text


def _judged() -> dict[str, Any]:
    questions = asked(question("q0", *BREAD), question("q1", *NETS, name="Bo"))
    answers = Answers("new", (Answer("q0", BREAD), Answer("q1", NETS)), {"name": "new"})
    model: dict[str, Any] = compare(questions, [answers], random.Random(0), by_words)["models"][0]
    return model


def test_curated_data_says_what_was_dropped(root: Path) -> None:
    folder = root / "dataset"
    files = {path.name: path.read_text() for path in folder.glob("*.jsonl")}
    files["report.txt"] = f"dropped: 7 {HOSTILE}\n"
    files["index.jsonl"] = lines([{"id": "r1", "world": "sea", "origin": "journal"}])
    files["preferences-train.jsonl"] = lines([{"id": "p", "why": "generic"}])
    write_whole(folder, files, {"schema_version": 1, "files": described(files)})
    text, _ = told(root)
    assert "dropped: 7 &lt;script" in text
    assert "1 of the records come from journals" in text
    assert "generic" in text


def test_occupations_stand_against_types_where_these_are_told(tmp_path: Path) -> None:
    row = json.dumps(record(0)).replace("miller.", "miller. He is exact (ISTJ).")
    write_dataset(tmp_path / "run", train=f"{row}\n")
    text, _ = told(tmp_path / "run")
    assert "Occupations × MBTI" in text
    assert "miller, ISTJ: 1 records" in text


def test_a_broken_record_is_told_by_its_line(tmp_path: Path) -> None:
    bad = lines([record(0), {"id": "x"}])
    write_dataset(tmp_path / "run", train=bad)
    text, _ = told(tmp_path / "run")
    assert "train.jsonl:2: " in text


@pytest.mark.parametrize(
    ("make", "args", "says"),
    [
        (False, ["nowhere"], "nowhere is no folder"),
        (True, ["empty"], "nothing of training beneath empty"),
        (True, ["empty", "-o", "page.txt"], "no name for a page"),
    ],
)
def test_where_there_is_nothing_to_tell_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: bool, args: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = run("report", *args)
    assert result.exit_code == 6
    assert says in result.output
    assert not list(tmp_path.glob("*.html"))


def test_a_page_that_cannot_be_written_is_told(root: Path) -> None:
    (root / "page.html").mkdir()
    result = run("report", root, "-o", root / "page.html")
    assert result.exit_code == 6
    assert "cannot write" in result.output


# The model card

CARD = "# Card\n\n<!-- figures -->\nold\n<!-- /figures -->\nkept\n"


def test_the_card_is_filled_between_its_marks(root: Path) -> None:
    card = root.parent / "README.md"
    card.write_text(CARD)
    told(root, "--card", card)
    once = card.read_text()
    for part in ("- Base: tiny", "- Peak memory: 3.00 GiB", "| 6 | 2 | 1.2500 |", "| Hit@1 |",
                 "| Q8_0 |", "Fit to be promoted: better beyond noise", "kept"):  # fmt: skip
        assert part in once, part
    assert "old\n<!--" not in once
    assert "<script" not in once
    told(root, "--card", card)
    assert card.read_text() == once


def test_a_card_of_a_part_says_what_is_missing(root: Path) -> None:
    card = root.parent / "README.md"
    card.write_text(CARD)
    told(root / "exported", "--card", card)
    assert card.read_text().count("Missing here.") == 3


@pytest.mark.parametrize("text", ["# Card\n", "<!-- figures -->\n", None])
def test_a_card_without_marks_is_told(root: Path, text: str | None) -> None:
    card = root.parent / "README.md"
    if text is not None:
        card.write_text(text)
    result = run("report", root, "-o", root.parent / "page.html", "--card", card)
    assert result.exit_code == 6
    assert ("no marks for figures" if text else "cannot be written") in result.output
    assert text is None or card.read_text() == text


def test_to_report_needs_none_of_the_libraries_of_training(root: Path) -> None:
    blocked = ("torch", "transformers", "peft", "psutil", "llama_cpp", "sklearn", "tensorboard")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from daydream_motives.training.cli import main; main()"
    )
    page = root.parent / "page.html"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(root), "-o", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert _Outline(page.read_text(encoding="utf-8")).sections == SECTIONS
