"""A GGUF file opened by llama.cpp: its weights, its vocabulary and its chat template.

Several contexts may decode with the same weights. Knows nothing of sequences.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import weakref
from pathlib import Path

from daydream_motives.engine.decoding.sampling import Vocabulary
from daydream_motives.errors import BackendError
from daydream_motives.motives.prompt import ChatTemplate
from daydream_motives.settings import gpu_layers, spin_briefly

spin_briefly()
import llama_cpp  # noqa: E402 - OpenMP reads its settings when the library loads

__all__ = ["Tokenizer", "Weights", "llama_cpp", "quiet"]

_log = logging.getLogger("daydream_motives.llama")


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes
def _to_logging(_level: int, text: bytes, _data: object) -> None:
    """llama.cpp talks a lot: all of it goes to the logger `daydream_motives.llama`, as debug."""
    _log.debug("%s", text.decode("utf-8", errors="replace").rstrip())


def quiet() -> None:
    """Send llama.cpp's own messages to Python's logging instead of standard error."""
    llama_cpp.llama_log_set(_to_logging, ctypes.c_void_p(0))


class Weights:
    """A model's file, opened; `vocabulary_only` leaves the weights on the disk.

    Raises BackendError where there is no such file or llama.cpp does not know it.
    """

    def __init__(self, path: Path | None, name: str, *, vocabulary_only: bool = False) -> None:
        if path is None or not path.is_file():
            raise BackendError(f"no model file at {path}", remedy=f"daydream models pull {name}")
        quiet()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = self.gpu_layers = gpu_layers()
        params.vocab_only = vocabulary_only
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise BackendError(
                f"llama.cpp cannot load {path}: not a GGUF model it knows",
                remedy=f"daydream models pull {name} --force",
            )
        self._vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._tokenizing = threading.Lock()
        # What is dropped without `close` must not keep the model's memory.
        self._release = weakref.finalize(self, llama_cpp.llama_model_free, self.model)
        self._release.atexit = False  # a thread may still be decoding when the process ends

    def close(self) -> None:
        """Free the weights; calling it twice is harmless. Contexts on them are closed before."""
        with self._tokenizing:
            self._release()
            self.model = None

    def check_open(self) -> None:
        if not self.model:
            raise BackendError("the model is closed", remedy="open a new MotiveEngine")

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text` with no BOS; control tokens are recognised only where `special`.

        May be called from any thread, also while another one decodes.
        """
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8
        buffer = (llama_cpp.llama_token * room)()
        with self._tokenizing:
            self.check_open()
            n = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, False, special)
        if n < 0:
            raise BackendError(f"the tokenizer refused {len(raw)} bytes of text")
        return list(buffer[:n])

    def token_bytes(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        n = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[:n] if n > 0 else b""

    def read_vocabulary(self) -> Vocabulary:
        special = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        control = [
            token
            for token in range(self.n_vocab)
            if llama_cpp.llama_vocab_get_attr(self._vocab, token) & special
            or llama_cpp.llama_vocab_is_eog(self._vocab, token)
        ]
        return Vocabulary.read([self.token_bytes(t) for t in range(self.n_vocab)], control)

    def end_tokens(self) -> list[int]:
        """Tokens with which the model ends its turn."""
        return [t for t in range(self.n_vocab) if llama_cpp.llama_vocab_is_eog(self._vocab, t)]

    def chat_template(self) -> ChatTemplate:
        raw = llama_cpp.llama_model_chat_template(self.model, None)

        def text_of(token: int) -> str:
            raw = llama_cpp.llama_vocab_get_text(self._vocab, token) if token >= 0 else None
            return raw.decode("utf-8", errors="replace") if raw else ""

        return ChatTemplate(
            raw.decode("utf-8", errors="replace") if raw else None,
            bos=text_of(llama_cpp.llama_vocab_bos(self._vocab)),
            eos=text_of(llama_cpp.llama_vocab_eos(self._vocab)),
        )


class Tokenizer:
    """Counts tokens as a model does, without its weights: about 20 MB and a moment to load."""

    def __init__(self, path: Path) -> None:
        self._weights = Weights(path, path.stem, vocabulary_only=True)

    def count(self, text: str) -> int:
        return len(self._weights.tokenize(text, False))

    def close(self) -> None:
        self._weights.close()
