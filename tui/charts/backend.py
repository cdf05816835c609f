"""plotext, and nothing else: from polylines on a grid of dots to characters. The only module that imports it.

Version 5 keeps state in modules, so one lock is held while it draws; and it draws what it is told to, so callers give
it finite dots inside the canvas only: a line to 1e300 would be a list of 1e300 dots. Only its class of a plot is used,
which is made anew for every drawing: nothing is left behind that could grow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tui.charts.strokes import Polyline, take_solid

__all__ = ["DOTS", "Cells", "raster"]

Cells = tuple[tuple[int, int, str], ...]
"""Row from the top, column, character."""

DOTS = {"braille": (2, 4), "hd": (2, 2)}
"""Dots of a character across and up; any other marker is one character for one dot."""

_FULL = {"braille": "⣿", "hd": "█"}

_LOCK = threading.Lock()


def raster(
    polylines: Iterable[Polyline], columns: int, rows: int, marker: str = "braille", *, are_joined: bool = True
) -> Cells:
    """Return the characters that show polylines.

    Args:
        polylines: each apart from the others; a single dot is shown too.
        columns: of the canvas, in characters.
        rows: of the canvas.
        marker: a name of ``DOTS`` or one character.
        are_joined: whether the dots of a polyline are joined by lines.
    """
    across, up = DOTS.get(marker, (1, 1))
    solid: set[tuple[int, int]] = set()
    if marker in DOTS and are_joined:
        solid, polylines = take_solid(polylines, across, up)
    x: list[float] = []
    y: list[float] = []
    gap = float("nan")
    for line in polylines:
        x += [gap, *(dot[0] for dot in line)] if x else [dot[0] for dot in line]
        y += [gap, *(dot[1] for dot in line)] if y else [dot[1] for dot in line]
    if columns < 1 or rows < 1 or not (x or solid):
        return ()
    with _LOCK:
        matrix = _plot(x, y, (columns, rows), (columns * across, rows * up), marker, are_joined) if x else []
    cells = {
        (rows - 1 - row, column): text
        for row, line_of_text in enumerate(matrix)
        for column, text in enumerate(line_of_text)
        if text != " "
    }
    full = _FULL.get(marker, marker)
    cells |= {(rows - 1 - row, column): full for column, row in solid if 0 <= column < columns and 0 <= row < rows}
    return tuple((row, column, text) for (row, column), text in cells.items())


def _plot(
    x: list[float], y: list[float], size: tuple[int, int], dots: tuple[int, int], marker: str, are_joined: bool
) -> list[list[str]]:
    """Rows of characters from the bottom."""
    from plotext._date import date_class
    from plotext._monitor import monitor_class

    plot = monitor_class()
    plot.set_date(date_class())
    plot.set_size(list(size))
    plot.set_xaxes(False, False)
    plot.set_yaxes(False, False)
    plot.set_xfrequency(0)
    plot.set_yfrequency(0)
    plot.set_canvas_color("default")
    plot.set_axes_color("default")
    plot.set_ticks_color("default")
    # With these limits the value of a dot is its number. A canvas of one dot has no second limit.
    plot.set_xlim(0, max(dots[0] - 1, 1))
    plot.set_ylim(0, max(dots[1] - 1, 1))
    plot.draw(x, y, lines=are_joined, marker=marker, color="default")
    plot.build_plot()
    markers: list[list[str]] = plot.matrix.marker
    return markers
