"""From runs to points: medians over repeats, and speedup and efficiency against each point's named baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from engine.analysis.fairness import compare_fairly, own_confounds
from engine.analysis.losses import Lost, explain_loss
from engine.analysis.statistics import Estimate, estimate, estimate_ratio
from engine.catalog import STRATEGY_TRAITS
from engine.core.fields import mapping, number, sequence, text, whole, whole_or

__all__ = ["FIGURES", "SCALE_AXES", "PointRow", "devices_word", "make_points"]

Run = tuple[Mapping[str, Any], Mapping[str, Any]]
"""``run.json`` and ``summary.json``."""

FIGURES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")

SCALE_AXES = ("world_size", "nodes", "dp.num_replicas", "rpc_pipeline.num_stages")
"""Axes along which a series of points is drawn as one line."""

MORE_THAN_IDEAL = 1.05
"""A throughput efficiency above it is no merit of the parallel part: caches, smaller batches, a disturbed baseline."""

SAMPLES_TOLERANCE = 0.01
"""Samples seen count as equal within this share: the last batch of an epoch that is not full is left out, which is
0.7 % of 50,000 samples in batches of 512."""


@dataclass(frozen=True, kw_only=True)
class PointRow:
    """One point of an experiment: what its succeeded repeats measured. None is n/a.

    Attributes:
        point: its id.
        label: for people: the strategy, its size, and the other axes.
        series: the label without its size: points of one series are drawn as one line.
        axes: its value on every axis of the matrix.
        num_runs: repeats that were planned or found, in whatever state; ``n`` of them succeeded and count.
        total_s: training, evaluation and snapshots together.
        throughput_efficiency, time_efficiency: the speedup over the ratio of ``num_devices`` to the baseline's.
        time_speedup: only where both saw equally many samples.
        time_saved_ratio: the part of the baseline's total time that is saved.
        all_reduce_s, barrier_s: latency of an all-reduce of 4 bytes and of a barrier, where the runs measured it.
        lost: where the efficiency went; None for a baseline.
        real_s: life of a process, of the slowest rank; user_s and system_s are its CPU time, mean of the ranks.
        final, best: per figure of ``FIGURES`` (best: of the evaluations).
        baseline: the baseline's point id, "" where there is none; ``baseline_reason`` says why.
        notes: differences that spoil the comparison, and why values are n/a.
    """

    point: str
    label: str
    series: str
    strategy: str
    axes: Mapping[str, Any]
    world_size: int | None
    num_devices: int | None
    nodes: int | None
    num_runs: int
    n: int
    lr: float | None
    global_batch_size: int | None
    local_batch_size: int | None
    steps_per_epoch: int | None
    epochs_done: float | None
    samples_seen: float | None
    total_s: Estimate | None
    epoch_s: Estimate | None
    epoch_train_s: Estimate | None
    samples_per_s: Estimate | None
    step_s: Estimate | None
    throughput_speedup: Estimate | None
    throughput_efficiency: Estimate | None
    time_speedup: Estimate | None
    time_efficiency: Estimate | None
    time_saved_ratio: Estimate | None
    lost: Lost | None
    real_s: Estimate | None
    user_s: Estimate | None
    system_s: Estimate | None
    all_reduce_s: Estimate | None
    barrier_s: Estimate | None
    final: Mapping[str, Estimate | None]
    best: Mapping[str, Estimate | None]
    is_baseline: bool
    baseline: str
    baseline_label: str
    baseline_reason: str
    notes: tuple[str, ...]


def make_points(runs: Sequence[Run]) -> list[PointRow]:
    """Make a row per point, in the order in which the points first appear."""
    groups: dict[str, list[Run]] = {}
    for spec, summary in runs:
        groups.setdefault(text(spec, "point") or text(spec, "id") or "unknown", []).append((spec, summary))
    labels = {point: _label(group[0], groups) for point, group in groups.items()}
    return [_make_point(point, groups, labels) for point in groups]


def devices_word(strategy: str) -> str:
    """What the devices of a strategy are called: ranks, replicas, stages."""
    traits = STRATEGY_TRAITS.get(strategy)
    return traits.devices_from.rpartition(".num_")[2] if traits and traits.devices_from else "ranks"


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    throughput_speedup: Estimate | None = None
    time_speedup: Estimate | None = None
    device_ratio: float | None = None
    lost: Lost | None = None
    notes: tuple[str, ...] = ()

    @property
    def throughput_efficiency(self) -> Estimate | None:
        return self._per_device(self.throughput_speedup)

    @property
    def time_efficiency(self) -> Estimate | None:
        return self._per_device(self.time_speedup)

    @property
    def time_saved_ratio(self) -> Estimate | None:
        return self.time_speedup.mapped(lambda value: 1 - 1 / value) if self.time_speedup is not None else None

    def _per_device(self, speedup: Estimate | None) -> Estimate | None:
        return speedup.scaled(1 / self.device_ratio) if speedup is not None and self.device_ratio else None


def _make_point(point: str, groups: Mapping[str, list[Run]], labels: Mapping[str, tuple[str, str]]) -> PointRow:
    group = groups[point]
    good = _succeeded(group)
    spec, summary = good[0] if good else group[0]
    baseline = text(spec, "baseline") or ""
    comparison = _compare(good, baseline, groups, is_baseline=baseline == point)

    def median(*keys: str) -> Estimate | None:
        return estimate(_values(good, *keys))

    epochs_done, samples_seen = median("epochs_done"), median("samples_seen")
    return PointRow(
        point=point,
        label=labels[point][0],
        series=labels[point][1],
        strategy=_strategy(spec, summary),
        axes=mapping(spec, "axes"),
        world_size=_size(spec, summary, "world_size"),
        num_devices=_size(spec, summary, "num_devices"),
        nodes=_size(spec, summary, "nodes"),
        num_runs=len(group),
        n=len(good),
        lr=number(summary, "lr"),
        global_batch_size=whole(summary, "global_batch_size"),
        local_batch_size=whole(summary, "local_batch_size"),
        steps_per_epoch=whole(summary, "steps_per_epoch"),
        epochs_done=epochs_done.value if epochs_done else None,
        samples_seen=samples_seen.value if samples_seen else None,
        total_s=median("time", "total_s"),
        epoch_s=median("time", "epoch_s_mean"),
        epoch_train_s=median("time", "epoch_train_s_mean"),
        samples_per_s=median("throughput", "samples_per_s"),
        step_s=median("throughput", "step_s_median"),
        throughput_speedup=comparison.throughput_speedup,
        throughput_efficiency=comparison.throughput_efficiency,
        time_speedup=comparison.time_speedup,
        time_efficiency=comparison.time_efficiency,
        time_saved_ratio=comparison.time_saved_ratio,
        lost=comparison.lost,
        real_s=estimate([_of_ranks(run, "real_s", max) for run in good]),
        user_s=estimate([_of_ranks(run, "user_s", fmean) for run in good]),
        system_s=estimate([_of_ranks(run, "system_s", fmean) for run in good]),
        all_reduce_s=estimate([_latency(run, "all_reduce") for run in good]),
        barrier_s=estimate([_latency(run, "barrier") for run in good]),
        final={name: median("final", name) for name in FIGURES},
        best={name: median("best", name) for name in FIGURES if not name.startswith("train")},
        is_baseline=baseline == point,
        baseline=baseline,
        baseline_label=labels[baseline][0] if baseline in labels else baseline,
        baseline_reason=text(spec, "baseline_reason") or "",
        notes=comparison.notes,
    )


def _compare(good: Sequence[Run], baseline: str, groups: Mapping[str, list[Run]], *, is_baseline: bool) -> _Comparison:
    if not good:
        return _Comparison(notes=("no run of this point succeeded",))
    if not baseline:
        return _Comparison(notes=(text(good[0][0], "baseline_reason") or "it has no baseline",))
    base = _succeeded(groups.get(baseline, []))
    if not base:
        return _Comparison(notes=(f"no run of its baseline {baseline} succeeded",))
    ours, theirs = _size(*good[0], "num_devices"), _size(*base[0], "num_devices")
    ratio = ours / theirs if ours and theirs else None
    if is_baseline:
        one = Estimate(value=1.0, low=None, high=None, n=len(good))
        has_rate, has_time = (estimate(_values(good, *keys)) for keys in (_RATE, _TOTAL))
        return _Comparison(
            throughput_speedup=one if has_rate else None,
            time_speedup=one if has_time else None,
            device_ratio=ratio,
            notes=tuple(own_confounds(good)),
        )
    notes = compare_fairly(good, base)
    unequal = _unequal_samples(good, base)
    if unequal:
        notes.append(unequal)
    rate = estimate_ratio(_values(good, *_RATE), _values(base, *_RATE))
    if rate is not None and ratio and rate.value / ratio > MORE_THAN_IDEAL:
        notes.append(
            f"{100 * rate.value / ratio:.0f} % of the ideal: its devices were faster than the baseline's, why?"
        )
    comparison = _Comparison(
        throughput_speedup=rate,
        time_speedup=None if unequal else estimate_ratio(_values(base, *_TOTAL), _values(good, *_TOTAL)),
        device_ratio=ratio,
        notes=tuple(notes),
    )
    time, throughput = comparison.time_efficiency, comparison.throughput_efficiency
    lost = explain_loss(
        good,
        base,
        time_efficiency=time.value if time else None,
        throughput_efficiency=throughput.value if throughput else None,
        device_ratio=ratio,
    )
    return replace(comparison, lost=lost)


_RATE = ("throughput", "samples_per_s")
_TOTAL = ("time", "total_s")


def _unequal_samples(good: Sequence[Run], base: Sequence[Run]) -> str:
    """Why total times cannot be compared, or ""."""
    ours, theirs = estimate(_values(good, "samples_seen")), estimate(_values(base, "samples_seen"))
    if ours is None or theirs is None:
        return "time_speedup is n/a: the number of samples seen is unknown"
    if abs(ours.value - theirs.value) > SAMPLES_TOLERANCE * theirs.value:
        return f"time_speedup is n/a: {ours.value:,.0f} samples seen, baseline {theirs.value:,.0f}"
    return ""


def _succeeded(group: Sequence[Run]) -> list[Run]:
    return [run for run in group if run[1].get("state") == "succeeded"]


def _values(runs: Sequence[Run], *keys: str) -> list[float | None]:
    values: list[float | None] = []
    for _, summary in runs:
        inner = mapping(summary, keys[0]) if len(keys) > 1 else summary
        values.append(number(inner, keys[-1]))
    return values


def _of_ranks(run: Run, key: str, combine: Callable[[Sequence[float]], float]) -> float | None:
    """Of all ranks of a run together; None where one of them did not say."""
    ranks = [rank for rank in sequence(run[1], "ranks") if isinstance(rank, dict)]
    values = [value for rank in ranks if (value := number(rank, key)) is not None]
    return combine(values) if values and len(values) == len(ranks) else None


def _latency(run: Run, operation: str) -> float | None:
    """The median over the repeats and ranks of a run, in seconds."""
    return number(mapping(mapping(run[1], "latency"), operation), "median_s")


def _strategy(spec: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    return text(mapping(spec, "config"), "strategy") or text(summary, "strategy") or "unknown"


def _size(spec: Mapping[str, Any], summary: Mapping[str, Any], key: str) -> int | None:
    """What the ranks said, else what was planned."""
    value = whole(summary, key)
    if value is None:
        value = whole(spec, key) if key == "num_devices" else whole(mapping(spec, "config"), key)
    return value if value is not None and value > 0 else None


def _label(run: Run, groups: Mapping[str, list[Run]]) -> tuple[str, str]:
    """``ddp, 2 ranks, model mlp`` and the same without the size."""
    spec, summary = run
    strategy = _strategy(spec, summary)
    others = [f"{name} {value}" for name, value in mapping(spec, "axes").items() if _tells_apart(name, groups)]
    num_devices, nodes = _size(spec, summary, "num_devices"), whole_or(mapping(spec, "config"), "nodes", 1)
    size = [] if strategy == "single" or num_devices is None else [f"{num_devices} {_singular(strategy, num_devices)}"]
    if nodes > 1:
        size.append(f"{nodes} nodes")
    return ", ".join([strategy, *size, *others]), ", ".join([strategy, *others])


def _singular(strategy: str, count: int) -> str:
    word = devices_word(strategy)
    return word.removesuffix("s") if count == 1 else word


def _tells_apart(axis: str, groups: Mapping[str, list[Run]]) -> bool:
    """Whether points of the same strategy and size differ on the axis: else the label can do without it."""
    if axis == "strategy" or axis in SCALE_AXES:
        return False
    values: dict[tuple[str, int | None, int], set[str]] = {}
    for (spec, summary), *_ in groups.values():
        nodes = whole_or(mapping(spec, "config"), "nodes", 1)
        size = (_strategy(spec, summary), _size(spec, summary, "num_devices"), nodes)
        values.setdefault(size, set()).add(str(mapping(spec, "axes").get(axis)))
    return any(len(found) > 1 for found in values.values())
