"""From any number of points to those that a chart of so many columns can show.

Of the points of one column only the least and the greatest leave a trace on a screen, so these two are kept: a spike
is never lost, unlike with every n-th point or with largest-triangle thinning.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[np.float64]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["column_of", "extremes", "find_window", "keep_extremes"]


def column_of(values: Sequence[float], start: int, stop: int) -> Column:
    """Return a copy of ``values[start:stop]``.

    It must be a copy: while numpy looks at the memory of an array, that array cannot grow, and the thread that appends
    to it would meet a BufferError.
    """
    import numpy as np

    return np.array(values[start:stop], dtype=float)


def find_window(x: Sequence[float], num_points: int, low: float, high: float) -> tuple[int, int]:
    """Return the range of indices of the points from ``low`` to ``high``; ``x`` does not fall."""
    start = bisect_left(x, low, 0, num_points)
    return start, bisect_right(x, high, start, num_points)


def keep_extremes(x: Column, y: Column, edges: Column) -> Places:
    """Return the indices of the least and the greatest finite ``y`` of each column between two ``edges``, in order.

    So of ``n`` columns at most ``2 * n`` points, however many there were.

    Args:
        x: [N], does not fall.
        y: [N], where NaN is a gap; no infinities.
        edges: [n + 1], rises; points outside count to the outermost columns.
    """
    import numpy as np

    known = np.flatnonzero(np.isfinite(y))
    if not known.size:
        return known
    starts = _starts(x[known], edges)
    values = y[known]
    least = _first_places(values, np.minimum.reduceat(values, starts), starts)
    greatest = _first_places(values, np.maximum.reduceat(values, starts), starts)
    return known[np.unique(np.concatenate((least, greatest)))]


def extremes(x: Column, low: Column, high: Column, edges: Column) -> tuple[Places, Column, Column]:
    """Return the columns that hold a finite point, with the least of ``low`` and the greatest of ``high`` in each."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    if not known.size:
        return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0)
    starts = _starts(x[known], edges)
    columns = np.clip(np.searchsorted(edges, x[known][starts], side="right") - 1, 0, edges.size - 2)
    return columns, np.minimum.reduceat(low[known], starts), np.maximum.reduceat(high[known], starts)


def _starts(x: Column, edges: Column) -> Places:
    """Where each column that has a point begins."""
    import numpy as np

    begins = np.unique(np.concatenate(([0], np.searchsorted(x, edges[1:-1], side="left"))))
    return begins[begins < x.size]


def _first_places(values: Column, extreme: Column, starts: Places) -> Places:
    """The first index in each column at which the value is the column's extreme one."""
    import numpy as np

    lengths = np.diff(np.append(starts, values.size))
    hits = np.flatnonzero(values == np.repeat(extreme, lengths))
    return hits[np.searchsorted(hits, starts, side="left")]
