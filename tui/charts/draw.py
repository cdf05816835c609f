"""A chart as rows of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.charts.axes import Axis, x_axis, y_axis
from tui.charts.backend import DOTS
from tui.charts.bands import View
from tui.charts.canvas import Canvas
from tui.charts.frame import Frame
from tui.charts.head import make_head, reach_of
from tui.charts.look import ASCII_LINES, Look
from tui.charts.memory import ChartMemory
from tui.charts.picture import Picture
from tui.charts.prepare import Prepared
from tui.charts.shading import shade_band
from tui.charts.spark import draw_spark
from tui.charts.trace import dotted, trace
from tui.view.chart import ChartSpec, extent_of, nearest

__all__ = ["LEAST_SIZE", "draw"]

LEAST_SIZE = (20, 5)
"""Smaller than this a chart is a row of bars."""

_DOT_DISTANCE = 3.0
_MOST_WITH_NOISE = 4
"""With more lines the ranges of their raw values cover each other and say nothing."""

_MOST_MARKERS_SHARE = 0.5
"""Of the columns; more markers than that run into each other."""


@dataclass(frozen=True)
class _Plot:
    """All that painting the canvas needs."""

    spec: ChartSpec
    look: Look
    lines: tuple[Prepared, ...]
    x: Axis
    y: Axis
    columns: int
    rows: int

    @property
    def dots(self) -> tuple[int, int]:
        """Of a cell."""
        return DOTS.get(self.look.glyphs.marker, (1, 1))

    def cell(self, x: float, y: float) -> tuple[int, int] | None:
        """Row and column of a point; None where it is out of sight."""
        across, up = self.x.share(x), self.y.share(y)
        if not (0 <= across <= 1 and 0 <= up <= 1):
            return None
        return self.row(up), min(math.floor(across * self.columns), self.columns - 1)

    def row(self, up: float) -> int:
        """The row of a share of the canvas: the one in which the dot of that share lies."""
        dots_up = self.dots[1]
        return self.rows - 1 - min(max(round(up * (self.rows * dots_up - 1)), 0), self.rows * dots_up - 1) // dots_up


def draw(spec: ChartSpec, width: int, height: int, *, look: Look, memory: ChartMemory | None = None) -> Picture:
    """Return the picture of a chart.

    Args:
        spec: what is shown; its columns may grow meanwhile.
        width: in cells.
        height: in cells.
        look: colours and characters.
        memory: of the same chart; makes the next picture of it cheap.
    """
    memory = memory or ChartMemory()
    if width < LEAST_SIZE[0] or height < LEAST_SIZE[1]:
        return draw_spark(spec, width, height, look)
    plot, head = _lay_out(spec, width, height, look, memory)
    frame = Frame(width=width, columns=plot.columns, look=look)
    canvas = _paint(plot, memory)
    labels = frame.y_labels(plot.y, plot.row)
    rows = [*head, *(frame.body_row(canvas.segments(row), labels.get(row, "")) for row in range(plot.rows))]
    rows.append(frame.foot_row(plot.x, spec.x_label))
    return Picture(
        rows=tuple(Strip(Segment.apply_style(row, look.base), width) for row in rows),
        width=width,
        canvas_left=frame.canvas_left,
        canvas_width=plot.columns,
        x_range=(plot.x.low, plot.x.high),
    )


def _lay_out(
    spec: ChartSpec, width: int, height: int, look: Look, memory: ChartMemory
) -> tuple[_Plot, list[list[Segment]]]:
    """The width of the canvas hangs on the labels of y, these on what is in sight, and that on the canvas."""
    plot, head = _try(spec, (width, height), look, memory)
    label_width = max((len(tick.label) for tick in plot.y.ticks), default=1)
    if label_width != memory.label_width:
        memory.label_width = label_width
        plot, head = _try(spec, (width, height), look, memory)
    return plot, head


def _try(spec: ChartSpec, size: tuple[int, int], look: Look, memory: ChartMemory) -> tuple[_Plot, list[list[Segment]]]:
    columns = max(size[0] - 2 * look.has_frame - memory.label_width - 1, 1)
    x = x_axis(spec, extent_of(spec.lines), columns)
    lines = _prepare(spec, x, columns, look, memory, is_log=spec.is_log)
    is_log = spec.is_log and any(line.y.size for line in lines)
    if spec.is_log and not is_log:
        lines = _prepare(spec, x, columns, look, memory, is_log=False)
    head = make_head(spec, size, look, is_log=is_log)
    rows = size[1] - len(head) - 1
    y = y_axis(spec, lines, _best_values(spec, x), x, rows, is_log=is_log)
    if not any(line.num_points for line in spec.lines):
        y = replace(y, ticks=())
    return _Plot(spec=spec, look=look, lines=lines, x=x, y=y, columns=columns, rows=rows), head


def _prepare(
    spec: ChartSpec, x: Axis, columns: int, look: Look, memory: ChartMemory, *, is_log: bool
) -> tuple[Prepared, ...]:
    across = DOTS.get(look.glyphs.marker, (1, 1))[0]
    view = View(x0=x.low, x1=x.high, num_columns=columns * across, smoothing=spec.smoothing, is_log=is_log)
    return tuple(own.prepare(line, view) for own, line in zip(memory.of(spec.lines), spec.lines, strict=True))


def _best_values(spec: ChartSpec, x: Axis) -> list[float]:
    places = [(line, line.best) for line in spec.lines if line.best is not None and line.best < line.num_points]
    return [line.y[place] for line, place in places if x.low <= line.x[place] <= x.high]


def _paint(plot: _Plot, memory: ChartMemory) -> Canvas:
    canvas = Canvas(plot.columns, plot.rows)
    if not any(line.y.size or line.gaps for line in plot.lines):
        _paint_words(canvas, plot.spec.empty_text, plot.look)
        return canvas
    for line, prepared in zip(plot.spec.lines, plot.lines, strict=True):
        if prepared.band is not None and (len(plot.lines) <= _MOST_WITH_NOISE or not prepared.band.is_noise):
            shade_band(canvas, prepared.band, plot.y, line.color, plot.look, plot.dots[0])
    _paint_grid(canvas, plot)
    for place in range(len(plot.lines)):
        _paint_line(canvas, plot, place, memory)
    _paint_marks(canvas, plot)
    return canvas


def _paint_words(canvas: Canvas, text: str, look: Look) -> None:
    text = text[: canvas.columns]
    canvas.put_words((canvas.rows - 1) // 2, (canvas.columns - len(text)) // 2, text, look.label)


def _paint_grid(canvas: Canvas, plot: _Plot) -> None:
    """Lines at the ticks of y, the cursor, and at the bottom where values are missing."""
    across = None if plot.spec.cursor_x is None else plot.x.share(plot.spec.cursor_x)
    if across is not None and 0 <= across <= 1:
        column = min(math.floor(across * plot.columns), plot.columns - 1)
        for row in range(plot.rows):
            canvas.put(row, column, plot.look.glyphs.cursor, plot.look.cursor)
    for tick in plot.y.ticks:
        cell = plot.cell(plot.x.low, tick.value)
        if cell is not None:
            for column in range(plot.columns):
                canvas.put_behind(cell[0], column, plot.look.glyphs.grid, plot.look.grid)
    for first, last in (gap for line in plot.lines for gap in line.gaps):
        for column in range(first // plot.dots[0], last // plot.dots[0] + 1):
            canvas.put(plot.rows - 1, column, plot.look.glyphs.gap_line, plot.look.warning)


def _paint_line(canvas: Canvas, plot: _Plot, place: int, memory: ChartMemory) -> None:
    spec, look, prepared = plot.spec.lines[place], plot.look, plot.lines[place]
    dots = plot.dots
    polylines = trace(prepared, plot.x, plot.y, plot.columns * dots[0], plot.rows * dots[1])
    if spec.is_dashed:
        polylines = tuple(dotted(line, _DOT_DISTANCE) for line in polylines)
    marker = look.glyphs.marker or ASCII_LINES[place % len(ASCII_LINES)]
    size = (plot.columns, plot.rows)
    cells = memory.raster(place, polylines, size, marker, are_joined=not spec.is_dashed)
    style = look.line_style(spec.color)
    canvas.put_all(cells, style)
    is_alone = prepared.x.size == 1  # one dot would be overlooked
    if (spec.has_markers or is_alone) and prepared.x.size <= max(plot.columns * _MOST_MARKERS_SHARE, 2):
        marks = look.glyphs.hollow if spec.is_dashed else look.glyphs.markers
        for x, y in zip(prepared.x.tolist(), prepared.y.tolist(), strict=True):
            cell = plot.cell(x, y)
            if cell is not None:
                canvas.put(*cell, marks[place % len(marks)], style)


def _paint_marks(canvas: Canvas, plot: _Plot) -> None:
    """Best points, the points under the cursor, and where gaps begin."""
    look, cursor = plot.look, plot.spec.cursor_x
    for line, prepared in zip(plot.spec.lines, plot.lines, strict=True):
        style = look.line_style(line.color) + _BOLD
        for first, _ in prepared.gaps:
            canvas.put(plot.rows - 1, first // plot.dots[0], look.glyphs.gap, look.warning)
        if cursor is not None and prepared.x.size and nearest(line, cursor, reach_of(plot.spec)) is not None:
            place = int(abs(prepared.x - cursor).argmin())
            _paint_point(canvas, plot, (cursor, float(prepared.y[place])), look.glyphs.bullet, style)
        if line.best is not None and line.best < line.num_points:
            _paint_point(canvas, plot, (line.x[line.best], line.y[line.best]), look.glyphs.best, style)


def _paint_point(canvas: Canvas, plot: _Plot, point: tuple[float, float], mark: str, style: Style) -> None:
    cell = plot.cell(*point) if all(map(math.isfinite, point)) else None
    if cell is not None:
        canvas.put(*cell, mark, style)


_BOLD = Style(bold=True)
