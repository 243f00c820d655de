"""Whether purposes wear out as a run goes on: repetition, variety, instinct, unknown names.

Pure figures from decisions: a run is cut into windows of equal length, each window is counted by
itself, and each figure is held against a stated threshold. Knows no files and no page.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Any

from daydream_motives.characters.words import content_words
from daydream_motives.motives.purposes import NEAR_DUPLICATE
from daydream_motives.report.choices import STATUSES, Choice, masked, opening
from daydream_motives.report.trend import Measure, Verdict, judge

REMEMBERED = 10  # how many of one's own last choices count as repeated
WARM_UP = 5  # before so many choices there is too little to repeat, which would look like a trend
SAMPLE_WORDS = 200
SAMPLE_DRAWS = 8
MIN_DECISIONS = 10  # a window with fewer is too small for shares
LISTED = 12
_DAY, _WEEK = 24, 168
# Hours; neighbours differ by no more than 4, so that one of them always gives 6 to 24 windows.
_STEPS = (1, 2, 3, 4, 6, 12, _DAY, 2 * _DAY, _WEEK, 2 * _WEEK, 4 * _WEEK, 13 * _WEEK, 52 * _WEEK,
          208 * _WEEK, 832 * _WEEK)  # fmt: skip
_FEWEST, _FINE = 6, 32

OWN = Measure(
    "own_repetition", "Repeating oneself",
    "{value} of choices say the same as one of the person's own last ten",
    f"Share of chosen purposes with {NEAR_DUPLICATE:.0%} or more of their content words in common "
    f"with one of the same person's previous {REMEMBERED}; a person's first {WARM_UP} choices do "
    "not count, as there is little to repeat.",
    0.25, 0.5,
)  # fmt: skip
SHARED = Measure(
    "shared_wording", "Repeating others",
    "{value} of choices are worded like another person's of the same window",
    "Share of chosen purposes that, names masked, repeat another person's of the same window word "
    "for word: the sign of a model that has fallen into a template.",
    0.1, 0.3,
)  # fmt: skip
DISTINCT = Measure(
    "distinct_2", "Variety of words",
    "in equal samples of what people chose, {value} of neighbouring word pairs are new",
    f"Distinct-2: different pairs of neighbouring words over all pairs, in {SAMPLE_WORDS} words "
    f"drawn from each window's chosen purposes, mean of {SAMPLE_DRAWS} draws. Samples are of one "
    "size, so that a longer window is not punished; a window with fewer words is left out.",
    0.65, 0.45,
)  # fmt: skip
VERBS = Measure(
    "verb_variety", "Variety of deeds",
    "what people do is spread over the verbs with an evenness of {value}",
    "Entropy of the chosen purposes' verbs over the logarithm of how many the game offered (or, "
    "where it did not say, how many occur): 0 is one verb only, 1 all of them equally often.",
    0.55, 0.35, percent=False,
)  # fmt: skip
OPENING = Measure(
    "common_opening", "Same beginnings",
    "the commonest beginning opens {value} of choices",
    "Share of the commonest first three words after “… wants to”, names masked.",
    0.25, 0.5,
)  # fmt: skip
INSTINCT = Measure(
    "instinct", "Instinct",
    "{value} of decisions were made by instinct, not by the model",
    "Share of decisions whose three purposes all came from rules.",
    0.05, 0.25,
)  # fmt: skip
FILLED = Measure(
    "filled", "Filled ranks",
    "instinct filled in {value} of the ranks that the model should have written",
    "Share of ranks, in the model's decisions, that were empty or said the same as a higher one.",
    0.05, 0.2,
)  # fmt: skip
UNKNOWN = Measure(
    "unknown_names", "Unknown names",
    "{value} of decisions name someone or something the person was never told of",
    "Share of decisions with an unknown name in any of the three purposes.",
    0.02, 0.1, least=0.02,
)  # fmt: skip
FAILED = Measure(
    "unfinished", "Failed or broken off",
    "{value} of choices with an outcome failed, were interrupted or overruled",
    "Failed, interrupted and overruled over all choices whose outcome is known.",
    0.35, 0.6,
)  # fmt: skip
MEASURES = (OWN, SHARED, DISTINCT, VERBS, OPENING, INSTINCT, FILLED, UNKNOWN, FAILED)


@dataclass(frozen=True, slots=True)
class Windows:
    """Equal stretches of a run, of in-world time or, where none is told, of decisions.

    `size` is in hours or in decisions; `unit` is what trends are told in.
    """

    label: str
    unit: str
    start: datetime | None
    size: float
    count: int

    def of(self, number: int, time: datetime | None) -> int:
        """Which window decision `number` (from 0) at `time` lies in."""
        if self.start is None:
            index = int(number // self.size)
        elif time is None:
            return 0
        else:
            index = math.floor((time - self.start).total_seconds() / 3600 / self.size)
        return min(max(index, 0), self.count - 1)

    def middle(self, index: float) -> float:
        """The time of a window's middle, in days or in hundreds of decisions."""
        return (index + 0.5) * self.size / (100 if self.start is None else _DAY)

    def begins(self, index: int) -> str:
        """How a window's beginning is written; `count` for the end of the last."""
        if self.start is None:
            return f"#{int(index * self.size) + 1}"
        when = self.start + timedelta(hours=self.size * index)
        return f"{when:%a %d %b}" if self.size >= _DAY else f"{when:%a %H:%M}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted in a window, or in a whole run; None where there is too little."""

    label: str
    decisions: int
    people: int
    own_repetition: float | None
    shared_wording: float | None
    distinct_2: float | None
    verbs: int
    verb_variety: float | None
    common_opening: float | None
    instinct: float | None
    filled: float | None
    unknown_names: float | None
    unfinished: float | None
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift report of a run's purposes; the lists are (what, how often), commonest first."""

    windows: Windows
    figures: tuple[Figures, ...]
    whole: Figures
    verdicts: tuple[Verdict, ...]
    reasons: tuple[tuple[str, int], ...]
    names: tuple[tuple[str, int], ...]
    templates: tuple[tuple[str, int], ...]
    openings: tuple[tuple[str, int], ...]

    def as_data(self) -> dict[str, Any]:
        data = asdict(self)
        start = self.windows.start
        return {**data, "windows": {**data["windows"], "start": start and start.isoformat()}}


@dataclass(frozen=True, slots=True)
class _Marked:
    """A choice and what was found of it."""

    choice: Choice
    repeats: bool | None
    template: str


def windows_of(
    choices: Sequence[Choice], span: tuple[datetime, datetime] | None = None, *, fine: bool = False
) -> Windows:
    """Six to 24 windows of hours, days or weeks: the longest that give six.

    `span` is the run's beginning and end; without it, those of the decisions. Where a decision has
    no in-world time, windows count decisions. `fine` windows are the shortest that give no more
    than 32: for pictures, not for shares.
    """
    times = [choice.time for choice in choices if choice.time is not None]
    if len(times) < len(choices) or not times:
        size = max(1 if fine else _FEWEST, math.ceil(len(choices) / (_FINE if fine else 12)))
        count = max(1, math.ceil(len(choices) / size))
        return Windows(f"{size} decisions", "hundred decisions", None, size, count)
    start, end = span or (min(times), max(times) + timedelta(minutes=1))
    hours = max(1.0, (end - start).total_seconds() / 3600)
    if fine:
        step = next((s for s in _STEPS if hours / s <= _FINE), _STEPS[-1])
    else:
        step = next((s for s in reversed(_STEPS) if hours / s >= _FEWEST), _STEPS[0])
    count = min(_FINE, math.ceil(hours / step))
    return Windows(_length(step), "day", start, step, count)


def _length(hours: int) -> str:
    for size, noun in ((_WEEK, "week"), (_DAY, "day"), (1, "hour")):
        if hours % size == 0:
            return f"{hours // size} {noun}{'' if hours == size else 's'}"
    raise ValueError(hours)


def drift_of(choices: Sequence[Choice], windows: Windows, offered: Collection[str] = ()) -> Drift:
    """The drift report; `offered` are the verbs the game allowed."""
    marked = _mark(choices)
    groups: list[list[_Marked]] = [[] for _ in range(windows.count)]
    for number, item in enumerate(marked):
        groups[windows.of(number, item.choice.time)].append(item)
    room = max(2, len(set(offered) or {c.acted.verb for c in choices if c.acted.verb}))
    figures = tuple(
        _figures(group, windows.begins(index), room, index) for index, group in enumerate(groups)
    )
    whole = _whole(marked, groups, figures, room)
    verdicts = tuple(_verdict(measure, whole, figures, windows) for measure in MEASURES)
    templates = Counter(item.template for item in marked)
    return Drift(
        windows, figures, whole, verdicts,
        _most(c.reason or "no reason given" for c in choices if c.source == "instinct" or c.filled),
        _most(name for c in choices for name in {n for o in c.options for n in o.unknown}),
        tuple((text, n) for text, n in _most(templates.elements()) if n > 1),
        _most(opening(item.template) for item in marked),
    )  # fmt: skip


def _mark(choices: Iterable[Choice]) -> list[_Marked]:
    memory: dict[str, deque[tuple[str, frozenset[str]]]] = defaultdict(
        lambda: deque(maxlen=REMEMBERED)
    )
    marked = []
    for choice in choices:
        text, earlier = choice.acted.text, memory[choice.character]
        words = content_words(text)
        repeats = None
        if len(earlier) >= WARM_UP:
            repeats = any(same(text, words, *other) for other in earlier)
        earlier.append((text, words))
        marked.append(_Marked(choice, repeats, masked(text)))
    return marked


def same(a: str, x: frozenset[str], b: str, y: frozenset[str]) -> bool:
    """`alike(a, b) >= NEAR_DUPLICATE` with the content words at hand: they are asked for often."""
    if not x or not y:
        return x == y and a.strip() == b.strip()
    shared, fewest = len(x & y), min(len(x), len(y))
    return shared / (fewest if fewest > 2 else len(x | y)) >= NEAR_DUPLICATE


def shares_wording(group: Sequence[tuple[str, str]]) -> int:
    """How many of the (character, template) are worded like another character's."""
    people: dict[str, set[str]] = defaultdict(set)
    for character, template in group:
        people[template].add(character)
    return sum(len(people[template]) > 1 for _, template in group)


def distinct_2(texts: Sequence[str], seed: object = 0) -> float | None:
    """Different over all pairs of neighbouring words in SAMPLE_WORDS words drawn from `texts`.

    The mean of SAMPLE_DRAWS draws of whole texts (the last one cut); None for fewer words.
    """
    words = [text.casefold().split() for text in texts]
    if sum(map(len, words)) < SAMPLE_WORDS:
        return None
    rng = random.Random(f"distinct:{seed}")
    found = []
    for _ in range(SAMPLE_DRAWS):
        room, pairs = SAMPLE_WORDS, []
        for index in rng.sample(range(len(words)), min(len(words), SAMPLE_WORDS)):
            kept = words[index][:room]
            pairs += list(pairwise(kept))
            room -= len(kept)
            if not room:
                break
        found.append(len(set(pairs)) / len(pairs) if pairs else 0.0)
    return fmean(found)


def evenness(counts: Iterable[int], room: int) -> float:
    """Entropy of the counts over log(room), in [0, 1]."""
    kept = [n for n in counts if n > 0]
    total = sum(kept)
    if len(kept) < 2:
        return 0.0
    entropy = -sum(n / total * math.log(n / total) for n in kept)
    return min(1.0, entropy / math.log(max(room, len(kept))))


def _figures(group: Sequence[_Marked], label: str, room: int, seed: object) -> Figures:
    choices = [item.choice for item in group]
    enough = len(choices) >= MIN_DECISIONS

    def share(part: int, of: int) -> float | None:
        return part / of if enough and of >= MIN_DECISIONS else None

    repeats = [item.repeats for item in group if item.repeats is not None]
    verbs = Counter(c.acted.verb for c in choices if c.acted.verb)
    outcomes = Counter(c.status for c in choices)
    people = len({c.character for c in choices})
    shared = shares_wording([(i.choice.character, i.template) for i in group])
    openings = Counter(opening(item.template) for item in group)
    by_model = [c for c in choices if c.source != "instinct"]
    known = len(choices) - outcomes["open"]
    return Figures(
        label=label,
        decisions=len(choices),
        people=people,
        own_repetition=share(sum(repeats), len(repeats)),
        shared_wording=share(shared, len(choices)) if people > 1 else None,
        distinct_2=distinct_2([c.acted.text for c in choices], seed),
        verbs=len(verbs),
        verb_variety=evenness(verbs.values(), room) if enough and verbs else None,
        common_opening=share(max(openings.values(), default=0), len(choices)),
        instinct=share(len(choices) - len(by_model), len(choices)),
        filled=share(sum(c.filled for c in by_model), 3 * len(by_model)),
        unknown_names=share(sum(any(o.unknown for o in c.options) for c in choices), len(choices)),
        unfinished=share(known - outcomes["done"], known),
        outcomes={s: outcomes[s] for s in STATUSES if outcomes[s]},
    )


def _whole(
    marked: Sequence[_Marked],
    groups: Sequence[Sequence[_Marked]],
    figures: Sequence[Figures],
    room: int,
) -> Figures:
    """Of the whole run; what depends on a window's size is the mean, or the sum, over windows."""
    alone = asdict(_figures(marked, "whole run", room, "whole"))
    alone["distinct_2"] = _mean(f.distinct_2 for f in figures)
    if alone["shared_wording"] is not None:
        shared = sum(shares_wording([(i.choice.character, i.template) for i in g]) for g in groups)
        alone["shared_wording"] = shared / len(marked)
    return Figures(**alone)


def _verdict(
    measure: Measure, whole: Figures, figures: Sequence[Figures], windows: Windows
) -> Verdict:
    points = [(windows.middle(i), getattr(f, measure.key)) for i, f in enumerate(figures)]
    value = getattr(whole, measure.key)
    if measure is DISTINCT:
        missing = f"no window holds the {SAMPLE_WORDS} words that the sample takes"
    else:
        missing = f"too little to say anything: {whole.decisions} decisions"
    return judge(measure, value, points, windows.unit, missing=missing)


def _mean(values: Iterable[float | None]) -> float | None:
    kept = [v for v in values if v is not None]
    return fmean(kept) if kept else None


def _most(items: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """The commonest and how often; equally common ones by the alphabet."""
    counts = Counter(items)
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:LISTED])
