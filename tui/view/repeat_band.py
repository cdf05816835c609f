"""The repeats of a point as one line: their mean, and the range from their least to their greatest."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tui.view.curve_best import best_in

if TYPE_CHECKING:
    import numpy as np

    from engine.core.curves import Curve, RunCurves  # loads the decoder: only where lines are read

    Column = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["MAX_POINTS", "Band", "band_of"]

MAX_POINTS = 16_384
"""Where the repeats have more points together, each is first taken in so many equal stretches of x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Mean and range on a common x; all four are equally long.

    Attributes:
        x: where at least one repeat has a value.
        mean: over the repeats that have a value there; NaN where none has.
        low, high: the least and the greatest of them.
        least, greatest: the index of the least and the greatest mean, or None.
    """

    x: array[float]
    mean: array[float]
    low: array[float]
    high: array[float]
    least: int | None
    greatest: int | None


_State = tuple[tuple[int, int], ...]
_BANDS: WeakKeyDictionary[RunCurves, dict[tuple[str, str], tuple[_State, Band]]] = WeakKeyDictionary()
"""By the first repeat, then by metric and axis; holds as long as no curve of it has grown."""


def band_of(repeats: Sequence[tuple[RunCurves, Curve]], axis: str) -> Band:
    """Return mean and range of the repeats' curves of one metric.

    Repeats report at different steps. The common grid is the union of their x; between its own points a repeat counts
    with the straight line between them, before its first and after its last point it does not count. So a repeat that
    runs still, or that failed early, does not cut the others short, and beyond its end the mean is that of the others.
    Of very many points the common grid is ``MAX_POINTS`` equal stretches: a repeat counts with its mean in each,
    and its least and greatest value there are in the range.

    Args:
        repeats: at least one; none of the curves is empty.
        axis: ``step``, ``time`` or ``samples``.
    """
    state = tuple((id(curve), len(curve)) for _, curve in repeats)
    known = _BANDS.setdefault(repeats[0][0], {})
    key = (repeats[0][1].name, axis)
    if key not in known or known[key][0] != state:
        known[key] = (state, _make(tuple(curve for _, curve in repeats), axis))
    return known[key][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repeat:
    """One repeat in its own places: its values there, or mean, least and greatest of a stretch that ends there."""

    x: Column
    mean: Column
    low: Column
    high: Column


def _make(curves: Sequence[Curve], axis: str) -> Band:
    import numpy as np  # only a mean needs it, and the screen must open fast

    columns = [_columns(curve, axis) for curve in curves]
    if sum(x.size for x, _ in columns) <= MAX_POINTS:
        grid = np.unique(np.concatenate([x for x, _ in columns]))
        repeats = [_Repeat(x=x, mean=y, low=y, high=y) for x, y in columns]
    else:
        ends = [x[[0, -1]] for x, _ in columns if x.size]
        grid = np.linspace(min(low for low, _ in ends), max(high for _, high in ends), MAX_POINTS)
        repeats = [_in_stretches(x, y, grid) for x, y in columns]
    rows = np.stack([_on_grid(grid, repeat.x, repeat.mean) for repeat in repeats])
    counts = np.isfinite(rows).sum(axis=0)
    total = np.where(np.isfinite(rows), rows, 0.0).sum(axis=0)
    mean = _array(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))
    return Band(
        x=_array(grid),
        mean=mean,
        low=_array(np.fmin.reduce([_on_grid(grid, repeat.x, repeat.low) for repeat in repeats])),
        high=_array(np.fmax.reduce([_on_grid(grid, repeat.x, repeat.high) for repeat in repeats])),
        least=best_in(mean, 0, len(mean), is_least=True),
        greatest=best_in(mean, 0, len(mean), is_least=False),
    )


def _columns(curve: Curve, axis: str) -> tuple[Column, Column]:
    """Copies: an array whose memory numpy looks at could not grow. What is not finite is NaN."""
    import numpy as np

    num_points = len(curve)
    x = np.array(curve.x(axis)[:num_points])
    y = np.array(curve.value[:num_points])
    y[~np.isfinite(y)] = np.nan
    is_placed = np.isfinite(x)
    return x[is_placed], y[is_placed]


def _in_stretches(x: Column, y: Column, ends: Column) -> _Repeat:
    """Mean, least and greatest of what lies between two ends, for every stretch that holds a point."""
    import numpy as np

    stops = np.searchsorted(x, ends, side="right")
    starts = np.concatenate(([0], stops[:-1]))
    is_held = stops > starts
    starts, stops = starts[is_held], stops[is_held]
    is_known = np.isfinite(y)
    sums = np.add.reduceat(np.where(is_known, y, 0.0), starts)
    counts = np.add.reduceat(is_known.astype(float), starts)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)
    return _Repeat(x=ends[is_held], mean=mean, low=np.fmin.reduceat(y, starts), high=np.fmax.reduceat(y, starts))


def _on_grid(grid: Column, x: Column, y: Column) -> Column:
    """Values of a repeat at every x of the grid; its own points stay exact beside a gap, where no line can be drawn."""
    import numpy as np

    row = np.interp(grid, x, y, left=np.nan, right=np.nan)
    places = np.minimum(np.searchsorted(grid, x), grid.size - 1)
    is_own = grid[places] == x
    row[places[is_own]] = y[is_own]
    return row


def _array(values: Column) -> array[float]:
    column = array("d")
    column.frombytes(values.astype(float).tobytes())
    return column
