"""What ``report`` and ``export`` do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from engine.core.errors import DdptuiError, InputError
from engine.report.collect import read_experiment
from engine.report.tables import export_events, write_tables
from engine.report.write import write_report
from engine.store import ResultsPaths
from tui.output import print_json, say, write_line
from tui.run_names import find_experiments

__all__ = ["export_table", "make_reports", "write_reports"]

TABLES = ("events", "runs", "summary", "epochs", "ranks", "partitions", "system")


def make_reports(results: ResultsPaths, experiment: str | None, *, as_json: bool) -> int:
    """Write the report of one experiment, or of all; print the paths.

    Raises:
        InputError: there is no such experiment.
        DdptuiError: a report could not be written.
    """
    names = find_experiments(results, experiment)
    written = {name: write_reports(results, name) for name in names}
    if as_json:
        print_json([{"experiment": name, "files": files} for name, files in written.items()])
        return 0
    for files in written.values():
        for path in files:
            write_line(path)
    return 0


def write_reports(results: ResultsPaths, experiment: str) -> list[str]:
    """Write everything of one experiment; return the paths.

    Raises:
        DdptuiError: a file could not be written.
    """
    try:
        return [str(path) for path in write_report(results.root, experiment)]
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DdptuiError(f"the report of {experiment} cannot be written: {error.strerror or error}{where}") from error


def export_table(results: ResultsPaths, experiment: str | None, *, what: str, out: str) -> int:
    """Write one table as CSV to a file, or to stdout for ``-``.

    Raises:
        InputError: no such table or experiment, several to choose from, or a file that cannot be written.
    """
    if what not in TABLES:
        raise InputError(f"--what {what!r}: no such table; there are {', '.join(TABLES)}")
    names = find_experiments(results, experiment)
    if len(names) > 1:
        raise InputError(f"several experiments are in {results.root}; name one of {', '.join(names)}")
    write = _writer(results, names[0], what)
    try:
        with nullcontext(sys.stdout) if out == "-" else Path(out).open("w", encoding="utf-8", newline="") as file:
            write(file)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    if out != "-":
        say(f"wrote {out}")
    return 0


def _writer(results: ResultsPaths, experiment: str, what: str) -> Callable[[TextIO], None]:
    data = read_experiment(results.root, experiment)
    if what == "events":

        def write_events(out: TextIO) -> None:
            export_events(data, out)

        return write_events

    def copy_table(out: TextIO) -> None:
        write_tables(data)
        out.write(data.paths.csv(what).read_text(encoding="utf-8"))

    return copy_table
