"""What the machines do, from their newest samples. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from engine.core.curves import NodeTrack, RankTrack
from engine.core.fields import number, text, whole

__all__ = ["MachineRow", "machine_rows", "newest"]

NUM_SPARKS = 12
"""Newest samples that a sparkline shows."""


@dataclass(frozen=True, kw_only=True)
class MachineRow:
    """One machine; None is n/a.

    Attributes:
        name: its host, or ``node 0``.
        cpu_percent, memory_used_bytes, memory_total_bytes: the newest.
        sent_bytes_per_s, received_bytes_per_s: of the network, between the two newest samples.
        cpu_history, memory_history: the newest samples, as shares of the whole: NaN where one did not say.
        gpus: per GPU: index, percent busy, its history, bytes used, bytes there are.
    """

    name: str
    cpu_percent: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    sent_bytes_per_s: float | None
    received_bytes_per_s: float | None
    cpu_history: tuple[float, ...] = ()
    memory_history: tuple[float, ...] = ()
    gpus: tuple[tuple[int, float | None, tuple[float, ...], float | None, float | None], ...] = ()


def machine_rows(nodes: Mapping[int, NodeTrack], ranks: Mapping[int, RankTrack]) -> list[MachineRow]:
    """Make a row per node that was sampled."""
    hosts = {whole(track.start, "node_rank"): text(track.start, "host") for track in ranks.values()}
    return [
        _machine(nodes[rank], hosts.get(rank) or f"node {rank}", len(nodes) > 1)
        for rank in sorted(nodes)
        if nodes[rank].num_samples
    ]


def _machine(node: NodeTrack, host: str, has_others: bool) -> MachineRow:
    total = newest(node, "memory_total_bytes")
    scale = total or math.nan
    return MachineRow(
        name=f"node {node.node_rank} {host}" if has_others and not host.startswith("node ") else host,
        cpu_percent=newest(node, "cpu_percent"),
        memory_used_bytes=newest(node, "memory_used_bytes"),
        memory_total_bytes=total,
        sent_bytes_per_s=_rate(node, "net_sent_bytes"),
        received_bytes_per_s=_rate(node, "net_received_bytes"),
        cpu_history=tuple(value / 100 for value in _recent(node, "cpu_percent")),
        memory_history=tuple(value / scale for value in _recent(node, "memory_used_bytes")),
        gpus=tuple(
            (
                index,
                newest(node, f"gpu{index}_util_percent"),
                tuple(value / 100 for value in _recent(node, f"gpu{index}_util_percent")),
                newest(node, f"gpu{index}_memory_used_bytes"),
                number(gpu, "memory_total_bytes"),
            )
            for index, gpu in sorted(dict(node.gpus).items())
        ),
    )


def _recent(node: NodeTrack, name: str) -> list[float]:
    column = node.columns.get(name, array("d"))
    return list(column[max(node.num_samples - NUM_SPARKS, 0) : node.num_samples])


def newest(node: NodeTrack | None, name: str) -> float | None:
    """The newest known value; a sample now and then may lack one."""
    if node is None:
        return None
    return next((value for value in reversed(_recent(node, name)) if math.isfinite(value)), None)


def _rate(node: NodeTrack, name: str) -> float | None:
    """Of a counter since boot: between the two newest samples; None where it began anew."""
    values, times = _recent(node, name)[-2:], node.time_s[: node.num_samples][-2:]
    if len(values) < 2 or times[1] <= times[0]:
        return None
    rate = (values[1] - values[0]) / (times[1] - times[0])
    return rate if math.isfinite(rate) and rate >= 0 else None
