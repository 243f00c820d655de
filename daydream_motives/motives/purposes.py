"""Three ranked purposes, where they came from, and the way back from game to training.

Knows nothing of models: a backend hands in texts and how sure it was of each; what comes out is
valid by construction: exactly three, distinct, ranked, with targets and the closest verb.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field
from rapidfuzz import fuzz, process

from daydream_motives.characters.files import validated
from daydream_motives.characters.sheet import Strict, Text, first_name
from daydream_motives.characters.words import content_words
from daydream_motives.errors import Problem, SituationError
from daydream_motives.motives.context import MotiveContext, ReceiptEntry
from daydream_motives.motives.names import allowed_words, repair_names, unknown_names
from daydream_motives.motives.situation import Entity, Situation, Verb

Source = Literal["model", "cache", "instinct"]
RANKS = 3
NEAR_DUPLICATE = 0.6  # share of content words two purposes have in common, from here on alike
MAX_WORDS = 60
MAX_CHARACTERS = 600
_FALL = 0.9  # a lower rank's confidence is at most this much of the one above


@dataclass(frozen=True, slots=True)
class Purpose:
    """One thing the character wants to do next and why.

    `score` is relative confidence in (0, 1); the three sum to 1 and fall with rank. `targets` are
    ids of what the text names. `unknown_names` are names in it that the character was never told.
    """

    rank: int
    text: str
    score: float
    targets: tuple[str, ...] = ()
    verb: str | None = None
    unknown_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an answer came from; `filled` are ranks that instinct supplied to a model's answer.

    `reason` says why it is not the model's (deadline, no model, a failure); latency in ms.
    """

    source: Source
    model: str = ""
    model_hash: str = ""
    adapter_hash: str = ""
    prompt_hash: str = ""
    seed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: float = 0.0
    filled: tuple[int, ...] = ()
    reason: str = ""
    receipt: tuple[ReceiptEntry, ...] = ()

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Draft:
    """A backend's raw answer for one rank: its text and mean log-probability per token (<= 0)."""

    text: str
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedPurposes(Sequence[Purpose]):
    """Exactly three purposes, most likely first."""

    purposes: tuple[Purpose, Purpose, Purpose]
    provenance: Provenance

    def __post_init__(self) -> None:
        if [p.rank for p in self.purposes] != [1, 2, 3]:
            raise ValueError("RankedPurposes holds exactly the ranks 1, 2 and 3, in order")

    def __len__(self) -> int:
        return RANKS

    def __getitem__(self, index: Any) -> Any:
        return self.purposes[index]

    def __iter__(self) -> Iterator[Purpose]:
        return iter(self.purposes)

    def as_data(self) -> dict[str, Any]:
        """Plain data: purposes with text, rank, score, targets; provenance without the receipt."""
        provenance = self.provenance.as_data()
        provenance.pop("receipt")
        return {"purposes": [asdict(p) for p in self.purposes], "provenance": provenance}


class RelationshipChange(Strict):
    """How the character now sees someone: axis -> change in [-2, 2]."""

    to: Text
    changes: dict[str, Annotated[float, Field(ge=-2, le=2)]]


class Outcome(Strict):
    """What the game made of a decision: the lesson that training learns from.

    `status`: done, failed, interrupted, or overruled (the game would not have it). `needs` are
    changes of the character's needs in [-1, 1]; `grade` is a designer's judgement in [-1, 1].
    """

    status: Literal["done", "failed", "interrupted", "overruled"] = "done"
    needs: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    relationships: tuple[RelationshipChange, ...] = ()
    grade: Annotated[float | None, Field(ge=-1, le=1)] = None
    note: Text = ""


Listener = Callable[["Decision", str], None]


@dataclass(slots=True)
class Decision:
    """One request and its answer; `choose` and `resolve` tell what became of it."""

    id: str
    character: str
    context: MotiveContext
    ranked: RankedPurposes
    listeners: list[Listener] = field(default_factory=list, repr=False)
    chosen: int | None = None
    outcome: Outcome | None = None

    def __iter__(self) -> Iterator[Purpose]:
        return iter(self.ranked)

    def __len__(self) -> int:
        return RANKS

    def __getitem__(self, index: int) -> Purpose:
        purpose: Purpose = self.ranked[index]
        return purpose

    @property
    def provenance(self) -> Provenance:
        return self.ranked.provenance

    def choose(self, rank: int = 1) -> Purpose:
        """The game acts on this purpose; raises SituationError for a rank that is none."""
        if rank not in (1, 2, 3):
            raise SituationError([Problem("decision", "rank", repr(rank), "1, 2 or 3")])
        if self.outcome is not None:
            raise SituationError(
                [Problem("decision", "choose", "a decision already resolved", "an open one")]
            )
        self.chosen = rank
        self._tell("chosen")
        purpose: Purpose = self.ranked[rank - 1]
        return purpose

    def resolve(self, outcome: Outcome | Mapping[str, Any]) -> None:
        """How it went; once per decision. Raises SituationError for a wrong outcome."""
        if not isinstance(outcome, Outcome):
            outcome = validated(Outcome, outcome, "outcome", SituationError)
        if self.outcome is not None:
            raise SituationError(
                [Problem("decision", "resolve", "a decision already resolved", "an open one")]
            )
        self.outcome = outcome
        try:
            self._tell("resolved")
        except BaseException:
            self.outcome = None  # not kept, so it may be tried again
            raise

    def _tell(self, what: str) -> None:
        for listener in self.listeners:
            listener(self, what)


class Recorder(Protocol):
    """What keeps decisions: the journal."""

    def decided(self, decision: Decision, situation: Situation) -> None: ...

    def chosen(self, decision: Decision) -> None: ...

    def resolved(self, decision: Decision) -> None: ...


def assemble(
    drafts: Sequence[Draft],
    context: MotiveContext,
    provenance: Provenance,
    *,
    instinct: Sequence[str],
) -> RankedPurposes:
    """Three purposes from what a backend said, or RankedPurposes of instinct where it said nothing.

    Empty or repeated drafts are replaced by the next text of `instinct` (at least three, distinct
    from each other), and provenance says which ranks those are.
    """
    told = context.text if drafts else ""  # instinct invents no names: nothing to look for
    known = [n for e in context.entities for n in (e.name, *e.aliases)] + [context.name]
    allowed = allowed_words(told, known) if drafts else frozenset()
    called = _called(context.entities, context.name)
    kept: list[tuple[str, float, tuple[str, ...]]] = []
    filled: list[int] = []
    spare = iter([*instinct, *_LAST_RESORT])
    for rank in range(1, RANKS + 1):
        draft = drafts[rank - 1] if rank <= len(drafts) else Draft("")
        text = _clean(draft.text)
        unknown: tuple[str, ...] = ()
        if text:
            unknown = unknown_names(text, allowed, told)
            text, unknown = repair_names(text, unknown, known)
        if not text or any(alike(text, other) >= NEAR_DUPLICATE for other, _, _ in kept):
            taken = [other for other, _, _ in kept]
            apart = (s for s in spare if all(alike(s, t) < NEAR_DUPLICATE for t in taken))
            text = next(apart, None) or next(s for s in _LAST_RESORT if s not in taken)
            unknown = ()
            filled.append(rank)
        kept.append((text, draft.confidence, unknown))
    scores = falling([confidence for _, confidence, _ in kept])
    purposes = [
        Purpose(rank, text, score, _named(text, called),
                closest_verb(text, context.verbs, context.name), unknown)
        for rank, ((text, _, unknown), score) in enumerate(zip(kept, scores, strict=True), 1)
    ]  # fmt: skip
    a, b, c = purposes
    source: Source = "instinct" if len(filled) == RANKS else provenance.source
    reason = provenance.reason
    if filled and provenance.source == "model":
        reason = reason or f"the model repeated itself at rank {', '.join(map(str, filled))}"
    final = replace(
        provenance,
        source=source,
        filled=() if provenance.source == "instinct" else tuple(filled),
        reason=reason,
    )
    return RankedPurposes((a, b, c), final)


_LAST_RESORT = (
    "wait a moment and see what happens, because nothing presses",
    "look around for something worth doing, because time is passing",
    "rest where there is room, because the day has been long",
    "go for a walk, because moving helps thinking",
    "put the last thing in order, because it was left undone",
    "listen to what others say, because news matters",
)


def falling(confidences: Sequence[float]) -> list[float]:
    """Mean log-probabilities as shares of 1 that strictly fall with rank, however they came."""
    import math

    raw: list[float] = []
    for value in confidences:
        share = math.exp(max(-20.0, min(0.0, value)))
        raw.append(share if not raw else min(share, raw[-1] * _FALL))
    total = sum(raw)
    return [share / total for share in raw]


def alike(a: str, b: str) -> float:
    """How much two purposes say the same: the overlap coefficient of content words, in [0, 1]."""
    x, y = content_words(a), content_words(b)
    if not x or not y:
        return 1.0 if x == y and a.strip() == b.strip() else 0.0
    return len(x & y) / min(len(x), len(y)) if min(len(x), len(y)) > 2 else len(x & y) / len(x | y)


def targets_of(text: str, entities: Sequence[Entity], own_name: str = "") -> tuple[str, ...]:
    """Ids of the entities the text names, in order of mention; longer names win over shorter.

    A person may be called by the first name, unless two of them, or `own_name`, share it.
    """
    return _named(text, _called(entities, own_name))


def _called(entities: Sequence[Entity], own_name: str) -> list[tuple[str, str, int, str]]:
    """What each entity is called: (in lower case, as it stands, flags to look with, its id)."""
    firsts = Counter([own_name.split(" ")[0]])
    alone = [first_name(e.name) if e.kind == "person" else () for e in entities]
    firsts.update(first for names in alone for first in names)
    found = []
    for entity, first in zip(entities, alone, strict=True):
        names = [entity.name, *entity.aliases, *(name for name in first if firsts[name] == 1)]
        if entity.kind == "place" and entity.name.lower().startswith("the "):
            names.append(entity.name[4:])
        case = 0 if entity.kind == "person" else re.IGNORECASE
        found += [(name.casefold(), name, case, entity.id) for name in names]
    own = own_name.casefold()
    return [one for one in found if one[0] != own]


def _named(text: str, called: Sequence[tuple[str, str, int, str]]) -> tuple[str, ...]:
    hits: list[tuple[int, int, str]] = []
    folded = text.casefold()
    for lowered, name, case, id in called:
        if lowered in folded:  # most are not there at all
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, case):
                hits.append((match.start(), match.end(), id))
    hits.sort(key=lambda hit: (hit[0], -hit[1], hit[2]))
    found: list[str] = []
    end = -1
    for start, stop, id in hits:
        if start >= end:
            end = stop
            if id not in found:
                found.append(id)
    return tuple(found)


def closest_verb(text: str, verbs: Sequence[Verb], own_name: str = "") -> str | None:
    """The verb the text comes closest to: a word of it, else the most similar one; None if none.

    `own_name` at the beginning is not looked at: Rowan does not row.
    """
    lowered = text.casefold()
    for name in (own_name.casefold(), own_name.split(" ")[0].casefold()):
        lowered = lowered.removeprefix(name) if name else lowered
    if not verbs:
        return None
    pattern, words = _forms(tuple((verb.name, *verb.words) for verb in verbs))
    # A verb's place matters: what comes first is what is done.
    if match := pattern.search(lowered):
        return verbs[(match.lastindex or 1) - 1].name
    _, _, nearest = process.extractOne(lowered, [word for _, word in words], scorer=fuzz.ratio)
    return verbs[words[nearest][0]].name


@lru_cache(maxsize=256)
def _forms(
    verbs: tuple[tuple[str, ...], ...],
) -> tuple[re.Pattern[str], tuple[tuple[int, str], ...]]:
    """What finds the first word of any of the verbs, in its forms (the group's number is the
    verb's), and all words with the index of their verb."""
    words = [[word.casefold() for word in forms] for forms in verbs]
    groups = []
    for lowered in words:
        stems = (w[:-1] if len(w) > 3 and w.endswith("e") else w for w in lowered)
        groups.append("|".join(map(re.escape, stems)))
    joined = "|".join(f"({group})(?:e|s|es|ed|d|ing|n|en)?(?!\\w)" for group in groups)
    flat = tuple((index, word) for index, forms in enumerate(words) for word in forms)
    return re.compile(rf"(?<!\w)(?:{joined})"), flat


def _clean(text: str) -> str:
    """One line, at most 60 words, with a full stop."""
    words = text.replace("�", "").split()
    if not any(char.isalnum() for word in words for char in word):
        return ""
    line = " ".join(words[:MAX_WORDS])[:MAX_CHARACTERS].strip()
    return line if line[-1] in '.!?…。！？”’"' else line.rstrip(",;:- ") + "."
