"""Windows of several ranks combined into points that cover the same steps on each of them.

Ranks choose their windows themselves; they end at multiples of powers of two, so that the coarser window holds whole
finer ones. A point is made where all ranks' windows end together.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul, truediv

from engine.core.rank_columns import RankColumns
from engine.core.tracks import NAN, Curve, nan_column, new_column

__all__ = ["FIGURES", "Combiner", "Table"]

FIGURES = ("loss", "accuracy", "samples_per_s", "step_s", "lr")
"""What training gives, in the order in which it is shown."""

Column = Sequence[float]


def _as_array(column: Column) -> array[float]:
    return column if isinstance(column, array) else array("d", column)


class Table:
    """Curves that share their x columns."""

    def __init__(self) -> None:
        self.step = new_column()
        self.time_s = new_column()
        self.samples = new_column()
        self.curves: dict[str, Curve] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def extend(self, step: Column, time_s: Column, samples: Column, values: Mapping[str, Column | None]) -> None:
        """Append points; a value that is None, or absent, is NaN in all of them."""
        before = len(self)
        self.step.extend(_as_array(step))
        self.time_s.extend(_as_array(time_s))
        self.samples.extend(_as_array(samples))
        added = {name: self._curve(name, before) for name, v in values.items() if v is not None}
        new = {name: curve for name, curve in added.items() if name not in self.curves}
        if new:
            self.curves = {**self.curves, **new}  # replaced, not changed: a reader may be going through it
        for name, curve in self.curves.items():
            column = values.get(name)
            curve.value.extend(nan_column(len(step)) if column is None else _as_array(column))

    def _curve(self, name: str, length: int) -> Curve:
        known = self.curves.get(name)
        return known or Curve(name, self.step, self.time_s, self.samples, nan_column(length))

    def cut(self, length: int) -> None:
        """Keep the first points, in new columns and curves: a reader may hold the old ones."""
        self.step, self.time_s, self.samples = self.step[:length], self.time_s[:length], self.samples[:length]
        self.curves = {
            name: Curve(name, self.step, self.time_s, self.samples, curve.value[:length])
            for name, curve in self.curves.items()
            if length
        }

    def shift(self, seconds: float) -> None:
        """Move all times."""
        self.time_s = array("d", [time_s + seconds for time_s in self.time_s])
        for curve in self.curves.values():
            curve.time_s = self.time_s

    def samples_at(self, step: float) -> float:
        """Samples seen by all ranks when ``step`` was finished, as far as is known."""
        index = bisect_right(self.step, step) - 1
        return self.samples[index] if index >= 0 else 0.0


@dataclass(slots=True)
class _Part:
    """What one rank gives to the next points: an entry for each of them; ``phases`` and ``step_s`` are per step."""

    step: Column
    time_s: Column
    num_steps: Column
    step_s: Column
    samples: Column
    loss: Column
    correct: Column
    lr: Column
    knows_loss_from: float
    phases: dict[str, Column] = field(default_factory=dict)


class Combiner:
    """Makes the points of a table out of the windows of ranks.

    Args:
        has_figures: whether to make loss, accuracy, throughput, step time and learning rate.
        has_phases: whether to make the phases.
    """

    def __init__(self, *, has_figures: bool = True, has_phases: bool = True) -> None:
        self.table = Table()
        self.has_figures = has_figures
        self.has_phases = has_phases

    def advance(self, members: Sequence[RankColumns], *, is_partial: bool, origin_s: float) -> bool:
        """Make all points that can be made now of these ranks; return whether there were any.

        Args:
            members: the ranks, in order.
            is_partial: another rank that sees samples is missing: the throughput of all is then unknown.
            origin_s: Unix time of the run's start.
        """
        cursors = self._cursors(members)
        if not members or any(c >= m.track.num_windows for c, m in zip(cursors, members, strict=True)):
            return False
        parts = _matching_parts(members, cursors, has_phases=self.has_phases)
        if not parts:
            return False
        num_points = len(parts[0].step)
        before = self.table.samples[-1] if len(self.table) else 0.0
        samples = parts[0].samples if len(parts) == 1 else list(map(sum, zip(*(p.samples for p in parts), strict=True)))
        seen = list(accumulate(samples, initial=before))[1:]
        time_s = parts[0].time_s if len(parts) == 1 else list(map(max, zip(*(p.time_s for p in parts), strict=True)))
        values: dict[str, Column | None] = {}
        if self.has_figures:
            values = _figures(parts, samples, is_partial=is_partial)
        if self.has_phases:
            values |= _mean_phases(parts, num_points)
        self.table.extend(parts[0].step, [t - origin_s for t in time_s], seen, values)
        return True

    def go_back(self, step: float) -> bool:
        """Forget the points whose step is not before ``step``; they are made anew from what the ranks hold then.

        Returns:
            whether there were any.
        """
        kept = bisect_right(self.table.step, math.nextafter(step, -math.inf))
        if kept == len(self.table):
            return False
        self.table.cut(kept)
        return True

    def _cursors(self, members: Sequence[RankColumns]) -> list[int]:
        if not len(self.table):
            return [0] * len(members)
        last = self.table.step[-1]
        return [_first_after(member.track.step, last) for member in members]


def _first_after(steps: array[float], last: float) -> int:
    if not steps or steps[-1] <= last:
        return len(steps)
    return bisect_right(steps, last)


def _matching_parts(members: Sequence[RankColumns], cursors: Sequence[int], *, has_phases: bool) -> list[_Part]:
    """What each rank gives up to the last step at which windows of all of them end; empty where there is none."""
    ends = [member.track.step[cursor:] for member, cursor in zip(members, cursors, strict=True)]
    length = min(map(len, ends))
    if all(steps[:length] == ends[0][:length] for steps in ends):
        return [_slice(m, c, c + length, has_phases) for m, c in zip(members, cursors, strict=True)]
    common = sorted(set(ends[0]).intersection(*ends[1:]))
    if not common:
        return []
    parts = []
    for member, cursor, steps in zip(members, cursors, ends, strict=True):
        stop = cursor + bisect_right(steps, common[-1])
        part = _slice(member, cursor, stop, has_phases)
        parts.append(part if stop - cursor == len(common) else _coarsen(part, common))
    return parts


def _slice(rank: RankColumns, begin: int, end: int, has_phases: bool) -> _Part:
    track = rank.track
    return _Part(
        step=track.step[begin:end],
        time_s=track.time_s[begin:end],
        num_steps=rank.num_steps[begin:end],
        step_s=track.step_s[begin:end],
        samples=rank.samples[begin:end],
        loss=rank.loss[begin:end],
        correct=rank.correct[begin:end],
        lr=rank.lr[begin:end],
        knows_loss_from=rank.knows_loss_from,
        phases={name: column[begin:end] for name, column in track.phases.items()} if has_phases else {},
    )


def _coarsen(part: _Part, ends: Sequence[float]) -> _Part:
    """Merge the windows of ``part`` into those that end at ``ends``."""
    slices = []
    begin = 0
    for end in ends:
        stop = bisect_right(part.step, end, begin)
        slices.append(slice(begin, stop))
        begin = stop
    num_steps = [sum(part.num_steps[s]) for s in slices]
    return _Part(
        step=ends,
        time_s=[part.time_s[s.stop - 1] for s in slices],
        num_steps=num_steps,
        step_s=[_mean(part.step_s[s], part.num_steps[s]) for s in slices],
        samples=[sum(part.samples[s]) for s in slices],
        loss=[_mean(part.loss[s], _weights(part.samples[s], part.num_steps[s])) for s in slices],
        correct=[sum(part.correct[s]) for s in slices],
        lr=[part.lr[s.stop - 1] for s in slices],
        knows_loss_from=part.knows_loss_from,
        phases={name: [_known_mean(c[s], part.num_steps[s]) for s in slices] for name, c in part.phases.items()},
    )


def _weights(samples: Column, num_steps: Column) -> Column:
    return samples if any(samples) else num_steps


def _mean(values: Column, weights: Column) -> float:
    if len(values) == 1:
        return values[0]
    weight = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / weight if weight else NAN


def _known_mean(values: Column, weights: Column) -> float:
    """A phase that only some windows name took no time in the others."""
    if all(value != value for value in values):
        return NAN
    return _mean([0.0 if value != value else value for value in values], weights)


def _figures(parts: Sequence[_Part], samples: Column, *, is_partial: bool) -> dict[str, Column | None]:
    seconds = [list(map(mul, p.step_s, p.num_steps)) for p in parts]
    rates = _sums([_ratios(p.samples, spent_s) for p, spent_s in zip(parts, seconds, strict=True)])
    if not all(samples):
        rates = [rate if seen else NAN for rate, seen in zip(rates, samples, strict=True)]
    return {
        "loss": _mean_loss(parts, samples),
        "accuracy": _accuracy(parts),
        "samples_per_s": None if not any(samples) else nan_column(len(samples)) if is_partial else rates,
        "step_s": _step_times(parts),
        "lr": _first_known([part.lr for part in parts]),
    }


def _step_times(parts: Sequence[_Part]) -> Column:
    """A step of no time was not measured: the first line of a script does not tell since when."""
    return [sum(each) / len(each) if all(each) else NAN for each in zip(*(p.step_s for p in parts), strict=True)]


def _sums(columns: Sequence[Column]) -> Column:
    return columns[0] if len(columns) == 1 else list(map(sum, zip(*columns, strict=True)))


def _mean_loss(parts: Sequence[_Part], samples: Column) -> Column | None:
    """Weighted by samples; NaN wherever a rank that has said its loss before had none to say."""
    if len(parts) == 1:
        return parts[0].loss if parts[0].knows_loss_from <= parts[0].step[-1] else None
    steps = parts[0].step
    if all(part.knows_loss_from <= steps[0] for part in parts) and all(samples):
        products = [list(map(mul, part.loss, part.samples)) for part in parts]
        return _ratios(_sums(products), samples)
    losses = []
    for index, step in enumerate(steps):
        knowing = [part for part in parts if part.knows_loss_from <= step]
        weights = _weights([p.samples[index] for p in knowing], [p.num_steps[index] for p in knowing])
        losses.append(_mean([p.loss[index] for p in knowing], weights) if knowing else NAN)
    return losses if any(part.knows_loss_from <= part.step[-1] for part in parts) else None


def _accuracy(parts: Sequence[_Part]) -> Column | None:
    """Correct over seen samples of the ranks that count them."""
    if all(not _has_known(part.correct) for part in parts):
        return None
    correct, samples = _sums([p.correct for p in parts]), _sums([p.samples for p in parts])
    if len(parts) > 1 and any(value != value for value in correct):
        rows = [
            [(p.correct[index], p.samples[index]) for p in parts if p.correct[index] == p.correct[index]]
            for index in range(len(correct))
        ]
        correct = [sum(pair[0] for pair in row) if row else NAN for row in rows]
        samples = [sum(pair[1] for pair in row) for row in rows]
    return _ratios(correct, samples)


def _first_known(columns: Sequence[Column]) -> Column | None:
    """Row by row what the first says that says anything."""
    if sum(columns[0]) == sum(columns[0]):
        return columns[0]
    if not any(map(_has_known, columns)):
        return None
    return [next((value for value in row if value == value), NAN) for row in zip(*columns, strict=True)]


def _has_known(column: Column) -> bool:
    return any(value == value for value in column)


def _ratios(values: Column, by: Column) -> Column:
    """NaN where it would be divided by nothing."""
    try:
        return list(map(truediv, values, by))
    except ZeroDivisionError:
        return [value / part if part > 0 else NAN for value, part in zip(values, by, strict=True)]


def _mean_phases(parts: Sequence[_Part], num_points: int) -> dict[str, Column | None]:
    """The mean over ranks; a phase that only some of them have is averaged over all of them."""
    names: Iterable[str] = dict.fromkeys(name for part in parts for name in part.phases)
    result: dict[str, Column | None] = {}
    for name in names:
        columns = [part.phases.get(name) or nan_column(num_points) for part in parts]
        means = columns[0] if len(columns) == 1 else [total / len(parts) for total in _sums(columns)]
        if len(columns) > 1 and any(mean != mean for mean in means):
            means = [_known_mean(row, [1.0] * len(row)) for row in zip(*columns, strict=True)]
        if f"{name}_s" not in FIGURES:
            result[f"{name}_s"] = means
    return result
