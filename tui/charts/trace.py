"""From prepared points to polylines on a grid of dots."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from tui.charts.axes import Axis
from tui.charts.prepare import Prepared

__all__ = ["Dots", "dotted", "trace"]

Dots = tuple[tuple[int, int], ...]
"""Columns from the left, rows from the bottom."""

_Point = tuple[float, float]

_FAR = 1e9
"""Beyond this many canvases away a point is as good as at infinity."""


def trace(line: Prepared, x_axis: Axis, y_axis: Axis, columns: int, rows: int) -> tuple[Dots, ...]:
    """Return the polylines of a line, cut at the edges of the canvas.

    Args:
        line: what is drawn.
        x_axis: of the canvas.
        y_axis: of the canvas.
        columns: of the canvas, in dots.
        rows: of the canvas, in dots.
    """
    import numpy as np

    x = np.clip(x_axis.shares(line.x), -_FAR, _FAR)
    y = np.clip(y_axis.shares(line.y), -_FAR, _FAR)
    is_inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    pieces: Iterator[list[_Point]] = _pieces(points, line.is_break.tolist())
    if not is_inside.all():
        pieces = (part for piece in pieces for part in _clip(piece))
    return tuple(dots for piece in pieces for dots in _to_dots(piece, columns, rows))


def dotted(dots: Dots, distance: float) -> Dots:
    """Return single dots along a polyline, equally far apart."""
    result = [dots[0]]
    left = distance
    for (x0, y0), (x1, y1) in pairwise(dots):
        length = math.hypot(x1 - x0, y1 - y0)
        at = left
        while at <= length:
            result.append((round(x0 + (x1 - x0) * at / length), round(y0 + (y1 - y0) * at / length)))
            at += distance
        left = at - length
    return tuple(result)


def _pieces(points: list[_Point], breaks: list[bool]) -> Iterator[list[_Point]]:
    piece: list[_Point] = []
    for point, is_break in zip(points, breaks, strict=True):
        if is_break and piece:
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def _clip(piece: list[_Point]) -> Iterator[list[_Point]]:
    """The parts of a polyline that are inside of the unit square."""
    if len(piece) == 1:
        if 0 <= piece[0][0] <= 1 and 0 <= piece[0][1] <= 1:
            yield piece
        return
    part: list[_Point] = []
    for start, end in pairwise(piece):
        ends = _clip_segment(start, end)
        if ends is None or (part and part[-1] != ends[0]):
            if part:
                yield part
            part = []
        if ends is not None:
            part += [ends[1]] if part else [*ends]
    if part:
        yield part


def _clip_segment(start: _Point, end: _Point) -> tuple[_Point, _Point] | None:
    """Liang and Barsky's way (ACM Transactions on Graphics 3(1), 1984)."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    enter, leave = 0.0, 1.0
    for toward, room in ((-dx, x), (dx, 1 - x), (-dy, y), (dy, 1 - y)):
        if toward == 0:
            if room < 0:
                return None
        elif toward < 0:
            enter = max(enter, room / toward)
        else:
            leave = min(leave, room / toward)
    if enter > leave:
        return None
    first = start if enter == 0 else (x + enter * dx, y + enter * dy)
    last = end if leave == 1 else (x + leave * dx, y + leave * dy)
    return first, last


def _to_dots(piece: list[_Point], columns: int, rows: int) -> Iterator[Dots]:
    """Dots of a piece; of one column it is the lowest and the highest, the nearer to the line so far first.

    Which of them came first is not to be seen within a column. Where the strokes of two neighbouring columns meet, no
    line is drawn from one to the other: it would only make both longer than they are.
    """
    import numpy as np

    places = np.array(piece)
    heres = np.clip(np.floor(places[:, 0] * columns), 0, columns - 1).astype(int)
    levels = np.clip(np.rint(places[:, 1] * (rows - 1)), 0, rows - 1).astype(int)
    begins = np.flatnonzero(np.diff(heres, prepend=-1))
    lows, highs = np.minimum.reduceat(levels, begins), np.maximum.reduceat(levels, begins)
    dots: list[tuple[int, int]] = []
    last = (-2, 0, 0)
    for column, low, high in zip(heres[begins].tolist(), lows.tolist(), highs.tolist(), strict=True):
        is_flat = low == high and last[1] == last[2]
        if dots and not is_flat and column == last[0] + 1 and low <= last[2] + 1 and high >= last[1] - 1:
            yield tuple(dots)
            dots = []
        before = dots[-1][1] if dots else low
        ends = (low, high) if abs(before - low) <= abs(before - high) else (high, low)
        dots += [(column, low)] if low == high else [(column, end) for end in ends]
        last = (column, low, high)
    yield tuple(dots)
