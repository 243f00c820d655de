"""A record as token ids and as which of them are learnt: what the runtime reads and writes.

The pieces are those of `motives.prompt`, and each is tokenised by itself, as the runtime does.
Knows no model: tokens come from llama.cpp, or from a `tokenizer.json` where it is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from daydream_motives.characters.files import parse_json
from daydream_motives.errors import DaydreamError
from daydream_motives.motives.prompt import ChatTemplate, answer_pieces, encode, prompt_pieces
from daydream_motives.training.dataset.sharegpt import Record

EXTRA = "pip install 'daydream-motives[training]'"


class Words(Protocol):
    """A model's vocabulary and how its chat is written."""

    def tokenize(self, text: str, special: bool) -> list[int]: ...

    def chat_template(self) -> ChatTemplate: ...

    def end_tokens(self) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """A record's tokens, and for each whether it is learnt; both have one length."""

    id: str
    ids: tuple[int, ...]
    supervised: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


class Rendering:
    """Turns records into tokens for one vocabulary; a tuned model is asked without instructions.

    Raises BackendError where the chat template cannot be used.
    """

    def __init__(self, words: Words) -> None:
        template = words.chat_template()
        self.words = words
        self.around = template.around("")
        self.end_of_turn = template.end_of_turn()

    def prompt(self, fields: Mapping[str, str]) -> list[int]:
        """The question's tokens, up to where the assistant begins."""
        shared, own = prompt_pieces(self.around, fields)
        return encode([*shared, *own], self.words.tokenize)

    def record(self, record: Record) -> Rendered:
        """A question and its answer."""
        return self.pair(record.id, record.fields, record.purposes)

    def pair(self, id: str, fields: Mapping[str, str], purposes: Sequence[str]) -> Rendered:
        """The same of a question and any three purposes."""
        ids = self.prompt(fields)
        learnt = [False] * len(ids)
        for piece in answer_pieces(purposes, self.end_of_turn):
            tokens = self.words.tokenize(piece.text, piece.trusted)
            ids += tokens
            learnt += [piece.supervised] * len(tokens)
        return Rendered(id, tuple(ids), tuple(learnt))


class FileWords:
    """The vocabulary in a folder of transformers: `tokenizer.json` and `tokenizer_config.json`."""

    def __init__(self, folder: Path, ends: Sequence[int]) -> None:
        from tokenizers import Tokenizer

        self._config: dict[str, Any] = parse_json(
            (folder / "tokenizer_config.json").read_text(encoding="utf-8")
        )
        template = folder / "chat_template.jinja"
        self._template = template.read_text(encoding="utf-8") if template.exists() else None
        file = str(folder / "tokenizer.json")
        self._trusted, self._plain = Tokenizer.from_file(file), Tokenizer.from_file(file)
        self._plain.encode_special_tokens = True  # as text
        self._ends = list(ends)

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text` with no BOS; control tokens are recognised only where `special`."""
        coder = self._trusted if special else self._plain
        return list(coder.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, control tokens too."""
        return str(self._trusted.decode(list(ids), skip_special_tokens=False))

    def end_tokens(self) -> list[int]:
        return self._ends

    @cached_property
    def control(self) -> frozenset[int]:
        """Tokens that are no text."""
        added = self._trusted.get_added_tokens_decoder()
        return frozenset(id for id, token in added.items() if token.special)

    def chat_template(self) -> ChatTemplate:
        def text(name: str) -> str:
            value = self._config.get(name) or ""
            return str(value["content"] if isinstance(value, dict) else value)

        source = self._template or self._config.get("chat_template")
        return ChatTemplate(source, bos=text("bos_token"), eos=text("eos_token"))


def runs(rendered: Rendered) -> Iterator[tuple[bool, list[int]]]:
    """Neighbouring tokens that are all learnt or all not, in order."""
    pairs = zip(rendered.supervised, rendered.ids, strict=True)
    for learnt, some in groupby(pairs, key=lambda pair: pair[0]):
        yield learnt, [id for _, id in some]


def missing(exc: ImportError) -> DaydreamError:
    """The error where a library of training is not installed; raises what is our own fault."""
    if (exc.name or "").startswith("daydream_motives"):
        raise exc
    return DaydreamError(f"this stage lacks a package: {exc}", remedy=EXTRA)
