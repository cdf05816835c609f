"""The table behind the charts of a comparison, and all that is to be known of one of its points. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.analysis.published import Published, figure_of
from engine.analysis.scaling import PointRow
from engine.analysis.statistics import MIN_REPEATS, Estimate
from tui.output import UNKNOWN, format_number
from tui.view.compared import figure_name, format_figure, series_colors
from tui.view.comparison import Comparison
from tui.view.latency_words import format_micro
from tui.view.table import Cell, Column, Pieces, Row

__all__ = ["detail_lines", "export_columns", "export_rows", "point_columns", "point_rows", "table_figures"]

LABELS = {
    "samples_per_s": "samples/s",
    "throughput_speedup": "speedup",
    "throughput_efficiency": "effic.",
    "time_speedup": "speedup",
    "time_efficiency": "effic.",
    "total_s": "time",
    "test_accuracy": "accuracy",
}
_WIDTHS = {"samples_per_s": 10, "speedup": 7, "efficiency": 7}
_WIDTHS_OF_INTERVALS = {"samples_per_s": 15, "speedup": 18, "efficiency": 7}
_ROOM_FOR_INTERVAL = 15
_LEAST_NAME, _MOST_NAME = 24, 44
_PRIORITIES = {"samples_per_s": 2, "speedup": 0, "efficiency": 0, "total_s": 4, "test_accuracy": 5}

_RAW = (
    *("samples_per_s", "throughput_speedup", "throughput_efficiency", "time_speedup", "time_efficiency"),
    *("total_s", "test_accuracy", "all_reduce_s", "barrier_s"),
)


def table_figures(source: str) -> tuple[str, ...]:
    """The figures of the table, from left to right."""
    return (
        "samples_per_s",
        figure_name("speedup", source),
        figure_name("efficiency", source),
        "total_s",
        "test_accuracy",
    )


def point_columns(
    points: Sequence[PointRow], source: str, published: Published, *, has_intervals: bool
) -> list[Column]:
    """The columns; where a figure was published, ours and theirs side by side; with room for intervals or without."""
    widths = _WIDTHS_OF_INTERVALS if has_intervals else _WIDTHS
    longest = max((2 + len(point.label) + 5 * point.is_baseline for point in points), default=8)
    bases = max((len(point.baseline_label) for point in points), default=8)
    columns = [
        Column(key="point", label="point", width=min(longest, _telling(points)), max_width=min(longest, _MOST_NAME)),
        Column(key="runs", label="runs", width=5, is_right=True, priority=3),
        Column(key="devices", label="devices", width=7, is_right=True, priority=6),
    ]
    for figure in table_figures(source):
        kind = figure.removeprefix(f"{source}_")
        width, priority = widths.get(kind, 8), _PRIORITIES[kind]
        columns.append(Column(key=figure, label=LABELS[figure], width=width, is_right=True, priority=priority))
        if figure in published.figures:
            columns.append(
                Column(key=f"published {figure}", label="published", width=9, is_right=True, priority=max(priority, 1))
            )
    columns.append(Column(key="baseline", label="against", width=min(max(bases, 8), 18), priority=7))
    columns.append(Column(key="notes", label="notes", width=5, is_right=True, priority=8))
    return columns


def _telling(points: Sequence[PointRow]) -> int:
    """How wide names are that one can tell apart where they are cut: with the dot before, and the mark of the cut."""
    labels = {point.label for point in points}
    for width in range(_LEAST_NAME, _MOST_NAME):
        if len({label[: width - 3] for label in labels}) == len(labels):
            return width
    return _MOST_NAME


def point_rows(
    points: Sequence[PointRow],
    source: str,
    published: Published,
    columns: Sequence[Column],
    *,
    everything: Sequence[PointRow],
    is_ascii: bool = False,
) -> list[Row]:
    """The rows for these columns.

    The best value of a figure is marked; a dot has the colour that the point's series has in the charts.

    Args:
        points: those to be shown.
        source: one of ``SOURCES``.
        published: figures to stand beside ours.
        columns: of ``point_columns``.
        everything: all points of the experiment: the colours hang on them.
        is_ascii: plain characters only.
    """
    colors, dot = series_colors(everything), "o" if is_ascii else "●"
    bests = {figure: _best(points, figure) for figure in table_figures(source)}
    star = "*" if is_ascii else "★"
    widths = {column.key: column.width for column in columns}
    rows = []
    for point in points:
        known: dict[str, Cell] = {
            "point": ((f"{dot} ", colors.get(point.series, "")), *_label(point)),
            "runs": (f"{point.n}/{point.num_runs}", "" if point.n >= MIN_REPEATS else "text-muted"),
            "devices": format_number(point.num_devices),
            "baseline": _against(point),
            "notes": (str(len(point.notes)), "warning") if point.notes else "",
        }
        for figure in table_figures(source):
            is_best = bests[figure] == point.point
            cell = _figure_cell(point, figure, widths[figure])
            known[figure] = ((star, "accent bold"), (cell, "bold")) if is_best else _muted(cell)
            value = published.value(point.point, figure)
            known[f"published {figure}"] = ("-" if value is None else format_figure(figure, value), "text-muted italic")
        rows.append(Row(point.point, tuple(known[column.key] for column in columns)))
    return rows


def _muted(text: str) -> Cell:
    return (text, "text-muted") if text == UNKNOWN else text


def _label(point: PointRow) -> Pieces:
    if point.is_baseline:
        return ((point.label, "bold"), (" base", "primary"))
    return ((point.label, ""),)


def _against(point: PointRow) -> Cell:
    if point.is_baseline:
        return ("itself", "text-muted")
    return point.baseline_label if point.baseline else (UNKNOWN, "text-muted")


def _figure_cell(point: PointRow, figure: str, width: int) -> str:
    """With its interval where there is room for it."""
    estimate = figure_of(point, figure)
    if estimate is None:
        return UNKNOWN
    value = format_figure(figure, estimate.value)
    if estimate.low is None or estimate.high is None or width < _ROOM_FOR_INTERVAL:
        return value
    if figure == "samples_per_s":
        return f"{value} ±{format_number((estimate.high - estimate.low) / 2, 2)}"
    return f"{value} [{format_figure(figure, estimate.low)}, {format_figure(figure, estimate.high)}]"


def _best(points: Sequence[PointRow], figure: str) -> str | None:
    """The id of the best point; of times only those at equally many samples, and no baseline against itself."""
    is_relative = figure.endswith(("_speedup", "_efficiency"))
    known = {
        point.point: estimate.value
        for point in points
        if (estimate := figure_of(point, figure)) is not None
        and not (is_relative and point.is_baseline)
        and not (figure == "total_s" and point.time_speedup is None)
    }
    if len(known) < 2:
        return None
    return (min if figure == "total_s" else max)(known, key=lambda name: known[name])


def detail_lines(
    point: PointRow | None, source: str, published: Published, comparison: Comparison
) -> list[tuple[str, str]]:
    """All that is to be known of a point, with what was published: a heading and its words, a pair each."""
    lines: list[tuple[str, str]] = []
    if point is not None:
        lines.append((point.label, _counted(point)))
        lines += [("note", note) for note in point.notes]
        lines += [("n/a", words) for words in _missing(point, source)]
        if point.baseline_reason and point.baseline_reason not in point.notes:
            lines.append(("baseline", point.baseline_reason))
        lines += [(_said(figure), words) for figure in table_figures(source) if (words := _interval(point, figure))]
        lines += [("latency", words) for words in _latency(point)]
        lines += [("published", words) for words in _published_beside(point, source, published)]
    lines += [("published", line) for line in published.lines]
    return lines + [("data", note) for note in comparison.data_notes]


def _latency(point: PointRow) -> Iterator[str]:
    """Of a small all-reduce and of a barrier, where the runs measured it."""
    if point.all_reduce_s is not None and point.barrier_s is not None:
        all_reduce, barrier = format_micro(point.all_reduce_s.value), format_micro(point.barrier_s.value)
        yield f"all-reduce of 4 bytes {all_reduce}, barrier {barrier}"


def _published_beside(point: PointRow, source: str, published: Published) -> Iterator[str]:
    """What was published of the point and has no column: theirs and ours."""
    for figure in published.figures:
        theirs, ours = published.value(point.point, figure), figure_of(point, figure)
        if theirs is not None and figure not in table_figures(source):
            own = UNKNOWN if ours is None else format_figure(figure, ours.value)
            yield f"{figure} {format_figure(figure, theirs)}, ours {own}"


def _counted(point: PointRow) -> str:
    words = f"{point.n} of {point.num_runs} runs succeeded"
    if 0 < point.n < MIN_REPEATS:
        words += f": fewer than {MIN_REPEATS}, so no intervals"
    if point.is_baseline:
        return f"{words}; the baseline"
    return f"{words}; against {point.baseline_label}" if point.baseline else words


def _said(figure: str) -> str:
    return figure.replace("samples_per_s", "samples/s")


def _interval(point: PointRow, figure: str) -> str:
    estimate: Estimate | None = figure_of(point, figure)
    if estimate is None or estimate.low is None or estimate.high is None or figure in ("total_s", "test_accuracy"):
        return ""
    low, high = format_figure(figure, estimate.low), format_figure(figure, estimate.high)
    return f"{format_figure(figure, estimate.value)}, 95 % interval {low} to {high}"


def _missing(point: PointRow, source: str) -> list[str]:
    """Figures that are n/a for a reason that the notes do not name."""
    if not point.n:
        return []
    missing = [figure for figure in table_figures(source) if figure_of(point, figure) is None]
    said = [figure for figure in missing if not any(figure in note for note in point.notes)]
    relative = [name for name in said if name.endswith(("_speedup", "_efficiency"))]
    own = [name for name in said if name not in relative]
    words = [f"{', '.join(relative)}: there is no baseline"] if relative and not point.baseline else []
    return words + ([f"{', '.join(own)}: its runs did not measure it"] if own else [])


def export_columns(published: Published) -> tuple[str, ...]:
    """Headers of the raw table."""
    own = [name for figure in _RAW for name in (figure, f"{figure}_low", f"{figure}_high")]
    theirs = [f"published_{figure}" for figure in published.figures]
    return ("point", "label", "num_runs", "n", "world_size", "num_devices", *own, *theirs, "baseline", "notes")


def export_rows(points: Sequence[PointRow], published: Published) -> tuple[tuple[object, ...], ...]:
    """The raw table."""
    return tuple(
        (
            *(point.point, point.label, point.num_runs, point.n, point.world_size, point.num_devices),
            *(value for figure in _RAW for value in _raw(figure_of(point, figure))),
            *(published.value(point.point, figure) for figure in published.figures),
            point.baseline or None,
            "; ".join(point.notes),
        )
        for point in points
    )


def _raw(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
