"""What the tests of the remote backend share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from daydream_motives import CharacterSheet, Situation
from daydream_motives.engine.backend import (
    Answer,
    BackendSpec,
    Request,
)
from daydream_motives.engine.openai.transport import Limits
from daydream_motives.engine.remote import RemoteBackend
from daydream_motives.motives.budget import rough_count
from daydream_motives.motives.context import build_context
from daydream_motives.motives.prompt import PromptStyle

KEY = "sk-0123456789abcdef"
STYLE = PromptStyle(instructions="Answer in JSON.", opening="{name} wants to")
QUICK = Limits(connect=2.0, read=1.0, total=3.0, tries=3, pause=0.01)


def request(seed: int = 7, description: str = "", lately: tuple[str, ...] = ()) -> Request:
    sheet = CharacterSheet(name="Ines Prado", description=description)
    context = build_context(sheet, Situation(place="Old Quay"), count_tokens=rough_count)
    return Request(context, "Ines", "she", seed, lately)


@contextmanager
def backend(
    url: str, *, limits: Limits = QUICK, parallel: int = 0, model: str = ""
) -> Iterator[RemoteBackend]:
    spec = BackendSpec(model, style=STYLE, parallel=parallel, url=url)
    opened = RemoteBackend(spec, limits)
    try:
        yield opened
    finally:
        opened.close()


def ask(url: str, *, limits: Limits = QUICK, model: str = "") -> Answer:
    with backend(url, limits=limits, model=model) as opened:
        (answer,) = opened.decide_many([request()])
    return answer


def texts(answer: Answer) -> tuple[str, ...]:
    return tuple(draft.text for draft in answer.drafts)


class Waiting:
    """Collects the answers that `start` gives."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.came = threading.Semaphore(0)

    def __call__(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.came.release()
