"""A report of runs: one HTML page that needs nothing else, or the same figures as plain data.

The same runs give the same bytes. What is large is bounded, and the page says so. Knows nothing of
terminals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from daydream_motives.errors import RunError
from daydream_motives.report.choices import MAX_NAME, STATUSES, plain
from daydream_motives.report.drawing import chart, ring, spark
from daydream_motives.report.drift import MEASURES, MIN_DECISIONS, Drift, drift_of, windows_of
from daydream_motives.report.evidence import Evidence, read, runs_in
from daydream_motives.report.story import (
    Moment,
    PersonStory,
    Ring,
    Rumour,
    coloured_verbs,
    people_of,
    ring_of,
    rumours,
    timeline,
)
from daydream_motives.report.ties import TIE_MEASURES, TieChange, Ties, reported_moves, ties_of
from daydream_motives.report.trend import LEVELS, Level, Measure, Verdict

SCHEMA_VERSION = 1
RUNS_TOLD = 12  # runs with a section of their own; all are compared
MOST_RUNS = 500
_ONE, _MANY = (30, 24), (12, 10)  # people shown, and last decisions of each
_SPARKS = 12


@dataclass(frozen=True, slots=True)
class Told:
    """Everything a page tells of one run."""

    key: str
    evidence: Evidence
    facts: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    drift: Drift
    ties: Ties | None
    changed: tuple[TieChange, ...]
    ring: Ring | None
    people: tuple[PersonStory, ...]
    strip: tuple[str, ...]
    strip_label: str
    all_people: int
    moments: tuple[Moment, ...]
    all_moments: int
    rumours: tuple[Rumour, ...]
    all_rumours: int

    def levels(self) -> list[tuple[Level, list[Verdict]]]:
        """The verdicts by level, the worst first."""
        found = [(level, [v for v in self.verdicts if v.level == level]) for level in LEVELS]
        return [(level, verdicts) for level, verdicts in found if verdicts]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure over several runs: (run, value as shown, value, level), and its spread."""

    key: str
    title: str
    method: str
    cells: tuple[tuple[str, str, float | None, Level], ...]
    lowest: str
    highest: str


def tell(paths: Sequence[str | Path]) -> Report:
    """Read runs, ensembles and journals; raises RunError where one holds none."""
    given = runs_in(paths)
    if len(given) > MOST_RUNS:
        raise RunError(f"{len(given)} runs are more than {MOST_RUNS}", remedy="give fewer")
    people, last = _ONE if len(given) == 1 else _MANY
    told: list[Told] = []
    notes: list[str] = []
    for name, path in given:
        try:
            evidence = read(name, path)
        except RunError as exc:
            if len(given) == 1:
                raise
            notes.append(f"{name} is left out: {plain(exc.message.replace(str(path), name))}.")
            continue
        told.append(_told(f"r{len(told) + 1}", evidence, people, last))
        # A page of many runs holds the whole of one at a time.
        evidence.choices, evidence.events, evidence.start, evidence.end = [], [], None, None
    if not told:
        raise RunError("none of these runs can be told: " + "; ".join(notes),
                       remedy="give the folder of a run")  # fmt: skip
    if len(told) > RUNS_TOLD:
        notes.append(f"{len(told)} runs are compared; the first {RUNS_TOLD} are told one by one.")
    return Report(tuple(told), tuple(notes))


def _told(key: str, evidence: Evidence, people: int, last: int) -> Told:
    windows = windows_of(evidence.choices, evidence.span)
    strip = windows_of(evidence.choices, evidence.span, fine=True)
    drift = drift_of(evidence.choices, windows, evidence.offered)
    ties = picture = None
    if evidence.start is not None and evidence.end is not None and evidence.until is not None:
        until = windows.of(0, evidence.until) + 1
        ties = ties_of(evidence.start, evidence.end, windows, until=until)
        picture = ring_of(evidence, evidence.start, evidence.end)
    moments, all_moments = timeline(evidence)
    told, all_told = rumours(evidence)
    return Told(
        key=key,
        evidence=evidence,
        facts=_facts(evidence),
        verdicts=drift.verdicts + (ties.verdicts if ties else ()),
        drift=drift,
        ties=ties,
        changed=ties.changed if ties else reported_moves(evidence.choices),
        ring=picture,
        people=people_of(evidence, strip, most=people, last=last),
        strip=tuple(strip.begins(index) for index in range(strip.count)),
        strip_label=strip.label,
        all_people=len({choice.character for choice in evidence.choices}),
        moments=moments,
        all_moments=all_moments,
        rumours=told,
        all_rumours=all_told,
    )


def _facts(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    manifest = evidence.manifest

    def said(*keys: str) -> str:
        value: Any = manifest
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return "" if value is None else plain(value, 2 * MAX_NAME)

    times = [choice.time for choice in evidence.choices if choice.time]
    span = evidence.span or ((min(times), max(times)) if times else None)
    models = sorted({c.model for c in evidence.choices if c.model})
    most = said("scenario", "max_decisions")
    versions, origin = manifest.get("versions"), said("branched_from", "run")
    rows = [
        ("World", said("world", "name")),
        ("Model", said("model", "name") or ", ".join(models[:3]) or "none: instinct"),
        ("Adapter", said("model", "adapter_hash")[:12]),
        ("Seed", said("scenario", "seed")),
        ("In-world time", f"{span[0]:%a %d %b %Y, %H:%M} – {span[1]:%a %d %b %Y, %H:%M}"
         if span else "not told"),
        ("Decisions", f"{len(evidence.choices):,}" + (f" (at most {most})" if most else "")),
        ("State", "complete" if evidence.complete else "not complete: it was cut short, or runs "
         "still"),
        ("Branched from", f"{origin} at tick {said('branched_from', 'tick')}" if origin else ""),
        ("Begun", said("started").replace("T", " ")[:16]),
        ("Versions", ", ".join(f"{plain(k, 40)} {plain(v, 40)}" for k, v in versions.items())
         if isinstance(versions, Mapping) else ""),
        ("World's hash", said("world", "hash")[:12]),
    ]  # fmt: skip
    return tuple((label, value) for label, value in rows if value)


@dataclass(frozen=True, slots=True)
class Report:
    """Runs told and compared."""

    runs: tuple[Told, ...]
    notes: tuple[str, ...]

    def comparisons(self) -> tuple[Comparison, ...]:
        """Each figure over all runs."""
        found = []
        for measure in (*MEASURES, *TIE_MEASURES):
            verdicts = [
                (run, next((v for v in run.verdicts if v.key == measure.key), None))
                for run in self.runs
            ]
            values = [v.value for _, v in verdicts if v and v.value is not None]
            cells = tuple(
                (run.evidence.name, v.shown, v.value, v.level)
                if v
                else (run.evidence.name, "–", None, LEVELS[-1])
                for run, v in verdicts
            )
            low, high = (measure.show(f(values) if values else None) for f in (min, max))
            found.append(Comparison(measure.key, measure.title, measure.method, cells, low, high))
        return tuple(found)

    def as_data(self) -> dict[str, Any]:
        """The figures of the page as plain data."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [_data(run) for run in self.runs],
            "comparison": [asdict(c) for c in self.comparisons()] if len(self.runs) > 1 else [],
            "notes": list(self.notes),
        }

    def html(self) -> str:
        """The page."""
        environment = Environment(
            loader=PackageLoader("daydream_motives.report", "templates"), autoescape=True,
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        environment.filters |= {
            "when": _when,
            "count": lambda n: f"{n:,}",
            "unmasked": lambda rows: [(text.replace("_", "…"), n) for text, n in rows],
        }
        verbs = coloured_verbs([p for run in self.runs for p in run.people])
        return environment.get_template("report.html").render(
            report=self,
            runs=self.runs[:RUNS_TOLD],
            comparisons=self.comparisons() if len(self.runs) > 1 else (),
            several_worlds=len({dict(run.facts).get("World's hash") for run in self.runs}) > 1,
            colour={verb: index for index, verb in enumerate(verbs)},
            verbs=verbs,
            statuses=STATUSES,
            charts=_charts,
            rings=_rings,
            course=_course,
            columns=[(m.key, m.title, m.percent) for m in MEASURES],
            marks={m.key: _marks(m) for m in (*MEASURES, *TIE_MEASURES)},
            min_decisions=MIN_DECISIONS,
        )


def _data(run: Told) -> dict[str, Any]:
    return {
        "run": run.evidence.name,
        "facts": dict(run.facts),
        "complete": run.evidence.complete,
        "notes": run.evidence.notes,
        "figures": {v.key: v.value for v in run.verdicts},
        "verdicts": [v.as_data() for v in run.verdicts],
        "drift": {k: v for k, v in run.drift.as_data().items() if k != "verdicts"},
        "relationships": run.ties
        and {k: v for k, v in run.ties.as_data().items() if k not in ("verdicts", "changed")},
        "changed": [asdict(change) for change in run.changed],
        "people": [
            {"id": p.id, "name": p.name, "decisions": p.decisions, "verbs": dict(p.verbs),
             "company": dict(p.company), "outcomes": p.outcomes}
            for p in run.people
        ],
        "all_people": run.all_people,
        "timeline": [{**asdict(m), "time": m.time and m.time.isoformat()} for m in run.moments],
        "rumours": run.all_rumours,
    }  # fmt: skip


def _when(time: Any) -> str:
    return f"{time:%a %d %b, %H:%M}" if time else ""


def _marks(measure: Measure) -> tuple[tuple[str, float], ...]:
    return (("watch", measure.watch), ("drifting", measure.drift))


def _charts(run: Told) -> list[tuple[Verdict, Markup]]:
    """Each verdict with its figure over time, where it has one."""
    windows = run.drift.windows
    measures = {measure.key: measure for measure in (*MEASURES, *TIE_MEASURES)}
    found = []
    for verdict in run.verdicts:
        rows: Sequence[Any] = run.drift.figures
        if run.ties and verdict.key in {m.key for m in TIE_MEASURES}:
            rows = run.ties.figures
        measure = measures[verdict.key]
        values = [getattr(row, verdict.key, None) for row in rows]
        drawn = Markup("")
        if any(value is not None for value in values):
            drawn = chart(
                values, [row.label for row in rows], key=f"{run.key}-{verdict.key}",
                title=f"{verdict.title} over time", percent=measure.percent,
                desc=f"{verdict.sentence} In windows of {windows.label}.",
                marks=_marks(measure),
            )  # fmt: skip
        found.append((verdict, drawn))
    return found


def _rings(run: Told) -> list[tuple[str, Markup, int]]:
    """The relationships at the start and at the end."""
    if run.ring is None:
        return []
    found = []
    for name, lines in (("start", run.ring.start), ("end", run.ring.end)):
        counts = {t: sum(line.tone == t for line in lines) for t in ("warm", "cold", "plain")}
        desc = (
            f"{len(run.ring.people)} people on a ring and {len(lines)} ties: {counts['warm']} "
            f"warm, {counts['cold']} cold, {counts['plain']} neither."
        )
        title = f"Relationships at the {name} of the run"
        drawn = ring(run.ring.people, lines, key=f"{run.key}-{name}", title=title, desc=desc)
        found.append((name, drawn, len(lines)))
    return found


def _course(run: Told, index: int, change: TieChange) -> Markup:
    """The course of a changed relationship as a spark."""
    if index >= _SPARKS:
        return Markup("")
    title = f"{change.axis} from {change.before:+.2f} to {change.after:+.2f}"
    return spark(change.course, key=f"{run.key}-{index}", title=title)
