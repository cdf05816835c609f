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
from tui.output import print_json, say, terminal_width, write_line
from tui.point_table import point_lines
from tui.progress_text import describe_end
from tui.report_command import write_reports
from tui.run_names import NamedRun
from tui.run_row import RunReader
from tui.summary_columns import point_values
from tui.view.run_row import RunRow

__all__ = ["Closing", "close_runs"]


@dataclass(frozen=True)
class Closing:
    """How it came out: the runs as they ended, and the gates that broke."""

    rows: list[RunRow]
    breaches: list[Breach]


def close_runs(results: ResultsPaths, runs: Sequence[NamedRun], gates: Sequence[Gate], *, as_json: bool) -> Closing:
    """Write the reports of the runs' experiments, print their tables, name the failures, judge the gates."""
    rows = [RunReader(run).read() for run in runs]
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    read = {name: read_experiment(results.root, name) for name in experiments}
    points = {name: data.points for name, data in read.items()}
    values = {(name, p.point): point_values(p) for name in experiments for p in points[name]}
    breaches = judge(gates, values)
    reports, said = _write_reports(
        results, experiments
    )  # first: whoever closes stdout early gets the report all the same
    if not as_json:
        for name in experiments:
            write_line("\n" + ": ".join([name, *read[name].data_notes]))
            for line in point_lines(points[name], width=terminal_width()):
                write_line(line)
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
