"""From answers to figures: the parts together, with the right answers as the best model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from judged import BREAD, NETS, WOOD, asked, by_words, choice, question, said, save_rows, three

from daydream_motives.errors import ContentError, RunError
from daydream_motives.training.judging.answers import (
    Answer,
    Answers,
    Partial,
    gold,
    read_answers,
    write_answers,
)
from daydream_motives.training.judging.comparing import compare, verdict
from daydream_motives.training.judging.judge import Judge
from daydream_motives.training.judging.metrics import BY_KEY, EMBEDDED, METRICS
from daydream_motives.training.judging.questions import of_file

SHUFFLED = said("shuffled", NETS, BREAD, BREAD)


def judge(seed: int = 0) -> Judge:
    return Judge(three(), random.Random(seed), by_words)


def test_the_right_answers_are_right() -> None:
    found = judge().judge(gold(three()))
    values = {key: figure.value for key, figure in found.figures.items() if figure}
    for key in ("hit_1", "hit_3", "mrr", "contrast", "valid", "distinct_2"):
        assert values[key] == 1, key
    for key in ("unknown_names", "twins", "repeats"):
        assert values[key] == 0, key
    assert found.figures["loss"] is None
    assert found.of_gold is not None
    assert (found.of_gold.value, found.of_gold.low, found.of_gold.high) == (1, 1, 1)


def test_shuffled_answers_are_worse_beyond_noise_where_it_matters() -> None:
    one = judge()
    right, wrong = one.judge(gold(three())), one.judge(SHUFFLED)
    changes = one.differences(wrong, right)
    assert changes["hit_1"] is not None
    assert (changes["hit_1"].value, changes["hit_1"].high) == (-1, -1)
    assert changes["words"] is not None
    assert one.differences(right, right)["mrr"].value == 0  # type: ignore[union-attr]


def test_controls_stand_beside() -> None:
    beside = judge().beside
    assert set(beside) == {"gold", "echo", "overlap", "chance"}
    chance, overlap = beside["chance"]["hit_1"], beside["overlap"]["hit_1"]
    assert chance is not None
    assert chance.value == pytest.approx(1 / 3)
    assert overlap is not None
    # The prompt's words are right for the first, wrong for the second, and none for the third.
    assert overlap.value == pytest.approx(1 / 3)
    assert (overlap.low, overlap.high) == (0, 0.5)  # a scene of one, a scene of two
    assert "rank_lift" not in beside["echo"]
    assert "hit_1" not in beside["gold"]


def test_without_an_embedding_there_are_no_figures_of_meaning() -> None:
    one = Judge(three(), random.Random(0), None)
    assert not EMBEDDED & one.judge(SHUFFLED).figures.keys()
    assert set(one.beside) == {"gold"}
    assert judge().judge(SHUFFLED).figures.keys() == BY_KEY.keys()


def test_losses_are_of_tokens_and_perplexity_is_e_to_their_power() -> None:
    items = [
        Answer(f"q{i}", a, "", loss)
        for i, (a, loss) in enumerate([(BREAD, (6.0, 3)), (NETS, None), (WOOD, (2.0, 1))])
    ]
    found = judge().judge(Answers("m", tuple(items))).figures
    assert found["loss"] is not None
    assert (found["loss"].value, found["loss"].count) == (2, 2)
    assert found["perplexity"] is not None
    assert found["perplexity"].value == pytest.approx(7.389056)


def test_faults_are_counted_and_make_an_answer_invalid() -> None:
    one = judge()
    found = one.judge(said("m", BREAD, NETS, WOOD, faults={0: "no JSON", 2: "no JSON"}))
    assert found.figures["valid"] is not None
    assert found.figures["valid"].value == pytest.approx(1 / 3)
    assert one.data(found)["faults"] == [{"fault": "no JSON", "answers": 2}]


def test_one_right_text_is_no_answer_of_three(tmp_path: Path) -> None:
    rows = [choice(id="q0"), choice(id="q1", gold=0, gold_text="To mend nets.")]
    questions, _ = of_file(save_rows(tmp_path / "m.jsonl", *rows))
    one = Judge(questions, random.Random(0), by_words)
    found = one.judge(said("m", ("Ada bakes bread.",) * 3, ("Bo bakes bread.",) * 3))
    assert "valid" not in one.beside["gold"]
    assert found.of_gold is None
    assert found.figures["hit_1"] is not None
    assert found.figures["hit_1"].value == 0.5
    assert found.figures["contrast"] is None


def test_the_same_seed_gives_the_same_figures() -> None:
    one, two, other = (judge(seed) for seed in (3, 3, 4))
    data = [one.data(one.judge(SHUFFLED)), two.data(two.judge(SHUFFLED))]
    assert data[0] == data[1]
    assert one.judge(SHUFFLED).figures["hit_1"].value == 0  # type: ignore[union-attr]
    assert other.judge(SHUFFLED).figures["hit_1"].value == 0  # type: ignore[union-attr]


# Answers as files


def write(folder: Path) -> Path:
    one = judge()
    items = [Answer(a.id, a.purposes, "late", (1.5, 3)) for a in SHUFFLED.items]
    answers = Answers("shuffled", tuple(items), {"sha256": "0"})
    write_answers(answers, three(), one.data(one.judge(answers)), folder)
    return folder


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = read_answers(write(tmp_path / "e"), three())
    assert found.name == "shuffled"
    assert found.about["sha256"] == "0"
    assert [(a.purposes, a.fault, a.loss) for a in found.items] == [
        (a.purposes, "late", (1.5, 3)) for a in SHUFFLED.items
    ]
    assert read_answers(tmp_path / "e" / "answers.jsonl", three(), "x").name == "x"


def test_answers_to_other_questions_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "e")
    changed = asked(*three().items[:2], question("q2", *WOOD, told="Something else."))
    with pytest.raises(RunError, match="answers other questions"):
        read_answers(folder, changed)
    more = asked(*three().items, question("q3", *WOOD))
    with pytest.raises(RunError, match="no answer to 1 of 4 questions, the first q3"):
        read_answers(folder / "answers.jsonl", more)
    assert len(read_answers(folder / "answers.jsonl", three().some(1)).items) < 3


@pytest.mark.parametrize("name", ["manifest.json", "answers.jsonl", "figures.json"])
def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "e")
    (folder / name).unlink()
    with pytest.raises(RunError):
        read_answers(folder, three())


def test_a_folder_that_was_altered_or_is_newer_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "e")
    manifest = json.loads((folder / "manifest.json").read_text())
    save_rows(folder / "manifest.json", manifest | {"schema_version": 2})
    with pytest.raises(RunError, match="schema 2"):
        read_answers(folder, three())
    save_rows(folder / "manifest.json", manifest)
    with (folder / "answers.jsonl").open("a") as stream:
        stream.write(" ")
    with pytest.raises(RunError, match="not as it was written"):
        read_answers(folder, three())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "broken JSON"),
        ([1], "list"),
        ({"purposes": []}, "id"),
        ({"id": "q0", "purposes": "text"}, "purposes"),
        ({"id": "q0", "purposes": ["a"] * 4}, "purposes"),
        ({"id": "q0", "purposes": [1]}, "purposes"),
        ({"id": "q0", "purposes": [], "fault": 3}, "fault"),
        ({"id": "q0", "purposes": [], "loss": [1]}, "loss"),
        ({"id": "q0", "purposes": [], "loss": [1, 0]}, "loss"),
        ({"id": "q0", "purposes": [], "loss": [-1, 1]}, "loss"),
        ({"id": "q0", "purposes": [], "loss": [True, 1]}, "loss"),
        ({"id": "q0", "purposes": [], "los": [1, 1]}, "unknown key"),
        ({"id": "q1", "purposes": []}, "twice"),
    ],
)
def test_a_bad_line_of_answers_is_told_with_its_place(tmp_path: Path, row: Any, said: str) -> None:
    path = save_rows(tmp_path / "a.jsonl", {"id": "q1", "purposes": ["x"]}, row)
    with pytest.raises(ContentError) as caught:
        read_answers(path, three())
    assert said in str(caught.value)
    assert f"{path}:2" in str(caught.value)


def test_answers_under_way_are_kept_up_to_a_line_cut_short(tmp_path: Path) -> None:
    path, head = tmp_path / "new" / "asked.jsonl", {"model": "m", "seed": 1}
    first = Partial(path, head)
    first.keep(SHUFFLED.items[:2])
    with path.open("a") as stream:
        stream.write('{"id": "q2", "purp')
    again = Partial(path, head)
    assert again.found == {a.id: a for a in SHUFFLED.items[:2]}
    again.keep(SHUFFLED.items[2:])
    assert Partial(path, head).found == {a.id: a for a in SHUFFLED.items}
    assert Partial(path, head | {"seed": 2}).found == {}


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n{}\n", b"\xff\n", b"[[\n", b"nonsense"])
def test_a_damaged_file_under_way_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_bytes(content)
    assert Partial(path, {"seed": 1}).found == {}


# Side by side


def test_the_first_is_what_others_are_held_against() -> None:
    data = compare(three(), [gold(three()), SHUFFLED], random.Random(0), by_words, shown=2)
    first, second = data["models"]
    assert first["against_first"] == {}
    assert second["against_first"]["hit_1"]["value"] == -1
    assert len(data["examples"]) == 2
    assert [a["name"] for a in data["examples"][0]["answers"]] == ["gold", "shuffled"]


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(RunError, match="two of these are called shuffled"):
        compare(three(), [SHUFFLED, SHUFFLED], random.Random(0), None)


@pytest.mark.parametrize(
    ("key", "low", "high", "expected"),
    [
        ("mrr", 0.1, 0.2, "up"), ("mrr", -0.2, -0.1, "down"), ("mrr", -0.1, 0.3, ""),
        ("loss", 0.1, 0.2, "down"), ("loss", -0.2, -0.1, "up"), ("within", 0.1, 0.2, ""),
    ],
)  # fmt: skip
def test_a_verdict_knows_which_way_is_better(
    key: str, low: float, high: float, expected: str
) -> None:
    change = {"value": (low + high) / 2, "low": low, "high": high, "count": 1}
    assert verdict(BY_KEY[key], change) == expected
    assert verdict(BY_KEY[key], None) == ""


def test_metrics_have_keys_of_their_own() -> None:
    assert len(BY_KEY) == len(METRICS)
