"""Tracks of ranks and machines as the reading side makes them, from a few numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Any

from engine.core.curves import NodeTrack, RankTrack

T0_S = 1_790_000_000.0

PHASES = {"data": 0.001, "forward": 0.009, "backward": 0.010, "comm": 0.002, "optimizer": 0.001}


class MadeCurves:
    """What a screen asks of the curves of a run, without files."""

    def __init__(self) -> None:
        self.revision = 0
        self.ranks: dict[int, RankTrack] = {}
        self.nodes: dict[int, NodeTrack] = {}
        self.notices: list[str] = []

    def names(self) -> list[str]:
        return []

    def curve(self, name: str) -> None:
        return None


def no_delay(rank: int, window: int) -> float:
    return 0.0


def make_track(
    rank: int,
    num_windows: int = 0,
    *,
    phases: dict[str, float] | None = None,
    delay: Callable[[int, int], float] = no_delay,
    stride: int = 8,
    **start: Any,
) -> RankTrack:
    """Make a rank with so many lines; all ranks wait in comm for the one with the greatest delay in forward."""
    said = {
        "host": "box-01",
        "node_rank": 0,
        "local_rank": rank,
        "device": "cpu",
        "cores": [rank],
        "role": "rank",
        "strategy": "ddp",
    }
    track = RankTrack(rank=rank, start={**said, **start})
    return grow(track, num_windows, phases=phases, delay=delay, stride=stride)


def grow(
    track: RankTrack,
    num_windows: int,
    *,
    phases: dict[str, float] | None = None,
    delay: Callable[[int, int], float] = no_delay,
    num_ranks: int = 4,
    stride: int = 8,
) -> RankTrack:
    """Append so many lines."""
    for _ in range(num_windows):
        window = track.num_windows
        spent = dict(PHASES if phases is None else phases)
        worst, own = max(delay(rank, window) for rank in range(num_ranks)), delay(track.rank, window)
        if worst:
            spent["forward"] = spent.get("forward", 0.0) + own
            spent["comm"] = spent.get("comm", 0.0) + worst - own
        add_line(track, spent, stride=stride)
    return track


def add_line(
    track: RankTrack, phases: dict[str, float], *, stride: int = 8, step_s: float | None = None, gap_s: float = 0.0
) -> None:
    """Append a line; ``gap_s`` is time outside steps before it."""
    step_s = sum(phases.values()) if step_s is None else step_s
    last_s = track.time_s[-1] if track.time_s else T0_S + 1.5
    last = track.step[-1] if track.step else -1.0
    spent_s = stride * step_s if math.isfinite(step_s) else 0.1
    track.step.append(last + stride)
    track.time_s.append(last_s + gap_s + spent_s)
    track.step_s.append(step_s)
    for name, seconds in phases.items():
        column = track.phases.setdefault(name, array("d", [math.nan] * track.num_windows))
        column.append(seconds)
    track.num_windows += 1
    for column in track.phases.values():
        column.extend([math.nan] * (track.num_windows - len(column)))


def make_node(node_rank: int = 0, num_samples: int = 20, *, num_ranks: int = 4, num_gpus: int = 0) -> NodeTrack:
    """Make a machine with one sample a second."""
    node = NodeTrack(node_rank=node_rank)
    for n in range(num_samples):
        values = {
            "cpu_percent": 60.0 + 3 * (n % 8),
            "memory_used_bytes": float((4 << 30) + n * (40 << 20)),
            "memory_total_bytes": float(16 << 30),
            "net_sent_bytes": 1000.0 * n,
            "net_received_bytes": 2048.0 * n,
            **{f"rank{r}_cpu_percent": 99.0 - r for r in range(num_ranks)},
            **{f"rank{r}_rss_bytes": float(300 << 20) for r in range(num_ranks)},
            **{f"gpu{g}_util_percent": 90.0 - g for g in range(num_gpus)},
            **{f"gpu{g}_memory_used_bytes": float(10 << 30) for g in range(num_gpus)},
        }
        node.time_s.append(T0_S + n)
        for name, value in values.items():
            node.columns.setdefault(name, array("d")).append(value)
        node.num_samples += 1
    node.gpus = {g: {"index": g, "memory_total_bytes": 80 << 30} for g in range(num_gpus)}
    return node


def make_run(num_ranks: int = 4, num_windows: int = 60, *, slow_rank: int | None = 1) -> MadeCurves:
    """Make a run whose ``slow_rank`` is slow in the middle third."""
    curves = MadeCurves()

    def delay(rank: int, window: int) -> float:
        return 0.009 if rank == slow_rank and num_windows // 3 <= window < 2 * num_windows // 3 else 0.0

    for rank in range(num_ranks):
        track = make_track(rank)
        curves.ranks[rank] = grow(track, num_windows, delay=delay, num_ranks=num_ranks)
    curves.nodes[0] = make_node(num_ranks=num_ranks)
    return curves
