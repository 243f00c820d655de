"""Purposes by rule: what a character would do without a moment to think.

Used when no model is installed, none can answer in time, or a model repeats itself. Draws on what
just happened, needs that press, the routine of the hour, and whoever matters most. Every text is
a sentence about this character with a reason in it. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from daydream_motives.characters.relationships import Tie
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.motives.prose import Words, kind_phrase, sentence
from daydream_motives.motives.purposes import NEAR_DUPLICATE, RANKS, alike
from daydream_motives.motives.situation import Situation

_Want = Callable[[float, str, str], None]
_NEED_ACTS = {
    "food": ("get something to eat", "hunger gives {them} no peace"),
    "rest": ("lie down and rest", "{they} can hardly stand any more"),
    "company": ("find someone to talk to", "the silence weighs on {them}"),
    "fun": ("do something for the joy of it", "the day has been nothing but duty"),
    "safety": ("get somewhere safe", "{they} {does} not feel safe here"),
    "health": ("see to that ailment", "it is getting worse"),
    "money": ("earn some money", "the purse is nearly empty"),
}


def instinct(
    sheet: CharacterSheet,
    situation: Situation,
    *,
    needs: Mapping[str, float] | None = None,
    ties: Sequence[Tie] = (),
    limit: int = 3 * RANKS,
) -> list[str]:
    """At least three distinct purposes, at most `limit` (3 or more), most pressing first; the same
    inputs give the same."""
    words = Words(sheet.subject, sheet.short_name)
    name = sheet.short_name
    ranked: list[tuple[float, str, str]] = []

    def want(weight: float, act: str, why: str) -> None:
        if why.strip() and act.strip():
            ranked.append((weight, act, why))

    here = {entity.id for entity in situation.present}
    events = [text for text in situation.happened if not text.startswith(f"{name} ")]
    if events:  # what the character did or felt itself is no news to it
        event = events[0]
        near = next((t for t in ties if t.person.id in here), None)
        whom = f"ask {near.person.name} about it" if near else "find out more"
        want(0.9, f"stop and {whom}", f"this has just happened: {event}")
    levels = {id: (needs or {}).get(id, need.level) for id, need in sheet.needs.items()}
    for id, need in sorted(sheet.needs.items()):
        gap = need.line - levels[id]
        act, why = _NEED_ACTS.get(id, (f"see to the need for {id}", "it cannot wait much longer"))
        want(0.8 + gap if gap > 0 else 0.1 + 0.1 * (1 - levels[id]), act, why)
    _routine(sheet, situation, want)
    for tie in ties[:6]:
        _about(tie, tie.person.id in here, want)
    for index, wish in enumerate(sheet.wants):
        if act := wish.removeprefix("to "):
            step = f"take one step towards this: {act}"
            want(0.45 - 0.05 * index, step, "no one else will do it")
    want(0.15, "watch what goes on and wait", "there is nothing that cannot wait")
    want(0.12, "go for a walk", "moving helps {them} think")
    want(0.11, "put things in order", "something was left undone")
    chosen: list[str] = []
    texts = _told(ranked, words, name)
    passed = []
    for text in texts:
        if all(alike(text, other) < NEAR_DUPLICATE for other in chosen):
            chosen.append(text)
            if len(chosen) == limit:
                break
        else:
            passed.append(text)
    # A name made of many words can make everything look alike: then different is enough.
    spare = [text for text in dict.fromkeys(passed) if text not in chosen]
    return chosen + spare[: max(0, RANKS - len(chosen))]


def _told(ranked: Sequence[tuple[float, str, str]], words: Words, name: str) -> Iterator[str]:
    """What is wanted as sentences, most pressing first; put in words one by one, for often the
    first three are all that is needed."""
    forms = {"{them}": words.object, "{they}": _they(words), "{does}": words.verb("does")}

    def said(act: str, why: str) -> str:
        if "{" in why:
            for mark, form in forms.items():
                why = why.replace(mark, form)
        return f"{name} w{sentence(f'wants to {act}, because {why}')[1:]}"

    for _, equal in groupby(sorted(ranked, key=lambda w: -w[0]), key=lambda w: w[0]):
        yield from sorted(said(act, why) for _, act, why in equal)


def _they(words: Words) -> str:
    return words.Subject if words.subject not in ("she", "he", "it", "they") else words.subject


def _routine(sheet: CharacterSheet, situation: Situation, want: _Want) -> None:
    if entry := sheet.routine_at(situation.time):
        usual = entry.activity or "what is always done"
        want(0.6, f"go on with the usual: {usual}", "this is the hour for it")
    elif sheet.occupation:
        want(0.5, f"get on with work as {sheet.occupation}", "it does not do itself")


def _about(tie: Tie, here: bool, want: _Want) -> None:
    rel, who = tie.relationship, tie.person.name
    kind = kind_phrase(rel.kinds[:1])
    weight = 0.3 + 0.3 * rel.strength + (0.15 if here else 0.0)
    verb = "talk to" if here else "look for"
    if rel.trust <= -0.35 or rel.affection <= -0.35:
        want(weight, f"keep out of the way of {who}", "no good has come of it before")
    elif rel.affection >= 0.35:
        want(weight, f"{verb} {who}", f"a {kind} like that is worth the time")
    else:
        want(weight - 0.1, f"{verb} {who}", f"a word with one's {kind} does no harm")
