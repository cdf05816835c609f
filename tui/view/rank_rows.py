"""Each rank in figures, and which of them the others wait for. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.core.curves import NodeTrack, RankTrack
from engine.core.fields import number, text, whole
from tui.view.machine_rows import newest

__all__ = ["WAITS", "RankRow", "find_slowest", "rank_rows"]

WAITS = ("comm", "bubble")
"""Phases in which a rank waits for others: collectives after its own work, a pipeline's neighbours."""

MARGIN = 1.05
"""How much longer than the others' median a rank must compute to be called the slowest: below it is noise."""


@dataclass(frozen=True, kw_only=True)
class RankRow:
    """One rank over a span of time; None is n/a.

    Attributes:
        rank, node_rank, host, role, cores: who and where; ``cores`` as ``0-3``.
        step: the last one finished by the end of the span.
        step_s: mean seconds of a step in the span.
        phases: per phase that it measured, mean seconds per step.
        waiting_s: the part of a step in which it waited for others.
        cpu_percent, rss_bytes, gpu_percent, gpu_memory_bytes: the newest.
        last_s: Unix seconds of its last line.
        ending: ``error`` after an error, ``end`` after its regular end, "" while it may go on.
        is_slowest: the others wait for it.
    """

    rank: int
    node_rank: int | None = None
    host: str = ""
    role: str = "rank"
    cores: str = ""
    step: int | None = None
    step_s: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    waiting_s: float | None = None
    cpu_percent: float | None = None
    rss_bytes: float | None = None
    gpu_percent: float | None = None
    gpu_memory_bytes: float | None = None
    last_s: float | None = None
    ending: str = ""
    is_slowest: bool = False

    @property
    def computing_s(self) -> float | None:
        """The part of a step in which it did not wait; None where that is not known."""
        if self.step_s is None or self.waiting_s is None:
            return None
        return max(self.step_s - self.waiting_s, 0.0)


def rank_rows(
    ranks: Mapping[int, RankTrack],
    nodes: Mapping[int, NodeTrack],
    names: Sequence[str],
    mean: Callable[[RankTrack, str], float],
    last_step: Callable[[RankTrack], float],
) -> list[RankRow]:
    """Make a row per rank.

    Args:
        ranks: the run's tracks by rank.
        nodes: its machines' tracks.
        names: its phases.
        mean: seconds per step of a phase, or of the step where the phase is "".
        last_step: the last step that a rank has finished.
    """
    num_drivers = sum(track.start.get("role") == "driver" for track in ranks.values())
    return [_row(ranks[rank], nodes, names, mean, last_step, num_drivers) for rank in sorted(ranks)]


def _row(
    track: RankTrack,
    nodes: Mapping[int, NodeTrack],
    names: Sequence[str],
    mean: Callable[[RankTrack, str], float],
    last_step: Callable[[RankTrack], float],
    num_drivers: int,
) -> RankRow:
    start, count = track.start, track.num_windows
    phases = {name: value for name in names if math.isfinite(value := mean(track, name))}
    waits = [phases[name] for name in WAITS if name in phases]
    node_rank = whole(start, "node_rank")
    node = nodes.get(node_rank or 0)
    gpu = _gpu_of(track, num_drivers)
    return RankRow(
        rank=track.rank,
        node_rank=node_rank,
        host=text(start, "host") or "",
        role=text(start, "role") or "rank",
        cores=_cores(start.get("cores")),
        step=_whole_or_none(last_step(track)),
        step_s=_known(mean(track, "")),
        phases=phases,
        waiting_s=sum(waits) if waits else None,
        cpu_percent=newest(node, f"rank{track.rank}_cpu_percent"),
        rss_bytes=newest(node, f"rank{track.rank}_rss_bytes"),
        gpu_percent=None if gpu is None else newest(node, f"gpu{gpu}_util_percent"),
        gpu_memory_bytes=None if gpu is None else newest(node, f"gpu{gpu}_memory_used_bytes"),
        last_s=track.time_s[count - 1] if count else number(start, "time_s"),
        ending="error" if track.error else "end" if track.stop else "",
    )


def find_slowest(rows: Sequence[RankRow]) -> tuple[list[RankRow], str]:
    """Mark the rank that the others wait for, and say why, or why there is none.

    All ranks of a step take equally long, for the fast ones wait: so it is the one that waits least and computes most.
    It is named only where it computes 5 % longer than the median of the others.
    """
    marked = list(rows)
    computing = [row for row in rows if row.role != "driver"]
    if len(computing) < 2:
        return marked, "one rank: it waits for no other" if computing else ""
    known = [row for row in computing if row.computing_s is not None]
    if all(row.step_s is None for row in computing):
        return marked, "no steps here"
    if len(known) < len(computing):
        return marked, "slowest rank: n/a, the time that ranks wait for one another was not measured"
    slowest = max(known, key=_computing)
    others = [row for row in known if row is not slowest]
    if _computing(slowest) <= MARGIN * statistics.median(_computing(row) for row in others):
        return marked, "no rank computes more than 5 % longer than the others"
    marked[marked.index(slowest)] = replace(slowest, is_slowest=True)
    return marked, _reason(slowest, others)


def _computing(row: RankRow) -> float:
    return row.computing_s or 0.0


def _reason(slowest: RankRow, others: Sequence[RankRow]) -> str:
    """``rank 1 is slowest: forward 18 ms, others 9 ms; they wait 8 ms in comm``."""
    names = [name for name in slowest.phases if name not in WAITS]
    more = {name: slowest.phases[name] - _median(others, name) for name in names}
    words = f"computing takes {_ms(_computing(slowest))}, others {_ms(statistics.median(map(_computing, others)))}"
    if more and (name := max(more, key=lambda name: more[name])) and more[name] > 0:
        words = f"{name} {_ms(slowest.phases[name])}, others {_ms(_median(others, name))}"
    waits = {name: _median(others, name) - slowest.phases.get(name, 0.0) for name in WAITS}
    where = max(waits, key=lambda name: waits[name])
    waiting = f"; they wait {_ms(waits[where])} in {where}" if waits[where] > 0 else ""
    word = "stage of rank" if slowest.role == "stage" else "rank"
    return f"{word} {slowest.rank} is slowest: {words}{waiting}"


def _median(rows: Sequence[RankRow], name: str) -> float:
    return statistics.median(row.phases.get(name, 0.0) for row in rows)


def _ms(seconds: float) -> str:
    """As words say it: ``18 ms``, ``9.3 ms``, ``0.42 ms``."""
    value = 1000 * seconds
    return f"{value:.2g} ms" if value < 1 else f"{value:,.1f}".removesuffix(".0") + " ms"


def _gpu_of(track: RankTrack, num_drivers: int) -> int | None:
    """The number of the GPU that a rank computes on; None on the CPU, for a driver, and for ``dp``, which uses all."""
    start = track.start
    local_rank, device = whole(start, "local_rank"), text(start, "device")
    is_apart = start.get("role") == "driver" or start.get("strategy") == "dp"
    if local_rank is None or device in (None, "cpu") or is_apart:
        return None
    return local_rank - (num_drivers if (whole(start, "node_rank") or 0) == 0 else 0)


def _cores(value: object) -> str:
    """``0-3,8`` for a list of cores."""
    if not isinstance(value, list):
        return ""
    found = sorted({core for core in value if isinstance(core, int)})
    parts: list[list[int]] = []
    for core in found:
        if parts and core == parts[-1][1] + 1:
            parts[-1][1] = core
        else:
            parts.append([core, core])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole_or_none(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None
