"""When a run hangs: ``hang_after`` as a value, and the watch over its silence.

The clock of a hang is not the step but any sign of life of any rank: a phase of a step that begins, a batch that is
evaluated. Each kind of work has a limit of its own, since not all of it gives signs of life equally often.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

__all__ = ["HangRule", "HangWatch", "Silence", "Whereabouts", "kind_of", "parse_hang_after"]

STARTUP_S = 1800.0
"""Loading torch, the data and a compiler's work; also for the first step, and until a few steps were measured."""
STEP_FLOOR_S = 120.0
PAUSE_FLOOR_S = 600.0
"""Beside steps: evaluation, snapshots, the end. And in steps where the model is compiled, which may happen in any."""
MEDIANS = 50.0
PAUSES = 3.0
"""What a run has come through once, it may come through again: a slow disk, a full evaluation batch."""
MIN_MEASURED_STEPS = 3
MIN_MEASURED_LINES = 10
"""Of a user's own program, which may log as seldom as it likes: with fewer lines nothing is known of it."""
LONGEST_LOOK_S = 5.0
"""One look later than this tells of a machine that slept, or of us: only so much of it counts as silence."""

_BESIDE_STEPS = frozenset({"eval", "snapshot", "done", "startup"})
_UNITS = {"s": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)")

Kind = Literal["startup", "step", "pause"]


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Where a rank is: the step worked on (-1 before the first), its phase, and the host's monotonic seconds then."""

    step: int
    phase: str
    mono_s: float


@dataclass(frozen=True, kw_only=True)
class Silence:
    """No rank has given a sign of life for longer than it may.

    Attributes:
        quiet_s: seconds that were watched.
        limit_s: that it may take.
        median_s: of a step of this run; None before enough of them were measured.
        sign: what did not come: step, or log line.
    """

    quiet_s: float
    limit_s: float
    median_s: float | None
    sign: str = "step"


@dataclass(frozen=True, kw_only=True)
class HangRule:
    """``hang_after`` as a value.

    Attributes:
        seconds: that were given; None for ``auto`` and ``never``.
        is_never: nothing counts as a hang.
        is_compiled: whether the model is compiled, which takes minutes at odd times.
        is_script: whether a user's own program runs: its log lines stand where our worker has steps.
    """

    seconds: float | None = None
    is_never: bool = False
    is_compiled: bool = False
    is_script: bool = False

    @property
    def min_measured(self) -> int:
        """Times that must have been measured before their median counts."""
        return MIN_MEASURED_LINES if self.is_script else MIN_MEASURED_STEPS

    def limit_s(self, kind: Kind, median_s: float | None, longest_pause_s: float) -> float | None:
        """Return how long a run may give no sign of life; None for ever.

        Args:
            kind: of the work it is at.
            median_s: of its steps; None where too few were measured.
            longest_pause_s: the longest silence in work of this kind that it has come through.
        """
        if self.is_never or (self.is_script and self.seconds is None and median_s is None):
            return None
        if kind == "startup":
            return max(STARTUP_S, self.seconds or 0.0)
        if self.seconds is not None:
            return self.seconds
        if median_s is None:
            return STARTUP_S
        is_patient = kind == "pause" or self.is_compiled or self.is_script  # nobody knows when a program evaluates
        floor_s = PAUSE_FLOOR_S if is_patient else STEP_FLOOR_S
        return max(floor_s, MEDIANS * median_s, PAUSES * longest_pause_s)


def parse_hang_after(value: str | float, *, is_compiled: bool = False, is_script: bool = False) -> HangRule:
    """Read ``auto``, ``never``, a number of seconds, ``30 s``, ``2 min``, ``1 h``.

    Raises:
        ValueError: it is none of these; the message is one line.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("auto", "never"):
            return HangRule(is_never=word == "never", is_compiled=is_compiled, is_script=is_script)
        found = _TIME.fullmatch(word)
        unit = found and (found[2] if found[2] in _UNITS else found[2].removesuffix("s"))
        if found is None or unit not in _UNITS:
            raise ValueError(f'"{value}" says no time; give "auto", "never", seconds as a number, "30 s" or "2 min"')
        value = float(found[1]) * _UNITS[unit]
    if not 0 < value < float("inf"):
        raise ValueError('must be a number of seconds above 0; "never" switches it off')
    return HangRule(seconds=float(value), is_compiled=is_compiled, is_script=is_script)


def kind_of(ranks: Sequence[Whereabouts], first_step: int) -> Kind:
    """Return what the ranks are at, by the most patient of them.

    Args:
        ranks: those that have said where they are.
        first_step: of this attempt: as long as nobody is past it, it is start-up.
    """
    if all(rank.step <= first_step for rank in ranks) and not any(rank.phase == "done" for rank in ranks):
        return "startup"
    return "pause" if any(rank.phase in _BESIDE_STEPS for rank in ranks) else "step"


class HangWatch:
    """Looks at the ranks of one node again and again.

    Args:
        rule: of the run.
        first_step: of this attempt.
    """

    def __init__(self, rule: HangRule, first_step: int) -> None:
        self._rule = rule
        self._first_step = first_step
        self._ranks: dict[int, Whereabouts] = {}
        self._looked_s: float | None = None
        self._quiet_s = 0.0
        self._longest_s: dict[Kind, float] = {}
        self._is_silent = False

    def look(self, now_s: float, ranks: Mapping[int, Whereabouts], step_times_s: Sequence[float]) -> Silence | None:
        """Take note of where the ranks are; return what is wrong, or None.

        Args:
            now_s: monotonic seconds.
            ranks: that have said where they are; with none nothing is known, and nothing is wrong.
            step_times_s: seconds a step, of the newest that were measured.
        """
        passed_s = 0.0 if self._looked_s is None else min(max(now_s - self._looked_s, 0.0), LONGEST_LOOK_S)
        self._looked_s = now_s
        if not ranks or ranks != self._ranks:
            self._note_pause()
            self._ranks, self._quiet_s, self._is_silent = dict(ranks), 0.0, False
            return None
        self._quiet_s += passed_s
        median_s = median(step_times_s) if len(step_times_s) >= self._rule.min_measured else None
        kind = kind_of(list(ranks.values()), self._first_step)
        limit_s = self._rule.limit_s(kind, median_s, self._longest_s.get(kind, 0.0))
        self._is_silent = limit_s is not None and self._quiet_s >= limit_s
        if limit_s is None or not self._is_silent:
            return None
        sign = "log line" if self._rule.is_script else "step"
        return Silence(quiet_s=self._quiet_s, limit_s=limit_s, median_s=median_s, sign=sign)

    def _note_pause(self) -> None:
        """Remember what was come through; a hang that somebody has ended by hand teaches nothing."""
        if self._ranks and not self._is_silent:
            kind = kind_of(list(self._ranks.values()), self._first_step)
            self._longest_s[kind] = max(self._longest_s.get(kind, 0.0), self._quiet_s)
