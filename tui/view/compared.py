"""An experiment's points as three charts: speedup, efficiency and throughput against the number of devices. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from engine.analysis.published import Published, figure_of
from engine.analysis.scaling import PointRow
from engine.analysis.statistics import MIN_REPEATS
from tui.output import format_duration, format_number, format_ratio
from tui.view.chart import ChartSpec, Line
from tui.view.comparison import Comparison
from tui.view.palette import PALETTE
from tui.view.span import Span

__all__ = [
    "CHARTS",
    "SOURCES",
    "baseline_name",
    "device_span",
    "figure_name",
    "figure_of",
    "make_charts",
    "matching",
    "series_colors",
]

CHARTS = ("speedup", "efficiency", "throughput")
"""In the order in which they are shown."""

SOURCES = ("throughput", "time")
"""What a speedup is taken from: steady samples/s, or total time at equally many samples."""

IDEAL_COLOR = "#7F8C9B"
PUBLISHED_COLOR = "#A6A6A6"
_SERIES_COLORS = tuple(color for color in PALETTE if color != PUBLISHED_COLOR)

HEADROOM = 1.08
MOST_IDEAL_POINTS = 64


def figure_name(chart: str, source: str) -> str:
    """The figure that a chart shows, as everywhere else: ``throughput_speedup``."""
    return "samples_per_s" if chart == "throughput" else f"{source}_{chart}"


def format_figure(figure: str, value: float) -> str:
    """A value as its figure is written."""
    if figure.endswith(("_efficiency", "_accuracy")):
        return format_ratio(value)
    if figure.endswith("_speedup"):
        return f"{value:.2f}"
    return format_duration(value) if figure.endswith("_s") and not figure.endswith("_per_s") else format_number(value)


def baseline_name(points: Sequence[PointRow]) -> str:
    """Of the baseline, where all points have the same one."""
    names = {point.baseline_label for point in points if point.baseline}
    return names.pop() if len(names) == 1 else "each point's baseline" if names else ""


def matching(points: Sequence[PointRow], words: str) -> list[PointRow]:
    """The points that hold all the words in label, id, axes or notes; ``-word``: that do not hold it."""

    def is_wanted(point: PointRow) -> bool:
        axes = (f"{name}:{value}" for name, value in point.axes.items())
        text = " ".join((point.label, point.point, *axes, *point.notes)).lower()
        wanted = words.lower().split()
        return all((word[1:] not in text) if word.startswith("-") and word[1:] else word in text for word in wanted)

    return [point for point in points if is_wanted(point)]


def device_span(points: Sequence[PointRow], published: Published) -> Span:
    """What there is of x, with a little room at both sides."""
    sizes = {float(point.num_devices) for point in points if point.num_devices}
    sizes |= {x for curve in published.curves.values() for x, _ in curve}
    if not sizes:
        return 0.0, 1.0
    room = max(0.06 * (max(sizes) - min(sizes)), 0.15)
    return min(sizes) - room, max(sizes) + room


def series_colors(points: Sequence[PointRow]) -> Mapping[str, str]:
    """The colour of each series of an experiment, by its place among all of them."""
    series = dict.fromkeys(point.series for point in points)
    return {name: _SERIES_COLORS[place % len(_SERIES_COLORS)] for place, name in enumerate(series)}


def make_charts(
    comparison: Comparison,
    points: Sequence[PointRow],
    published: Published,
    *,
    source: str = SOURCES[0],
    is_log: bool = False,
    x_range: Span | None = None,
) -> tuple[ChartSpec, ...]:
    """Make the three charts.

    Args:
        comparison: all of the experiment: its series keep their colours whatever is filtered.
        points: those to be drawn.
        published: figures to stand beside them.
        source: one of ``SOURCES``.
        is_log: logarithmic y.
        x_range: what is shown of x, None for all.
    """
    colors = series_colors(comparison.points)
    return tuple(
        _make_chart(chart, comparison, points, published, colors, source=source, is_log=is_log, x_range=x_range)
        for chart in CHARTS
    )


def _make_chart(
    chart: str,
    comparison: Comparison,
    points: Sequence[PointRow],
    published: Published,
    colors: Mapping[str, str],
    *,
    source: str,
    is_log: bool,
    x_range: Span | None,
) -> ChartSpec:
    figure = figure_name(chart, source)
    own = [_series_line(name, color, points, figure) for name, color in colors.items()]
    lines = [line for line in own if line.num_points]
    ideal = _ideal(chart, comparison.points, points) if lines else None
    beside = _published_line(published, figure)
    behind = [line for line in (ideal, beside) if line is not None]
    shown = (*behind, *lines) if lines or beside else ()
    return ChartSpec(
        key=f"compare-{chart}",
        title=_title(chart, figure, points),
        x_label=_x_label(points),
        y_label="",
        lines=shown,
        is_log=is_log,
        x_range=x_range or device_span(points, published),
        y_range=None if is_log or x_range else _y_range(shown),
        x_format="count",
        y_format="ratio" if chart == "efficiency" else "number",
        x_ticks=_ticks(points, published),
        empty_text=_why_empty(chart, source, points),
    )


def _series_line(name: str, color: str, points: Sequence[PointRow], figure: str) -> Line:
    known = [(point, estimate) for point in points if point.series == name and (estimate := figure_of(point, figure))]
    known = [(point, estimate) for point, estimate in known if point.num_devices]
    known.sort(key=lambda pair: pair[0].num_devices or 0)
    estimates = [estimate for _, estimate in known]
    has_band = any(estimate.low is not None for estimate in estimates)
    return Line(
        label=f"{name}{_repeats([estimate.n for estimate in estimates])}",
        color=color,
        x=[float(point.num_devices or 0) for point, _ in known],
        y=[estimate.value for estimate in estimates],
        num_points=len(known),
        low=[_or(estimate.low, estimate.value) for estimate in estimates] if has_band else None,
        high=[_or(estimate.high, estimate.value) for estimate in estimates] if has_band else None,
        has_markers=True,
    )


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _repeats(numbers: Sequence[int]) -> str:
    """Said only where there are too few for an interval."""
    if not numbers or min(numbers) >= MIN_REPEATS:
        return ""
    least, most = min(numbers), max(numbers)
    return f" (n={least})" if least == most else f" (n={least}-{most})"


def _ideal(chart: str, everything: Sequence[PointRow], points: Sequence[PointRow]) -> Line | None:
    """Linear in the devices from the baseline on; 100 % of efficiency; nothing for throughput without a baseline."""
    bases = [point for point in everything if point.is_baseline and point.num_devices]
    sizes = sorted({point.num_devices for point in points if point.num_devices})
    if not bases or not sizes:
        return None
    base = min(bases, key=lambda point: point.num_devices or 0)
    devices, rate = base.num_devices or 1, base.samples_per_s
    x = _ideal_places(sizes)
    if chart == "efficiency":
        y = [1.0] * len(x)
    elif chart == "speedup":
        y = [place / devices for place in x]
    elif len(bases) == 1 and rate is not None:
        y = [rate.value * place / devices for place in x]
    else:
        return None
    return Line(label="ideal", color=IDEAL_COLOR, x=x, y=y, num_points=len(x), is_dashed=True)


def _ideal_places(sizes: Sequence[int]) -> list[float]:
    """Many enough that the line is right on a logarithmic axis too."""
    least, most = sizes[0], sizes[-1]
    if least == most:
        return [least - 0.15, float(least)]  # its last value is said: that of the size, not of the edge
    number = min(most - least, MOST_IDEAL_POINTS)
    return [least + (most - least) * place / number for place in range(number + 1)]


def _published_line(published: Published, figure: str) -> Line | None:
    curve = published.curves.get(figure, ())
    if not curve:
        return None
    x, y = [place for place, _ in curve], [value for _, value in curve]
    return Line(label="published", color=PUBLISHED_COLOR, x=x, y=y, num_points=len(x), is_dashed=True, has_markers=True)


def _title(chart: str, figure: str, points: Sequence[PointRow]) -> str:
    if chart == "throughput":
        return f"samples/s by {_x_label(points)}"
    name = baseline_name(points)
    return f"{figure} over {name}" if name and chart == "speedup" else figure


def _x_label(points: Sequence[PointRow]) -> str:
    differs = any(point.world_size != point.num_devices for point in points if point.num_devices)
    return "devices" if differs else "world size"


def _y_range(lines: Sequence[Line]) -> Span | None:
    """From zero, or bars and lines would lie about proportions."""
    values = [value for line in lines for value in (*line.y, *(line.high or ())) if math.isfinite(value)]
    return (0.0, max(values) * HEADROOM) if values and max(values) > 0 else None


def _ticks(points: Sequence[PointRow], published: Published) -> tuple[float, ...] | None:
    """The measured sizes; of those that are too near to one another to be read the first."""
    low, high = device_span(points, published)
    sizes = sorted({float(point.num_devices) for point in points if point.num_devices})
    sizes = sorted({*sizes, *(x for curve in published.curves.values() for x, _ in curve)})
    least = 0.04 * (high - low)
    kept = sizes[:1]
    for _, size in pairwise(sizes):
        if size - kept[-1] >= least:
            kept.append(size)
    return tuple(kept) or None


def _why_empty(chart: str, source: str, points: Sequence[PointRow]) -> str:
    if not points:
        return "no points"
    if not any(point.n for point in points):
        return "no run has succeeded yet"
    if chart != "throughput" and not any(point.baseline for point in points):
        return "no baseline: n/a"
    if chart != "throughput" and source == "time":
        return "n/a: not equally many samples seen"
    return "n/a"
