"""Rules of one decision: its purposes and its rejected answers against what the decider is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daydream_motives.characters.person import mentions
from daydream_motives.characters.sheet import is_minor
from daydream_motives.motives.names import allowed_words, unknown_names
from daydream_motives.training.dataset import wording
from daydream_motives.training.dataset.book import dotted
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.nodes import Steps
from daydream_motives.training.dataset.pairs import Pair

_NAME_REMEDY = "leave it out, or see to it that the context tells it (budget, ties, happened)"


def unknown_finder(pair: Pair) -> Callable[[str], tuple[str, ...]]:
    """What finds the names in a text that the pair's context lacks, as the engine would."""
    told = pair.context.text
    known = [n for e in pair.context.entities for n in (e.name, *e.aliases)] + [pair.context.name]
    allowed = allowed_words(told, known)
    return lambda text: unknown_names(text, allowed, told)


def of_pair(pair: Pair) -> Iterator[Finding]:
    written, record, scene = pair.written, pair.record, pair.scene
    steps = written.steps_of(pair.index)

    def finding(rest: Steps, what: str, remedy: str) -> Finding:
        return written.finding((*steps, *rest), dotted((record.key, *rest)), what, remedy)

    sheet = scene.people[record.who]
    for need in record.needs or {}:
        if need not in sheet.needs:
            needs = ", ".join(sheet.needs)
            yield finding(("needs",), f"the need {need!r}", f"use {needs}, or give it to the sheet")
    told, unknown_to = pair.context.text, unknown_finder(pair)
    minors = [p.short_name for p in scene.people.values() if is_minor(p.age)]

    def of_text(text: str, rest: Steps) -> Iterator[Finding]:
        rules = [*wording.shape(text, sheet.short_name), *wording.person(text)]
        if sheet.is_minor or any(mentions(text, name) for name in minors):
            rules += wording.romance(text)
        for what, remedy in rules:
            yield finding(rest, what, remedy)

    for index, text in enumerate(record.purposes):
        rest: Steps = ("purposes", index)
        yield from of_text(text, rest)
        for what, remedy in wording.stock(text, told):
            yield finding(rest, what, remedy)
        if unknown := unknown_to(text):
            names = ", ".join(unknown)
            yield finding(rest, f"names {names}, which the context lacks", _NAME_REMEDY)
    for index, (what, remedy) in wording.distinct(record.purposes):
        yield finding(("purposes", index), what, remedy)
    if len(record.rejected) not in (0, 2):
        yield finding(("rejected",), f"{len(record.rejected)} rejected", "give two, or none")
    if len({answer.why for answer in record.rejected}) < len(record.rejected):
        yield finding(("rejected",), "the same 'why' twice", "let each be wrong in its own way")
    for number, answer in enumerate(record.rejected):
        inside: Steps = ("rejected", number, "purposes")
        invented = False
        for index, text in enumerate(answer.purposes):
            yield from of_text(text, (*inside, index))
            unknown = unknown_to(text)
            invented |= bool(unknown)
            if unknown and answer.why != "invented_name":
                names = ", ".join(unknown)
                yield finding(
                    (*inside, index), f"names {names}, which the context lacks", _NAME_REMEDY
                )
        for index, (what, remedy) in wording.distinct(answer.purposes):
            yield finding((*inside, index), what, remedy)
        if answer.why == "invented_name" and not invented:
            yield finding(inside, "no invented name", "name somebody whom the context lacks")
        if answer.purposes == record.purposes:
            yield finding(inside, "the very same as the right answer", "write a worse one")
