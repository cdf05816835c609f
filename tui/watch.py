"""What ``ls --watch`` and ``--once`` print: Runs, Compare and Logs as text, for pipes and poor terminals."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from engine.analysis.scaling import make_points
from engine.core.errors import InputError
from engine.store import ResultsPaths, read_json
from engine.tail import RunFollower
from tui.listing import run_lines
from tui.log_tail import last_lines
from tui.output import terminal_width, write_line
from tui.point_table import point_lines
from tui.run_names import NamedRun, find_run, list_named_runs
from tui.run_row import RunReader

__all__ = ["Form", "print_form"]

Form = Literal["runs", "compare", "logs"]

EVERY_S = 2.0

_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_NUM_LOG_LINES = 20


def print_form(
    results: ResultsPaths,
    form: Form,
    name: str | None,
    *,
    is_watching: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print one form once, or again whenever it is different, until interrupted.

    On a terminal the newest stands at the top; in a pipe each one follows the last, with the time before it.

    Args:
        results: the folder.
        form: which.
        name: an experiment for ``compare``, a run for ``logs``; None for all of them, or the newest run.
        is_watching: go on.
        sleep: waits.

    Raises:
        InputError: there is no such experiment or run.
    """
    view = _View(results, form, name)
    shown: list[str] = []
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")
    while True:
        lines = view.lines(terminal_width())
        if lines != shown:
            if is_watching and is_terminal:
                sys.stdout.write(_HOME_AND_CLEAR)
            elif is_watching:
                write_line(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")
            for line in lines:
                write_line(line)
            if is_watching and not is_terminal:
                write_line()
            sys.stdout.flush()
            shown = lines
        if not is_watching:
            return 0
        sleep(EVERY_S)


class _View:
    """Reads again and again, each run cheaply."""

    def __init__(self, results: ResultsPaths, form: Form, name: str | None) -> None:
        if form == "runs" and name is not None:
            raise InputError("ls runs takes no name; `ddptui show RUN` shows one run")
        self._results = results
        self._name = name
        self._lines = {"runs": self._run_lines, "compare": self._compare_lines, "logs": self._log_lines}[form]
        self._readers: dict[str, RunReader] = {}

    def lines(self, width: int | None) -> list[str]:
        return self._lines(width)

    def _runs(self) -> list[NamedRun]:
        runs = list_named_runs(self._results)
        self._readers = {run.tag: self._readers.get(run.tag) or RunReader(run) for run in runs}
        return runs

    def _run_lines(self, width: int | None) -> list[str]:
        rows = [self._readers[run.tag].read() for run in self._runs()]
        return run_lines(rows, now_s=time.time(), width=width) or [f"no runs in {self._results.root}"]

    def _compare_lines(self, width: int | None) -> list[str]:
        runs = [run for run in self._runs() if self._name in (None, run.experiment)]
        if self._name is not None and not runs:
            raise InputError(f"no experiment {self._name!r} in {self._results.root}")
        lines: list[str] = []
        for experiment in dict.fromkeys(run.experiment for run in runs):
            pairs = [_pair(run) for run in runs if run.experiment == experiment]
            points = make_points(pairs)
            lines += [*([""] if lines else []), experiment, *point_lines(points, width=width)]
        return lines or [f"no runs in {self._results.root}"]

    def _log_lines(self, width: int | None) -> list[str]:
        run = self._chosen()
        if run is None:
            return [f"no runs in {self._results.root}"]
        row = self._readers[run.tag].read() if run.tag in self._readers else RunReader(run).read()
        head = f"{run.tag}: {row.state}{': ' + row.reason if row.reason else ''}"
        lines = [head, *(last_lines(run, _NUM_LOG_LINES) or ["no output yet"])]
        return [line if width is None else line[:width] for line in lines]

    def _chosen(self) -> NamedRun | None:
        """The run that was named, else the active one, else the one that ended last."""
        if self._name is not None:
            return find_run(self._results, self._name)
        runs = self._runs()
        rows = {run.tag: self._readers[run.tag].read() for run in runs}
        return max(runs, key=lambda run: (rows[run.tag].is_active, rows[run.tag].started_s or 0.0), default=None)


def _pair(run: NamedRun) -> tuple[dict[str, object], dict[str, object]]:
    """What ``make_points`` takes: a run that has not ended counts as planned, with nothing measured."""
    spec = read_json(run.paths.run) or {"id": run.paths.run_id}
    summary = read_json(run.paths.summary)
    if summary is None:
        summary = {"state": (read_json(run.paths.status) or {}).get("state")}
        if summary["state"] == "succeeded":  # it was killed between its end and its summary
            summary = RunFollower(run.paths, spec).summary()
    return spec, summary
