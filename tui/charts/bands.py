"""The shaded range behind a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui.charts.decimate import column_of, extremes
from tui.view.chart import Line

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[np.float64]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["LARGEST", "TINY", "Band", "View", "band_of", "join_bands"]

TINY = 1e-307
"""Stands on a logarithmic axis for what is below every value that can be drawn."""

LARGEST = 1e300
"""Values beyond it are drawn there: the difference of two larger ones would be infinite."""

_POINTS_IN_BUCKET = 4
"""The range of raw values behind a smoothed line is taken over at least about so many points."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is looked at, and how.

    Attributes:
        x0, x1: the limits of x; ``x0 < x1``.
        num_columns: of dots.
        smoothing: see ``ChartSpec``.
        is_log: values that are not positive cannot be drawn.
    """

    x0: float
    x1: float
    num_columns: int
    smoothing: float = 0.0
    is_log: bool = False


@dataclass(frozen=True)
class Band:
    """A range of values for some columns of dots, which rise.

    Attributes:
        columns: numbers of columns.
        low: in each of them, or ``TINY``.
        high: in each of them.
        is_noise: whether it is the range of the raw values behind a smoothed line.
    """

    columns: Places
    low: Column
    high: Column
    is_noise: bool = False


def band_of(line: Line, x: Column, view: View, window: tuple[int, int], *, is_dense: bool) -> Band | None:
    """Return the band of a line: its own, or where it is smoothed the range of its raw values.

    Args:
        line: whose.
        x: of the points of ``window``.
        view: what is looked at.
        window: the first point and the one after the last.
        is_dense: whether columns hold many points; else the band runs straight between points.
    """
    import numpy as np

    is_noise = line.low is None or line.high is None
    if is_noise and (not view.smoothing or line.has_markers):
        return None
    low = column_of(line.low if line.low is not None and line.high is not None else line.y, *window)
    high = low if is_noise or line.high is None else column_of(line.high, *window)
    low, high = _positive(low, high) if view.is_log else (low, high)
    low = np.where(np.isfinite(x), low, np.nan)
    num_buckets = view.num_columns if is_dense else max((window[1] - window[0]) // _POINTS_IN_BUCKET, 2)
    if is_dense or is_noise:
        edges = np.linspace(view.x0, view.x1, view.num_columns + 1) if is_dense else _spread(x, num_buckets)
        columns, low, high = extremes(x, low, high, edges)
        low, high = low.clip(-LARGEST, LARGEST), high.clip(-LARGEST, LARGEST)
        if is_dense or not columns.size:
            return Band(columns, low, high, is_noise)
        x = (edges[columns] + edges[columns + 1]) / 2
    return _between(x, _limited(low), _limited(high), view, is_noise=is_noise)


def _limited(values: Column) -> Column:
    """What is not finite becomes NaN."""
    import numpy as np

    return np.where(np.isfinite(values), values.clip(-LARGEST, LARGEST), np.nan)


def _positive(low: Column, high: Column) -> tuple[Column, Column]:
    """On a logarithmic axis a band that reaches down to 0 goes down to the edge."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        return np.where(low > 0, low, np.where(np.isfinite(low), TINY, np.nan)), np.where(high > 0, high, np.nan)


def _spread(x: Column, num_buckets: int) -> Column:
    import numpy as np

    known = x[np.isfinite(x)]
    low, high = (float(known[0]), float(known[-1])) if known.size else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1.0, num_buckets + 1)


def _between(x: Column, low: Column, high: Column, view: View, *, is_noise: bool) -> Band | None:
    """A band of few points: straight between them, but not over a gap."""
    import numpy as np

    is_known = np.isfinite(low) & np.isfinite(high)
    if not is_known.any():
        return None
    place = np.clip((x[is_known] - view.x0) / (view.x1 - view.x0) * view.num_columns, -1e9, 1e9)
    columns = np.arange(max(math.floor(place[0]), 0), min(math.floor(place[-1]), view.num_columns - 1) + 1)
    if not columns.size:
        return None
    centers = columns + 0.5
    after = np.clip(np.searchsorted(place, centers), 1, max(place.size - 1, 1))
    num_missing = np.cumsum(~is_known)[is_known]
    is_whole = num_missing[np.minimum(after, place.size - 1)] == num_missing[after - 1]
    columns, centers = columns[is_whole], centers[is_whole]
    return Band(columns, np.interp(centers, place, low[is_known]), np.interp(centers, place, high[is_known]), is_noise)


def join_bands(old: Band | None, new: Band | None, column: int) -> Band | None:
    """Return a band that goes on as another one from a column on."""
    import numpy as np

    if old is None or new is None:
        return new
    is_old = old.columns < column
    return Band(
        np.concatenate((old.columns[is_old], new.columns)),
        np.concatenate((old.low[is_old], new.low)),
        np.concatenate((old.high[is_old], new.high)),
        new.is_noise,
    )
