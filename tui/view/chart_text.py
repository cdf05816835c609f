"""Charts as words and rows: what is copied and exported."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from engine.core.curves import Curve
from tui.output import format_bytes, format_duration, format_number, format_ratio
from tui.view.chart import ChartSpec, Line, Reading
from tui.view.run_charts import Drawn

__all__ = ["POINT_COLUMNS", "PointRows", "describe", "format_value", "last_readings"]

_FORMATS: dict[str, Callable[[Any], str]] = {
    "number": format_number,
    "count": lambda value: format_number(round(value)) if math.isfinite(value) else format_number(None),
    "duration": format_duration,
    "bytes": format_bytes,
    "ratio": format_ratio,
}

POINT_COLUMNS = ("run", "metric", "step", "time_s", "samples", "value")


def format_value(value: float | None, kind: str) -> str:
    """Return a value in one of the formats of ``ChartSpec``; n/a for None and for what is not finite."""
    return format_number(None) if value is None else _FORMATS[kind](value)


def last_readings(spec: ChartSpec) -> tuple[Reading, ...]:
    """Return the last value in sight of every line, which may be one that is not finite."""
    return tuple(_last(line, spec.x_range) for line in spec.lines)


def _last(line: Line, x_range: tuple[float, float] | None) -> Reading:
    end = line.num_points
    index = (end if x_range is None else bisect_right(line.x, x_range[1], hi=end)) - 1
    is_in_sight = index >= 0 and (x_range is None or line.x[index] >= x_range[0])
    x, y = (line.x[index], line.y[index]) if is_in_sight else (None, None)
    return Reading(label=line.label, color=line.color, x=x, y=y)


def describe(spec: ChartSpec, readings: Sequence[Reading]) -> str:
    """Return a chart in a few lines: its title, the value of each line with its place, its notices."""
    unit = f" {spec.y_label}" if spec.y_label else ""
    cells = [
        (reading.label, format_value(reading.y, spec.y_format) + unit, format_value(reading.x, spec.x_format))
        for reading in readings
    ]
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(2)]
    lines = [f"{label.ljust(widths[0])}  {value.rjust(widths[1])}  at {spec.x_label} {x}" for label, value, x in cells]
    return "\n".join([spec.title, *(lines or [spec.empty_text]), *spec.notes])


class PointRows(Sequence[tuple[object, ...]]):
    """Every raw point of some curves in long form, see ``POINT_COLUMNS``; a row is made only when it is asked for.

    Args:
        metrics: the names of the curves.
        drawn: the runs.
        axis: of ``x_range``.
        x_range: what is in sight, or None for all.
    """

    def __init__(self, metrics: Sequence[str], drawn: Drawn, *, axis: str, x_range: tuple[float, float] | None) -> None:
        self._parts = []
        for metric in metrics:
            for row, curves in drawn:
                curve = curves.curve(metric)
                if curve is None:
                    continue
                first, end = 0, len(curve)
                if x_range is not None:
                    x = curve.x(axis)
                    first, end = bisect_left(x, x_range[0], hi=end), bisect_right(x, x_range[1], hi=end)
                self._parts.append((row.tag, curve, range(first, end)))

    def __len__(self) -> int:
        return sum(len(indices) for _, _, indices in self._parts)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        for tag, curve, indices in self._parts:
            for i in indices:
                yield _row(tag, curve, i)

    @overload
    def __getitem__(self, index: int) -> tuple[object, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[object, ...], ...]: ...

    def __getitem__(self, index: int | slice) -> tuple[object, ...] | tuple[tuple[object, ...], ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        place = index + len(self) if index < 0 else index
        for tag, curve, indices in self._parts:
            if 0 <= place < len(indices):
                return _row(tag, curve, indices[place])
            place -= len(indices)
        raise IndexError(index)


def _row(tag: str, curve: Curve, i: int) -> tuple[object, ...]:
    return tag, curve.name, _whole(curve.step[i]), curve.time_s[i], _whole(curve.samples[i]), curve.value[i]


def _whole(value: float) -> float | None:
    """Steps and samples are whole numbers, also where a column holds them as floats."""
    return int(value) if math.isfinite(value) else None
