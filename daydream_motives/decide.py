"""Decisions for lines of JSON, for programs in any language. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from daydream_motives.characters.character import Character
from daydream_motives.characters.files import parse_json
from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.errors import ContentError, DaydreamError, Problem, SituationError
from daydream_motives.motives.budget import FIELDS
from daydream_motives.motives.situation import Situation
from daydream_motives.motives.told import from_fields


def decide_lines(
    lines: Iterable[str], engine: MotiveEngine, *, batch: int = 16
) -> Iterator[dict[str, Any]]:
    """One result for each line, in order: purposes and provenance, or `error`; with the `id`."""
    numbered = ((n, line) for n, line in enumerate(lines, 1) if line.strip())
    while group := list(islice(numbered, batch)):
        parsed = [_parse(line, number, engine) for number, line in group]
        asked = [item for item in parsed if "error" not in item]
        decisions = iter(engine.answer((i["sheet"], i["context"], str(i["number"])) for i in asked))
        for item in parsed:
            head = {"id": item["id"]} if item["id"] is not None else {}
            if "error" in item:
                yield {**head, "line": item["number"], "error": item["error"]}
            else:
                yield {**head, **next(decisions).ranked.as_data()}


def _parse(line: str, number: int, engine: MotiveEngine) -> dict[str, Any]:
    """What is asked in a line: a sheet and a context, or an error."""
    found: dict[str, Any] = {"id": None, "number": number}
    where = f"line {number}"
    try:
        data = parse_json(line)
        if not isinstance(data, dict):
            raise SituationError([Problem(where, "", type(data).__name__, "a JSON object")])
        found["id"] = data.pop("id", None)
        if "sheet" in data:
            if unknown := sorted(data.keys() - {"sheet", "situation"}):
                raise SituationError(
                    [
                        Problem(where, key, "an unknown key", "id, sheet, situation")
                        for key in unknown
                    ]
                )
            character = Character(
                CharacterSheet.from_data(data["sheet"], source=where, prefix="sheet"), engine=engine
            )
            situation = Situation.from_data(data.get("situation", {}), source=where)
            return {
                **found,
                "sheet": character.sheet,
                "context": engine.context(character, situation),
            }
        return {**found, **_from_fields(data, where)}
    except ContentError as exc:
        return {**found, "error": "; ".join(str(problem) for problem in exc.problems)}
    except DaydreamError as exc:
        return {**found, "error": exc.message}
    except (ValueError, RecursionError) as exc:
        return {**found, "error": f"{where}: not JSON: {exc}"}


def _from_fields(data: dict[str, Any], where: str) -> dict[str, Any]:
    problems = [
        Problem(
            where, field, "nothing" if field not in data else type(data[field]).__name__, "text"
        )
        for field in FIELDS
        if not isinstance(data.get(field), str)
    ]
    problems += [
        Problem(where, str(key), "an unknown key", f"id, {', '.join(FIELDS)}; or sheet, situation")
        for key in data
        if key not in FIELDS
    ]
    if problems:
        raise SituationError(problems)
    sheet, context = from_fields(data, where)
    return {"sheet": sheet, "context": context}
