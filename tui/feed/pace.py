"""How often the feed looks and speaks: quickly while something happens, rarely while nothing does."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Pace"]

PAUSE_S = 0.002
"""Between two turns while more waits: the screen's thread gets its chance."""

QUICK_S, LIVELY_S, IDLE_S = 0.15, 0.25, 2.0
SLOWER = 1.5
LIVELY_FOR_S = 2.0
"""So long after a change the next one is expected soon."""

AFTER_FAULT_S = 1.0


class Pace:
    """Remembers when what was done last.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._done: dict[str, float] = {}
        self._period_s = LIVELY_S

    def is_due(self, what: str, every_s: float) -> bool:
        """Whether ``what`` was not done for so long."""
        return self.left_s(what, every_s) <= 0

    def left_s(self, what: str, every_s: float) -> float:
        """How long until ``what`` is due."""
        return self._done.get(what, float("-inf")) + every_s - self._clock()

    def done(self, what: str) -> None:
        """It was done just now."""
        self._done[what] = self._clock()

    def pause_s(self, *, is_lively: bool, has_changed: bool, changed_s: float) -> float:
        """Return how long to wait before the next turn.

        Args:
            is_lively: something goes on, or a person has just asked.
            has_changed: something was told in this turn.
            changed_s: when a source was different the last time.
        """
        if has_changed:
            self.done("change")
        if is_lively or not self.is_due("change", LIVELY_FOR_S):
            self._period_s = LIVELY_S
        else:
            self._period_s = min(self._period_s * SLOWER, IDLE_S)
        is_quick = self._clock() - changed_s < LIVELY_FOR_S
        return min(self._period_s, QUICK_S) if is_quick else self._period_s
