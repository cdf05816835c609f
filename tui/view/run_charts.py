"""From the curves of runs to charts: which there are, in which order, and what stands in each."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.core.phases import PHASES
from tui.output import strip_escapes
from tui.view.chart import ChartSpec, Line
from tui.view.curve_best import best_of
from tui.view.repeat_band import band_of
from tui.view.run_labels import labels_of, line_color, without_hash
from tui.view.run_row import RunRow
from tui.view.session import Session

if TYPE_CHECKING:
    from engine.core.curves import Curve, RunCurves  # loads the decoder: only where lines are read

__all__ = [
    "X_FORMATS",
    "Drawn",
    "LegendEntry",
    "legend_of",
    "make_chart",
    "match_metrics",
    "metric_names",
    "newest_x",
    "x_extent",
]

Drawn = Sequence[tuple[RunRow, "RunCurves"]]
"""The runs of a chart with what was read of them."""

_FIRST = ("loss", "validation_loss", "test_loss", "accuracy", "validation_accuracy", "test_accuracy")
_SPEED = ("samples_per_s", "step_s", *(f"{phase}_s" for phase in PHASES), "epoch_s", "lr")
_ORDER = {name: place for place, name in enumerate((*_FIRST, *_SPEED))}
_SYSTEM = re.compile(r"(node\d+_)?(cpu_percent$|memory_|net_(sent|received)_|load_1m$|rank\d+_|gpu\d+_)")
_EVALUATED = re.compile(r"(validation|test)_")

_MAX_MARKERS = 60
"""Evaluations are few, and each counts: they are not smoothed, and up to so many their points are marked."""

X_FORMATS = {"step": "count", "time": "duration", "samples": "count"}
"""In which format of ``ChartSpec`` the values of each x axis are shown."""


def metric_names(curves_by_tag: Mapping[str, RunCurves]) -> list[str]:
    """Return the names of all curves: what is learned, how fast, where the time goes, a user's own, the machine's."""
    names = dict.fromkeys(name for curves in curves_by_tag.values() for name in curves.names())
    return sorted(names, key=_place)


def _place(name: str) -> tuple[int, int]:
    if name in _ORDER:
        return 0, _ORDER[name]
    return (2 if _SYSTEM.match(name) else 1), 0


def match_metrics(names: Sequence[str], text: str) -> list[str]:
    """Return the names in which every word of ``text`` is found: as a pattern where it is one, else as it stands."""
    tests = [_pattern(word) for word in text.split()]
    return [name for name in names if all(test.search(name) for test in tests)]


def _pattern(word: str) -> re.Pattern[str]:
    try:
        return re.compile(word, re.IGNORECASE)
    except (re.error, OverflowError):
        return re.compile(re.escape(word), re.IGNORECASE)


def make_chart(metric: str, drawn: Drawn, session: Session, colors: Mapping[str, str]) -> ChartSpec:
    """Return the chart of one metric: a line for each run, or for each point where repeats are drawn as mean and range.

    Args:
        metric: name of a curve.
        drawn: the runs; those without the curve have no line.
        session: axis, smoothing, zoom and cursor.
        colors: of all runs by tag, see ``colors_of``.
    """
    labels = labels_of([row for row, _ in drawn])
    return ChartSpec(
        key=f"{metric}:{session.x_axis}",
        title=strip_escapes(metric),
        x_label=session.x_axis,
        lines=tuple(_lines(metric, drawn, session, colors, labels)),
        is_log=session.is_log,
        smoothing=0.0 if _EVALUATED.match(metric) else session.smoothing,
        x_range=session.x_range,
        cursor_x=session.cursor_x if session.is_inspecting else None,
        x_format=X_FORMATS[session.x_axis],
        y_format=_format_of(metric),
        notes=_notes(metric, drawn, labels),
    )


def _format_of(metric: str) -> str:
    """The format of the values, from the suffix that names the unit."""
    formats = (
        ("_bytes_per_s", "bytes"),
        ("_per_s", "number"),
        ("_s", "duration"),
        ("_bytes", "bytes"),
        ("accuracy", "ratio"),
        ("_ratio", "ratio"),
    )
    return next((shown for suffix, shown in formats if metric.endswith(suffix)), "number")


def _is_least_best(metric: str) -> bool | None:
    """Whether the least value is the best, or the greatest; None where neither is better."""
    if metric.endswith(("accuracy", "samples_per_s")):
        return False
    if metric.endswith("loss") or (metric.endswith("_s") and not metric.endswith("_per_s")):
        return True
    return None


def _lines(
    metric: str, drawn: Drawn, session: Session, colors: Mapping[str, str], labels: Mapping[str, str]
) -> list[Line]:
    lines = []
    by_tag = {row.tag: curves for row, curves in drawn}
    for group in _groups([row for row, _ in drawn], is_banded=session.is_banded):
        found = [
            (row, by_tag[row.tag], curve) for row in group if (curve := _curve(by_tag[row.tag], metric)) is not None
        ]
        if len(found) > 1:
            lines.append(_mean_line(metric, found, session.x_axis, colors))
        elif found:
            row, curves, curve = found[0]
            lines.append(_run_line(curves, curve, session.x_axis, labels[row.tag], line_color(row, colors)))
    return _with_unique_labels(lines)


def _groups(rows: Sequence[RunRow], *, is_banded: bool) -> list[list[RunRow]]:
    """What one line is made of: a run, or the repeats of a point."""
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    for row in rows:
        key = (row.experiment, row.point) if is_banded and row.point is not None else (row.tag,)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _curve(curves: RunCurves, metric: str) -> Curve | None:
    curve = curves.curve(metric)
    return curve if curve is not None and len(curve) else None


def _run_line(curves: RunCurves, curve: Curve, axis: str, label: str, color: str) -> Line:
    num_points = len(curve)
    is_least = _is_least_best(curve.name)
    return Line(
        label=label,
        color=color,
        x=curve.x(axis),
        y=curve.value,
        num_points=num_points,
        has_markers=_has_markers(curve.name, num_points),
        best=None if is_least is None else best_of(curves, curve, num_points, is_least=is_least),
    )


def _mean_line(
    metric: str, found: Sequence[tuple[RunRow, RunCurves, Curve]], axis: str, colors: Mapping[str, str]
) -> Line:
    row = found[0][0]
    band = band_of([(curves, curve) for _, curves, curve in found], axis)
    is_least = _is_least_best(metric)
    return Line(
        label=f"{_point_label(row)} (mean of {len(found)})",
        color=colors.get(row.tag, line_color(row, colors)),
        x=band.x,
        y=band.mean,
        num_points=len(band.x),
        low=band.low,
        high=band.high,
        has_markers=_has_markers(metric, len(band.x)),
        best=None if is_least is None else band.least if is_least else band.greatest,
    )


def _has_markers(metric: str, num_points: int) -> bool:
    return num_points == 1 or (_EVALUATED.match(metric) is not None and num_points <= _MAX_MARKERS)


def _point_label(row: RunRow) -> str:
    return strip_escapes(without_hash(row.point or row.id))


def _with_unique_labels(lines: list[Line]) -> list[Line]:
    """Points that differ only in their hash get a number: rare, and a legend needs one name for one line."""
    seen: dict[str, int] = {}
    unique = []
    for line in lines:
        seen[line.label] = seen.get(line.label, 0) + 1
        number = seen[line.label]
        unique.append(line if number == 1 else replace(line, label=f"{line.label} #{number}"))
    return unique


def _notes(metric: str, drawn: Drawn, labels: Mapping[str, str]) -> tuple[str, ...]:
    """A notice stands with the curve that it begins with; those about no curve stand with the loss."""
    notes = []
    for row, curves in drawn:
        for notice in tuple(curves.notices):
            about = notice.partition(" ")[0]
            if metric == (about if curves.curve(about) is not None else "loss"):
                notes.append(f"{labels[row.tag]}: {strip_escapes(notice)}")
    return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A run, or a point whose repeats are drawn as one.

    Attributes:
        label, color: as in the charts.
        rows: the run, or the repeats.
    """

    label: str
    color: str
    rows: tuple[RunRow, ...]


def legend_of(rows: Sequence[RunRow], session: Session, colors: Mapping[str, str]) -> list[LegendEntry]:
    """Return what is drawn, whether or not there is something to draw already."""
    labels = labels_of(rows)
    entries = []
    for group in _groups(rows, is_banded=session.is_banded):
        row = group[0]
        is_one = len(group) == 1
        label = labels[row.tag] if is_one else f"{_point_label(row)} x{len(group)}"
        color = line_color(row, colors) if is_one else colors.get(row.tag, line_color(row, colors))
        entries.append(LegendEntry(label=label, color=color, rows=tuple(group)))
    return entries


def newest_x(drawn: Drawn, metric: str, axis: str, seen: tuple[float, float]) -> float | None:
    """Return where the newest finite value of a metric in sight stands on an axis; None where there is none."""
    found = []
    for _, curves in drawn:
        curve = _curve(curves, metric)
        if curve is not None:
            x, y = curve.x(axis), curve.value
            places = (place for place in reversed(range(len(curve))) if seen[0] <= x[place] <= seen[1])
            found += [x[place] for place in itertools.islice(filter(lambda p: math.isfinite(y[p]), places), 1)]
    return max(found, default=None)


def x_extent(drawn: Drawn, axis: str) -> tuple[float, float] | None:
    """Return from where to where the curves of the runs go along an axis; None without a point."""
    ends = []
    for _, curves in drawn:
        for name in curves.names():
            curve = _curve(curves, name)
            if curve is not None:
                x = curve.x(axis)
                ends += [x[0], x[len(curve) - 1]]
    known = [x for x in ends if math.isfinite(x)]
    return (min(known), max(known)) if known else None
