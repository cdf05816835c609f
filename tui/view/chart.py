"""What a chart shows, as a value: lines over one x axis. Who draws it (cells, PNG) and how wide is not its business."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tui.view.span import Span

__all__ = ["ChartSpec", "Line", "Reading", "extent_of", "nearest"]


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


def extent_of(lines: Sequence[Line]) -> Span | None:
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
