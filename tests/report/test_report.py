"""The report's page: what it tells, what it escapes, how large it grows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from small import small

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import RunError
from daydream_motives.journal import Journal
from daydream_motives.motives.context import MotiveContext
from daydream_motives.motives.purposes import (
    Decision,
    Outcome,
    Provenance,
    Purpose,
    RankedPurposes,
)
from daydream_motives.motives.situation import Situation
from daydream_motives.report import story
from daydream_motives.report.drawing import Line, chart, ring, ring_order, spark
from daydream_motives.report.evidence import Event, Evidence, runs_in
from daydream_motives.report.page import RUNS_TOLD, Report, tell
from daydream_motives.simulation.record import Scenario
from daydream_motives.simulation.run import start
from daydream_motives.simulation.world import World

HOSTILE = "<script>alert('x')</script><img src=x onerror=y>\"'&\u202e"
VOID = {"meta", "link", "br", "img", "input", "hr", "line", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order and gathers tags, attributes and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] in VOID and self.open[-1] != tag:
            self.open.pop()
        if tag in VOID and tag not in self.open[-1:]:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def live(
    folder: Path, data: dict[str, Any] | None = None, *, ticks: int = 96, seed: int = 0
) -> Path:
    """A run of a small world on the scripted model."""
    world = World.from_data(data or small())
    with MotiveEngine("scripted", seed=seed) as engine:
        for _ in start(world, engine, Scenario(ticks, seed), folder).steps():
            pass
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live(tmp_path_factory.mktemp("runs") / "first")


def test_the_page_tells_the_run(run: Path) -> None:
    told = tell([run])
    page = Page(told.html())
    for part in ("Two Roads", "scripted", "Ada Marsh", "Bo Lind", "A bell rings.", "The Yard",
                 "Drift", "The story", "Who did what", "Purposes by character", "Relationships",
                 "Figures", "complete"):  # fmt: skip
        assert part in page.text
    (one,) = told.runs
    with Journal(run / "journal.sqlite", read_only=True) as journal:
        records = list(journal.records())
    assert one.drift.whole.decisions == len(records)
    assert sum(p.decisions for p in one.people) == len(records)
    assert records[-1]["purposes"][2]["text"] in page.text  # every decision fits


def test_pictures_are_described_and_ids_are_unique(run: Path) -> None:
    page = Page(tell([run, live(run.parent / "second", seed=2)]).html())
    ids = page.of("id")
    assert len(ids) == len(set(ids))
    for names in page.of("aria-labelledby"):
        assert set(names.split()) <= set(ids)
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    labelled = [a for a in page.attributes if a[:2] == ("svg", "aria-labelledby")]
    assert len(labelled) == sum(a[:2] == ("svg", "class") for a in page.attributes)


def test_the_page_needs_nothing_from_elsewhere(run: Path) -> None:
    text = tell([run]).html()
    page = Page(text)
    assert not re.findall(r"https?:|//[a-z]|url\(|@import|@font-face", text, re.IGNORECASE)
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    assert not page.of("src")
    assert "default-src 'none'" in text


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    assert tell([run]).html() == tell([run]).html()
    assert tell([run]).as_data() == tell([run]).as_data()


def test_the_page_does_not_tell_where_the_run_lies(run: Path) -> None:
    assert str(run.parent) not in tell([run]).html()
    bare = run.parent / "bare"
    bare.mkdir()
    (bare / "journal.sqlite").write_bytes((run / "journal.sqlite").read_bytes())
    told = tell([bare])
    assert str(bare) not in told.html()
    assert "cannot be read" in Page(told.html()).text
    assert told.runs[0].ties is None


def hostile() -> dict[str, Any]:
    data = small(name=HOSTILE)
    for sheet in data["characters"].values():
        sheet["name"], sheet["occupation"] = f"{HOSTILE} {sheet['name']}", HOSTILE
    for place in data["places"].values():
        place["name"] = f"{HOSTILE} {place['name']}"
    data["events"][0]["text"] = HOSTILE
    return data


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    folder = live(tmp_path / "<b>run", hostile())
    decide(folder / "journal.sqlite", "ada", text=HOSTILE, unknown=HOSTILE, note=HOSTILE)
    text = tell([folder, live(tmp_path / "b", hostile())]).html()
    page = Page(text)
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>run" not in text
    assert "onerror" not in {name for _, name, _ in page.attributes}
    assert "<script>alert('x')</script>" in page.text
    assert "\u202e" not in text


def decide(
    path: Path, who: str, *, text: str = "Rest.", unknown: str = "", note: str = "", number: int = 0
) -> None:
    """One decision into a journal."""
    names = (unknown,) if unknown else ()
    texts = (Purpose(1, text, 0.5, (), "rest", names), Purpose(2, "b", 0.3), Purpose(3, "c", 0.2))
    decision = Decision(
        f"{who}-{number}", who, MotiveContext(who.title(), "", "", ""),
        RankedPurposes(texts, Provenance("model", reason=note)),
    )  # fmt: skip
    with Journal(path) as journal:
        journal.decided(decision, Situation())
        decision.choose(1)
        journal.chosen(decision)
        decision.resolve(Outcome(note=note))
        journal.resolved(decision)


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_pictures_escape_every_text(name: str, text: str) -> None:
    people = [("a", name), ("b", text or "b")]
    lines = [Line("a", "b", "warm", 0.5, text), Line("a", "gone", "cold", 1, text)]
    for drawn in (
        ring(people, lines, key="k", title=name, desc=text),
        chart([0.1, None, 0.3, 0.2], [name, text, name, text], key="k", title=name, desc=text,
              percent=True),
        spark([0.1, -0.2], key="k", title=name),
    ):  # fmt: skip
        assert isinstance(drawn, Markup)
        found = set(re.findall(r"</?([a-z!]+)", drawn.lower()))
        assert found <= {"svg", "title", "desc", "path", "circle", "text", "line", "polyline"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 1)), max_size=30))
def test_everyone_has_one_place_on_the_ring(ties: list[tuple[int, int, float]]) -> None:
    people = [f"p{n}" for n in range(10)]
    weights = {(f"p{a}", f"p{b}"): w for a, b, w in ties}
    order = ring_order(people, weights)
    assert sorted(order) == people
    assert order == ring_order(people[::-1], dict(reversed(weights.items())))


def test_those_with_ties_sit_together() -> None:
    people = [f"p{n}" for n in range(8)]
    pairs = [("p0", "p4"), ("p1", "p5"), ("p2", "p6"), ("p3", "p7")]
    order = ring_order(people, dict.fromkeys(pairs, 1.0))
    gaps = [abs(order.index(a) - order.index(b)) for a, b in pairs]
    assert all(min(gap, 8 - gap) == 1 for gap in gaps)


def test_both_rings_have_the_same_places(run: Path) -> None:
    text = tell([run]).html()
    rings = re.findall(r'<svg class="ring".*?</svg>', text, re.DOTALL)
    assert len(rings) == 2
    places = [re.findall(r'<circle class="dot" cx="[^"]+" cy="[^"]+"', r) for r in rings]
    assert places[0] == places[1]
    assert len(places[0]) == 3


def test_a_run_that_was_cut_short_is_told_and_says_so(run: Path) -> None:
    (run / "manifest.json").rename(run / "kept")
    try:
        told = tell([run])
    finally:
        (run / "kept").rename(run / "manifest.json")
    assert not told.runs[0].evidence.complete
    assert "not complete" in Page(told.html()).text


def test_a_journal_alone_tells_decisions(run: Path, tmp_path: Path) -> None:
    with Journal(run / "journal.sqlite", read_only=True) as journal:
        lines = [json.dumps(record) for record in journal.records()]
    file = tmp_path / "game.jsonl"
    file.write_text("\n".join(lines))
    whole, plain, lone = tell([run]), tell([file]), tell([run / "journal.sqlite"])
    for told in (plain, lone):
        # Windows begin with the first decision here, not with the world.
        figures = [(r.drift.whole.decisions, r.drift.whole.own_repetition, r.drift.whole.outcomes)
                   for r in (*told.runs, *whole.runs)]  # fmt: skip
        assert figures[0] == figures[1]
        assert told.runs[0].ties is None
        assert "journal by itself" in Page(told.html()).text


def test_a_game_need_not_tell_times_places_or_outcomes(tmp_path: Path) -> None:
    bare = {
        "schema_version": 1, "character": "x", "provenance": {"source": "cache"},
        "context": {"Character_name": "X", "Character_description": "", "Context": "",
                    "Background": ""},
        "purposes": [{"rank": r, "text": f"t{r}"} for r in (1, 2, 3)],
    }  # fmt: skip
    file = tmp_path / "game.jsonl"
    file.write_text("\n".join(json.dumps({**bare, "id": str(n)}) for n in range(30)))
    told = tell([file])
    assert told.runs[0].drift.windows.label == "6 decisions"
    assert "No relationship moved." in Page(told.html()).text


# --- several runs


def ensemble(folder: Path, runs: list[str]) -> Path:
    seeds = [int(run.removeprefix("seed-")) for run in runs]
    (folder / "ensemble.json").write_text(json.dumps({"schema_version": 1, "seeds": seeds}))
    return folder


def test_an_ensemble_is_compared(tmp_path: Path) -> None:
    for seed in (1, 2):
        live(tmp_path / f"seed-{seed}", ticks=48, seed=seed)
    told = tell([ensemble(tmp_path, ["seed-1", "seed-2", "seed-3"])])
    assert [r.evidence.name for r in told.runs] == ["seed-1", "seed-2"]
    assert told.notes[0].startswith("seed-3 is left out")
    figure = next(c for c in told.comparisons() if c.key == "verb_variety")
    values = [r.drift.whole.verb_variety for r in told.runs]
    assert [cell[2] for cell in figure.cells] == values
    low, high = (f"{f(v for v in values if v is not None):.2f}" for f in (min, max))
    assert (figure.lowest, figure.highest) == (low, high)
    assert "2 runs compared" in Page(told.html()).text


def test_runs_of_one_name_are_told_apart_and_counted_once(tmp_path: Path) -> None:
    for name in ("a/run", "b/run"):
        (tmp_path / name).mkdir(parents=True)
    a, b = tmp_path / "a/run", tmp_path / "b/run"
    assert [name for name, _ in runs_in([a, b, a])] == ["a/run", "b/run"]


def test_many_runs_are_all_compared_and_the_first_told(run: Path, tmp_path: Path) -> None:
    told = tell([run])
    many = Report(told.runs * (RUNS_TOLD + 3), ())
    text = many.html()
    assert text.count('<article id="r1"') == RUNS_TOLD
    assert len(many.as_data()["runs"]) == RUNS_TOLD + 3


# --- size


def crowd(path: Path, people: int, decisions: int) -> Path:
    """A journal's lines of so many people."""
    with path.open("w", encoding="utf-8") as stream:
        for n in range(decisions):
            time = (n * 7 % (30 * 24)) / 24
            day, hour = int(time) + 1, int(time % 1 * 24)
            text = f"P{n % people} wants to see P{n * 31 % people}, because of {n % 97}."
            record = {
                "schema_version": 1, "id": str(n), "character": f"p{n % people}",
                "world_time": f"2024-06-{day:02}T{hour:02}:00",
                "context": {"Character_name": f"P{n % people}", "Character_description": "",
                            "Context": "", "Background": ""},
                "purposes": [{"rank": r, "text": f"{text} {r}", "score": 0.3, "verb": f"v{n % 40}",
                              "unknown_names": [f"N{n}"]} for r in (1, 2, 3)],
                "provenance": {"source": "instinct", "reason": f"reason {n}"}, "chosen": 1,
                "outcome": {"status": "done", "relationships": [
                    {"to": f"p{n * 31 % people}", "changes": {"trust": 0.01}}]},
            }  # fmt: skip
            stream.write(json.dumps(record) + "\n")
    return path


def test_the_page_is_bounded_however_many_people(tmp_path: Path) -> None:
    few = len(tell([crowd(tmp_path / "few.jsonl", 100, 4000)]).html())
    told = tell([crowd(tmp_path / "many.jsonl", 2000, 8000)])
    text = told.html()
    assert len(text) < 1.15 * few
    assert len(text) < 1_000_000
    assert "The 30 people who decided most, of 2,000." in Page(text).text
    assert len(json.dumps(told.as_data())) < 200_000


def test_the_ring_is_bounded_and_connected(tmp_path: Path) -> None:
    data = small()
    data["characters"] = {f"c{n}": {"name": f"N{n} S", "age": 30} for n in range(200)}
    data["relationships"] = [
        {"from": f"c{n}", "to": f"c{(n * 7 + 1) % 200}", "kinds": ["friend"], "trust": 0.5}
        for n in range(200) if n != (n * 7 + 1) % 200
    ]  # fmt: skip
    data["events"], data["lore"] = [], []
    (one,) = tell([live(tmp_path / "r", data, ticks=4)]).runs
    assert one.ring
    assert len(one.ring.people) == story.RING_PEOPLE
    assert 0 < len(one.ring.end) <= story.RING_LINES
    assert one.ring.all_people == 200
    ids = {id for id, _ in one.ring.people}
    tied = {id for line in one.ring.start for id in (line.source, line.target)}
    assert ids == tied  # nobody is there without a tie


def test_an_event_that_returns_is_told_once(tmp_path: Path) -> None:
    data = small()
    data["events"][1]["chance_per_day"] = 24
    (one,) = tell([live(tmp_path / "r", data)]).runs
    rain = [m for m in one.moments if m.text == "It rains."]
    assert len(rain) == 1
    assert re.fullmatch(r"and \d+ more times?", rain[0].note)
    times = [m.time for m in one.moments if m.time]
    assert times == sorted(times)
    assert len(one.moments) <= story.TOLD


def test_too_many_events_are_spread_over_the_run() -> None:
    evidence = Evidence("r", events=[Event(None, "event", f"e{n}", (), "") for n in range(1000)])
    moments, count = story.timeline(evidence)
    numbers = sorted(int(m.text[1:]) for m in moments)
    assert count == 1000
    assert (len(numbers), numbers[0], numbers[-1]) == (story.TOLD, 0, 999)
    assert max(b - a for a, b in pairwise(numbers)) <= 1000 / story.TOLD + 2


def test_rumours_say_what_they_had_been(run: Path) -> None:
    evidence = tell([run]).runs[0].evidence
    event = Event(
        evidence.span[0] + timedelta(1) if evidence.span else None, "gossip",
        "Bo fell. [wrong: it was Kit fell.]", ("ada", "bo"), "",
    )  # fmt: skip
    evidence.events = [event]
    ((rumour,), count) = story.rumours(evidence)
    assert (rumour.teller, rumour.listener, count) == ("Ada Marsh", "Bo Lind", 1)
    assert (rumour.text, rumour.truth) == ("Bo fell.", "Kit fell.")


# --- bad input


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def empty(folder: Path) -> Path:
    return folder


def no_journal(folder: Path) -> Path:
    (folder / "note.txt").write_text("Hello.")
    return folder / "note.txt"


def no_sqlite(folder: Path) -> Path:
    (folder / "journal.sqlite").write_text("not a database, but long enough to look like a file")
    return folder


def no_decision(folder: Path) -> Path:
    with Journal(folder / "journal.sqlite") as journal:
        journal.describe({"scenario": {"ticks": 1}})
    return folder / "journal.sqlite"


def damaged(folder: Path) -> Path:
    decide(folder / "journal.sqlite", "ada")
    with Journal(folder / "journal.sqlite") as journal:
        journal._write("UPDATE decisions SET purposes = '[1, 2, 3]'", ())
    return folder / "journal.sqlite"


def damaged_event(folder: Path) -> Path:
    decide(folder / "journal.sqlite", "ada")
    with Journal(folder / "journal.sqlite") as journal:
        journal.event("event", "It rains.", world_time="yesterday")
    return folder / "journal.sqlite"


def no_members(folder: Path) -> Path:
    return ensemble(folder, ["seed-1", "seed-2"])


def bad_ensemble(folder: Path) -> Path:
    (folder / "ensemble.json").write_text("[]")
    return folder


@pytest.mark.parametrize(
    "make",
    [
        missing,
        empty,
        no_journal,
        no_sqlite,
        no_decision,
        damaged,
        damaged_event,
        no_members,
        bad_ensemble,
    ],
)
def test_what_cannot_be_told_is_an_error_with_a_remedy(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(RunError) as caught:
        tell([make(tmp_path)])
    assert caught.value.remedy
