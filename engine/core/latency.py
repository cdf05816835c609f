"""What the ranks measured of a small all-reduce and of a barrier, put together. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.fields import sequence, text, whole
from engine.core.rank_record import RankRecord

__all__ = ["LATENCY_OPERATIONS", "MAX_TIMES", "put_together"]

LATENCY_OPERATIONS = ("all_reduce", "barrier")
"""Of the first, 4 bytes: one float32."""

MAX_TIMES = 1000
"""Times of one rank that count; our ranks write fewer."""


def put_together(ranks: Sequence[RankRecord]) -> dict[str, Any] | None:
    """Return what a summary says under ``latency``: all repeats of all ranks together; None where none was measured.

    Keys: world_size, nodes, backend, and for each operation num_repeats (of a rank), median_s, p5_s and p95_s, with
    num_bytes for ``all_reduce``.
    """
    said = [rank.latency for rank in ranks if rank.latency]
    if not said:
        return None
    first = said[0]
    found: dict[str, Any] = {
        "world_size": whole(first, "world_size"),
        "nodes": whole(first, "nodes"),
        "backend": text(first, "backend"),
    }
    for name in LATENCY_OPERATIONS:
        times = [_times(event, name) for event in said]
        counted = {"num_repeats": max(map(len, times)) or None}
        found[name] = counted | _percentiles([value for own in times for value in own])
    found["all_reduce"]["num_bytes"] = whole(first, "all_reduce_bytes")
    return found


def _times(event: Mapping[str, Any], operation: str) -> list[float]:
    values = sequence(event, f"{operation}_s")[:MAX_TIMES]
    return [value for value in values if isinstance(value, float) and math.isfinite(value) and value >= 0]


def _percentiles(values: Sequence[float]) -> dict[str, Any]:
    """5, 50 and 95 %, between the two nearest values as numpy's ``percentile`` has it; None where there are none."""
    if not values:
        return {"median_s": None, "p5_s": None, "p95_s": None}
    cuts = statistics.quantiles(values if len(values) > 1 else [*values, *values], n=20, method="inclusive")
    return {"median_s": cuts[9], "p5_s": cuts[0], "p95_s": cuts[18]}
