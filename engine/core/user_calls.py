"""A user's own ``metric`` lines: the figures, and the throughput where they tell of samples."""

from __future__ import annotations

import math

from engine.core.combine import Table
from engine.core.events import Event
from engine.core.fields import number, whole
from engine.core.figures import UserFigures
from engine.core.rank_columns import RankColumns
from engine.core.step_lines import StepLine
from engine.core.tracks import Curve
from engine.core.training import Training

__all__ = ["UserCalls"]


class UserCalls:
    """What ``ddptui.log`` wrote.

    A line's step is what it says, else the number of the rank's call. Samples between two calls of a rank make a
    window, and windows are combined over the ranks that speak, as those of step lines are.

    Attributes:
        figures: by name.
        training: the windows; has a throughput and samples only.
    """

    def __init__(self) -> None:
        self.figures = UserFigures()
        self.training = Training()
        self._num_calls: dict[int, int] = {}
        self._last_s: dict[int, float] = {}
        self._last_step: dict[int, int] = {}
        self._speaker: int | None = None
        self._windows: dict[int, list[StepLine]] = {}

    @property
    def throughput(self) -> Curve | None:
        """Samples per second of all ranks, over time."""
        return self.training.curves.get("samples_per_s")

    def read(self, rank: int, event: Event, table: Table, origin_s: float) -> None:
        """Take a ``metric`` line.

        Args:
            rank: whose.
            event: the line.
            table: the points of the step lines, if there are any: they know better how many samples were seen.
            origin_s: Unix time of the run's start.
        """
        said = whole(event, "step")
        call = self._num_calls.get(rank, 0)
        self._num_calls[rank] = call + 1
        step = call if said is None else said
        time_s = number(event, "time_s")
        if step < 0 or time_s is None:
            return
        self._add_window(rank, event, step, time_s)
        self.figures.read(rank, event, step, time_s - origin_s, table if len(table) else self.training.table)

    def _add_window(self, rank: int, event: Event, step: int, time_s: float) -> None:
        samples = whole(event, "global_samples")
        if samples is not None:
            # One rank speaks for all: the others would say the same samples again.
            self._speaker = rank if self._speaker is None else min(self._speaker, rank)
            if rank != self._speaker:
                return
        else:
            samples = whole(event, "samples")
        before_s, before = self._last_s.get(rank, math.nan), self._last_step.get(rank, -1)
        if samples is None or samples < 0 or step <= before:
            return
        self._last_s[rank], self._last_step[rank] = time_s, step
        elapsed_s = time_s - before_s if time_s > before_s else 0.0  # the first call ends nothing that was timed
        window = StepLine(
            rank=rank, attempt=0, time_s=time_s, epoch=0, step_first=before + 1, step=step,
            num_steps=step - before, window_s=elapsed_s, phases={}, samples=samples,
        )  # fmt: skip
        self._windows.setdefault(rank, []).append(window)

    def advance(self, origin_s: float) -> bool:
        """Make the points that can be made now; return whether there were any."""
        windows, self._windows = self._windows, {}
        for rank, lines in windows.items():
            if not lines:
                continue
            columns = self.training.of(rank)
            self.training.hear(columns, lines[-1].time_s)
            self.training.extend(columns, lines)
        return self.training.advance(origin_s)

    def end_rank(self, rank: int) -> None:
        """No more calls come of it."""
        columns: RankColumns | None = self.training.ranks.get(rank)
        if columns is not None:
            self.training.end_rank(columns)

    def begin_attempt(self, resumed_from_step: int, time_s: float) -> None:
        """Forget what another attempt supersedes."""
        for rank in self._num_calls:
            self._begin(rank, resumed_from_step)
        self.training.begin_attempt(resumed_from_step, time_s)
        self.figures.drop_from(resumed_from_step)

    def begin_rank(self, rank: int, resumed_from_step: int) -> None:
        """Forget what a rank says anew."""
        if rank not in self._num_calls:
            return
        self._begin(rank, resumed_from_step)
        self.training.begin_rank(self.training.of(rank), {}, resumed_from_step)
        self.figures.drop_of(rank, resumed_from_step)

    def _begin(self, rank: int, resumed_from_step: int) -> None:
        self._windows[rank] = [line for line in self._windows.get(rank, []) if line.step < resumed_from_step]
        self._last_step[rank] = min(self._last_step.get(rank, -1), resumed_from_step - 1)
        self._last_s.pop(rank, None)
        if resumed_from_step <= 0:
            self._num_calls[rank] = 0

    def shift(self, seconds: float) -> None:
        """Move all times."""
        self.figures.shift(seconds)
        self.training.shift(seconds)
