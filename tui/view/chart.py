"""What a chart shows, as a value: lines over one x axis. Who draws it (cells, PNG) and how wide is not its business."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ChartSpec", "Line", "Reading", "extent_of", "follow", "nearest", "pan", "zoom"]

Range = tuple[float, float]
"""From, to; in units of x."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    The sequences may grow while they are shown: only their first ``num_points`` values are meant. Non-finite values
    are gaps. ``x`` does not fall.

    Attributes:
        label: for the legend; unique within its chart.
        color: ``#rrggbb``.
        x, y: raw values, undecimated and unsmoothed.
        num_points: how many of them count.
        low, high: a band around ``y``, or None; as long as ``y``.
        is_dashed: drawn so that it stands back: an ideal, a published figure, raw values behind smoothed ones.
        has_markers: draw every point, as for the few points of a comparison.
        best: index of the point that is marked as best, or None.
    """

    label: str
    color: str
    x: Sequence[float]
    y: Sequence[float]
    num_points: int
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    is_dashed: bool = False
    has_markers: bool = False
    best: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChartSpec:
    """A chart.

    Attributes:
        key: tells charts apart: the same key is the same chart with newer data.
        title: one line.
        x_label, y_label: with their units.
        lines: those behind come first.
        is_log: logarithmic y; where no positive value is in sight it is drawn linear and the title says so.
        smoothing: weight of the past in an exponential moving average over the raw values, 0 for none, below 1.
        x_range: what is shown of x, or None for all.
        y_range: what is shown of y, or None for what is in sight.
        cursor_x: where the inspection cursor stands, or None.
        x_format, y_format: ``number``, ``duration`` (s), ``ratio`` (shown as %), ``bytes``, ``count``.
        x_ticks: where ticks must stand (world sizes), or None.
        notes: short notices to be shown with the chart: ``NaN at step 120``.
        empty_text: what stands there while there is nothing to draw.
    """

    key: str
    title: str
    x_label: str
    lines: tuple[Line, ...]
    y_label: str = ""
    is_log: bool = False
    smoothing: float = 0.0
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    cursor_x: float | None = None
    x_format: str = "number"
    y_format: str = "number"
    x_ticks: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    empty_text: str = "no data yet"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The value of one line under the inspection cursor: the nearest point, None where the line has none there."""

    label: str
    color: str
    x: float | None
    y: float | None


def extent_of(lines: Sequence[Line]) -> Range | None:
    """Return from where to where the points of all lines go along x; None without a point."""
    ends = []
    for line in lines:
        places = range(line.num_points)
        for order in (places, reversed(places)):
            known = next((line.x[place] for place in order if math.isfinite(line.x[place])), None)
            ends += [] if known is None else [known]
    return (min(ends), max(ends)) if ends else None


def nearest(line: Line, x: float, reach: float) -> int | None:
    """Return the index of the point nearest to ``x``; None where the line has none within ``reach`` of its ends."""
    if not line.num_points:
        return None
    after = bisect_left(line.x, x, 0, line.num_points)
    around = [place for place in (after - 1, after) if 0 <= place < line.num_points]
    place = min(around, key=lambda place: abs(line.x[place] - x))
    is_between = 0 < after < line.num_points
    return place if is_between or abs(line.x[place] - x) <= reach else None


def zoom(shown: Range, extent: Range, factor: float, anchor: float) -> Range | None:
    """Return what is shown after zooming.

    Args:
        shown: what is shown now.
        extent: all there is.
        factor: below 1 shows less, above 1 more.
        anchor: what keeps its place.

    Returns:
        The range, inside of ``extent``; None for all of it.
    """
    anchor = min(max(anchor, shown[0]), shown[1])
    least = max(abs(extent[0]), abs(extent[1]), extent[1] - extent[0]) * 1e-9
    if factor < 1 and (shown[1] - shown[0]) * factor <= least:
        return shown
    return _inside((anchor - (anchor - shown[0]) * factor, anchor + (shown[1] - anchor) * factor), extent)


def pan(shown: Range, extent: Range, share: float) -> Range | None:
    """Return what is shown after moving by a share of its width, to the right where positive; None for all."""
    by = (shown[1] - shown[0]) * share
    return _inside((shown[0] + by, shown[1] + by), extent)


def follow(shown: Range | None, old: Range | None, new: Range) -> Range | None:
    """Return what is shown once data has grown from one extent to another.

    A range that ends at the newest data keeps its width and goes along; any other stays where it is, so that what a
    person looks at does not move away. None, for all, stays None.
    """
    if shown is None or old is None or shown[1] < old[1]:
        return shown
    return (shown[0] + new[1] - shown[1], new[1]) if new[1] > shown[1] else shown


def _inside(shown: Range, extent: Range) -> Range | None:
    low, high = shown
    if high - low >= (extent[1] - extent[0]) * (1 - 1e-9):
        return None
    if low < extent[0]:
        return extent[0], extent[0] + (high - low)
    return (extent[1] - (high - low), extent[1]) if high > extent[1] else shown
