"""How long a small all-reduce and a barrier took in the runs: a table of the report, columns of the CSV files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.analysis.scaling import PointRow
from engine.core.fields import mapping, number, text
from engine.core.latency import LATENCY_OPERATIONS
from engine.report.blocks import Block, Paragraph, Table
from engine.report.collect import ExperimentData, RunData
from engine.report.wording import NOT_AVAILABLE, show_estimate, show_number

__all__ = ["latency_blocks", "latency_columns", "was_latency_asked"]

_MICRO = 1e6


def was_latency_asked(runs: Iterable[RunData]) -> bool:
    """Whether a run was to measure it: then what is not known of the others is n/a."""
    return any(mapping(run.spec, "config").get("measure_latency") is True for run in runs)


def latency_columns(run: RunData) -> dict[str, Any]:
    """Columns of ``runs.csv``, in seconds; none where the run was not to measure it."""
    if not was_latency_asked([run]):
        return {}
    found = mapping(run.summary, "latency")
    return {
        f"{name}_latency_{suffix}": number(mapping(found, name), key)
        for name in LATENCY_OPERATIONS
        for suffix, key in (("s", "median_s"), ("p5_s", "p5_s"), ("p95_s", "p95_s"))
    }


def latency_blocks(data: ExperimentData) -> list[Block]:
    """Return a table of it, one row per point; nothing where no run was to measure it."""
    if not was_latency_asked(data.runs):
        return []
    header = ["point", "world size", "nodes", "backend"]
    header += ["all-reduce of 4 bytes, median", "5 to 95 %", "barrier, median", "5 to 95 %"]
    rows = [_row(point, data.runs_of(point.point)) for point in data.points]
    words = (
        "Measured by the ranks themselves before their first step, over the run's own process group; each repeat from "
        "the call to its end, on every rank. Percentiles of all repeats and ranks of a run, medians over the succeeded "
        "runs (in brackets their 95 % interval, from three on). n/a: one process, or no process group."
    )
    return [Table(header=header, rows=rows, numeric=frozenset({1, 2, 4, 5, 6, 7})), Paragraph(text=words)]


def _row(point: PointRow, runs: Sequence[RunData]) -> list[str]:
    found = [mapping(run.summary, "latency") for run in runs]
    backend = next((name for latency in found if (name := text(latency, "backend")) is not None), NOT_AVAILABLE)
    row = [point.label, _count(point.world_size), _count(point.nodes), backend]
    for name, estimate in (("all_reduce", point.all_reduce_s), ("barrier", point.barrier_s)):
        median = show_estimate(estimate.scaled(_MICRO) if estimate is not None else None, suffix=" µs")
        row += [median, _range([mapping(latency, name) for latency in found])]
    return row


def _count(value: int | None) -> str:
    return NOT_AVAILABLE if value is None else str(value)


def _range(found: Sequence[Mapping[str, Any]]) -> str:
    ends = [[value for item in found if (value := number(item, key)) is not None] for key in ("p5_s", "p95_s")]
    if not all(ends):
        return NOT_AVAILABLE
    low, high = (show_number(_MICRO * statistics.median(values)) for values in ends)
    return f"{low} to {high} µs"
