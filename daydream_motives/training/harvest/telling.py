"""What a harvest gave, told in lines. Knows no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from daydream_motives.training.harvest.gather import MARKED, SEEN, Harvest, reasons
from daydream_motives.training.harvest.verdicts import DROP, REJECT, TEACH

_MOST_BROKEN = 8  # problems of one journal that are told in lines
_MEANINGS = {**TEACH, **REJECT, **DROP, "seen": SEEN, "redacted": MARKED}


def told(found: Harvest) -> str:
    """Each journal, what was kept and dropped and why, and what is broken."""
    return "\n".join(_lines(found))


def _lines(found: Harvest) -> Iterable[str]:
    for one in found.journals:
        whole = one["teach"] + one["reject"] + one["dropped"]
        of = f" of {one['world']}" if one["world"] else ""
        yield (
            f"{one['path']}{of}: {whole} decisions: {one['teach']} teach, {one['reject']} "
            f"rejected, {one['dropped']} dropped, {one['broken']} broken"
        )
    for kind, counts in reasons(found).items():
        yield f"{kind}: {sum(counts.values())}"
        yield from (f"  {n:6} {reason}: {_MEANINGS[reason]}" for reason, n in counts.items())
    yield f"of the rejected, beside a sample that shows what was better: {found.counts['paired']}"
    taken = ", ".join(f"{kind} {n}" for kind, n in sorted(found.redacted.items()))
    yield f"redacted: {taken or 'nothing'}"
    shown: Counter[str] = Counter()
    for finding in found.findings:
        shown[finding.file] += 1
        if shown[finding.file] <= _MOST_BROKEN:
            yield str(finding)
    if (more := sum(max(0, n - _MOST_BROKEN) for n in shown.values())) > 0:
        yield f"… and {more} more, listed in the manifest"
