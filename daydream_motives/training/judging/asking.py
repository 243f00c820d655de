"""Asking a model the questions: through a backend of the engine, as the game would ask.

What is kept is what the model said, before the game repairs names or instinct fills a rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from daydream_motives.characters.files import parse_json
from daydream_motives.engine.answering import checked
from daydream_motives.engine.backend import Answer as Said
from daydream_motives.engine.backend import Backend, BackendSpec, Request, open_backend
from daydream_motives.engine.compose import identity, seed_of
from daydream_motives.engine.openai.reply import purposes_in
from daydream_motives.errors import BackendError
from daydream_motives.motives.prompt import FRAME, KEYS
from daydream_motives.motives.purposes import RANKS
from daydream_motives.motives.told import from_fields
from daydream_motives.settings import threads_of_a_command
from daydream_motives.training.judging.answers import Answer, Answers, Partial
from daydream_motives.training.judging.questions import Question, Questions

Losses = Sequence[tuple[float, int] | None]
Loss = Callable[[Sequence[Question]], Losses]
Say = Callable[[int, int], None]
_LOST = 4  # as many unanswered in a batch are no chance
_GROUP = 16  # asked at once where the backend has no wish of its own
_BROKEN = "no JSON object of three purposes"


@contextmanager
def opened(
    model: str | None,
    *,
    threads: int | None = None,
    free: bool = False,
    temperature: float | None = None,
) -> Iterator[tuple[Backend, BackendSpec]]:
    """A model of this machine, by name, file or address, and how it is asked; closed afterwards.

    With `free` a local model writes whatever it would: no JSON is forced and no name ruled out.
    Raises StoreError, BackendError.
    """
    from daydream_motives.modelstore.store import ModelStore

    kind, spec = ModelStore().spec(model)
    if free and kind != "llama":
        raise BackendError(
            f"{spec.model} cannot be told to write freely",
            remedy="leave out --free; only models of this machine are forced into a form",
        )
    spec = replace(
        spec, threads=threads or threads_of_a_command(), forced=not free,
        temperature=spec.temperature if temperature is None else temperature,
    )  # fmt: skip
    backend = open_backend(kind, spec)
    try:
        yield backend, spec
    finally:
        backend.close()


def ask(
    questions: Questions,
    backend: Backend,
    spec: BackendSpec,
    *,
    seed: int = 0,
    name: str = "",
    kept: Path | None = None,
    loss: Loss | None = None,
    say: Say = lambda _done, _of: None,
) -> Answers:
    """The model's answer to every question, in order; where it fails at one, that one says why.

    `kept` is a file of answers under way: what an earlier try left there is not asked again.
    Raises BackendError where a whole batch is left unanswered.
    """
    called, model_hash, adapter = identity(backend)
    called_here = name or called
    about = {
        "name": called_here, "model": called, "sha256": model_hash, "adapter": adapter,
        "seed": seed, "temperature": spec.temperature, "free": not spec.forced,
    }  # fmt: skip
    partial = (
        Partial(kept, {"questions": questions.sha256, "loss": bool(loss), **about})
        if kept
        else None
    )
    found: dict[str, Answer] = dict(partial.found) if partial else {}
    size = getattr(backend, "parallel", 0) or _GROUP
    for start in range(0, len(questions.items), size):
        group = questions.items[start : start + size]
        # All of a group or none: what is decoded together is rounded together.
        if all(question.id in found for question in group):
            continue
        said = _said(backend, [_request(question, seed) for question in group])
        losses: Losses = loss(group) if loss else [None] * len(group)
        fresh = [
            _answer(question, one, nats, free=not spec.forced)
            for question, one, nats in zip(group, said, losses, strict=True)
        ]
        if _is_lost(fresh) and (len(fresh) >= _LOST or not found):
            raise BackendError(
                f"{called} answered none of {len(fresh)} questions: {fresh[0].fault}",
                remedy="see to the model or its server and run this again; "
                "what it answered before is kept",
            )
        found |= {answer.id: answer for answer in fresh}
        if partial:
            partial.keep(fresh)
        say(len(found), len(questions.items))
    return Answers(called_here, tuple(found[q.id] for q in questions.items), about)


def _is_lost(answers: Sequence[Answer]) -> bool:
    """Whether the model said nothing at all to any of these."""
    return all(not answer.purposes and answer.fault != _BROKEN for answer in answers)


def _request(question: Question, seed: int) -> Request:
    sheet, context = from_fields(question.fields, question.id)
    return Request(context, sheet.short_name, sheet.subject, seed_of(f"{seed}:{question.id}"))


def _said(backend: Backend, requests: Sequence[Request]) -> list[Said]:
    try:
        said = [checked(answer) for answer in backend.decide_many(requests)]
    except Exception as exc:  # anyone's backend: one batch is lost, not the evaluation
        return [Said((), reason=f"{type(exc).__name__}: {exc}")] * len(requests)
    if len(said) != len(requests):
        reason = f"{len(said)} answers came to {len(requests)} requests"
        return [Said((), reason=reason)] * len(requests)
    return said


def _answer(
    question: Question, said: Said, nats: tuple[float, int] | None, *, free: bool
) -> Answer:
    if free and said.drafts:
        purposes, fault = written_freely(said.drafts[0].text)
    else:
        purposes = tuple(draft.text for draft in said.drafts)
        fault = said.reason or f"{len(purposes)} purposes" if len(purposes) < RANKS else ""
    return Answer(question.id, purposes, fault, nats)


def written_freely(text: str) -> tuple[tuple[str, ...], str]:
    """The purposes in what a model wrote after the JSON's beginning, and what is wrong with it.

    Where it is no JSON object of the three, whatever purposes can be made out are taken.
    """
    # The writer has put typographic quotes for the JSON's own, in turns.
    whole = FRAME.first.text + text.replace("“", '"').replace("”", '"')
    try:
        data: Any = parse_json(whole)
        if (
            isinstance(data, dict)
            and tuple(data) == KEYS
            and all(isinstance(value, str) for value in data.values())
        ):
            return tuple(data.values()), ""
    except (ValueError, RecursionError):
        pass
    return tuple(text for _, text in purposes_in(whole)), _BROKEN
