"""A candidate takes the incumbent's place where it is better beyond noise, and nowhere else."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from exports import export, put
from judged import BREAD, NETS, WOOD, asked, by_words, question
from small import small, split

from daydream_motives.cli import main as daydream
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.modelstore.store import ModelStore
from daydream_motives.training.cli import main
from daydream_motives.training.folder import described, pretty, write_whole
from daydream_motives.training.judging.answers import Answer, Answers
from daydream_motives.training.judging.comparing import compare
from daydream_motives.training.judging.metrics import METRICS
from daydream_motives.training.promoting import DECIDING, MARGINS, Decision, decide

OLD, NEW = "aa" * 32, "bb" * 32
CANDIDATE = {"sha256": NEW, "temperature": 0.3}  # what its export says
GOLD = (BREAD, NETS, WOOD)
Data = dict[str, Any]


def answers(name: str, sha256: str, nats: float, *, shuffled: bool = False, seed: int = 0,
            scenes: int = 12) -> Answers:  # fmt: skip
    """Right answers, each of 20 tokens at `nats` and some noise; or everyone with another's."""
    rng = random.Random(seed)
    items = tuple(
        Answer(f"q{i}", GOLD[(i + shuffled) % 3], "", ((nats + rng.gauss(0, 0.05)) * 20, 20))
        for i in range(3 * scenes)
    )
    about = {"name": name, "sha256": sha256, "seed": 0, "temperature": 0.3, "free": False}
    return Answers(name, items, about)


def compared(*every: Answers, scenes: int = 12) -> Data:
    """What `compare` finds of them, the first being the incumbent."""
    questions = asked(
        *(question(f"q{i}", *GOLD[i % 3], scene=f"s{i // 3}", name=name)
          for i in range(3 * scenes) for name in [("Ada", "Bo", "Cy")[i % 3]])
    )  # fmt: skip
    data: Data = json.loads(
        json.dumps(compare(questions, every, random.Random(0), by_words, shown=0))
    )
    return data


def judge(*every: Answers) -> Decision:
    return decide(compared(*every), CANDIDATE, OLD)


def test_a_better_one_is_promoted() -> None:
    found = judge(answers("old", OLD, 2.0, shuffled=True), answers("new", NEW, 1.5))
    assert found.promoted
    assert "Loss" in found.why
    assert "MRR" in found.why


def test_one_made_worse_on_purpose_is_refused() -> None:
    found = judge(answers("old", OLD, 1.5), answers("new", NEW, 1.4, shuffled=True))
    assert not found.promoted  # its loss is better, and it answers for others
    assert "MRR worse by" in found.why


def test_an_equal_one_is_refused() -> None:
    found = judge(answers("old", OLD, 1.5), answers("new", NEW, 1.5, seed=1))
    assert (found.promoted, found.why) == (False, "better beyond noise in nothing that decides")


def test_a_worse_loss_is_refused_only_beyond_its_margin() -> None:
    data = compared(answers("old", OLD, 1.5, shuffled=True), answers("new", NEW, 1.54))
    assert decide(data, CANDIDATE, OLD).promoted
    data = compared(answers("old", OLD, 1.5, shuffled=True), answers("new", NEW, 1.6))
    assert "Loss worse by 0.1" in decide(data, CANDIDATE, OLD).why


def test_the_card_holds_every_figure_and_the_decision() -> None:
    found = judge(answers("old", OLD, 2.0), answers("new", NEW, 1.5))
    text = found.as_markdown("new", "old")
    assert text.startswith("Fit to be promoted: better beyond noise in Loss")
    for row in found.rows:
        assert f"| {row.metric.title} |" in text
    assert "36 questions of 12 scenes" in text


def test_every_margin_and_deciding_figure_is_a_metric() -> None:
    known = {metric.key for metric in METRICS}
    assert MARGINS.keys() == known - {"perplexity"}
    assert MARGINS.keys() >= {*DECIDING}


def changed(change: Callable[[Data], Any]) -> Data:
    data = compared(answers("old", OLD, 2.0), answers("new", NEW, 1.5))
    change(data)
    return data


def test_what_the_candidate_lacks_is_a_loss() -> None:
    data = changed(lambda d: d["models"][1]["figures"].update(valid=None))
    assert "Valid lacking" in decide(data, CANDIDATE, OLD).why


def test_what_neither_has_says_nothing() -> None:
    def without(data: Data) -> None:
        for model in data["models"]:
            model["figures"].update(dict.fromkeys(("mrr", "hit_1", "hit_3", "contrast")))

    found = decide(changed(without), CANDIDATE, OLD)
    assert found.promoted
    assert "mrr" not in {row.metric.key for row in found.rows}


def test_each_figure_can_refuse() -> None:
    for key, margin in MARGINS.items():
        metric = next(m for m in METRICS if m.key == key)

        def worse(data: Data, key: str = key, margin: float = margin, m: Any = metric) -> None:
            figures = [model["figures"] for model in data["models"]]
            gold = data["controls"].setdefault("gold", {})
            gold[key] = {"value": 0.0, "low": 0, "high": 0, "count": 1}
            sign = -1 if m.better == "more" else 1
            for figure, value in zip(figures, (0.5, 0.5 + sign * 1.01 * margin), strict=True):
                figure[key] = {"value": value, "low": 0, "high": 0, "count": 1}

        found = decide(changed(worse), CANDIDATE, OLD)
        assert not found.promoted, key
        assert f"{metric.title} worse by" in found.why


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["models"].pop(), "no answers of the candidate"),
        (lambda d: d["models"].reverse(), "not the model that serves"),
        (lambda d: d["models"].clear(), "no whole comparison"),
        (lambda d: d.pop("questions"), "no whole comparison"),
        (lambda d: d["models"][1].pop("figures"), "no whole comparison"),
        (lambda d: d["models"][1]["figures"].update(loss=3), "no whole comparison"),
        (lambda d: d["models"][1]["figures"]["loss"].update(value="x"), "no whole comparison"),
        (lambda d: d["models"][1]["figures"]["loss"].update(value=float("nan")), "figure of nan"),
        (lambda d: d["models"][1]["model"].update(seed=5), "not asked alike: seed"),
        (lambda d: d["models"][1]["model"].update(free=True), "not asked alike: free"),
        (
            lambda d: d["models"][1]["model"].update(temperature=1),
            "temperature of 1, and its export",
        ),
        (lambda d: d["questions"].update(scenes=3), "3 scenes"),
        (lambda d: d["questions"].update(scenes="many"), "no whole comparison"),
    ],
)
def test_a_comparison_that_says_nothing_is_an_error(
    change: Callable[[Data], Any], says: str
) -> None:
    with pytest.raises(RunError, match=says):
        decide(changed(change), CANDIDATE, OLD)


# The commands


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An incumbent that serves, an export, and comparisons that speak for and against it."""
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    put(tmp_path / "old", "incumbent", 1)
    old = ModelStore().installed("incumbent").sha256
    new = export(tmp_path / "new", 2)["sha256"]
    (tmp_path / "new" / "README.md").write_text("# Card of new\n")
    for name, nats, shuffled in (("for", 1.5, False), ("against", 2.5, True)):
        data = compared(
            answers("incumbent", old, 2.0), answers("new", new, nats, shuffled=shuffled)
        )
        files = {"figures.json": pretty(data)}
        manifest = {"schema_version": 1, "stage": "compare", "files": described(files)}
        write_whole(tmp_path / name, files, manifest)
    return tmp_path


def test_promote_and_rollback(ready: Path) -> None:
    done = run("promote", ready / "new", ready / "for", "--name", "better")
    assert done.exit_code == 0, done.output
    assert "better is this machine's default; `rollback` goes back to incumbent" in done.output
    store = ModelStore()
    assert store.default() == "better"
    card = (store.folder / "better" / "README.md").read_text()
    said = "Fit to be promoted: better beyond noise in Loss"
    assert card.startswith(f"# Card of new\n\n## Promotion\n\n{said}")
    assert run("promote", ready / "new", ready / "for", "--name", "better").output == (
        "better is the default already\n"
    )
    back = run("rollback", "--why", "players complained")
    assert back.output == "incumbent is this machine's default again, in place of better\n"
    assert ModelStore().default() == "incumbent"


def test_a_refusal_changes_nothing_but_the_card(ready: Path) -> None:
    before = (ModelStore().folder / "default.json").read_bytes()
    for _ in range(2):
        done = run("promote", ready / "new", ready / "against")
        assert done.exit_code == 7
        assert "does not take the place of incumbent: Loss worse by" in done.output
    assert (ModelStore().folder / "default.json").read_bytes() == before
    assert [p.name for p in ModelStore().folder.iterdir() if p.is_dir()] == ["incumbent"]
    card = (ready / "new" / "README.md").read_text()
    assert card.count("## Promotion") == 1
    assert "Refused: Loss worse by" in card


def test_a_dry_run_changes_nothing(ready: Path) -> None:
    assert run("promote", ready / "new", ready / "for", "--dry-run").exit_code == 0
    assert ModelStore().default() == "incumbent"
    assert (ready / "new" / "README.md").read_text() == "# Card of new\n"


def test_a_model_has_a_name_of_its_own(ready: Path) -> None:
    assert run("promote", ready / "new", ready / "for").exit_code == 0
    sha = json.loads((ready / "new" / "manifest.json").read_text())["sha256"]
    assert ModelStore().default() == f"tiny-{sha[:8]}"


@pytest.mark.parametrize("what", ["no export", "no comparison", "other", "changed", "mixed"])
def test_bad_folders_are_refused(ready: Path, what: str) -> None:
    exported, comparison = ready / "new", ready / "for"
    if what == "no export":
        exported = ready / "for"
    elif what == "no comparison":
        comparison = ready / "new"
    elif what == "other":
        export(exported, 3)
    elif what == "changed":
        (comparison / "figures.json").write_text("{}")
    else:
        comparison = ready / "nowhere"
    done = run("promote", exported, comparison)
    assert done.exit_code == 6
    assert "  -> " in done.output
    assert ModelStore().default() == "incumbent"


def test_nothing_to_roll_back(tmp_path: Path) -> None:
    done = run("rollback")
    assert done.exit_code == 4
    assert "nothing was promoted" in done.output


def test_a_running_simulation_goes_over_to_what_is_promoted(ready: Path) -> None:
    source, folder = split(ready / "world", small()), ready / "run"
    begun = threading.Event()
    real = Journal.resolved

    def recorded(self: Journal, *args: Any, **kwargs: Any) -> Any:
        if not begun.is_set():  # the first decision has been made: now the default changes
            begun.set()
            done = run("promote", ready / "new", ready / "for", "--name", "better")
            assert done.exit_code == 0
        return real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "resolved", recorded)
        done = CliRunner().invoke(
            daydream, ["simulate", str(source), "--ticks", "8", "--run", str(folder), "--follow"]
        )
    assert done.exit_code == 0, done.output
    assert done.stderr.count("another model serves") == 1
    with Journal(folder / "journal.sqlite", read_only=True) as journal:
        models = [record["provenance"]["model"] for record in journal.records()]
    assert models == sorted(models, reverse=True)
    assert set(models) == {"incumbent", "better"}


def test_follow_is_for_the_default_model(ready: Path) -> None:
    source = split(ready / "world", small())
    done = CliRunner().invoke(
        daydream, ["simulate", str(source), "--follow", "--model", "scripted"]
    )
    assert done.exit_code == 2
