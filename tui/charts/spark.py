"""A chart where there is no room for one: a row of bars."""

from __future__ import annotations

import math

from rich.cells import set_cell_size
from rich.segment import Segment
from textual.strip import Strip

from tui.charts.bands import View
from tui.charts.legend import Words, cut
from tui.charts.look import Look
from tui.charts.picture import Picture
from tui.charts.prepare import LineMemory
from tui.charts.ticks import say_value
from tui.view.chart import ChartSpec, Line, extent_of

__all__ = ["draw_spark"]

_LEAST_WIDTH = 3


def draw_spark(spec: ChartSpec, width: int, height: int, look: Look) -> Picture:
    """Return the first line as bars in the last row, below the title and the last value where there is a second row."""
    if width < 1 or height < 1:
        return Picture()
    rows: list[Words] = [[Segment(" " * width)] for _ in range(height)]
    if width >= _LEAST_WIDTH:
        line = next((line for line in spec.lines if line.num_points), None)
        if height > 1:
            rows[0] = [Segment(set_cell_size(_words(spec, line, width, look), width), look.title)]
        if line is None:
            text = set_cell_size(cut(spec.empty_text, width, look.glyphs.more), width)
            rows[min(height - 1, 1)] = [Segment(text, look.label)]
        else:
            style = look.line_style(line.color)
            rows[min(height - 1, 1)] = [Segment(_bars(spec, line, width, look), style)]
    return Picture(rows=tuple(Strip(Segment.apply_style(row, look.base), width) for row in rows), width=width)


def _words(spec: ChartSpec, line: Line | None, width: int, look: Look) -> str:
    value = "" if line is None else say_value(line.y[line.num_points - 1], spec.y_format)
    room = width - len(value) - 1
    return f"{cut(spec.title, room, look.glyphs.more)} {value}" if room >= 2 else value or spec.title


def _bars(spec: ChartSpec, line: Line, width: int, look: Look) -> str:
    extent = spec.x_range or extent_of([line]) or (0.0, 1.0)
    low, high = extent if extent[1] > extent[0] else (extent[0] - 0.5, extent[0] + 0.5)
    view = View(x0=low, x1=high, num_columns=width, smoothing=spec.smoothing)
    points = LineMemory(line).prepare(line, view)
    levels: list[float] = [math.nan] * width
    for x, y in zip(points.x.tolist(), points.y.tolist(), strict=True):
        if low <= x <= high:
            levels[min(math.floor((x - low) / (high - low) * width), width - 1)] = y
    known = [level for level in levels if math.isfinite(level)]
    if not known:
        return " " * width
    least, most = min(known), max(known)
    bars = look.glyphs.levels[1:]

    def bar(level: float) -> str:
        if not math.isfinite(level):
            return " "
        share = level / (most - least) - least / (most - least) if 0 < most - least < math.inf else 0.5
        return bars[min(int(share * len(bars)), len(bars) - 1)]

    return "".join(map(bar, levels))
