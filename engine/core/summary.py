"""``summary.json``: all that lists, tables and charts of a run need, made from its folded lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.confounds import find_confounds
from engine.core.fields import finite, mapping, number, sequence, text, whole
from engine.core.latency import put_together
from engine.core.rank_record import RankRecord
from engine.core.run_record import RunRecord, mean_loss
from engine.core.steady import bubble_ratios, find_steady, mean_phases, measure_throughput, step_phases

__all__ = ["make_summary"]

_SPLITS = ("validation", "test")
_EPOCH_FIGURES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
)


def make_summary(
    record: RunRecord,
    status: Mapping[str, Any],
    envs: Sequence[Mapping[str, Any]],
    *,
    num_attempts: int | None = None,
) -> dict[str, Any]:
    """Return the summary; every unknown value is None, nothing in it is NaN or infinite.

    Args:
        record: what the run said.
        status: its ``status.json``.
        envs: its nodes' ``env-node<k>.json``, in order.
        num_attempts: where it is known; else the newest attempt that the lines name.
    """
    epochs = _epoch_rows(record)
    whole_epochs = _whole(epochs, record.started("steps_per_epoch"))
    missing_ranks = _missing_ranks(record)
    times = _times(record, epochs, whole_epochs)
    summary = {
        "format": 1,
        **_identity(record, status),
        **_sizes(record),
        "epochs_done": len(whole_epochs),
        "samples_seen": sum(w.samples for r in record.ranks.values() for w in r.windows) or None,
        "stop_reason": next((reason for r in record.ordered() if (reason := text(r.stop, "reason"))), None),
        **_steady_part(record, missing_ranks),
        "time": times,
        "latency": put_together(record.ordered()),
        "epochs": epochs,
        "coverage": record.coverage.rows(),
        "final": {name: _last(epochs, name) for name in _EPOCH_FIGURES},
        "last_loss": mean_loss([rank.windows[-1] for rank in record.ordered() if rank.windows]),
        "best": _best(epochs),
        "ranks": [_rank_row(rank) for rank in record.ordered()],
        "confounds": find_confounds(record, envs, missing_ranks, times),
        "warnings": list(record.warnings),
        "env": [dict(env) for env in envs],
        "garbage_lines": record.garbage_lines,
        "attempts": num_attempts if num_attempts is not None else record.attempt,
    }
    cleaned: dict[str, Any] = finite(summary)
    return cleaned


def _identity(record: RunRecord, status: Mapping[str, Any]) -> dict[str, Any]:
    spec = record.spec
    return {
        "id": text(spec, "id"),
        "experiment": text(spec, "experiment"),
        "point": text(spec, "point"),
        "repeat": whole(spec, "repeat"),
        "axes": mapping(spec, "axes"),
        "baseline": text(spec, "baseline"),
        "state": text(status, "state"),
        "reason": text(status, "reason") or "",
        "queued_s": number(status, "queued_s"),
        "started_s": number(status, "started_s"),
        "ended_s": number(status, "ended_s"),
    }


def _sizes(record: RunRecord) -> dict[str, Any]:
    config = record.config
    optimizer = mapping(config, "optimizer")

    def said(key: str, fallback: int | None = None) -> int | None:
        value = record.started(key)
        return fallback if value is None else value

    def said_text(key: str) -> str | None:
        return next((value for r in record.ordered() if (value := text(r.start, key)) is not None), None)

    lr = next((value for r in record.ordered() if (value := number(r.start, "lr")) is not None), None)
    return {
        "strategy": text(config, "strategy") or said_text("strategy"),
        "world_size": said("world_size", whole(config, "world_size")),
        "num_devices": said("num_devices", whole(record.spec, "num_devices")),
        "nodes": said("nodes", whole(config, "nodes")),
        "seed": whole(config, "seed") if "seed" in config else said("seed"),
        "lr": lr if lr is not None else number(optimizer, "lr"),
        "global_batch_size": said("global_batch_size", whole(config, "global_batch_size")),
        "local_batch_size": said("local_batch_size", whole(config, "local_batch_size")),
        "steps_per_epoch": said("steps_per_epoch"),
        "num_steps": _num_steps(record),
        "num_parameters": said("num_parameters"),
        "batch_norm_samples": said("batch_norm_samples"),
        "train_samples": said("train_samples"),
        "device": said_text("device"),
        "backend": said_text("backend"),
        "torch": said_text("torch"),
        "data_note": said_text("data_note") or "",
        "description": said_text("description") or "",
    }


def _num_steps(record: RunRecord) -> int | None:
    """Steps that were done, of the rank that did most."""
    return max((sum(w.num_steps for w in r.windows) for r in record.ranks.values() if r.windows), default=None)


def _missing_ranks(record: RunRecord) -> list[int]:
    first = record.ranks.get(0)
    if first is not None and first.start.get("speaks_for_all") is True and first.windows:
        return []
    world_size = record.started("world_size")
    if world_size is None or not 0 < world_size <= 100_000:
        return []
    return [rank for rank in range(world_size) if rank not in record.ranks or not record.ranks[rank].windows]


def _steady_part(record: RunRecord, missing_ranks: Sequence[int]) -> dict[str, Any]:
    steady = find_steady(record)
    throughput = measure_throughput(steady, record.ranks, missing_ranks)
    phases = step_phases(steady)
    bubbles = bubble_ratios(steady, record.ranks)
    return {
        "throughput": {
            "samples_per_s": throughput.samples_per_s,
            "step_s_median": throughput.step_s_median,
            "rule": steady.rule,
            "windows": throughput.num_windows,
            "steps": throughput.num_steps,
        },
        "phases": {str(rank): values for rank, values in phases.items()},
        "phases_mean": mean_phases(phases, record.ranks) if phases else {},
        "bubble_ratio": {str(rank): ratio for rank, ratio in bubbles.items()} or None,
    }


def _whole(epochs: Sequence[dict[str, Any]], steps_per_epoch: int | None) -> list[dict[str, Any]]:
    """The epochs of which every step was taken; the last one of a run with a budget may be shorter."""
    return [row for row in epochs if steps_per_epoch is None or row["num_steps"] >= steps_per_epoch]


def _times(
    record: RunRecord, epochs: Sequence[Mapping[str, Any]], whole_epochs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Seconds of the run; each is the slowest rank's, since the others wait for it.

    So the parts may be of different ranks, and the total less than their sum. What faults cost is not in the total,
    which is the time that the run would have taken without them.
    """
    ranks = record.ordered()

    def slowest(key: str, column: str) -> float | None:
        stopped = [value for r in ranks if (value := number(r.stop, key)) is not None]
        said = [value for row in epochs if (value := number(row, column)) is not None]
        return max(stopped) if stopped else (sum(said) if said else None)

    real_s = None
    if record.first_start_s is not None and record.last_event_s is not None:
        real_s = record.last_event_s - record.first_start_s
    train_s, eval_s = slowest("train_s", "train_s"), slowest("eval_s", "eval_s")
    snapshot_s = max((value for r in ranks if (value := number(r.stop, "snapshot_s")) is not None), default=None)
    total_s = train_s + (eval_s or 0.0) + (snapshot_s or 0.0) if train_s is not None else None
    parts = [[number(r.stop, key) for key in ("train_s", "eval_s", "snapshot_s")] for r in ranks if r.stop]
    totals = [sum(part or 0.0 for part in rank) for rank in parts if rank[0] is not None]
    if totals:  # one rank trains longest, another waits for it in the evaluation: that time is there once
        total_s = max(totals)
    return {
        "real_s": real_s,
        "startup_s": max((v for r in ranks if (v := number(r.start, "startup_s")) is not None), default=None),
        "train_s": train_s,
        "eval_s": eval_s,
        "snapshot_s": snapshot_s,
        "restart_s": _restart_s(record),
        "total_s": total_s,
        "epoch_s_mean": _mean(whole_epochs, "epoch_s"),
        "epoch_train_s_mean": _mean(whole_epochs, "train_s"),
    }


def _restart_s(record: RunRecord) -> float | None:
    """Seconds that faults cost: the steps that were taken twice, and the starts of all attempts but the first."""
    if len(record.startups) < 2:
        return None
    return record.lost_s + sum(record.startups[attempt] for attempt in sorted(record.startups)[1:])


def _epoch_rows(record: RunRecord) -> list[dict[str, Any]]:
    finished = sorted({epoch for rank in record.ranks.values() for epoch in rank.epochs})
    return [_epoch_row(record, epoch) for epoch in finished]


def _epoch_row(record: RunRecord, epoch: int) -> dict[str, Any]:
    ranks = [rank for rank in record.ordered() if epoch in rank.epochs]
    parts = [rank.epochs[epoch] for rank in ranks]
    train_loss = _weighted([(part.loss, part.samples) for part in parts if part.samples])
    if train_loss is None:  # no rank that sees samples knows the loss: a pipeline's last stage may
        train_loss = _weighted([(part.loss, part.num_steps) for part in parts])
    counted = [part for part in parts if part.samples and part.correct is not None]
    samples = sum(part.samples for part in parts)
    evaluations = {split: record.evaluations.get((split, epoch)) for split in _SPLITS}
    eval_s = [e.eval_s for e in evaluations.values() if e is not None and e.eval_s is not None]
    row: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": train_loss,
        "train_accuracy": _weighted(
            [(part.correct / part.samples, part.samples) for part in counted if part.correct is not None]
        ),
    }
    for split, evaluation in evaluations.items():
        row[f"{split}_loss"] = evaluation.loss if evaluation else None
        row[f"{split}_accuracy"] = evaluation.accuracy if evaluation else None
    row["metrics"] = {
        f"{split}_{name}": value
        for split, evaluation in evaluations.items()
        for name, value in (evaluation.metrics if evaluation else {}).items()
    }
    return row | {
        "lr": next((rank.epoch_lr[epoch] for rank in ranks if epoch in rank.epoch_lr), None),
        "train_s": max((part.train_s for part in parts if part.train_s is not None), default=None),
        "eval_s": sum(eval_s) if eval_s else None,
        "epoch_s": max((part.epoch_s for part in parts if part.epoch_s is not None), default=None),
        "num_steps": max((part.num_steps for part in parts), default=0),
        "samples": samples or None,
    }


def _weighted(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight > 0]
    weight = sum(pair[1] for pair in known)
    # a rank whose loss is unknown (NaN) makes the mean unknown: leaving it out would flatter
    if not known or len(known) < len([pair for pair in pairs if pair[1] > 0]):
        return None
    return sum(value * share for value, share in known) / weight


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    values = [value for row in rows if (value := number(row, column)) is not None]
    return sum(values) / len(values) if values else None


def _last(rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    return next((value for row in reversed(rows) if (value := number(row, column)) is not None), None)


def _best(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Best evaluation figures, each with the epoch it was first reached in."""
    best: dict[str, Any] = {}
    for split in _SPLITS:
        for figure, sign in (("accuracy", -1.0), ("loss", 1.0)):
            name = f"{split}_{figure}"
            known = [(sign * value, row["epoch"]) for row in rows if (value := number(row, name)) is not None]
            value, epoch = min(known, default=(None, None))
            best[name] = sign * value if value is not None else None
            best[f"{name}_epoch"] = epoch
    return best


def _rank_row(rank: RankRecord) -> dict[str, Any]:
    start, stop = rank.start, rank.stop
    return {
        "rank": rank.rank,
        "role": text(start, "role"),
        "node_rank": whole(start, "node_rank"),
        "host": text(start, "host"),
        "pid": whole(start, "pid"),
        "cores": [core for core in sequence(start, "cores") if isinstance(core, int)],
        "num_threads": whole(start, "num_threads"),
        "real_s": number(stop, "real_s"),
        "user_s": number(stop, "user_s"),
        "system_s": number(stop, "system_s"),
        "peak_memory_bytes": whole(stop, "peak_memory_bytes"),
        "peak_device_memory_bytes": whole(stop, "peak_device_memory_bytes"),
        "error": text(rank.error, "message"),
    }
