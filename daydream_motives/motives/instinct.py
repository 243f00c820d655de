"""Purposes by rule: what a character would do without a moment to think.

Used when no model is installed, none can answer in time, or a model repeats itself. Draws on what
just happened, needs that press, the routine of the hour, and whoever matters most. Every text is
a sentence about this character with a reason in it. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
) -> list[str]:
    """At least three distinct purposes, most pressing first; the same inputs give the same."""
    words = Words(sheet.subject, sheet.short_name)
    name = sheet.short_name
    ranked: list[tuple[float, str]] = []

    def want(weight: float, act: str, why: str) -> None:
        forms = {
            "{them}": words.object, "{they}": _they(words), "{does}": words.verb("does"),
        }  # fmt: skip
        for mark, form in forms.items():
            why = why.replace(mark, form)
        if why.strip() and act.strip():
            rest = sentence(f"wants to {act}, because {why}")
            ranked.append((weight, f"{name} w{rest[1:]}"))

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
    ranked.sort(key=lambda item: (-item[0], item[1]))
    chosen: list[str] = []
    for _, text in ranked:
        if len(chosen) == RANKS * 3:
            break
        if all(alike(text, other) < NEAR_DUPLICATE for other in chosen):
            chosen.append(text)
    # A name made of many words can make everything look alike: then different is enough.
    spare = [text for _, text in ranked if text not in chosen]
    return (chosen + spare[: max(0, RANKS - len(chosen))])[: RANKS * 3]


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
