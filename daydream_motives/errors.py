"""Every error a user can meet. Knows nothing of the rest of the package.

DaydreamError                 code, message, remedy; `exit_code` for the command line
├── SettingsError             an environment variable, option or settings file is wrong
├── ContentError              what an author wrote is wrong; lists every Problem at once
│   ├── SheetError            a character sheet
│   ├── RelationshipError     a relationship, an axis or an event of one
│   ├── SituationError        a situation, an outcome or a line of input to `decide`
│   └── WorldError            a world: places, people, lore, events
├── StoreError                the model store
│   ├── ModelUnknown          no catalogue entry and no file of that name
│   ├── ModelMissing          known, but not on this machine
│   ├── ModelCorrupt          bytes differ from the pinned SHA-256
│   └── DownloadFailed        offline, refused, or cut off
├── BackendError              a model could not be loaded or did not answer
├── RunError                  a run's folder, its journal or its disk
└── Refused                   nothing failed, but going on would make things worse
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DaydreamError(Exception):
    """Base of all errors raised on purpose; `str()` gives message and remedy."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class SettingsError(DaydreamError):
    code = "settings"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in an author's file: where, what was found, what was expected."""

    source: str
    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.source}: {self.path}" if self.path else self.source
        return f"{where}: found {self.found}; expected {self.expected}"


class ContentError(DaydreamError):
    code = "content"
    exit_code = 3
    noun = "content"

    def __init__(self, problems: Sequence[Problem], *, remedy: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in this {self.noun}:"
        super().__init__("\n".join([head, *(f"  {p}" for p in self.problems)]), remedy=remedy)


class SheetError(ContentError):
    code = "sheet"
    noun = "character sheet"


class RelationshipError(ContentError):
    code = "relationship"
    noun = "relationship"


class SituationError(ContentError):
    code = "situation"
    noun = "situation"


class WorldError(ContentError):
    code = "world"
    noun = "world"


class StoreError(DaydreamError):
    code = "store"
    exit_code = 4


class ModelUnknown(StoreError):
    code = "model-unknown"


class ModelMissing(StoreError):
    code = "model-missing"


class ModelCorrupt(StoreError):
    code = "model-corrupt"


class DownloadFailed(StoreError):
    code = "download-failed"


class BackendError(DaydreamError):
    code = "backend"
    exit_code = 5


class RunError(DaydreamError):
    code = "run"
    exit_code = 6


class Refused(DaydreamError):
    code = "refused"
    exit_code = 7
