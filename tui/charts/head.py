"""The rows above the canvas: title, legend, notices."""

from __future__ import annotations

from bisect import bisect_right

from rich.segment import Segment

from tui.charts.legend import Entry, Words, cut, fit_entries, head_row, width_of
from tui.charts.look import ASCII_LINES, Look
from tui.charts.ticks import say_value
from tui.view.chart import ChartSpec, Line, extent_of, nearest

__all__ = ["make_head", "reach_of", "title_of"]

_LEAST_FOR_SECOND_ROW = 10
_LEAST_FOR_NOTES = 9
_REACH = 0.02
"""A line that ends before the cursor still has a value there, so far (of what is shown) beyond its end."""


def title_of(spec: ChartSpec, *, is_log: bool) -> str:
    """The title, and whether the axis is logarithmic or could not be so."""
    is_told = spec.y_label.replace("/", "_per_") in spec.title  # samples_per_s says its unit by itself
    words = spec.title if is_told else f"{spec.title} {spec.y_label}"
    if spec.is_log:
        return words + (" [log]" if is_log else " [log: no positive values]" if spec.lines else " [log]")
    return words


def reach_of(spec: ChartSpec) -> float:
    """How far beyond the end of a line its last value is still read."""
    shown = spec.x_range or extent_of(spec.lines) or (0.0, 0.0)
    return (shown[1] - shown[0]) * _REACH


def make_head(spec: ChartSpec, size: tuple[int, int], look: Look, *, is_log: bool) -> list[Words]:
    """Return one to three rows: title with legend, more of the legend, notices."""
    width, height = size
    inner = width - 8 * look.has_frame
    title = _title(spec, look, inner, height, is_log=is_log)
    entries = [_entry(spec, place, look) for place in range(len(spec.lines))]
    widths = [inner - width_of(title) - 2]
    if height >= _LEAST_FOR_SECOND_ROW:
        widths.append(width - 2 * look.has_frame - 2)
    legend = fit_entries(entries, widths, look) or [[]]
    rows = [head_row(title, legend[0], width, look)]
    rows += [_inner_row(words, width, look, is_right=True) for words in legend[1:] if words]
    if spec.notes and height >= _LEAST_FOR_NOTES:
        text = cut("! " + "  ! ".join(spec.notes), width - 2 * look.has_frame - 2, look.glyphs.more)
        rows.append(_inner_row([Segment(text, look.warning)], width, look, is_right=False))
    return rows


def _title(spec: ChartSpec, look: Look, inner: int, height: int, *, is_log: bool) -> Words:
    title: Words = []
    if spec.notes and height < _LEAST_FOR_NOTES:
        title.append(Segment("! ", look.warning))
    title.append(Segment(cut(title_of(spec, is_log=is_log), inner - 2, look.glyphs.more), look.title))
    if spec.cursor_x is not None:
        at = f"  {spec.x_label} {say_value(spec.cursor_x, spec.x_format)}"
        title += [Segment(at, look.value)] if width_of(title) + len(at) <= inner else []
    return title


def _entry(spec: ChartSpec, place: int, look: Look) -> Entry:
    line = spec.lines[place]
    index = _shown_index(spec, line)
    value = None if index is None else line.y[index]
    is_finite = value is None or value - value == 0
    return Entry(
        mark=look.glyphs.bullet if look.glyphs.marker else ASCII_LINES[place % len(ASCII_LINES)],
        style=look.line_style(line.color),
        label=line.label,
        value="" if value is None and spec.cursor_x is None else say_value(value, spec.y_format),
        is_warning=not is_finite,
    )


def _shown_index(spec: ChartSpec, line: Line) -> int | None:
    """The point under the cursor, else the last one in sight."""
    if spec.cursor_x is not None:
        return nearest(line, spec.cursor_x, reach_of(spec))
    if spec.x_range is None:
        return line.num_points - 1 if line.num_points else None
    index = bisect_right(line.x, spec.x_range[1], 0, line.num_points) - 1
    return index if index >= 0 and line.x[index] >= spec.x_range[0] else None


def _inner_row(words: Words, width: int, look: Look, *, is_right: bool) -> Words:
    edge = [Segment(look.glyphs.vertical, look.frame)] if look.has_frame else []
    inner = width - 2 * look.has_frame
    rest = Segment(" " * (inner - width_of(words) - 1))
    row = [rest, *words, Segment(" ")] if is_right else [Segment(" "), *words, rest]
    return [*edge, *row, *edge]
