"""When a run ends, and how all ranks come to know it at the same step.

``epochs`` and ``stop.steps`` are known to every rank. What the ranks would see differently (the time, a measured
accuracy) is the leader's word: it is passed on at agreed steps. The leader also says how many steps later the next
agreement is, about half a second of work, so that agreeing costs nothing and no rank ever waits alone in a collective.
A signal to any rank counts: a scheduler may want one node back that has no leader.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.core.spec import Stop

__all__ = ["AGREE_EVERY_S", "Agreement", "steps_until_next"]

AGREE_EVERY_S = 0.5

_SNAPSHOT = 0.5
"""Added to the number of steps until the next agreement, it says that a snapshot is due now."""

_REASONS = {-1.0: "minutes", -2.0: "loss", -3.0: "test_accuracy"}
_CODES = {reason: code for code, reason in _REASONS.items()}


def steps_until_next(step_s: float, wait_s: float, previous: int) -> int:
    """Return the power of two of steps that take about ``wait_s`` and not more, at most twice ``previous``.

    Doubling from one keeps a slow first step (compilation, first allocation) from deciding alone.
    """
    wanted = wait_s / max(step_s, 1e-9)
    power = 1 << (int(wanted).bit_length() - 1) if wanted >= 1 else 1
    return min(power, 2 * previous)


class Agreement:
    """Asks the ranks whether to go on. Every rank calls the methods in the same order.

    Args:
        agree: returns the leading rank's word and whether any rank was asked to leave (``Strategy.agree``).
        stop: the limits.
        is_leaving: whether this process was asked to leave.
        snapshot_s: seconds between two snapshots, None where time does not decide.
        check: called wherever ranks agree after a step; may be a collective, and may raise on all of them.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        agree: Callable[[float, bool], tuple[float, bool]],
        stop: Stop,
        is_leaving: Callable[[], bool],
        snapshot_s: float | None = None,
        check: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agree = agree
        self._stop = stop
        self._is_leaving = is_leaving
        self._check = check
        self._now = now
        self._snapshot_s = float("inf") if snapshot_s is None else snapshot_s
        self._deadline_s = float("inf")
        self._begun_s = 0.0
        self._kept_s = 0.0
        self.is_snapshot_due = False
        self._asked_s = 0.0
        self._asked_step = 0
        self._interval = 1
        self._next_step = 1

    def start(self, num_steps: int = 0, passed_s: float = 0.0) -> None:
        """Begin to count the minutes: the next step begins now, after ``num_steps`` steps and ``passed_s`` seconds."""
        now_s = self._now()
        self._asked_s = self._kept_s = now_s
        self._begun_s = now_s - passed_s
        self._asked_step, self._next_step = num_steps, num_steps + 1
        if self._stop.minutes is not None:
            self._deadline_s = self._begun_s + 60.0 * self._stop.minutes

    @property
    def passed_s(self) -> float:
        """Seconds since the first step of the run, over all attempts, snapshots left out."""
        return self._now() - self._begun_s

    def note_snapshot(self, spent_s: float) -> None:
        """A snapshot was taken just now: its time is nobody's, and the next is due after the interval."""
        self.is_snapshot_due = False
        self._begun_s += spent_s
        self._deadline_s += spent_s
        self._asked_s += spent_s
        self._kept_s = self._now()

    def after_step(self, num_steps: int) -> str | None:
        """Return why the run ends after ``num_steps`` steps, or None; a collective at the agreed steps only."""
        if num_steps == self._stop.steps:
            return "steps"
        if num_steps < self._next_step:
            return None
        self._check()
        word, is_asked = self._agree(self._word() or self._propose(num_steps), self._is_leaving())
        if is_asked:
            return "stopped"
        if word < 0:
            return _REASONS[word]
        self.is_snapshot_due = word != int(word)
        self._interval = int(word)
        self._next_step = num_steps + self._interval
        return None

    def after_training(self, train_loss: float | None) -> str | None:
        """Return why the run ends after an epoch's steps, before it is evaluated, or None. A collective."""
        limit = self._stop.loss
        is_reached = limit is not None and train_loss is not None and train_loss <= limit
        reason, is_asked = self._share(self._word() or (_CODES["loss"] if is_reached else 0.0))
        return "stopped" if is_asked else reason

    def after_evaluation(self, test_accuracy: float | None) -> str | None:
        """Return why the run ends after an evaluation, or None. A collective."""
        limit = self._stop.test_accuracy
        is_reached = limit is not None and test_accuracy is not None and test_accuracy >= limit
        reason, is_asked = self._share(_CODES["test_accuracy"] if is_reached else self._word())
        return "stopped" if is_asked and reason != "test_accuracy" else reason

    def _word(self) -> float:
        """The code of what the clock says, 0 where it gives no reason."""
        return _CODES["minutes"] if self._now() >= self._deadline_s else 0.0

    def _share(self, code: float) -> tuple[str | None, bool]:
        word, is_asked = self._agree(code, self._is_leaving())
        return _REASONS.get(word), is_asked

    def _propose(self, num_steps: int) -> float:
        now_s = self._now()
        step_s = (now_s - self._asked_s) / max(1, num_steps - self._asked_step)
        self._asked_s, self._asked_step = now_s, num_steps
        interval = float(steps_until_next(step_s, min(AGREE_EVERY_S, self._deadline_s - now_s), self._interval))
        return interval + _SNAPSHOT if now_s - self._kept_s >= self._snapshot_s else interval
