"""How long a small all-reduce and a barrier took, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.fields import mapping, number, whole
from engine.core.latency import LATENCY_OPERATIONS
from tui.output import UNKNOWN, format_number

__all__ = ["format_micro", "latency_facts"]


def latency_facts(latency: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A name and its words for each operation of a summary's ``latency``; n/a where it is empty (one process)."""
    return [(f"{name}_latency", _words(latency, name)) for name in LATENCY_OPERATIONS]


def format_micro(seconds: float | None) -> str:
    """``412 µs``."""
    return UNKNOWN if seconds is None else f"{format_number(1e6 * seconds)} µs"


def _words(latency: Mapping[str, Any], name: str) -> str:
    found = mapping(latency, name)
    median, low, high = (number(found, key) for key in ("median_s", "p5_s", "p95_s"))
    if median is None:
        return UNKNOWN
    size = "" if (num_bytes := whole(found, "num_bytes")) is None else f"{num_bytes} bytes, "
    counted = f"{size}{whole(latency, 'world_size')} ranks, {whole(found, 'num_repeats')} repeats"
    return f"{format_micro(median)}, 5 to 95 %: {format_micro(low)} to {format_micro(high)} ({counted})"
