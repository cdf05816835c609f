"""The step windows of one rank as columns, all of them, in the order of their steps."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter, lt, truediv
from typing import Any, cast

from engine.core.rank_record import NUM_NEWEST, Window
from engine.core.step_lines import StepLine
from engine.core.tracks import NAN, RankTrack, nan_column, new_column

__all__ = ["MAX_PHASES", "RankColumns"]

MAX_PHASES = 64
"""Names of phases that one rank may have: a file full of names must not fill the memory."""

_TOO_LARGE = 2**53

_PRIVATE = ("num_steps", "samples", "loss", "correct", "lr")


class RankColumns:
    """One rank: its public track, and what only the combining over ranks needs.

    Attributes:
        track: step, time, seconds; shown to readers.
        num_steps, samples, loss, correct, lr: one entry per window; NaN where it did not say.
        first_step: the first step of its first window.
        nonfinite: the last step of the first window whose loss was NaN or infinite, and what it was.
        newest_s: Unix time of its newest line.
        is_counted: whether it ever saw samples.
        knows_loss_from: the last step of the first window that said a loss.
        is_left: whether points were made without it; its return must make them anew.
        has_ended: whether it said that no more windows come.
    """

    def __init__(self, rank: int) -> None:
        self.track = RankTrack(rank)
        for name in _PRIVATE:
            setattr(self, name, new_column())
        self.num_steps: array[float]
        self.samples: array[float]
        self.loss: array[float]
        self.correct: array[float]
        self.lr: array[float]
        self._windows: list[Window] = []
        self._fresh: list[StepLine] = []
        self.first_step: int | None = None
        self.nonfinite: tuple[int, str] | None = None
        self._epochs: list[tuple[int, int]] = []  # (a step, its epoch) where the epoch is another than before
        self.last_epoch = 0
        self.newest_s = -math.inf
        self.is_counted = False
        self.knows_loss_from = math.inf
        self.is_left = False
        self.has_ended = False

    @property
    def start(self) -> dict[str, Any]:
        """Its ``run_start``."""
        return self.track.start

    @property
    def stop(self) -> dict[str, Any]:
        """Its ``run_stop``; empty while it runs."""
        return self.track.stop

    def settle_windows(self) -> None:
        """Nothing is left to be made of lines."""
        self._windows = self.windows

    @property
    def windows(self) -> list[Window]:
        """The newest windows as they came."""
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._windows = [*self._windows, *map(_window_of, fresh)][-NUM_NEWEST:]
        return self._windows

    def begin(self, event: dict[str, Any], resumed_from_step: int) -> bool:
        """Start over: what came before ``resumed_from_step`` stays. Return whether anything went."""
        track = self.track
        track.start, track.stop, track.error = event, {}, {}
        self.has_ended = False
        kept = bisect_left(track.step, resumed_from_step)
        is_shorter = kept < track.num_windows
        if is_shorter:
            self._cut(kept)
        windows = [window for window in self.windows if window.step < resumed_from_step]
        older = range(max(kept - NUM_NEWEST, 0), kept - len(windows))
        self._windows = [*map(self._window, older), *windows]
        if not self._windows:
            self.first_step = None
        if self.nonfinite is not None and self.nonfinite[0] >= resumed_from_step:
            self.nonfinite = None
        return is_shorter

    def extend(self, lines: Sequence[StepLine]) -> None:
        """Take windows in the order of the file."""
        if self.first_step is None:
            self.first_step = min(lines[0].step_first, lines[0].step)
        self._fresh = [*self._fresh, *lines[-NUM_NEWEST:]][-NUM_NEWEST:]
        self.last_epoch = lines[-1].epoch
        self._note_losses(lines)
        lines = self._in_order(lines)
        if not lines:
            return
        track = self.track
        if not self._epochs or self._epochs[-1][1] != self.last_epoch:
            self._epochs.append((lines[-1].step, self.last_epoch))
        num_steps = [line.num_steps for line in lines]
        samples = [line.samples for line in lines]
        self.is_counted = self.is_counted or any(samples)
        self.num_steps.extend(array("d", num_steps))
        self.samples.extend(array("d", samples))
        self.loss.extend(_column([line.loss for line in lines]))
        self.correct.extend(_column([line.correct for line in lines]))
        self.lr.extend(_column([line.lr for line in lines]))
        track.step.extend(array("d", [line.step for line in lines]))
        track.time_s.extend(array("d", [line.time_s for line in lines]))
        track.step_s.extend(array("d", map(truediv, [line.window_s for line in lines], num_steps)))
        self._extend_phases([line.phases for line in lines], num_steps)
        track.num_windows += len(lines)

    def _in_order(self, lines: Sequence[StepLine]) -> Sequence[StepLine]:
        """Leave out what goes back without a ``run_start``: columns are searched by step."""
        last = self.track.step[-1] if self.track.num_windows else -1.0
        steps = [line.step for line in lines]
        if steps[0] > last and all(map(lt, steps, steps[1:])):
            return lines
        kept = []
        for line in lines:
            if line.step > last:
                kept.append(line)
                last = line.step
        return kept

    def _note_losses(self, lines: Sequence[StepLine]) -> None:
        losses = [line.loss for line in lines if line.loss is not None]
        if losses and self.knows_loss_from == math.inf:
            self.knows_loss_from = next(line.step for line in lines if line.loss is not None)
        if self.nonfinite is not None or math.isfinite(sum(losses)):
            return
        for line in lines:
            if line.loss is not None and not math.isfinite(line.loss):
                self.nonfinite = (line.step, "NaN" if math.isnan(line.loss) else "infinite")
                return

    def _extend_phases(self, phases: Sequence[dict[str, float]], num_steps: Sequence[int]) -> None:
        columns = dict(self.track.phases)  # replaced, not changed: a reader may be going through it
        spent = _transpose(phases)
        for name in spent:
            if name not in columns and len(columns) < MAX_PHASES:
                columns[name] = nan_column(self.track.num_windows)
        for name, column in columns.items():
            seconds = spent.get(name)
            if seconds is None:
                column.extend(nan_column(len(phases)))
            else:
                column.extend(array("d", map(truediv, seconds, num_steps)))
        if len(columns) > len(self.track.phases):
            self.track.phases = columns

    def _cut(self, kept: int) -> None:
        """Keep the first windows, in new columns: a reader may hold the old ones."""
        track = self.track
        for name in _PRIVATE:
            setattr(self, name, getattr(self, name)[:kept])
        self.track = RankTrack(
            track.rank,
            start=track.start,
            step=track.step[:kept],
            time_s=track.time_s[:kept],
            step_s=track.step_s[:kept],
            phases={name: column[:kept] for name, column in track.phases.items()} if kept else {},
            num_windows=kept,
        )
        last = track.step[kept - 1] if kept else -1.0
        self._epochs = [item for item in self._epochs if item[0] <= last] or self._epochs[:1]
        self.is_counted = any(self.samples)
        if self.knows_loss_from > last:
            self.knows_loss_from = math.inf

    def _window(self, index: int) -> Window:
        step, num_steps = int(self.track.step[index]), int(self.num_steps[index])
        loss, correct = self.loss[index], self.correct[index]
        return Window(
            epoch=self._epochs[max(bisect_right(self._epochs, (step, _TOO_LARGE)) - 1, 0)][1],
            step_first=max(step - num_steps + 1, 0),
            step=step,
            num_steps=num_steps,
            window_s=self.track.step_s[index] * num_steps,
            samples=int(self.samples[index]),
            loss=loss if loss == loss else None,
            correct=correct if correct == correct else None,
            phases={},
            span=None,
        )


def _column(values: Sequence[float | None]) -> array[float]:
    """Unknown and not finite is NaN."""
    try:
        column = array("d", cast("Sequence[float]", values))
    except TypeError:
        column = array("d", [NAN if value is None else value for value in values])
    if math.isfinite(sum(column)):
        return column
    return array("d", [value if math.isfinite(value) else NAN for value in column])


def _transpose(phases: Sequence[dict[str, float]]) -> dict[str, Iterable[float]]:
    """Seconds of each phase, one for each window."""
    first = phases[0]
    if set(map(len, phases)) == {len(first)}:
        try:
            return {name: list(map(itemgetter(name), phases)) for name in first}
        except KeyError:
            pass  # as many phases, but others
    names = dict.fromkeys(name for phase in phases for name in phase)
    return {name: [phase.get(name, NAN) for phase in phases] for name in names}


def _window_of(line: StepLine) -> Window:
    return Window(
        epoch=line.epoch,
        step_first=min(line.step_first, line.step),
        step=line.step,
        num_steps=line.num_steps,
        window_s=line.window_s,
        samples=line.samples,
        loss=line.loss if line.loss is not None and math.isfinite(line.loss) else None,
        correct=line.correct,
        phases={},
        span=None,
    )
