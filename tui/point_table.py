"""The points of an experiment as lines of text: what they measured, against which baseline."""

from __future__ import annotations

from collections.abc import Sequence

from engine.analysis.scaling import PointRow
from engine.analysis.statistics import Estimate
from tui.output import break_line, format_duration, format_number, format_ratio, strip_escapes, table_lines

__all__ = ["point_lines"]

HEADERS = ("point", "n", "samples/s", "throughput\n_speedup", "throughput\n_efficiency", "test\naccuracy", "time")

MAX_NOTES = 4


def point_lines(points: Sequence[PointRow], *, width: int | None = None) -> list[str]:
    """Return the table and what is to be known with it.

    Args:
        points: of one experiment.
        width: where lines end, or None for as long as they are.
    """
    lines = table_lines(HEADERS, [_cells(point) for point in points], right=range(1, len(HEADERS)), width=width)
    baselines = sorted({point.baseline_label for point in points if point.baseline_label})
    said = [f"* baseline: {'; '.join(baselines) or 'none'}. Time: training and evaluation, median of n."]
    notes = list(dict.fromkeys(f"{point.label}: {note}" for point in points for note in point.notes))
    shown = notes if len(notes) <= MAX_NOTES + 1 else notes[:MAX_NOTES]
    said += [f"  {note}" for note in shown]
    if len(notes) > len(shown):
        said.append(f"  and {len(notes) - len(shown)} more notes in the report")
    said = [strip_escapes(line) for line in said]
    return [*lines, *(said if width is None else [break_line(line, width) for line in said])]


def _cells(point: PointRow) -> tuple[str, ...]:
    speedup, efficiency = point.throughput_speedup, point.throughput_efficiency
    accuracy = point.final["test_accuracy"]
    return (
        point.label + (" *" if point.is_baseline else ""),
        f"{point.n}/{point.num_runs}",
        _with_interval(point.samples_per_s),
        format_number(speedup.value if speedup else None, 3),
        format_ratio(efficiency.value if efficiency else None),
        format_ratio(accuracy.value if accuracy else None),
        format_duration(point.total_s.value if point.total_s else None),
    )


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "n/a"
    value = format_number(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({format_number(estimate.low)} to {format_number(estimate.high)})"
