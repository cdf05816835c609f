"""``ddptui metrics``: figures of this machine and of the runs for Prometheus, until it is told to end."""

from __future__ import annotations

import signal
import socket
import threading
from types import FrameType

from engine.core.errors import InputError
from engine.store import ResultsPaths
from tui.output import say
from tui.run_names import list_named_runs
from tui.run_row import RunReader
from tui.view.run_row import RunRow

__all__ = ["LiveRuns", "serve"]

_MAX_INTERVAL_S = 3600.0


def serve(results: ResultsPaths, *, port: int, interval_s: float, name: str) -> int:
    """Answer scrapes on 127.0.0.1 until Ctrl-C or SIGTERM.

    Args:
        results: the folder whose runs are shown.
        port: to listen on; 0 for any that is free.
        interval_s: seconds between two readings of the machine.
        name: the label ``run`` of the machine's figures; the host's name where empty.

    Raises:
        InputError: a wrong interval, a port that is taken, or no prometheus-client.
    """
    if not 0.1 <= interval_s <= _MAX_INTERVAL_S:
        raise InputError(f"--interval {interval_s:g} s: a number from 0.1 to {_MAX_INTERVAL_S:g} is needed")
    try:
        from engine.exporters.prometheus import LOOPBACK, MachineSampler, RunFigures, serve_metrics
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        raise InputError(
            "`ddptui metrics` needs the package prometheus-client: pip install prometheus-client"
        ) from None
    machine = MachineSampler(interval_s)
    runs = LiveRuns(results)

    def read() -> list[RunFigures]:
        return [RunFigures(row.experiment, row.id, row.state, row.to_json()) for row in runs.read()]

    bound, stop = serve_metrics(port, machine, name or socket.gethostname(), read)
    machine.start()
    say(f"metrics of this machine and of {results.root} at http://{LOOPBACK}:{bound}/metrics, until Ctrl-C")
    try:
        _wait_for_the_end()
    finally:
        stop()
        machine.stop()
    return 0


class LiveRuns:
    """The runs that go on or wait, and those that have ended while we looked.

    Runs that had ended before are left out: a folder of a thousand would be as many time series that never change. One
    of them that is tried again is shown.

    Args:
        results: the folder.
    """

    def __init__(self, results: ResultsPaths) -> None:
        self._results = results
        self._readers = {run.tag: RunReader(run) for run in list_named_runs(results)}
        self._ended = {tag for tag, reader in self._readers.items() if reader.read().is_terminal}

    def read(self) -> list[RunRow]:
        """Return them as they are now."""
        named = {run.tag: run for run in list_named_runs(self._results)}
        self._readers = {tag: self._readers.get(tag) or RunReader(run) for tag, run in named.items()}
        rows = {tag: reader.read() for tag, reader in self._readers.items()}
        self._ended = {tag for tag in self._ended if tag in rows and rows[tag].is_terminal}
        return [row for tag, row in rows.items() if tag not in self._ended]


def _wait_for_the_end() -> None:
    """Return at SIGTERM or Ctrl-C."""
    is_over = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        is_over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    is_over.wait()
