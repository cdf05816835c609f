"""How long a small all-reduce and a barrier take over the run's own process group, before its first step.

Nothing of the training is touched: no random number is drawn, and the tensor is the measurement's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from engine.worker.context import RankContext

__all__ = ["measure_latency"]

NUM_WARM_UP = 3
"""The first makes connections."""
BLOCK = 10
MAX_REPEATS = 100
BUDGET_S = 0.2
"""Seconds of rank 0 for the repeats of one operation; looked at after each block of them."""


def measure_latency(context: RankContext, from_leader: Callable[[float], float]) -> dict[str, Any] | None:
    """Return the fields of a ``latency`` line; None where no two ranks share a process group. A collective.

    Each repeat is timed by itself and on every rank: from the call until it is done, on CUDA until the device is.

    Args:
        context: this rank.
        from_leader: gives the value that rank 0 passed: how often to repeat is the same on all.
    """
    if not dist.is_initialized() or dist.get_world_size() < 2:
        return None
    value = torch.zeros(1, dtype=torch.float32, device=context.device)

    def all_reduce() -> None:
        dist.all_reduce(value)

    return {
        "world_size": dist.get_world_size(),
        "nodes": context.nodes,
        "backend": context.backend,
        "all_reduce_bytes": value.element_size(),
        "all_reduce_s": _time(all_reduce, context.device, from_leader),
        "barrier_s": _time(dist.barrier, context.device, from_leader),
    }


def _time(operation: Callable[[], object], device: torch.device, from_leader: Callable[[float], float]) -> list[float]:
    """Seconds of each repeat, on this rank."""
    for _ in range(NUM_WARM_UP):
        _time_once(operation, device)
    begun_s = time.perf_counter()
    times: list[float] = []
    while len(times) < MAX_REPEATS:
        _time_once(operation, device)  # brings the ranks together again after the question
        times += [round(_time_once(operation, device), 9) for _ in range(BLOCK)]
        if from_leader(float(time.perf_counter() - begun_s > BUDGET_S)):
            break
    return times


def _time_once(operation: Callable[[], object], device: torch.device) -> float:
    begun_s = time.perf_counter()
    operation()
    if device.type == "cuda":  # outside every step: here the host may wait
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun_s
