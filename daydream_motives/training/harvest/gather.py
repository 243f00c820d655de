"""Journals to samples: each decision judged, redacted, kept or dropped with the reason.

A sample is a ShareGPT record and, beside it, `kind` (teach or reject), `grade`, `why`, `lineage`,
`character` and `world`; a reject may name in `instead_of` the sample that answers its question
better. Writes nothing but what `write` is asked to.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daydream_motives.characters.sheet import clean_text
from daydream_motives.errors import DaydreamError, RunError, SettingsError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.records import as_sharegpt
from daydream_motives.training.dataset.findings import Finding
from daydream_motives.training.folder import described, lines, write_whole
from daydream_motives.training.harvest.journals import JournalFile, files_of, open_journal
from daydream_motives.training.harvest.pairing import Answer, pairs
from daydream_motives.training.harvest.redaction import MARKS, Redaction
from daydream_motives.training.harvest.verdicts import LEAST, Judge, Verdict, invented

SCHEMA_VERSION = 1
MOST_MOVED = 2.0
STAGE = "harvest"
_MOST_TOLD = 20
_PART_BYTES = 64 * 1024 * 1024  # of one file of samples: what reads them takes no more than twice
SEEN = "the same decision was read from another journal, or before"
MARKED = "what was redacted stands in the answer; give a stand-in for the name, if it is one"


@dataclass(slots=True)
class Harvest:
    """What some journals gave."""

    samples: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    journals: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    redacted: Counter[str] = field(default_factory=Counter)
    least: float = LEAST

    @property
    def counts(self) -> dict[str, int]:
        """Decisions, and what became of them."""
        kinds = Counter(sample["kind"] for sample in self.samples)
        return {
            "decisions": len(self.samples) + len(self.dropped),
            "teach": kinds["teach"],
            "reject": kinds["reject"],
            "paired": sum(bool(sample.get("instead_of")) for sample in self.samples),
            "dropped": len(self.dropped),
            "broken": len(self.findings),
        }


def harvest(
    given: Iterable[Path],
    *,
    redaction: Redaction | None = None,
    least: float = LEAST,
    game_version: str = "",
    world: str = "",
) -> Harvest:
    """Everything that the journals teach; one that cannot be read is told, and the rest goes on.

    `game_version` and `world` are for journals that do not say. Raises RunError where none
    of them holds a decision that can be read, SettingsError for a `least` that is no such number.
    """
    if not 0 < least <= MOST_MOVED:
        raise SettingsError(f"--least is {least}", remedy=f"above 0, at most {MOST_MOVED}")
    redaction = redaction or Redaction()
    found = Harvest(least=least)
    seen: set[str] = set()
    answers: list[tuple[dict[str, Any], Answer]] = []
    files = files_of(given)
    for path in files:
        try:
            journal = open_journal(path, game_version=game_version, world=world)
        except DaydreamError as exc:
            finding = Finding(str(path), 0, "", exc.message, exc.remedy)
            found.findings.append(_told(finding, redaction))
            continue
        answers += _one(journal, Judge(least), redaction, seen, found, len(answers))
    if not answers and not found.dropped and found.findings:
        told = "\n".join(map(str, found.findings[:_MOST_TOLD]))
        raise RunError(
            f"nothing could be harvested: {len(found.findings)} problems\n{told}",
            remedy="give journals; the format is told in sim_examples/JOURNAL.md",
        )
    instead = pairs(
        [answer for sample, answer in answers if sample["kind"] == "teach"],
        [answer for sample, answer in answers if sample["kind"] == "reject"],
    )
    for sample in found.samples:
        if sample["kind"] == "reject":
            sample["instead_of"] = instead.get(sample["id"])
    found.redacted = Counter(redaction.counts)
    return found


def _one(
    journal: JournalFile,
    judge: Judge,
    redaction: Redaction,
    seen: set[str],
    found: Harvest,
    start: int,
) -> list[tuple[dict[str, Any], Answer]]:
    """The samples of one journal, and as what they are compared; adds to `found`."""
    answers: list[tuple[dict[str, Any], Answer]] = []
    kinds: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    for read in journal.records():
        record = _redacted(read, redaction)
        turns[record["character"]] += 1
        id = sample_id(record)
        verdict = judge(record)
        if id in seen:
            verdict, detail = Verdict("drop", "open"), SEEN
            reason = "seen"
        else:
            detail, reason = verdict.why, verdict.reason
            if verdict.kind != "drop" and _marked(record):
                verdict, reason, detail = Verdict("drop", "open"), "redacted", MARKED
        if record["outcome"]:  # one that is still open may be settled in a later copy
            seen.add(id)
        kinds[verdict.kind] += 1
        if verdict.kind == "drop":
            found.dropped.append(
                {"journal": journal.sha256[:12], "decision": record["id"],
                 "character": record["character"], "reason": reason, "detail": detail}
            )  # fmt: skip
            continue
        if verdict.kind == "teach" and record["chosen"]:  # what was done, and was good, comes first
            record["purposes"].insert(0, record["purposes"].pop(record["chosen"] - 1))
        sample = _sample(id, record, verdict, journal, redaction)
        found.samples.append(sample)
        answer = Answer(
            id, start + len(answers), (sample["world"], record["character"]),
            tuple(record["context"][name] for name in FIELDS),
            tuple(purpose["text"] for purpose in record["purposes"]),
            journal.sha256, turns[record["character"]], invented(record),
        )  # fmt: skip
        answers.append((sample, answer))
    found.findings += [_told(finding, redaction) for finding in journal.findings]
    found.journals.append(
        {"path": redaction.id(str(journal.path)), "sha256": journal.sha256, "run": journal.run,
         "game_version": redaction.id(journal.game_version), "world": redaction.text(journal.world),
         "teach": kinds["teach"], "reject": kinds["reject"], "dropped": kinds["drop"],
         "broken": len({(f.line, f.where.partition(":")[0]) for f in journal.findings})}
    )  # fmt: skip
    return answers


def _redacted(record: Mapping[str, Any], redaction: Redaction) -> dict[str, Any]:
    """A record without what says who somebody is, in everything that is kept of it."""
    outcome = record["outcome"]
    if outcome:
        changes = outcome.get("relationships", ())
        outcome = {
            **outcome,
            "note": redaction.text(outcome.get("note", "")),
            "relationships": [{**one, "to": redaction.id(one["to"])} for one in changes],
        }
    purposes = []
    for purpose in record["purposes"]:
        purposes.append({**purpose, "text": redaction.text(clean_text(purpose["text"]))})
        if isinstance(names := purpose.get("unknown_names"), list):
            purposes[-1]["unknown_names"] = [redaction.id(str(name)) for name in names]
    return {
        **record,
        "id": redaction.id(record["id"]),
        "character": redaction.id(record["character"]),
        "context": {name: redaction.text(record["context"][name]) for name in FIELDS},
        "purposes": purposes,
        "outcome": outcome,
    }


def _told(finding: Finding, redaction: Redaction) -> Finding:
    """A finding, which may quote the journal, without what says who somebody is."""
    file, where, what = redaction.id(finding.file), redaction.id(finding.where), finding.what
    return Finding(file, finding.line, where, redaction.text(what), finding.remedy)


def _marked(record: Mapping[str, Any]) -> bool:
    """Whether an answer would teach to write the marks of redaction."""
    return any(mark in purpose["text"] for purpose in record["purposes"] for mark in MARKS)


def sample_id(record: Mapping[str, Any]) -> str:
    """The id of a decision with this content, in whatever journal it stands."""
    texts = [
        *(record["context"][name] for name in FIELDS),
        *(p["text"] for p in record["purposes"]),
    ]
    return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([record["id"], *texts])))


def _sample(
    id: str,
    record: Mapping[str, Any],
    verdict: Verdict,
    journal: JournalFile,
    redaction: Redaction,
) -> dict[str, Any]:
    provenance = record["provenance"]
    hashes = [str(provenance.get(key) or "") for key in ("model_hash", "adapter_hash")]
    return {
        "id": id,
        "conversations": as_sharegpt(record)["conversations"],
        "kind": verdict.kind,
        "grade": verdict.grade,
        "why": verdict.why,
        "reason": verdict.reason,
        "lineage": {
            "journal": journal.sha256,
            "run": redaction.id(str(record.get("run") or journal.run)),
            "decision": record["id"],
            "game_version": redaction.id(str(record.get("game_version") or journal.game_version)),
            "prompt_hash": str(provenance.get("prompt_hash") or ""),
            "model": redaction.id(str(provenance.get("model") or "")),
            "model_hash": "+".join(part for part in hashes if part),
            "at": _when(record.get("wall_time")),
        },
        "character": record["character"],
        "world": redaction.text(str(record.get("world") or journal.world)),
    }


def _when(seconds: float | None) -> str | None:
    """Seconds since 1970 as a time in UTC; None for none, and for what no calendar holds."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def write(found: Harvest, target: Path) -> dict[str, Any]:
    """Write samples, what was dropped and the report, then the manifest, which is returned."""
    from daydream_motives.training.harvest.telling import told

    files = {
        f"samples-{number:03}.jsonl": text for number, text in enumerate(_parts(found.samples), 1)
    }
    files["dropped.jsonl"] = lines(found.dropped)
    files["report.txt"] = told(found) + "\n"
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": STAGE,
        "counts": found.counts,
        "reasons": reasons(found),
        "least": found.least,
        "redacted": dict(sorted(found.redacted.items())),
        "journals": found.journals,
        "broken": [str(finding) for finding in found.findings],
        "files": described(files),
    }
    write_whole(target, files, manifest)
    return manifest


def reasons(found: Harvest) -> dict[str, dict[str, int]]:
    """How often each reason was given, by what became of the decision."""
    given: dict[str, Counter[str]] = {"teach": Counter(), "reject": Counter(), "dropped": Counter()}
    for sample in found.samples:
        given[sample["kind"]][sample["reason"]] += 1
    given["dropped"].update(row["reason"] for row in found.dropped)
    return {kind: dict(counts.most_common()) for kind, counts in given.items()}


def _parts(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The samples as texts of files that are not too big; one, if empty, where there are none."""
    parts: list[list[str]] = [[]]
    size = 0
    for sample in samples:
        line = lines([sample])
        if parts[-1] and size + len(line.encode()) > _PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line.encode())
    return ["".join(part) for part in parts]
