"""What ``ls`` prints."""

from __future__ import annotations

import time
from collections.abc import Sequence

from engine.store import ResultsPaths
from tui.hidden_folders import describe_hidden, find_hidden
from tui.output import (
    format_number,
    format_when,
    print_json,
    say,
    strip_escapes,
    table_lines,
    terminal_width,
    write_line,
)
from tui.run_names import list_named_runs
from tui.run_row import RunReader
from tui.view.run_row import RunRow

__all__ = ["list_results", "run_lines"]

COLUMNS = ("run", "state", "progress", "loss", "samples/s", "ended", "reason")
"""Strategy and world size are in the id of the run; ``--json`` has them by themselves."""


def list_results(results: ResultsPaths, *, as_json: bool) -> int:
    """Print every run of the results folder, by experiment."""
    readers = [RunReader(run) for run in list_named_runs(results)]
    if as_json:
        print_json([reader.read().to_json() for reader in readers])
        return 0
    rows = [reader.read() for reader in readers]
    if not rows:
        say(f"no runs in {results.root}; start some with `ddptui run FILE`")
    if hidden := describe_hidden(find_hidden(results)):
        say(hidden)
    for line in run_lines(rows, now_s=time.time(), width=terminal_width()):
        write_line(line)
    return 0


def run_lines(rows: Sequence[RunRow], *, now_s: float, width: int | None = None) -> list[str]:
    """Return a table of runs per experiment; lines end at ``width``."""
    lines: list[str] = []
    for experiment in sorted({row.experiment for row in rows}):
        cells = [_cells(row, now_s) for row in rows if row.experiment == experiment]
        table = table_lines(COLUMNS, cells, right=(2, 3, 4), width=width)
        lines += [*([""] if lines else []), strip_escapes(experiment), *table]
    return lines


def _cells(view: RunRow, now_s: float) -> tuple[str, ...]:
    return (
        view.id,
        view.state,
        "n/a" if view.progress is None else f"{100 * view.progress:.0f}%",
        format_number(view.loss),
        format_number(view.samples_per_s),
        format_when(view.ended_s, now_s) if view.is_terminal else "-",
        view.reason,
    )
