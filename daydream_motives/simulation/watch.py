"""Notices that a world's files were edited. Knows nothing of runs.

Files are compared by what the file system says of them (time, size, number), for being different
and not for being newer, so that a clock set back hides nothing; what counts is then the content.
"""

from __future__ import annotations

from pathlib import Path

from daydream_motives.characters.files import exists
from daydream_motives.errors import Problem, WorldError
from daydream_motives.simulation.world import World


class Watch:
    """Looks at a world's folder or file; how it is now is `known`, or the first edit to take in.

    Raises WorldError where there is none.
    """

    def __init__(self, path: str | Path, *, known: bool = True) -> None:
        self.path = Path(path)
        if not exists(self.path):
            problem = Problem(str(path), "", "nothing there", "a world's folder or file")
            raise WorldError([problem], remedy="give the path of the world that is edited")
        self._seen = self._look() if known else {}

    def _look(self) -> dict[str, tuple[int, int, int]]:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        found = {}
        for file in files:
            if file.suffix.lower() not in (".yaml", ".yml", ".json"):
                continue
            try:
                stat = file.stat()
            except OSError:  # gone between listing and looking
                continue
            found[str(file)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found

    def edited(self) -> World | None:
        """The world as it is now if a file changed since the last look; raises WorldError, once
        for each change, where it is not a valid one."""
        now = self._look()
        if now == self._seen:
            return None
        self._seen = now
        return World.load(self.path)
