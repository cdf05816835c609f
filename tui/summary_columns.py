"""The numbers of a point by the names of ``summary.csv``, for ``--fail-if`` and the closing table."""

from __future__ import annotations

from typing import Any

from engine.analysis.scaling import FIGURES, PointRow
from engine.analysis.statistics import Estimate

__all__ = ["gate_columns", "point_values"]

_COUNTS = ("world_size", "num_devices", "nodes", "n", "lr", "global_batch_size", "steps_per_epoch", "epochs_done")
_ESTIMATES = {
    "total_s": "total_s",
    "epoch_s": "epoch_s",
    "epoch_without_evaluation_s": "epoch_train_s",
    "samples_per_s": "samples_per_s",
    "throughput_speedup": "throughput_speedup",
    "throughput_efficiency": "throughput_efficiency",
    "time_speedup": "time_speedup",
    "time_efficiency": "time_efficiency",
    "time_saved_percent": "time_saved_ratio",
}
_EVALUATED = FIGURES[2:]


def gate_columns() -> list[str]:
    """The columns of ``summary.csv`` that hold numbers."""
    bounds = [f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")]
    figures = [f"{kind}_{name}" for name in _EVALUATED for kind in ("final", "best")]
    return [*_COUNTS, "samples_seen", *bounds, *figures]


def point_values(point: PointRow) -> dict[str, Any]:
    """The point's value in each of ``gate_columns``, with its name and its baseline's; None is n/a."""
    values: dict[str, Any] = {"point": point.point, "label": point.label, "baseline": point.baseline or None}
    values |= {name: getattr(point, name) for name in (*_COUNTS, "samples_seen")}
    for column, field in _ESTIMATES.items():
        estimate: Estimate | None = getattr(point, field)
        if estimate is not None and column.endswith("_percent"):
            estimate = estimate.scaled(100.0)
        values[column] = estimate.value if estimate else None
        values[f"{column}_low"] = estimate.low if estimate else None
        values[f"{column}_high"] = estimate.high if estimate else None
    for name in _EVALUATED:
        for kind, figures in (("final", point.final), ("best", point.best)):
            figure = figures.get(name)
            values[f"{kind}_{name}"] = figure.value if figure else None
    return values
