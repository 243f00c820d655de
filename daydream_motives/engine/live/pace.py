"""How long an answer takes with so many under way: what says who may still begin.

Answers that are written side by side slow each other down, less than in proportion: seconds =
a + b × how many. Both are learnt from what was seen lately, and what was given up before it ended
counts as what it took until then, if that is more than was expected. Knows no requests.
"""

from __future__ import annotations

_KEEP = 0.9  # weight of what was seen before, with each new answer
_SHARE = 0.35  # of the time of one alone that each neighbour adds, until it was seen otherwise
_JUMP = (
    2.0  # times what was expected is the most that is believed at once: it may have been a hitch
)
_SPREAD = 0.25  # variance of how many there were, below which their effect cannot be told


class Pace:
    """Learns from each answer; `known` once there was one."""

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0

    @property
    def known(self) -> bool:
        return self._weight > 0

    def learn(self, many: float, seconds: float) -> None:
        """One answer took so many `seconds`, with `many` (1 or more, a mean) under way."""
        if self.known:
            seconds = min(seconds, _JUMP * self.seconds(many))
        self._weight = _KEEP * self._weight + 1
        self._n = _KEEP * self._n + many
        self._s = _KEEP * self._s + seconds
        self._nn = _KEEP * self._nn + many * many
        self._ns = _KEEP * self._ns + many * seconds

    def given_up(self, many: float, seconds: float) -> None:
        """One was left after so many `seconds` and had not ended."""
        if seconds > self.seconds(many):
            self.learn(many, seconds)

    def seconds(self, many: float) -> float:
        """What an answer takes with `many` under way; 0 where nothing is known."""
        if not self._weight:
            return 0.0
        n, s = self._n / self._weight, self._s / self._weight
        variance = self._nn / self._weight - n * n
        if variance > _SPREAD:
            each = (self._ns / self._weight - n * s) / variance
        else:
            each = _SHARE * s / (1 + _SHARE * (n - 1))
        each = min(max(each, 0.0), s / n)  # neighbours never help, nor cost more than a turn each
        return s + each * (many - n)
