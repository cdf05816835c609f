"""The CSV files: one tidy table each, units in the column names, n/a for the unknown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from engine.analysis.published import Published
from engine.analysis.scaling import FIGURES, PointRow
from engine.analysis.statistics import Estimate
from engine.core.fields import mapping, number, sequence, text, whole
from engine.report.collect import ExperimentData, RunData, events_of
from engine.report.latency_tables import latency_columns, was_latency_asked
from engine.report.loss_tables import loss_columns
from engine.report.metric_tables import final_metrics
from engine.report.partition_tables import PARTITION_COLUMNS, partition_rows
from engine.report.system_series import SYSTEM_COLUMNS, system_rows
from engine.report.wording import NOT_AVAILABLE, data_label, plain_text
from engine.store import write_whole

__all__ = ["export_events", "write_tables"]

Row = dict[str, Any]

_RANK_COLUMNS = (
    "rank", "role", "node_rank", "host", "pid", "num_threads", "real_s", "user_s", "system_s",
    "peak_memory_bytes", "peak_device_memory_bytes",
)  # fmt: skip
_COMMON = ("kind", "time_s", "mono_s", "seq", "rank", "attempt")


def write_tables(data: ExperimentData) -> list[Path]:
    """Write summary, runs, epochs, ranks, partitions and system as CSV into the experiment's folder.

    Returns:
        Their paths.

    Raises:
        OSError: as the file system raised it.
    """
    tables: dict[str, Iterable[Row]] = {
        "summary": [_summary_row(data, point) | _published_columns(point, data.published) for point in data.points],
        "runs": [_run_row(run) for run in data.runs],
        "epochs": [row for run in data.runs for row in _epoch_rows(run)],
        "ranks": [row for run in data.runs for row in _rank_rows(run)],
        "partitions": [row for run in data.runs for row in partition_rows(run)],
        "system": [row for run in data.runs for row in system_rows(run)],
    }
    paths = []
    for name, rows in tables.items():
        path = data.paths.csv(name)
        write_whole(path, _as_csv(list(rows), _EMPTY_HEADERS[name]).encode())
        paths.append(path)
    return paths


def export_events(data: ExperimentData, out: TextIO) -> int:
    """Write every event of every attempt as one tidy table: a row per value; return the number of rows.

    Columns: run, attempt, kind, time_s, mono_s, seq, rank, epoch, step, name, value. Nested values have dotted names;
    lists are JSON.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", *_COMMON, "epoch", "step", "name", "value"])
    num_rows = 0
    for run in data.runs:
        for attempt in run.paths.attempts():
            for event in events_of(attempt):
                common = [_cell(event.get(key)) for key in (*_COMMON, "epoch", "step")]
                for name, value in _flatten(event):
                    writer.writerow([run.run_id, *common, _cell(name), _cell(value)])
                    num_rows += 1
    return num_rows


def _data_of(data: ExperimentData, point: PointRow) -> str | None:
    return next((data_label(run.spec) for run in data.runs_of(point.point)), None)


def _summary_row(data: ExperimentData, point: PointRow) -> Row:
    row: Row = {"point": point.point, "label": point.label, "data": _data_of(data, point)}
    row |= {
        f"axis.{name}": value for name, value in point.axes.items() if name not in ("strategy", "world_size", "nodes")
    }
    row |= {
        "strategy": point.strategy,
        "world_size": point.world_size,
        "num_devices": point.num_devices,
        "nodes": point.nodes,
        "n": point.n,
        "lr": point.lr,
        "global_batch_size": point.global_batch_size,
        "steps_per_epoch": point.steps_per_epoch,
        "epochs_done": point.epochs_done,
        "samples_seen": point.samples_seen,
    }
    for name, estimate, factor in (
        ("total_s", point.total_s, 1.0),
        ("epoch_s", point.epoch_s, 1.0),
        ("epoch_without_evaluation_s", point.epoch_train_s, 1.0),
        ("samples_per_s", point.samples_per_s, 1.0),
        ("throughput_speedup", point.throughput_speedup, 1.0),
        ("throughput_efficiency", point.throughput_efficiency, 1.0),
        ("time_speedup", point.time_speedup, 1.0),
        ("time_efficiency", point.time_efficiency, 1.0),
        ("time_saved_percent", point.time_saved_ratio, 100.0),
        ("real_s", point.real_s, 1.0),
        ("user_s_per_rank", point.user_s, 1.0),
        ("system_s_per_rank", point.system_s, 1.0),
    ):
        row |= _estimate_columns(name, estimate.scaled(factor) if estimate is not None else None)
    for name in FIGURES[2:]:
        row |= {
            f"{kind}_{name}": _value(figures.get(name))
            for kind, figures in (("final", point.final), ("best", point.best))
        }
    if was_latency_asked(data.runs):
        row |= _estimate_columns("all_reduce_latency_s", point.all_reduce_s)
        row |= _estimate_columns("barrier_latency_s", point.barrier_s)
    return row | loss_columns(point) | {"baseline": point.baseline or None, "notes": "; ".join(point.notes)}


def _published_columns(point: PointRow, published: Published) -> Row:
    return {f"published_{figure}": published.value(point.point, figure) for figure in published.figures}


def _estimate_columns(name: str, estimate: Estimate | None) -> Row:
    low, high = (estimate.low, estimate.high) if estimate is not None else (None, None)
    return {name: _value(estimate), f"{name}_low": low, f"{name}_high": high}


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate is not None else None


def _run_row(run: RunData) -> Row:
    spec, summary = run.spec, run.summary
    times, rate = mapping(summary, "time"), mapping(summary, "throughput")
    row: Row = {"run": run.run_id, "point": text(spec, "point"), "repeat": whole(spec, "repeat")}
    row |= {"data": data_label(spec)}
    row |= {f"axis.{name}": value for name, value in mapping(spec, "axes").items()}
    row |= {"state": run.state, "reason": run.reason, "stop_reason": text(summary, "stop_reason")}
    row |= {"strategy": text(summary, "strategy")}
    row |= {key: whole(summary, key) for key in ("world_size", "num_devices", "nodes", "seed")}
    row |= {"lr": number(summary, "lr")}
    sizes = ("global_batch_size", "local_batch_size", "steps_per_epoch", "num_steps", "epochs_done", "samples_seen")
    row |= {key: whole(summary, key) for key in (*sizes, "num_parameters")}
    row |= {key: number(rate, key) for key in ("samples_per_s", "step_s_median")}
    row |= {key: number(times, key) for key in ("real_s", "startup_s", "train_s", "eval_s", "snapshot_s", "total_s")}
    row |= {"epoch_s": number(times, "epoch_s_mean"), "epoch_without_evaluation_s": number(times, "epoch_train_s_mean")}
    row |= {f"final_{name}": number(mapping(summary, "final"), name) for name in FIGURES}
    row |= {f"best_{name}": number(mapping(summary, "best"), name) for name in FIGURES[2:]}
    row |= {f"final_{name}": value for name, value in final_metrics(run).items()}
    row |= {
        f"phase_{name}_s_per_step": number(mapping(summary, "phases_mean"), name)
        for name in mapping(summary, "phases_mean")
    }
    row |= latency_columns(run)
    row |= {key: text(summary, key) for key in ("device", "backend", "torch", "data_note")}
    confounds = [str(line) for line in sequence(summary, "confounds")]
    return row | {
        "baseline": text(spec, "baseline"),
        "attempts": whole(summary, "attempts"),
        "confounds": "; ".join(confounds),
    }


def _epoch_rows(run: RunData) -> Iterator[Row]:
    for epoch in sequence(run.summary, "epochs"):
        if isinstance(epoch, dict):
            row: Row = {"run": run.run_id, "point": text(run.spec, "point"), "repeat": whole(run.spec, "repeat")}
            row |= {
                "data": data_label(run.spec),
                "epoch": whole(epoch, "epoch"),
                **{name: number(epoch, name) for name in FIGURES},
                **{name: number(mapping(epoch, "metrics"), name) for name in mapping(epoch, "metrics")},
            }
            row |= {"lr": number(epoch, "lr"), "epoch_s": number(epoch, "epoch_s")}
            row |= {"epoch_without_evaluation_s": number(epoch, "train_s"), "evaluation_s": number(epoch, "eval_s")}
            yield row | {"samples": whole(epoch, "samples")}


def _rank_rows(run: RunData) -> Iterator[Row]:
    for rank in sequence(run.summary, "ranks"):
        if isinstance(rank, dict):
            phases = mapping(mapping(run.summary, "phases"), str(rank.get("rank")))
            bubble = number(mapping(run.summary, "bubble_ratio"), str(rank.get("rank")))
            cores = " ".join(str(core) for core in sequence(rank, "cores"))
            row: Row = (
                {"run": run.run_id, "data": data_label(run.spec)}
                | {key: rank.get(key) for key in _RANK_COLUMNS}
                | {"cores": cores or None}
            )
            row |= {f"phase_{name}_s_per_step": number(phases, name) for name in phases}
            yield row | {"bubble_ratio": bubble}


def _flatten(event: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in event.items():
        if depth == 0 and key in (*_COMMON, "epoch", "step"):
            continue
        if isinstance(value, dict) and depth < 8:
            yield from _flatten(value, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", value


def _as_csv(rows: Sequence[Row], header: Sequence[str]) -> str:
    columns = list(dict.fromkeys([*header, *(name for row in rows for name in row)])) if rows else list(header)
    if rows:  # the order of the rows' own columns, those that only some have at their place
        columns = _merged_order(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return out.getvalue()


def _merged_order(rows: Sequence[Row]) -> list[str]:
    columns: list[str] = []
    for row in rows:
        at = 0
        for name in row:
            if name in columns:
                at = columns.index(name) + 1
            else:
                columns.insert(at, name)
                at += 1
    return columns


def _cell(value: Any) -> str:
    """Text as it is, but never a formula of a spreadsheet; numbers with up to nine digits; n/a for the unknown."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}" if abs(value) < 1e9 else f"{value:.3f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value, default=str)
    shown = plain_text(value).replace("\n", " ")
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@", "\t") else shown


_EMPTY_HEADERS: dict[str, Sequence[str]] = {
    "summary": ("point", "strategy", "world_size", "num_devices", "nodes", "n"),
    "runs": ("run", "point", "repeat", "state", "reason"),
    "epochs": ("run", "point", "repeat", "epoch", *FIGURES, "lr", "epoch_s", "epoch_without_evaluation_s"),
    "ranks": ("run", *_RANK_COLUMNS),
    "partitions": PARTITION_COLUMNS,
    "system": SYSTEM_COLUMNS,
}
"""What an empty table still says."""
