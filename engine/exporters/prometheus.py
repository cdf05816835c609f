"""Figures of this machine and of runs as Prometheus metrics, on a loopback port.

What is not known has no sample: a run before its first step has no loss. Names and labels are in ``METRICS``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from engine.core.errors import InputError
from engine.core.state import RunState

__all__ = ["LOOPBACK", "METRICS", "MachineSampler", "RunFigures", "serve_metrics"]

LOOPBACK = "127.0.0.1"

MACHINE_METRICS = {
    "node_cpu_percent": "CPU use of this machine since the sample before, percent of all cores.",
    "node_memory_percent": "Memory of this machine in use, percent.",
    "node_net_bytes_sent": "Bytes this machine has sent since it started; take its rate.",
    "node_net_bytes_recv": "Bytes this machine has received since it started; take its rate.",
}
"""Of the machine, labelled ``run`` with the name given; they are levels and counts as psutil gives them."""

METRICS = {
    "ddptui_loss": ("loss", "Training loss, mean over ranks, of the newest steps."),
    "ddptui_samples_per_s": ("samples_per_s", "Global samples per second."),
    "ddptui_step": ("step", "Newest step that all ranks have taken, from 0."),
    "ddptui_steps": ("num_steps", "Steps that the run will take, where that is known."),
    "ddptui_epoch": ("epoch", "Epoch, from 0."),
    "ddptui_progress_ratio": ("progress", "Share of the run that is done, 0 to 1."),
    "ddptui_test_accuracy": ("test_accuracy", "Test accuracy of the newest evaluation, 0 to 1."),
    "ddptui_attempt": ("attempt", "Attempts begun, from 1."),
    "ddptui_last_event_timestamp_seconds": ("last_event_s", "When the run last wrote an event line, Unix seconds."),
}
"""Metric -> the field of ``RunFigures.values`` it shows, and its help; labelled ``experiment`` and ``run``."""


@dataclass(frozen=True)
class RunFigures:
    """One run at one moment.

    Attributes:
        experiment: its name.
        run: its id.
        state: as in ``status.json``, but true.
        values: field -> number, None where unknown; see ``METRICS``.
    """

    experiment: str
    run: str
    state: str
    values: Mapping[str, Any]


class MachineSampler:
    """Reads the machine every so often, since CPU use is that between two readings.

    Args:
        interval_s: seconds between two readings.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._is_over = threading.Event()
        self._values: dict[str, float] = {}
        psutil.cpu_percent()  # the first answer has nothing to compare with
        self._thread = threading.Thread(target=self._run, name="machine sampler", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._is_over.set()
        self._thread.join()

    @property
    def values(self) -> Mapping[str, float]:
        """Metric -> value of the newest reading; empty before the first."""
        return self._values

    def _run(self) -> None:
        while not self._is_over.wait(self._interval_s):
            network = psutil.net_io_counters()
            readings = {
                "node_cpu_percent": psutil.cpu_percent(),
                "node_memory_percent": psutil.virtual_memory().percent,
                "node_net_bytes_sent": network.bytes_sent if network else None,
                "node_net_bytes_recv": network.bytes_recv if network else None,
            }
            self._values = {name: float(value) for name, value in readings.items() if value is not None}


class _RunCollector(Collector):
    """Makes the samples of a scrape."""

    def __init__(self, machine: MachineSampler, name: str, read_runs: Callable[[], Sequence[RunFigures]]) -> None:
        self._machine = machine
        self._name = name
        self._read_runs = read_runs
        self._lock = threading.Lock()  # the server answers each scrape in a thread of its own

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: else the registry would read all runs as it takes this collector in."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the samples as things are now."""
        readings = self._machine.values
        for metric, documentation in MACHINE_METRICS.items():
            family = GaugeMetricFamily(metric, documentation, labels=["run"])
            if metric in readings:
                family.add_metric([self._name], readings[metric])
            yield family
        with self._lock:
            runs = self._read_runs()
        for metric, (field, documentation) in METRICS.items():
            family = GaugeMetricFamily(metric, documentation, labels=["experiment", "run"])
            for run in runs:
                value = run.values.get(field)
                if isinstance(value, int | float):
                    family.add_metric([run.experiment, run.run], float(value))
            yield family
        yield _states(runs)


def serve_metrics(
    port: int, machine: MachineSampler, name: str, read_runs: Callable[[], Sequence[RunFigures]]
) -> tuple[int, Callable[[], None]]:
    """Answer scrapes at ``http://127.0.0.1:<port>/metrics`` from now on; return the port and what ends it.

    Args:
        port: to listen on; 0 for any that is free.
        machine: started already.
        name: the label ``run`` of the machine's metrics.
        read_runs: gives the runs as they are now.

    Raises:
        InputError: the port is taken or not allowed.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_RunCollector(machine, name, read_runs))
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen on {LOOPBACK}:{port}: {reason}; choose another --port, or 0 for any") from None

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return int(server.server_address[1]), stop


def _states(runs: Sequence[RunFigures]) -> GaugeMetricFamily:
    """One sample per run and state: 1 for the state it is in, 0 for the others, as Prometheus' own state sets."""
    family = GaugeMetricFamily(
        "ddptui_state", "1 for the state that the run is in.", labels=["experiment", "run", "state"]
    )
    for run in runs:
        for state in RunState:
            family.add_metric([run.experiment, run.run, state.value], float(run.state == state.value))
    return family
