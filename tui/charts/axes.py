"""The limits of both axes, their ticks, and the way from values to dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui.charts.bands import LARGEST, TINY
from tui.charts.prepare import Prepared
from tui.charts.ticks import Tick, label_ticks, linear_ticks, log_ticks, snap, tick_step
from tui.view.chart import ChartSpec

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Axis", "x_axis", "y_axis"]

_COLUMNS_FOR_TICK = 11
_ROWS_FOR_TICK = 4
_NOISE_SEEN = (3, 97)
"""Of the raw values behind a smoothed line so much (percentiles over columns) is surely in sight; spikes are not."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        low, high: what is in sight; logarithms to base 10 where ``is_log``; ``low < high``.
        ticks: inside, with real values.
        is_log: see ``ChartSpec``.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a real value stands, from 0 to 1; outside of it where it is out of sight."""
        if self.is_log:
            value = math.log10(value) if value > 0 else -math.inf
        return (value - self.low) / (self.high - self.low)

    def shares(self, values: Column) -> Column:
        """As ``share``, for many."""
        import numpy as np

        if self.is_log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        shares: Column = (values - self.low) / (self.high - self.low)
        return shares


def x_axis(spec: ChartSpec, extent: tuple[float, float] | None, num_columns: int) -> Axis:
    """Return the x axis: the range that was asked for, else all data up to the next round place.

    A limit at a round place stands still while data grows, so that of the picture only the newest part is drawn anew.
    """
    most = max(num_columns // _COLUMNS_FOR_TICK, 1)
    if spec.x_range is not None:
        low, high = _apart(*spec.x_range)
    elif extent is None:
        return Axis(low=0.0, high=1.0)
    elif extent[0] == extent[1]:
        low, high = _apart(*extent)
    else:
        step = tick_step(*extent, most, spec.x_format)
        low, high = _apart(extent[0], snap(*extent, step)[1])
    if spec.x_ticks is not None:
        ticks = label_ticks([value for value in spec.x_ticks if low <= value <= high], spec.x_format)
    elif extent is not None and extent[0] == extent[1] and spec.x_range is None:
        ticks = label_ticks([extent[0]], spec.x_format)
    else:
        ticks = _enough_ticks(linear_ticks, (low, high), most, spec.x_format)
    return Axis(low=low, high=high, ticks=tuple(ticks))


def y_axis(
    spec: ChartSpec, lines: Sequence[Prepared], best: Sequence[float], axis: Axis, num_rows: int, *, is_log: bool
) -> Axis:
    """Return the y axis: the range that was asked for, else what is in sight with a little room.

    Args:
        spec: the chart.
        lines: what is drawn.
        best: values of the best points in sight.
        axis: the x axis.
        num_rows: of the canvas.
        is_log: whether the axis is logarithmic after all.
    """
    most = max(num_rows // _ROWS_FOR_TICK, 1) if num_rows > 6 else 2
    low, high = _in_sight(lines, best, axis)
    if spec.y_range is not None and (spec.y_range[1] > 0 or not is_log):
        low, high = (
            spec.y_range if not is_log or spec.y_range[0] > 0 else (min(low, spec.y_range[1] / 10), spec.y_range[1])
        )
        low, high = (_log(low), _log(high)) if is_log else (low, high)
        low, high = _apart(low, high)
    elif is_log:
        low, high = _log(low), _log(high)
        low, high = (
            (low - 0.5, high + 0.5) if high - low < 1e-9 else (low - 0.03 * (high - low), high + 0.03 * (high - low))
        )
    elif low == high:
        low, high = _apart(low, high)
    else:
        low, high = _apart(*snap(low, high, tick_step(low, high, most, spec.y_format)))
    ticks = _enough_ticks(log_ticks if is_log else linear_ticks, (low, high), most, spec.y_format)
    return Axis(low=low, high=high, ticks=tuple(ticks), is_log=is_log)


def _in_sight(lines: Sequence[Prepared], best: Sequence[float], axis: Axis) -> tuple[float, float]:
    import numpy as np

    known = [np.array(list(best), dtype=float).clip(-LARGEST, LARGEST)]
    for line in lines:
        known.append(line.y[(line.x >= axis.low) & (line.x <= axis.high)])
        if line.band is not None and line.band.columns.size:
            ends = (line.band.low, line.band.high)
            known += [np.percentile(np.stack(ends), _NOISE_SEEN)] if line.band.is_noise else ends
    values = np.concatenate(known)
    values = values[np.isfinite(values) & (values != TINY)]
    if not values.size:
        values = np.concatenate([line.y for line in lines]) if lines else values  # a line that only passes through
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def _enough_ticks(
    make: Callable[[float, float, int, str], list[Tick]], limits: tuple[float, float], most: int, kind: str
) -> list[Tick]:
    """At least two, even where that is one more than wanted: with one alone nobody can measure."""
    tries = (make(*limits, number, kind) for number in range(most, most + 4))
    return next((ticks for ticks in tries if len(ticks) >= 2), None) or make(*limits, most, kind)


def _log(value: float) -> float:
    return math.log10(max(value, TINY))


def _apart(low: float, high: float) -> tuple[float, float]:
    """Limits that are different and not too far from each other; what is constant stands in the middle."""
    low, high = max(low, -LARGEST), min(high, LARGEST)
    if not low < high or high - low <= 1e-14 * max(abs(low), abs(high)):
        middle = low / 2 + high / 2
        room = max(abs(middle) * 0.1, 0.5 if abs(middle) < 1e-12 else 0.0, 1e-300)
        return max(middle - room, -LARGEST), min(middle + room, LARGEST)
    return low, high
