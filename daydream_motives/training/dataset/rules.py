"""Every rule of the book of motives that a program can check. Writes nothing.

What a text may look like is in `wording`, what says the same twice in `repeats`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from daydream_motives.characters.person import mentions
from daydream_motives.characters.sheet import first_name, is_minor
from daydream_motives.characters.words import content_words
from daydream_motives.errors import RelationshipError
from daydream_motives.motives.names import allowed_words, unknown_names
from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike
from daydream_motives.training.dataset import wording
from daydream_motives.training.dataset.book import Book, Written, dotted, folded
from daydream_motives.training.dataset.findings import Finding, in_order
from daydream_motives.training.dataset.nodes import Steps
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.rendering import render
from daydream_motives.training.dataset.repeats import near_duplicates
from daydream_motives.training.dataset.scenes import DecisionRecord, Scene

YOUNGEST, OLDEST = 8, 95
# People and places of sim_examples/harbour_town: what a model is tried on it must not have read.
HARBOUR_NAMES = frozenset(
    """amara anselm aurelia bronagh dov dragan elspeth emilio henrike ines joao karl kenji leyla
    mateo minh noor philomena piet saoirse sunniva thandiwe tomasz ulla yusuf""".split()
)
HARBOUR_PLACES = frozenset(
    name.strip()
    for name in """old quay; tally hall; harbour office; gull tavern; rooms above the gull;
    demir's bakery; ropewalk cottages; brandt's boatyard; net loft; st brannoc's; harbour school;
    surgery; chapel hill; hen point light; ferry steps; kessler's post office and stores;
    khumalo smokehouse; ice house; long shingle; hen sound""".replace("\n", " ").split(";")
)
# Whom every model calls its characters.
STOCK_NAMES = frozenset(
    """elena marcus sarah chen priya okafor kael lyra elara thorne mira finn maya leo aria jax zara
    sofia anya viktor hassan raj ravi luca isabella rosa tom anna ben sam lily eli silas ezra nadia
    tariq ingrid bjorn kofi kwame mei hiro yuki diego carlos lucia ivan dmitri natasha olga fatima
    omar aisha ahmed ali""".split()
)
_VARIANT_MAY = {"who", "as_", "changes", "contrast", "ties", "remembers", "purposes", "rejected"}


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
            findings += _of_pair(pair)
        findings += _of_sets(written, rendered)
    findings += _of_ids(book, beside)
    findings += _repeats(book, beside)
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


def _of_pair(pair: Pair) -> Iterator[Finding]:
    written, record, scene = pair.written, pair.record, pair.scene
    steps = written.steps_of(pair.index)

    def finding(rest: Steps, what: str, remedy: str) -> Finding:
        return written.finding((*steps, *rest), dotted((record.key, *rest)), what, remedy)

    sheet = scene.people[record.who]
    for need in record.needs or {}:
        if need not in sheet.needs:
            needs = ", ".join(sheet.needs)
            yield finding(("needs",), f"the need {need!r}", f"use {needs}, or give it to the sheet")
    told = pair.context.text
    known = [n for e in pair.context.entities for n in (e.name, *e.aliases)] + [pair.context.name]
    allowed = allowed_words(told, known)
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
        if unknown := unknown_names(text, allowed, told):
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
            unknown = unknown_names(text, allowed, told)
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


_NAME_REMEDY = "leave it out, or see to it that the context tells it (budget, ties, happened)"


def _of_sets(written: Written, rendered: dict[str, Pair]) -> Iterator[Finding]:
    """Variants change one thing; sets are of several people, or of one person changed."""
    scene = written.scene
    sets: defaultdict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(scene.decisions):
        if record.contrast:
            sets[record.contrast].append(index)
        yield from _of_variant(written, index, rendered)
    if not written.whole:
        return
    for label, members in sets.items():
        records = [scene.decisions[i] for i in members]
        steps, where = (*written.steps_of(members[0]), "contrast"), f"contrast {label}"
        people = len({record.who for record in records})
        if len(records) < 2:
            yield written.finding(steps, where, "a set of one", "give the label to another too")
        elif people > 1 and (people < len(records) or any(r.changes for r in records)):
            yield written.finding(
                steps, where, "people and changes in one set", "make it two sets, two labels"
            )
        elif people > 1 and len(records) > 4:
            yield written.finding(steps, where, f"{len(records)} people", "2 to 4 in a set")
        elif people == 1:
            bases = [record for record in records if not record.changes]
            keys = {record.key for record in records}
            if len(bases) != 1 or any(r.changes and r.changes not in keys for r in records):
                yield written.finding(
                    steps, where, "a set of changes without the one decision they start from",
                    "give the label to the base, and let the others change it",
                )  # fmt: skip
            elif len(records) > 3:
                yield written.finding(steps, where, f"{len(records)} variants", "2 or 3 in a set")


def _of_variant(written: Written, index: int, rendered: dict[str, Pair]) -> Iterator[Finding]:
    scene, record, steps = written.scene, written.scene.decisions[index], written.steps_of(index)

    def finding(what: str, remedy: str) -> Finding:
        return written.finding(steps, record.key, what, remedy)

    if not record.changes:
        return
    above = {other.key: other for other in scene.decisions[:index]}
    base = above.get(record.changes)
    if base is None:
        if written.whole:
            yield finding(f"changes {record.changes!r}", "name a decision above it")
        return
    if base.who != record.who:
        yield finding(f"changes a decision of {base.who}", "change one of the same person")
    if not record.contrast:
        yield finding("a change without a contrast", "give it and its base a label")
    given = {name for name in record.model_fields_set if getattr(record, name) not in (None, ())}
    given |= {"remembers"} & record.model_fields_set
    for name in sorted(given - _VARIANT_MAY):
        yield finding(f"changes {name}", "change one tie or one memory, and nothing else")
    full = scene.full(base)
    moved = [t for t in record.ties if t.relationship != _tie(scene, full, t.ends)]
    memory = record.remembers is not None and _steps_between(full.remembers or (), record.remembers)
    if len(moved) + int(memory) != 1:
        yield finding(
            f"{len(moved)} ties and {int(memory)} memories change",
            "let one tie differ, or one memory differ, come or go (give the other memories again)",
        )
    pair, before = rendered.get(record.key), rendered.get(record.changes)
    if pair is None or before is None:
        return
    if pair.context.fields == before.context.fields:
        yield finding(
            "what changes does not reach the context", "shorten the sheet, raise the budget"
        )
    if alike(record.purposes[0], base.purposes[0]) >= NEAR_DUPLICATE:
        yield finding("the first purpose is the base's", "let the order change with what changed")


def _tie(scene: Scene, record: DecisionRecord, ends: tuple[str, str]) -> object:
    ties = {tie.ends: tie.relationship for tie in (*scene.ties, *record.ties)}
    return ties.get(ends)


def _steps_between(before: Sequence[str], after: Sequence[str]) -> int:
    """How many memories differ, came or went."""
    gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
    return max(gone.total(), new.total())


def _of_ids(book: Book, beside: Book | None) -> Iterator[Finding]:
    first: dict[str, Written] = {one.scene.id: one for one in (beside.written if beside else ())}
    for one in book.written:
        if other := first.get(one.scene.id):
            where = f"{other.document.file}:{other.document.line}"
            yield one.finding(
                ("id",), "", f"the id of another scene ({where})", "choose another id"
            )
        first.setdefault(one.scene.id, one)


def _repeats(book: Book, beside: Book | None) -> Iterator[Finding]:
    """Near-duplicates anywhere: between right answers, and between rejected ones."""
    for kind in ("purposes", "rejected"):
        texts: dict[tuple[int, int, int], frozenset[str]] = {}
        every = [*(beside.written if beside else ()), *book.written]
        for number, written in enumerate(every):
            names = content_words(" ".join(written.scene.people_names()))
            for index, record in enumerate(written.scene.decisions):
                rows = record.purposes if kind == "purposes" else [
                    text for answer in record.rejected for text in answer.purposes
                ]  # fmt: skip
                for at, text in enumerate(rows):
                    texts[number, index, at] = content_words(text) - names
        start = len(every) - len(book.written)
        for a, b, share in near_duplicates(texts):
            if b[0] < start or (a[:2] == b[:2] and kind == "purposes"):
                continue  # within one decision `distinct` has said so
            one, other = every[b[0]], every[a[0]]
            record, twin = one.scene.decisions[b[1]], other.scene.decisions[a[1]]
            place = f"{other.scene.id}/{twin.key} {kind} {a[2] + 1}"
            steps: Steps = (*one.steps_of(b[1]), kind)
            steps += (b[2],) if kind == "purposes" else (b[2] // 3, "purposes", b[2] % 3)
            yield one.finding(
                steps, f"{record.key}.{kind}.{b[2] + 1}",
                f"nearly {place} ({share:.0%} of the words)", "write it anew",
            )  # fmt: skip
