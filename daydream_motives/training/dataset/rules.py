"""Every rule of the book of motives that a program can check. Writes nothing.

What a text may look like is in `wording`, what says the same twice in `repeats`, what a decision
and a contrast set must be in `rules_of_pairs` and `rules_of_sets`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daydream_motives.characters.sheet import first_name
from daydream_motives.characters.words import content_words
from daydream_motives.errors import RelationshipError
from daydream_motives.training.dataset.avoided import HARBOUR_NAMES, HARBOUR_PLACES, STOCK_NAMES
from daydream_motives.training.dataset.book import Book, Written, dotted, folded
from daydream_motives.training.dataset.findings import Finding, in_order
from daydream_motives.training.dataset.nodes import Steps
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.rendering import render
from daydream_motives.training.dataset.repeats import near_duplicates
from daydream_motives.training.dataset.rules_of_pairs import of_pair
from daydream_motives.training.dataset.rules_of_sets import of_sets

YOUNGEST, OLDEST = 8, 95


class Repeat(NamedTuple):
    """A purpose where it stands: the scene, the number of the decision in it, the path below."""

    written: Written
    number: int
    steps: Steps


def check(book: Book, beside: Book | None = None) -> tuple[list[Pair], list[Finding]]:
    """Every decision that can be rendered, and everything wrong with the book.

    `beside` are scenes that stand beside these: nothing here may repeat them.
    """
    findings = list(book.findings)
    pairs: list[Pair] = []
    for written in book.written:
        findings += _of_scene(written)
        rendered = {}
        for index, record in enumerate(written.scene.decisions):
            if record.who not in written.scene.people:
                continue
            try:
                context = render(written.scene, record)
            except RelationshipError as exc:
                findings += _of_ties(written, index, exc)
                continue
            pair = rendered[record.key] = Pair(written, index, context)
            pairs.append(pair)
            findings += of_pair(pair)
        findings += of_sets(written, rendered)
    findings += _of_ids(book, beside)
    findings += repeats(book, beside)
    return pairs, in_order(findings)


def _of_ties(written: Written, index: int, exc: RelationshipError) -> Iterator[Finding]:
    for problem in exc.problems:
        ends, _, rest = problem.path.partition(".")
        number = next(
            (i for i, tie in enumerate(written.scene.ties) if " -> ".join(tie.ends) == ends), None
        )
        steps: Steps = written.steps_of(index) if number is None else ("ties", number)
        where = f"ties {ends}{'.' if rest else ''}{rest}"
        yield written.finding(
            steps, where, f"found {problem.found}", f"expected {problem.expected}"
        )


def _of_scene(written: Written) -> Iterator[Finding]:
    scene = written.scene
    deciders = {record.who for record in scene.decisions}
    for id, person in scene.people.items():
        steps: Steps = ("people", id)
        first = folded(next(iter(first_name(person.name)), person.name))
        if id != id.lower():
            yield written.finding(steps, id, "an id with capitals", "write it in lower case")
        if first in HARBOUR_NAMES:
            yield written.finding(
                (*steps, "name"), id, f"{person.name!r} is of sim_examples", "choose another name"
            )
        if first in STOCK_NAMES:
            yield written.finding(
                (*steps, "name"), id, f"{person.name!r}: a stock name", "choose another name"
            )
        if id in deciders:
            if person.age is None or not YOUNGEST <= person.age <= OLDEST:
                yield written.finding(
                    (*steps, "age"), id, f"age {person.age}", f"{YOUNGEST} to {OLDEST}, who decides"
                )
            if person.personality.mbti is None:
                yield written.finding(steps, id, "no mbti", "give personality: {mbti: …}")
            if not person.occupation:
                yield written.finding(steps, id, "no occupation", "give one to whoever decides")
    for key, places in (("place", (scene.place,) if scene.place else ()), ("nearby", scene.nearby)):
        for place in places:
            if folded(place.name).removeprefix("the ") in HARBOUR_PLACES:
                yield written.finding(
                    (key,), key, f"{place.name!r} is of sim_examples", "choose another place"
                )
    for key, ids in (
        ("present", scene.present or ()),
        ("lore", [id for note in scene.lore for id in note.known_to or ()]),
    ):
        for id in ids:
            if id not in scene.people:
                yield written.finding(
                    (key,), key, f"{id!r}, who is not in people", "add them there"
                )
    ends = Counter(tie.ends for tie in scene.ties)
    for (a, b), count in ends.items():  # the later would silently replace the earlier
        if count > 1:
            yield written.finding(("ties",), f"ties {a} -> {b}", "given twice", "keep one")
    keys = Counter(record.key for record in scene.decisions)
    for index, record in enumerate(scene.decisions):
        steps = written.steps_of(index)
        if record.who not in scene.people:
            yield written.finding(
                (*steps, "who"),
                record.key,
                f"who is {record.who!r}, not in people",
                "add them there",
            )
        if keys[record.key] > 1:
            yield written.finding(
                steps, record.key, "two decisions of this key", "give one a key of its own (as: …)"
            )


def _of_ids(book: Book, beside: Book | None) -> Iterator[Finding]:
    first: dict[str, Written] = {one.scene.id: one for one in (beside.written if beside else ())}
    for one in book.written:
        if other := first.get(one.scene.id):
            where = f"{other.document.file}:{other.document.line}"
            yield one.finding(
                ("id",), "", f"the id of another scene ({where})", "choose another id"
            )
        first.setdefault(one.scene.id, one)


def repeated(every: Sequence[Written]) -> list[tuple[Repeat, Repeat, float]]:
    """Near-duplicates anywhere: two right answers, or two rejected ones, and their share."""
    found: list[tuple[Repeat, Repeat, float]] = []
    for kind in ("purposes", "rejected"):
        texts: dict[Repeat, frozenset[str]] = {}
        for written in dict.fromkeys(every):
            names = content_words(" ".join(written.scene.people_names()))
            for index, record in enumerate(written.scene.decisions):
                answers = [a.purposes for a in record.rejected]
                for number, answer in enumerate(
                    [record.purposes] if kind == "purposes" else answers
                ):
                    steps: Steps = () if kind == "purposes" else (number, "purposes")
                    for at, text in enumerate(answer):
                        repeat = Repeat(written, index, (kind, *steps, at))
                        texts[repeat] = content_words(text) - names
        found += [
            (a, b, share)
            for a, b, share in near_duplicates(texts)
            if a[:2] != b[:2] or kind == "rejected"  # within one answer `distinct` has said so
        ]
    return found


def repeats(book: Book, beside: Book | None) -> Iterator[Finding]:
    """What this book repeats, of itself or of what stands beside it."""
    mine = set(map(id, book.written))
    for a, b, share in repeated([*(beside.written if beside else ()), *book.written]):
        if id(b.written) in mine:
            record = b.written.scene.decisions[b.number]
            twin = a.written.scene.decisions[a.number]
            place = f"{a.written.scene.id}/{dotted((twin.key, *a.steps))}"
            yield b.written.finding(
                (*b.written.steps_of(b.number), *b.steps), dotted((record.key, *b.steps)),
                f"nearly {place} ({share:.0%} of the words)", "write it anew",
            )  # fmt: skip
