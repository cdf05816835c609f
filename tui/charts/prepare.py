"""From the raw points of a line to those that are drawn.

What was found is kept from picture to picture, so that of growing data only what is new costs something.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tui.charts.bands import LARGEST, Band, View, band_of, join_bands
from tui.charts.decimate import column_of, find_window, keep_extremes
from tui.charts.smooth import Average
from tui.view.chart import Line

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[np.float64]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["LineMemory", "Prepared"]


@dataclass(frozen=True)
class Prepared:
    """The points of a line that are drawn, and what belongs to them.

    Attributes:
        x, y: the points, ``y`` smoothed where that is wanted.
        is_break: of each point: whether no line leads to it.
        gaps: from and to of what is not finite, in columns of dots, inclusive, in order.
        band: or None.
    """

    x: Column
    y: Column
    is_break: Flags
    gaps: tuple[tuple[int, int], ...]
    band: Band | None


@dataclass(frozen=True)
class _Look:
    """What was found in some points, with indices that count from the first point of the line."""

    kept: Places
    is_break: Flags
    gaps: tuple[tuple[int, int], ...]
    band: Band | None


class LineMemory:
    """What is remembered of one line from picture to picture.

    Args:
        line: the first look at it.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._average: Average | None = None
        self._view: View | None = None
        self._window = (0, 0)
        self._look: _Look | None = None

    def is_of(self, line: Line) -> bool:
        """Whether this is the memory of that line: the same columns, which may have grown."""
        own = self._line
        return own.x is line.x and own.y is line.y and own.low is line.low and own.high is line.high

    def prepare(self, line: Line, view: View) -> Prepared:
        """Return what is to be drawn of the line."""
        if line.is_dashed:
            view = replace(view, smoothing=0.0)
        values = self._values(line, view.smoothing)
        start, stop = find_window(line.x, line.num_points, view.x0, view.x1)
        is_dense = stop - start > 2 * view.num_columns
        known = self._look if view == self._view and start == self._window[0] and stop >= self._window[1] else None
        if not is_dense:
            # With one point beyond each edge the line runs to the edges.
            look = _look(line, values, view, (max(start - 1, 0), min(stop + 1, line.num_points)), is_dense=False)
        elif known is None:
            look = _look(line, values, view, (start, stop), is_dense=True)
        else:
            look = known if stop == self._window[1] else self._grow(line, values, view, known, stop)
        self._line, self._view, self._window = line, view, (start, stop)
        self._look = look if is_dense else None
        return _finish(line, values, look)

    def _values(self, line: Line, weight: float) -> Sequence[float]:
        if not weight:
            self._average = None
            return line.y
        if self._average is None or self._average.values is not line.y or self._average.weight != weight:
            self._average = Average(line.y, weight)
        return self._average.take(line.num_points)

    def _grow(self, line: Line, values: Sequence[float], view: View, known: _Look, stop: int) -> _Look:
        """Look anew only from the beginning of the column of the last point that was kept."""
        import numpy as np

        start, seen = self._window
        column = _dot_column(line.x[int(known.kept[-1])], view) if known.kept.size else 0
        resume = bisect_left(line.x, view.x0 + (view.x1 - view.x0) * column / view.num_columns, start, seen)
        new = _look(line, values, view, (resume, stop), is_dense=True, is_first=False)
        is_old = known.kept < resume
        kept = np.concatenate((known.kept[is_old], new.kept))
        is_break = np.concatenate((known.is_break[is_old], new.is_break))
        if is_old.any() and new.kept.size:
            border = int(np.count_nonzero(is_old))
            between = column_of(values, int(kept[border - 1]) + 1, int(kept[border]))
            is_break[border] = not _can_be_drawn(between, view).all()
        gaps = tuple((first, min(last, column - 1)) for first, last in known.gaps if first < column)
        return _Look(kept, is_break, _merge([*gaps, *new.gaps]), join_bands(known.band, new.band, column))


def _look(
    line: Line, values: Sequence[float], view: View, window: tuple[int, int], *, is_dense: bool, is_first: bool = True
) -> _Look:
    import numpy as np

    start, stop = window
    x, y = column_of(line.x, start, stop), column_of(values, start, stop)
    is_placed = np.isfinite(x)
    is_missing = is_placed & ~np.isfinite(y)
    is_drawn = is_placed & _can_be_drawn(y, view)
    y[~is_drawn] = np.nan
    if is_dense:
        kept = keep_extremes(x, y, np.linspace(view.x0, view.x1, view.num_columns + 1))
        known = np.flatnonzero(is_drawn)
        kept = np.union1d(kept, known[[0, -1] if is_first else [-1]]) if known.size else kept
    else:
        kept = np.flatnonzero(is_drawn)
    num_missing = np.cumsum(~is_drawn)[kept]
    return _Look(
        kept=kept + start,
        is_break=np.diff(num_missing, prepend=num_missing[:1] - 1) != 0,
        gaps=_gaps(x, is_missing, view) if is_missing.any() else (),
        band=band_of(line, x, view, window, is_dense=is_dense),
    )


def _can_be_drawn(y: Column, view: View) -> Flags:
    import numpy as np

    is_drawn: Flags = np.isfinite(y)
    if view.is_log:
        with np.errstate(invalid="ignore"):
            is_drawn &= y > 0
    return is_drawn


def _finish(line: Line, values: Sequence[float], look: _Look) -> Prepared:
    import numpy as np

    places = look.kept.tolist()
    return Prepared(
        x=np.array([line.x[place] for place in places], dtype=float),
        y=np.array([values[place] for place in places], dtype=float).clip(-LARGEST, LARGEST),
        is_break=look.is_break,
        gaps=look.gaps,
        band=look.band,
    )


def _dot_column(x: float, view: View) -> int:
    share = (x - view.x0) / (view.x1 - view.x0)
    return min(max(math.floor(share * view.num_columns), 0), view.num_columns - 1) if math.isfinite(share) else 0


def _gaps(x: Column, is_missing: Flags, view: View) -> tuple[tuple[int, int], ...]:
    import numpy as np

    steps = np.diff(is_missing.astype(np.int8), prepend=0, append=0)
    firsts, lasts = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    is_seen = (x[lasts] >= view.x0) & (x[firsts] <= view.x1)
    share = view.num_columns / (view.x1 - view.x0)
    ends = [
        np.clip(np.floor((x[places[is_seen]] - view.x0) * share), 0, view.num_columns - 1).astype(int)
        for places in (firsts, lasts)
    ]
    pairs = np.unique(np.stack(ends, axis=1), axis=0)
    return _merge([(first, last) for first, last in pairs.tolist()])


def _merge(gaps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Make one of what overlaps or touches."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(gaps):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
