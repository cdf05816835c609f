"""Points of an experiment as the analysis makes them, from runs that are written out here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.analysis.scaling import PointRow, make_points

RATES = {1: 1000.0, 2: 1820.0, 4: 3240.0, 8: 5200.0}

SPREAD = (1.0, 1.01, 0.992, 1.004)


def make_runs(
    strategy: str,
    world_size: int,
    *,
    repeats: int = 3,
    state: str = "succeeded",
    rate: float | None = None,
    baseline: str = "single-w1",
    baseline_reason: str = "",
    samples_seen: int = 36000,
    accuracy: float | None = 0.97,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """``run.json`` and ``summary.json`` of the repeats of one point."""
    point = f"{strategy}-w{world_size}"
    base_rate = RATES[world_size] if rate is None else rate
    runs = []
    for repeat in range(repeats):
        samples_per_s = base_rate * SPREAD[repeat % len(SPREAD)]
        spec = {
            "id": f"{point}-r{repeat}", "experiment": "digits", "point": point, "repeat": repeat,
            "axes": {"strategy": strategy, "world_size": world_size}, "baseline": baseline,
            "baseline_reason": baseline_reason, "num_devices": world_size,
            "config": {"strategy": strategy, "world_size": world_size, "nodes": 1},
        }  # fmt: skip
        summary = {
            "state": state, "strategy": strategy, "world_size": world_size, "num_devices": world_size, "nodes": 1,
            "global_batch_size": 64, "samples_seen": samples_seen, "epochs_done": 20,
            "time": {"total_s": samples_seen / samples_per_s, "epoch_s_mean": 1.0},
            "throughput": {"samples_per_s": samples_per_s, "step_s_median": 64 / samples_per_s},
            "final": {} if accuracy is None else {"test_accuracy": accuracy + 0.001 * world_size},
            "best": {},
        }  # fmt: skip
        runs.append((spec, summary if state != "queued" else {"state": "queued"}))
    return runs


def make_scaling(sizes: Sequence[int] = (1, 2, 4), **more: Any) -> list[PointRow]:
    """A baseline and ddp at these sizes."""
    runs = make_runs("single", 1, **more)
    for size in sizes:
        runs += make_runs("ddp", size, rate=RATES[size] * 0.97, **more)
    return make_points(runs)
