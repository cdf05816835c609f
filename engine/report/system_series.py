"""What the machines did while the runs went on, as series: CPU, memory, network and GPUs of each node and its ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.core.events import Event
from engine.core.fields import mapping, number, sequence, whole
from engine.report.collect import RunData, events_of

__all__ = ["SYSTEM_COLUMNS", "system_rows"]

Row = dict[str, Any]

SYSTEM_COLUMNS = (
    "run", "attempt", "node_rank", "time_s", "elapsed_s", "cpu_percent", "memory_used_bytes", "memory_total_bytes",
    "net_sent_bytes", "net_received_bytes", "net_sent_bytes_per_s", "net_received_bytes_per_s", "load_1m",
)  # fmt: skip
"""The first of them, which an empty table has too."""


def system_rows(run: RunData) -> Iterator[Row]:
    """The node samples of all attempts; rates are those since the sample before, of the same attempt."""
    first_s: float | None = None
    for attempt in run.paths.attempts():
        before: dict[int, Event] = {}
        for event in events_of(attempt, only="node"):
            time_s = number(event, "time_s")
            if event.get("kind") != "system" or time_s is None:
                continue
            first_s = time_s if first_s is None else first_s
            node_rank = whole(event, "node_rank") or 0
            place = {"run": run.run_id, "attempt": attempt.number, "node_rank": node_rank, "time_s": time_s}
            yield place | {"elapsed_s": round(time_s - first_s, 3)} | _sample(event, before.get(node_rank))
            before[node_rank] = event


def _sample(event: Event, before: Event | None) -> Row:
    ranks = [item for item in mapping(event, "ranks").values() if isinstance(item, dict)]
    gpus = [item for item in sequence(event, "gpus") if isinstance(item, dict)]
    gpu_use = [value for gpu in gpus if (value := number(gpu, "util_percent")) is not None]
    return {
        "cpu_percent": number(event, "cpu_percent"),
        "memory_used_bytes": whole(event, "memory_used_bytes"),
        "memory_total_bytes": whole(event, "memory_total_bytes"),
        "net_sent_bytes": whole(event, "net_sent_bytes"),
        "net_received_bytes": whole(event, "net_received_bytes"),
        "net_sent_bytes_per_s": _rate(event, before, "net_sent_bytes"),
        "net_received_bytes_per_s": _rate(event, before, "net_received_bytes"),
        "load_1m": number(event, "load_1m"),
        "ranks_cpu_percent_of_one_core": _total(ranks, "cpu_percent", every=True),
        "ranks_rss_bytes": _total(ranks, "rss_bytes"),
        "gpu_util_percent_mean": sum(gpu_use) / len(gpu_use) if gpu_use else None,
        "gpu_memory_used_bytes": _total(gpus, "memory_used_bytes"),
    }


def _rate(event: Event, before: Event | None, key: str) -> float | None:
    if before is None:
        return None
    now, then = number(event, key), number(before, key)
    seconds = (number(event, "time_s") or 0.0) - (number(before, "time_s") or 0.0)
    return (now - then) / seconds if now is not None and then is not None and now >= then and seconds > 0 else None


def _total(items: Sequence[Mapping[str, Any]], key: str, *, every: bool = False) -> float | None:
    """The sum of what is known; with ``every`` only where all of it is: the sum of some would pass for that of all."""
    values = [value for item in items if (value := number(item, key)) is not None]
    return sum(values) if values and (not every or len(values) == len(items)) else None
