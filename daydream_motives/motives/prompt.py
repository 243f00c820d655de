"""The one rendering of a decision as tokens that training and inference share.

A rendering is a list of pieces. Trusted pieces (the model's chat template, our scaffolding) are
tokenised with special tokens on; untrusted ones (all that came from sheets, players and models)
with special tokens off, each piece on its own: so a description that spells `<|im_end|>` stays
text, and both paths see the same tokens. Knows nothing of how a model computes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from daydream_motives.characters.sheet import clean_text
from daydream_motives.errors import BackendError
from daydream_motives.motives.budget import FIELDS, SCAFFOLD, escape

Tokenize = Callable[[str, bool], list[int]]
KEYS = ("purpose_a", "purpose_b", "purpose_c")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text tokenised by itself; `supervised` marks what training learns to write."""

    text: str
    trusted: bool
    supervised: bool = False


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """How a model is asked. A tuned model needs no instructions and no opening.

    The rest steers models that were never trained on the format. `opening` begins each purpose
    ("{name} wants to"); `verbs` are the words that may follow it where the game offers none;
    `avoid` are words of the example in the instructions, not to be used where nobody told them;
    `reason` (", because {subject}") is put in where a purpose would end without one; `one_sentence`
    ends a purpose at its first full stop.
    """

    instructions: str = ""
    opening: str = ""
    verbs: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    reason: str = ""
    one_sentence: bool = False


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """The JSON an answer is forced into: before the first purpose, between two, after the last."""

    first: Piece
    between: tuple[Piece, Piece]
    last: Piece


FRAME = AnswerFrame(
    Piece(f'{{"{KEYS[0]}": "', True, True),
    (Piece(f'", "{KEYS[1]}": "', True, True), Piece(f'", "{KEYS[2]}": "', True, True)),
    Piece('"}', True, True),
)


class ChatTemplate:
    """A model's own chat template, rendered once into the text before and after the user's turn.

    `source` is Jinja from the model file, run in a sandbox; raises BackendError where it fails, or
    loses the message.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self.source = source or CHATML
        self.special = {"bos_token": bos, "eos_token": eos}

    def around(self, instructions: str) -> tuple[str, str]:
        """Trusted text before and after the user's message, ready for the assistant to begin."""
        mark = "\ue000user\ue000"
        user = {"role": "user", "content": mark}
        attempts: list[list[dict[str, str]]] = [[user]]
        if instructions:
            merged = {"role": "user", "content": f"{instructions}\n\n{mark}"}
            attempts = [[{"role": "system", "content": instructions}, user], [merged]]
        error = "the template drops or repeats the user's message"
        for messages in attempts:
            try:
                text = self._render(messages)
            except Exception as exc:  # Jinja runs the template's own expressions
                error = f"{type(exc).__name__}: {exc}"
                continue
            before, *after = text.split(mark)
            if len(after) == 1 and instructions.strip() in before:
                return before, after[0]
        raise BackendError(
            f"this model's chat template cannot be used: {error}",
            remedy="use a model with a chat template of system, user and assistant turns",
        )

    def end_of_turn(self) -> str:
        """What this template writes after an assistant's answer, without the blanks that follow.

        Raises BackendError where it writes nothing there: a model could not learn to stop.
        """
        mark = "\ue000answer\ue000"
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
        try:
            after = self._render(turns, ask=False).partition(mark)[2].strip()
        except Exception as exc:  # Jinja runs the template's own expressions
            raise BackendError(
                f"this model's chat template cannot be used: {type(exc).__name__}: {exc}",
                remedy="use a model with a chat template of user and assistant turns",
            ) from exc
        if not after:
            raise BackendError(
                "this model's chat template does not end an assistant's turn",
                remedy="use a model with a chat template of user and assistant turns",
            )
        return after

    def _render(self, messages: Sequence[Mapping[str, str]], *, ask: bool = True) -> str:
        def fail(message: str) -> None:
            raise TemplateError(message)

        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        env.globals["raise_exception"] = fail
        env.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        rendered: Any = env.from_string(self.source).render(
            messages=messages, add_generation_prompt=ask, **self.special
        )
        return str(rendered)


def prompt_pieces(
    around: tuple[str, str], fields: Mapping[str, str]
) -> tuple[list[Piece], list[Piece]]:
    """The prompt as (what is the same for every character, what is this decision's).

    `around` is what ChatTemplate.around gave for the style's instructions.
    """
    before, after = around
    head, *keys = SCAFFOLD
    rest: list[Piece] = []
    for field, scaffold in zip(FIELDS, keys, strict=True):
        rest += [Piece(escape(fields[field]), False), Piece(scaffold, True)]
    last = rest.pop()
    return [Piece(before + head, True)], [*rest, Piece(last.text + after, True)]


def answer_pieces(purposes: Sequence[str], end_of_turn: str) -> list[Piece]:
    """An answer as training supervises it: scaffolding, the three texts, the end of the turn."""
    a, b, c = (Piece(plain(text), False, True) for text in purposes)
    return [
        FRAME.first, a, FRAME.between[0], b, FRAME.between[1], c,
        FRAME.last, Piece(end_of_turn, True, True),
    ]  # fmt: skip


def encode(pieces: Sequence[Piece], tokenize: Tokenize) -> list[int]:
    """Tokens of the pieces, each tokenised by itself; `tokenize(text, special)`."""
    return [token for piece in pieces for token in tokenize(piece.text, piece.trusted)]


def plain(text: str) -> str:
    """A purpose without what JSON would have to escape: typographic quotes, no backslash."""
    out, opened = [], False
    for char in clean_text(text):
        if char == '"':
            opened = not opened
            char = "“" if opened else "”"
        out.append("/" if char == "\\" else char)
    return "".join(out)
