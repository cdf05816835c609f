"""What is said when the runs have ended: a table per experiment, what failed and where to look, reports, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.errors import DdptuiError
from engine.core.state import RunState
from engine.report.collect import read_experiment
from engine.store import ResultsPaths
from tui.gates import Breach, Gate, judge
from tui.output import (
    format_duration,
    format_number,
    format_ratio,
    print_json,
    print_table,
    say,
    strip_escapes,
    write_line,
    write_paragraph,
)
from tui.progress_text import describe_end
from tui.report_command import write_reports
from tui.run_names import NamedRun
from tui.run_row import RunReader
from tui.summary_columns import point_values
from tui.view.run_row import RunRow

__all__ = ["Closing", "close_runs"]

HEADERS = ("point", "n", "samples/s", "throughput\n_speedup", "throughput\n_efficiency", "test\naccuracy", "time")

MAX_NOTES = 4


@dataclass(frozen=True)
class Closing:
    """How it came out: the runs as they ended, and the gates that broke."""

    rows: list[RunRow]
    breaches: list[Breach]


def close_runs(results: ResultsPaths, runs: Sequence[NamedRun], gates: Sequence[Gate], *, as_json: bool) -> Closing:
    """Write the reports of the runs' experiments, print their tables, name the failures, judge the gates."""
    rows = [RunReader(run).read() for run in runs]
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    points = {name: read_experiment(results.root, name).points for name in experiments}
    values = {(name, p.point): point_values(p) for name in experiments for p in points[name]}
    breaches = judge(gates, values)
    reports, said = _write_reports(
        results, experiments
    )  # first: whoever closes stdout early gets the report all the same
    if not as_json:
        for name in experiments:
            write_line(f"\n{name}")
            _print_points(points[name])
    _say_failures(results, rows)
    for line in said:
        say(line)
    if as_json:
        print_json(
            {
                "runs": [row.to_json() for row in rows],
                "points": [{"experiment": key[0], **value} for key, value in values.items()],
                "broken_gates": [str(breach) for breach in breaches],
                "reports": reports,
            }
        )
    for breach in breaches:
        say(f"gate broken: {breach}{_compared_with(points, breach)}")
    if gates and not breaches:
        say(f"{len(gates)} gate{'s' if len(gates) != 1 else ''} held")
    return Closing(rows, breaches)


def _print_points(points: Sequence[Any]) -> None:
    rows = []
    for point in points:
        values = point_values(point)
        rows.append(
            (
                point.label + (" *" if point.is_baseline else ""),
                f"{point.n}/{point.num_runs}",
                _with_interval(point.samples_per_s),
                format_number(values["throughput_speedup"], 3),
                format_ratio(values["throughput_efficiency"]),
                format_ratio(values["final_test_accuracy"]),
                format_duration(values["total_s"]),
            )
        )
    print_table(HEADERS, rows, right=range(1, len(HEADERS)))
    baselines = {point.baseline_label for point in points if point.baseline_label}
    write_paragraph(
        f"* baseline: {'; '.join(sorted(baselines)) or 'none'}. Time: training and evaluation, median of n."
    )
    notes = list(dict.fromkeys(f"{point.label}: {note}" for point in points for note in point.notes))
    shown = notes if len(notes) <= MAX_NOTES + 1 else notes[:MAX_NOTES]
    for note in shown:
        write_paragraph(f"  {strip_escapes(note)}")
    if len(notes) > len(shown):
        write_line(f"  and {len(notes) - len(shown)} more notes in the report")


def _with_interval(estimate: Any) -> str:
    if estimate is None:
        return "n/a"
    value = format_number(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({format_number(estimate.low)} to {format_number(estimate.high)})"


def _say_failures(results: ResultsPaths, rows: Sequence[RunRow]) -> None:
    for row in rows:
        if row.state == RunState.SUCCEEDED:
            continue
        attempts = results.run(row.experiment, row.id).attempts()
        logs = f"; logs: {attempts[-1].out(0).parent}" if attempts else ""
        say(f"{row.tag}: {row.state}: {describe_end(row)}{logs}")


def _write_reports(results: ResultsPaths, experiments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Write each report; one that cannot be written does not hide how the runs came out.

    Returns:
        The paths, and a line about each report to be said.
    """
    written: list[str] = []
    lines: list[str] = []
    for name in experiments:
        try:
            paths = write_reports(results, name)
        except (DdptuiError, OSError) as error:
            lines.append(f"{name}: no report: {error}")
            continue
        written += paths
        page = next((path for path in paths if path.endswith(".html")), None)
        lines.append(f"report: {page or ', '.join(paths)}")
    return written, lines


def _compared_with(points: Mapping[str, Sequence[Any]], breach: Breach) -> str:
    """Ratios are of something: name the baseline."""
    point = next((p for p in points[breach.experiment] if p.point == breach.point), None)
    if point is None or not breach.gate.column.startswith(("throughput_", "time_")):
        return ""
    if point.is_baseline:
        return " (this point is the baseline)"
    return f" (compared with {point.baseline_label or 'nothing: ' + (point.baseline_reason or 'no baseline')})"
