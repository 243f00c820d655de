"""Rules of contrast: a variant changes one thing; a set is of several people, or of one changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from daydream_motives.motives.purposes import NEAR_DUPLICATE, alike
from daydream_motives.training.dataset.book import Written
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.dataset.pairs import Pair
from daydream_motives.training.dataset.scenes import DecisionRecord, Scene

_VARIANT_MAY = {"who", "as_", "changes", "contrast", "ties", "remembers", "purposes", "rejected"}


def of_sets(written: Written, rendered: Mapping[str, Pair]) -> Iterator[Finding]:
    """What is wrong with the variants and sets of one scene; `rendered` holds pairs by key."""
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


def _of_variant(written: Written, index: int, rendered: Mapping[str, Pair]) -> Iterator[Finding]:
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
