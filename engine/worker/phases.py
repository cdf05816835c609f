"""Where the time of a step goes.

A clock runs from one ``stop`` to the next, so that what happens between two steps (logging, agreeing to go on) is
"other" of the step that follows, and the steps of an epoch add up to its wall time. Time belongs to the phase last
switched to; the first of a step is "other".

On the CPU the clock reads the monotonic clock. On CUDA it records events on the stream at each border and reads them
when the device has passed them, so that no step waits for its own measurement; a step is therefore handed out later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from engine.core.spec import Slow
from engine.worker.beat import Beat
from engine.worker.context import RankContext

__all__ = ["Clock", "CudaPhaseClock", "PhaseClock", "SlowClock", "StepTimes", "make_clock"]

OTHER = "other"

_now_ns = time.monotonic_ns  # as fine as perf_counter on Linux and macOS, and what readers of beats compare with

T = TypeVar("T")


class StepTimes(NamedTuple):
    """Seconds of one step: its wall time, and the phases that add up to it."""

    step_s: float
    phases: dict[str, float]


class Clock(Protocol):
    """What the loop asks of a phase clock; a strategy sees ``switch`` alone."""

    def start(self, step: int) -> None:
        """Begin ``step`` (0-based) now, in phase "other"; what was before belongs to no step."""

    def switch(self, phase: str) -> None:
        """End the phase that runs and begin ``phase``."""

    def stop(self, record: T) -> list[tuple[T, StepTimes]]:
        """End the step, begin the next at the same instant, and return the steps whose times are known by now.

        Args:
            record: what the caller knows of the step; handed back with its times, in the order of the steps.
        """

    def drain(self) -> list[tuple[Any, StepTimes]]:
        """Wait for the times that are not known yet and return those steps."""


class PhaseClock:
    """Measures on the CPU. Every step is handed out by its own ``stop``."""

    def __init__(self, beat: Beat) -> None:
        self._beat = beat
        self._step = -1
        self._begun_ns = self._since_ns = 0
        self._phase = OTHER
        self._spent_ns: dict[str, int] = {}

    def start(self, step: int) -> None:
        """See ``Clock``."""
        self._begin(step, _now_ns())

    def switch(self, phase: str) -> None:
        """See ``Clock``."""
        now_ns = _now_ns()
        spent_ns, ended = self._spent_ns, self._phase
        spent_ns[ended] = spent_ns.get(ended, 0) + now_ns - self._since_ns
        self._phase = phase
        self._since_ns = now_ns
        self._beat.write(phase, now_ns)

    def stop(self, record: T) -> list[tuple[T, StepTimes]]:
        """See ``Clock``."""
        self.switch(OTHER)
        now_ns = self._since_ns
        phases = {phase: spent * 1e-9 for phase, spent in self._spent_ns.items()}
        times = StepTimes((now_ns - self._begun_ns) * 1e-9, phases)
        self._begin(self._step + 1, now_ns)
        return [(record, times)]

    def drain(self) -> list[tuple[Any, StepTimes]]:
        """See ``Clock``."""
        return []

    def _begin(self, step: int, now_ns: int) -> None:
        self._step = step
        self._begun_ns = self._since_ns = now_ns
        self._phase = OTHER
        self._spent_ns = {}
        self._beat.begin(step)


class CudaPhaseClock:
    """Measures on the current CUDA stream of ``device``: the time the device took, or waited, between two borders."""

    def __init__(self, beat: Beat, device: torch.device) -> None:
        self._beat = beat
        self._device = device
        self._step = -1
        self._borders: list[tuple[str, torch.cuda.Event]] = []
        self._pending: deque[tuple[Any, list[tuple[str, torch.cuda.Event]], torch.cuda.Event]] = deque()

    def start(self, step: int) -> None:
        """See ``Clock``."""
        self._begin(step, self._mark())

    def switch(self, phase: str) -> None:
        """See ``Clock``."""
        self._borders.append((phase, self._mark()))
        self._beat.write(phase, _now_ns())

    def stop(self, record: T) -> list[tuple[T, StepTimes]]:
        """See ``Clock``."""
        end = self._mark()
        self._pending.append((record, self._borders, end))
        self._begin(self._step + 1, end)
        return self._resolved()

    def drain(self) -> list[tuple[Any, StepTimes]]:
        """See ``Clock``."""
        if self._pending:
            self._pending[-1][2].synchronize()
        return self._resolved()

    def _begin(self, step: int, border: torch.cuda.Event) -> None:
        self._step = step
        self._borders = [(OTHER, border)]
        self._beat.begin(step)

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _resolved(self) -> list[tuple[Any, StepTimes]]:
        done = []
        while self._pending and self._pending[0][2].query():
            record, borders, end = self._pending.popleft()
            ends = [event for _, event in borders[1:]] + [end]
            phases: dict[str, float] = {}
            for (phase, begin), finish in zip(borders, ends, strict=True):
                phases[phase] = phases.get(phase, 0.0) + begin.elapsed_time(finish) * 1e-3
            done.append((record, StepTimes(sum(phases.values()), phases)))
        return done


class SlowClock:
    """A straggler made on purpose: sleeps in one phase of every step.

    With ``delay_s`` once in a step, right after the switch to the phase; with ``factor`` at the end of the phase, each
    time it comes, for so many times as long as it has just taken.

    Args:
        clock: what measures.
        slow: the phase and the amount.
        settle: waits until the device is idle, so that the sleep is seen in this phase and nowhere else.

    Attributes:
        phase: the slow one.
        num_sleeps: how often it came.
    """

    def __init__(self, clock: Clock, slow: Slow, settle: Callable[[], None]) -> None:
        self.phase: str = slow.phase
        self.num_sleeps = 0
        self._clock = clock
        self._slow = slow
        self._settle = settle
        self._is_due = False
        self._entered_ns: int | None = None

    def start(self, step: int) -> None:
        """See ``Clock``."""
        self._is_due = True
        self._entered_ns = None
        self._clock.start(step)

    def switch(self, phase: str) -> None:
        """See ``Clock``; sleeps."""
        self._prolong()
        is_here = phase == self.phase
        if is_here:
            self._settle()
        self._clock.switch(phase)
        if is_here:
            self._entered_ns = _now_ns()
            self._delay()

    def stop(self, record: T) -> list[tuple[T, StepTimes]]:
        """See ``Clock``."""
        self._prolong()
        self._is_due = True
        return self._clock.stop(record)

    def drain(self) -> list[tuple[Any, StepTimes]]:
        """See ``Clock``."""
        return self._clock.drain()

    def _delay(self) -> None:
        if self._slow.delay_s is not None and self._is_due:
            self._is_due = False
            self.num_sleeps += 1
            time.sleep(self._slow.delay_s)

    def _prolong(self) -> None:
        """End the slow phase, where it is the one that runs, later than it would."""
        entered_ns, self._entered_ns = self._entered_ns, None
        if self._slow.factor is None or entered_ns is None:
            return
        self._settle()
        self.num_sleeps += 1
        time.sleep((self._slow.factor - 1) * (_now_ns() - entered_ns) * 1e-9)


def make_clock(context: RankContext, beat: Beat, slow: Slow | None) -> Clock:
    """Return the clock for this rank's device, slowed where ``slow`` names this rank."""
    is_cuda = context.device.type == "cuda"
    clock: Clock = CudaPhaseClock(beat, context.device) if is_cuda else PhaseClock(beat)
    if slow is None or slow.rank != context.rank:
        return clock
    settle = (lambda: torch.cuda.synchronize(context.device)) if is_cuda else (lambda: None)
    return SlowClock(clock, slow, settle)
