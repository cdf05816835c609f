"""Charts as a PNG: the same specs that stand on the screen, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.charts.axes import Axis, x_axis
from tui.charts.bands import LARGEST, View
from tui.charts.head import title_of
from tui.charts.look import line_style
from tui.charts.prepare import LineMemory, Prepared
from tui.charts.ticks import label_ticks, say_value, tick_step
from tui.view.chart import ChartSpec, Line, extent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_png"]

_NUM_COLUMNS = 1200
"""So many columns are told apart on a panel."""

_PANEL = (7.0, 4.0)
_MOST_COLUMNS = 3
_WHITE = (255, 255, 255)


def write_png(specs: Sequence[ChartSpec], path: Path) -> None:
    """Write charts into one figure: one alone, else two or three beside each other.

    A smoothed line stands before its raw values; bands, dashed lines, logarithmic axes, the best points, and where
    values are missing are as on the screen.

    Raises:
        ValueError: there is no chart.
        OSError: as the file system raised it.
    """
    from engine.report.style import finish, new_figure  # load matplotlib

    if not specs:
        raise ValueError("no chart to draw")
    columns = 1 if len(specs) == 1 else 2 if len(specs) <= 4 else _MOST_COLUMNS
    rows = math.ceil(len(specs) / columns)
    figure, first = new_figure(1, width=_PANEL[0] * columns, height=_PANEL[1] * rows + 1.0)
    panels = first if len(specs) == 1 else _grid(figure, first[0], rows, columns)
    for panel, spec in zip(panels, specs, strict=False):
        _draw(panel, spec)
    for panel in panels[len(specs) :]:
        panel.set_visible(False)
    title = specs[0].title if len(specs) == 1 else f"{len(specs)} charts"
    finish(figure, path, title=title, subtitle=_subtitle(specs), legend_from=panels[: len(specs)])


def _grid(figure: Any, alone: Axes, rows: int, columns: int) -> list[Axes]:
    from engine.report.style import style_axes

    alone.remove()
    panels = [panel for row in figure.subplots(rows, columns, squeeze=False) for panel in row]
    for panel in panels:
        style_axes(panel)
    return panels


def _subtitle(specs: Sequence[ChartSpec]) -> str:
    weights = sorted({spec.smoothing for spec in specs if spec.smoothing})
    words = [f"exponential moving average, weight of the past {', '.join(f'{weight:g}' for weight in weights)}"]
    notes = [note for spec in specs for note in spec.notes]
    return "  |  ".join([*(words if weights else []), *notes[:3], *([f"+{len(notes) - 3}"] if len(notes) > 3 else [])])


def _draw(panel: Axes, spec: ChartSpec) -> None:
    axis = x_axis(spec, extent_of(spec.lines), _NUM_COLUMNS)
    prepared = [_prepare(spec, line, axis, is_log=spec.is_log) for line in spec.lines]
    is_log = spec.is_log and any(line.y.size for line in prepared)
    if spec.is_log and not is_log:
        prepared = [_prepare(spec, line, axis, is_log=False) for line in spec.lines]
    if is_log:
        panel.set_yscale("log")
    panel.set_title(title_of(spec, is_log=is_log), fontsize=10, loc="left")
    panel.set_xlabel(spec.x_label)
    for line, found in zip(spec.lines, prepared, strict=True):
        _draw_line(panel, line, found, axis, is_log=is_log)
    if not any(found.y.size for found in prepared):
        panel.text(0.5, 0.5, spec.empty_text, ha="center", va="center", transform=panel.transAxes, color="#777777")
        panel.tick_params(labelbottom=False, labelleft=False)
    _mark_gaps(panel, prepared, axis)
    _set_limits(panel, spec, is_log=is_log)
    _set_ticks(panel, spec)


def _prepare(spec: ChartSpec, line: Line, axis: Axis, *, is_log: bool) -> Prepared:
    view = View(x0=axis.low, x1=axis.high, num_columns=_NUM_COLUMNS, smoothing=spec.smoothing, is_log=is_log)
    return LineMemory(line).prepare(line, view)


def _draw_line(panel: Axes, line: Line, found: Prepared, axis: Axis, *, is_log: bool) -> None:
    import numpy as np

    color = line_style(line.color, _WHITE).color
    shown = color.name if color is not None else line.color
    if found.band is not None and found.band.columns.size:
        x = axis.low + (found.band.columns + 0.5) / _NUM_COLUMNS * (axis.high - axis.low)
        # where columns are left out no shade may be drawn over the gap
        is_gap = np.flatnonzero(np.diff(found.band.columns) > max(_NUM_COLUMNS // 50, 1)) + 1
        # where a band reaches down to 0 a logarithmic axis ends a little below the line
        low = np.maximum(found.band.low, found.y.min(initial=1.0) / 2) if is_log else found.band.low
        for part in np.split(np.arange(x.size), is_gap):
            panel.fill_between(x[part], low[part], found.band.high[part], color=shown, alpha=0.18, linewidth=0)
    x, y = np.insert(found.x, _breaks(found), np.nan), np.insert(found.y, _breaks(found), np.nan)
    panel.plot(
        x, y, color=shown, linewidth=1.6, linestyle=(0, (2, 2)) if line.is_dashed else "-",
        marker="o" if line.has_markers or found.x.size == 1 else None, markersize=5, label=line.label,
    )  # fmt: skip
    best = math.nan if line.best is None or line.best >= line.num_points else line.y[line.best]
    if line.best is not None and math.isfinite(best) and (best > 0 or not is_log):
        best = min(max(best, -LARGEST), LARGEST)
        panel.plot([line.x[line.best]], [best], color=shown, marker="*", markersize=11, linestyle="none")


def _breaks(found: Prepared) -> Any:
    import numpy as np

    places = np.flatnonzero(found.is_break)
    return places[places > 0]


def _mark_gaps(panel: Axes, prepared: Sequence[Prepared], axis: Axis) -> None:
    firsts = sorted({first for found in prepared for first, _ in found.gaps})
    if firsts:
        x = [axis.low + first / _NUM_COLUMNS * (axis.high - axis.low) for first in firsts]
        panel.plot(
            x, [0.015] * len(x), color="#C2410C", marker="x", linestyle="none", markersize=6, clip_on=False,
            transform=panel.get_xaxis_transform(), label="not finite",
        )  # fmt: skip


def _set_limits(panel: Axes, spec: ChartSpec, *, is_log: bool) -> None:
    if spec.x_range is not None:
        panel.set_xlim(*spec.x_range)
    if spec.y_range is not None and (spec.y_range[0] > 0 or not is_log):
        panel.set_ylim(*spec.y_range)


def _set_ticks(panel: Axes, spec: ChartSpec) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    def words(kind: str, low: float, high: float) -> FuncFormatter:
        step = tick_step(low, high, 6, kind)
        return FuncFormatter(lambda value, _: label_ticks([value, low, high], kind, step or None)[0].label)

    if spec.x_ticks is not None:
        panel.xaxis.set_major_locator(FixedLocator(list(spec.x_ticks)))
    low, high = sorted(panel.get_xlim())
    panel.xaxis.set_major_formatter(words(spec.x_format, low, high))
    if panel.get_yscale() == "log":
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: say_value(value, spec.y_format)))
    elif spec.y_format in ("ratio", "duration", "bytes"):
        low, high = sorted(panel.get_ylim())
        panel.yaxis.set_major_formatter(words(spec.y_format, low, high))
