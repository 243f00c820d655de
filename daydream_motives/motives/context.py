"""What a character is told before it decides: four fields of prose under a token budget.

Pure: the same inputs, in any order, give the same context. The sheet is fitted first and by itself,
whatever goes on: its text is always the very same, so that a model which has read it need not read
it again. What goes on and what is known share the rest. A piece that does not fit is left out
whole, least important first, and the receipt says so; only pieces without which there is no
decision (who, when and where, what just happened) and ties to those near are shortened instead. A
character is told its own secrets and nobody else's: nothing of another's sheet is read here, only
what its relationship, the situation and the lore in its scope say. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from daydream_motives.characters.lore import Note
from daydream_motives.characters.person import mentions
from daydream_motives.characters.relationships import NAMED, Tie
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.characters.words import content_words
from daydream_motives.motives.budget import (
    FIELDS,
    SCAFFOLD,
    CountTokens,
    Part,
    cut_name,
    escape,
    fit,
    render,
)
from daydream_motives.motives.prose import (
    Words,
    age_phrase,
    feelings,
    joined,
    kind_phrase,
    pressing,
    sentence,
    time_phrase,
)
from daydream_motives.motives.situation import Entity, Situation, Verb, in_order

DEFAULT_BUDGET = 400
MIN_BUDGET = 64
# Shares of the budget without the JSON's own tokens. What the sheet takes is read once for many
# decisions, what it leaves is all that each one costs anew: at 400 that is 162 tokens or a little
# more, with scaffolding 184 to read (median in the harbour town). Less for the sheet keeps more
# memories, and loses fears and secrets.
SHEET_SHARE = 0.57
# What a short sheet leaves goes to the moment, up to here (188 at 400, 211 to read).
MOMENT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Recollection:
    """Something the character knows from before: told in its own words, with a weight in [0, 1]."""

    text: str
    weight: float = 0.5
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """One piece offered to the context: kept, shortened or dropped; why; its tokens."""

    field: str
    kind: str
    key: str
    status: str
    reason: str
    tokens: int


@dataclass(frozen=True, slots=True)
class MotiveContext:
    """The four fields, what they name, and the receipt of what went into them."""

    name: str
    description: str
    context: str
    background: str
    entities: tuple[Entity, ...] = ()
    verbs: tuple[Verb, ...] = ()
    receipt: tuple[ReceiptEntry, ...] = ()
    tokens: int = 0

    @property
    def fields(self) -> dict[str, str]:
        """The user message's four fields, in order."""
        values = (self.name, self.description, self.context, self.background)
        return dict(zip(FIELDS, values, strict=True))

    def as_json(self) -> str:
        """The user message: the project's data format, unchanged."""
        return json.dumps(self.fields, ensure_ascii=False)

    @property
    def text(self) -> str:
        """All that is told, as one text."""
        return "\n".join(self.fields.values())


def build_context(
    sheet: CharacterSheet,
    situation: Situation,
    *,
    count_tokens: CountTokens,
    budget: int = DEFAULT_BUDGET,
    needs: Mapping[str, float] | None = None,
    mood: str = "",
    ties: Sequence[Tie] = (),
    recollections: Iterable[Recollection] = (),
    lore: Iterable[Note] = (),
) -> MotiveContext:
    """The context of one decision; `budget` (at least 64) bounds the tokens of its JSON.

    Name and description depend on `sheet`, `budget` and `count_tokens` alone. Each piece is counted
    by itself, so `tokens` is what the JSON costs at most. `needs` are levels in [0, 1]; `ties` come
    from RelationshipGraph.who_matters.
    """
    words = Words(sheet.subject, sheet.short_name)
    budget = max(MIN_BUDGET, budget)
    left = whole = budget - sum(map(count_tokens, SCAFFOLD))
    name = cut_name(sheet.name, int(SHEET_SHARE * whole), count_tokens)
    left -= count_tokens(escape(name))
    told_of = [piece for piece in _description(sheet, words) if piece.text]
    left -= fit(told_of, int(SHEET_SHARE * whole) - (whole - left), count_tokens)
    memories = sorted(set(recollections), key=lambda m: (-m.weight, m.text, m.reason))
    moment = [
        *_situation(sheet, situation, words, needs or {}, mood, ties),
        *_ties(ties, situation, words, memories),
        *_known(memories, lore, situation, ties),
    ]
    moment = [piece for piece in moment if piece.text]
    _raise_relevant(moment, situation, sheet)
    left -= fit(moment, min(left, int(MOMENT_SHARE * whole)), count_tokens)
    pieces = [*told_of, *moment]
    _, *others = render(name, pieces)
    description, context, background = others
    kept = {piece.key for piece in pieces if piece.status != "dropped"}
    told = "\n".join(others)
    return MotiveContext(
        name, description, context, background,
        entities=_entities(situation, ties, told, kept),
        verbs=tuple(sorted(situation.verbs, key=lambda verb: (verb.name, verb.words))),
        receipt=tuple(
            ReceiptEntry(FIELDS[p.field], p.kind, p.key, p.status, p.reason, p.tokens)
            for p in pieces
        ),
        tokens=budget - left,
    )  # fmt: skip


def _description(sheet: CharacterSheet, words: Words) -> list[Part]:
    who = sheet.occupation or ""
    known = who or sheet.age is not None
    identity = f"{sheet.name} is {age_phrase(sheet.age, who)}" if known else sheet.name
    nature = joined(sheet.traits)
    if mbti := sheet.personality.mbti:
        nature = f"{nature} ({mbti})" if nature else f"of the type {mbti}"
    character = words.say("is", nature)
    rows = [
        ("identity", identity, 10.0, True),
        ("description", sheet.description, 9.0, False),
        ("traits", character, 8.5, False),
        ("temper", _temper(sheet, words), 5.5, False),
        ("values", words.say("values", joined(sheet.values)), 5.0, False),
        ("wants", words.say("wants", joined(sheet.wants, "; ")), 9.5, False),
        ("fears", words.say("fears", joined(sheet.fears)), 7.5, False),
        ("skills", words.say("is", joined(sheet.skills), "good at "), 4.0, False),
        *(("habit", h, 3.5 - 0.1 * i, False) for i, h in enumerate(sheet.habits)),
        ("speech", f"Way of speaking: {sheet.speech}" if sheet.speech else "", 2.0, False),
        ("appearance", sheet.appearance, 1.0, False),
        *(
            ("secret", f"A secret of {words.possessive} own: {s}", 7.0 - 0.1 * i, False)
            for i, s in enumerate(sheet.secrets)
        ),
    ]
    return [
        Part(1, kind, f"{kind}:{index}", sentence(text), priority, essential)
        for index, (kind, text, priority, essential) in enumerate(rows)
    ]


def _temper(sheet: CharacterSheet, words: Words) -> str:
    five = sheet.personality.big_five
    if five is None:
        return ""
    poles = (
        (five.openness, "curious", "set in old ways"),
        (five.conscientiousness, "orderly", "careless"),
        (five.extraversion, "outgoing", "withdrawn"),
        (five.agreeableness, "gentle", "hard on others"),
        (five.neuroticism, "easily upset", "hard to upset"),
    )
    marked = [high if v >= 0.7 else low for v, high, low in poles if v >= 0.7 or v <= 0.3]
    return words.say("is", joined(marked), "by temper ")


def _situation(
    sheet: CharacterSheet,
    situation: Situation,
    words: Words,
    needs: Mapping[str, float],
    mood: str,
    ties: Sequence[Tie],
) -> list[Part]:
    place = situation.place.name if situation.place else ""
    occupations = {tie.person.id: tie.person.occupation for tie in ties}
    company = [
        entity.name + (f" ({note})" if (note := entity.note or occupations.get(entity.id)) else "")
        for entity in in_order(situation.present)
    ]
    with_whom = f"With {words.object}: {joined(company)}" if company else ""
    felt = pressing(
        {id: (needs.get(id, need.level), need.line) for id, need in sheet.needs.items()}
    )
    usual = _usual(sheet, situation.time, words)
    can = joined([verb.name for verb in sorted(situation.verbs, key=lambda v: (v.name, v.words))])
    near = joined([entity.name for entity in in_order(situation.nearby)])
    things = joined([entity.name for entity in in_order(situation.things)])
    rows = [
        ("when and where", time_phrase(situation.time, place, words), 10.0, True),
        ("place", situation.place_note, 4.5, False),
        ("present", with_whom, 9.2, True),
        ("activity", words.say("is", situation.activity), 8.0, False),
        *(("happened", text, 9.9 - 0.2 * i, i == 0) for i, text in enumerate(situation.happened)),
        ("needs", words.say("is", joined(felt)), 8.2, False),
        ("mood", words.say("feels", mood), 6.5, False),
        ("routine", usual, 6.0, False),
        ("verbs", words.say("can", can), 6.8, False),
        ("things", f"In reach: {things}" if things else "", 3.0, False),
        ("nearby", f"Near by: {near}" if near else "", 3.2, False),
    ]
    return [
        Part(2, kind, kind if kind != "happened" else f"happened:{index}", sentence(text), p, e)
        for index, (kind, text, p, e) in enumerate(rows)
    ]


def _usual(sheet: CharacterSheet, now: datetime | None, words: Words) -> str:
    entry = sheet.routine_at(now)
    if now is None or entry is None:
        return ""
    return f"Around this time {words.possessive} habit is {entry.activity}"


def _near(tie: Tie, situation: Situation) -> bool:
    """Whether the situation is about the person: here, or spoken of."""
    return NAMED in tie.reasons or any(tie.person.id == e.id for e in situation.present)


def _last(tie: Tie) -> str:
    """What the two had to do with each other last."""
    return tie.relationship.history[-1].text if tie.relationship.history else ""


def _told(text: str, memory: Recollection) -> bool:
    """Whether the memory says just this, but for when, from whom and how often."""
    if not (text := text.rstrip(".").casefold()):
        return False
    before, found, after = memory.text.casefold().partition(text)
    return bool(found) and before[-2:] in ("", ": ") and after[:2] in ("", ".", " (")


def _ties(
    ties: Sequence[Tie], situation: Situation, words: Words, memories: Sequence[Recollection]
) -> list[Part]:
    """Those here or spoken of go before what comes to mind, the others after: if a memory tells
    of them, their last meeting is left to it."""
    pieces = []
    for index, tie in enumerate(sorted(ties, key=lambda t: (-t.weight, t.person.id))):
        rel, name = tie.relationship, tie.person.name
        also = f", {tie.person.occupation}," if tie.person.occupation else ""
        is_what = f"{words.possessive} {kind_phrase(rel.kinds)}"
        if tuple(rel.kinds) == ("stranger",):
            is_what = f"a stranger to {words.object}"
        what = f"{name}{also} is {is_what}"
        near, last = _near(tie, situation), _last(tie)
        if not near and any(_told(last, memory) for memory in memories):
            last = ""
        felt = words.say("feels", joined(feelings(rel)))
        text = " ".join(sentence(part) for part in (what, rel.story, felt, last) if part)
        matters = bool(tie.reasons) or near or index < 2
        priority = 8.8 - 0.3 * index if near else 6.5 - 0.4 * index
        short = " ".join(sentence(part) for part in (what, felt) if part) if near else ""
        piece = Part(3, "relationship", f"person:{tie.person.id}", text, priority, short=short)
        if not matters:
            piece.status, piece.reason = "dropped", "does not matter now"
        pieces.append(piece)
    return pieces


def _known(
    memories: Sequence[Recollection],
    lore: Iterable[Note],
    situation: Situation,
    ties: Sequence[Tie],
) -> list[Part]:
    pieces = []
    near = sorted((t for t in ties if _near(t, situation)), key=lambda t: (-t.weight, t.person.id))
    for memory in {m.text: m for m in reversed(memories)}.values():
        pieces.append(
            Part(3, "memory", f"memory:{memory.text}", sentence(memory.text), 4 + 4 * memory.weight,
                 reason=memory.reason)
        )  # fmt: skip
        if any(_told(text, memory) for text in situation.happened):
            pieces[-1].status, pieces[-1].reason = "dropped", "it has just happened"
        elif holder := next((tie for tie in near if _told(_last(tie), memory)), None):
            pieces[-1].within = f"person:{holder.person.id}"
    text = touched(situation, ties)
    for note in sorted(lore, key=lambda n: (-n.priority, n.id, n.text, n.keys)):
        hits = [key for key in note.keys if mentions(text, key)]
        piece = Part(3, "lore", f"lore:{note.id}", sentence(note.text), 4 + 0.4 * note.priority)
        if note.keys and not hits:
            piece.status, piece.reason = "dropped", "nothing brings it up"
        elif hits:
            piece.reason = f"brought up by {joined(hits)}"
        pieces.append(piece)
    return pieces


def touched(situation: Situation, ties: Sequence[Tie]) -> str:
    """What lore and memories are held against: what goes on, who and what is there, where, and
    those spoken of."""
    return "\n".join(
        [
            *situation.happened,
            situation.activity,
            *(e.name for e in (*situation.present, *situation.things)),
            situation.place.name if situation.place else "",
            *(tie.person.name for tie in ties if NAMED in tie.reasons),
        ]
    )


def _raise_relevant(pieces: list[Part], situation: Situation, sheet: CharacterSheet) -> None:
    """What shares words with what is going on goes before what does not."""
    present = (entity.name for entity in situation.present)
    now = content_words(" ".join((*situation.happened, situation.activity, *present)))
    now -= content_words(sheet.name)
    for piece in pieces:
        if piece.field == 3 and (shared := len(now & content_words(piece.text))):
            piece.priority += min(2.0, 0.7 * shared)


def _entities(
    situation: Situation, ties: Sequence[Tie], told: str, kept: set[str]
) -> tuple[Entity, ...]:
    """What the context names: everything in it that a purpose may be about."""
    found: dict[tuple[str, str], Entity] = {}
    listed = [*situation.present, *situation.things, *situation.nearby]
    if situation.place:
        listed.append(situation.place)
    for entity in listed:
        if any(mentions(told, name) for name in (entity.name, *entity.aliases)):
            found[entity.kind, entity.id] = entity
    for tie in ties:
        person = tie.person
        if f"person:{person.id}" in kept or any(mentions(told, n) for n in person.names):
            found["person", person.id] = Entity(
                id=person.id, name=person.name, kind="person", aliases=person.aliases
            )
    return tuple(entity for _, entity in sorted(found.items()))
