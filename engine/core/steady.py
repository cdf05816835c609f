"""The steady state of a run: which windows count for throughput and phases, and what they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.core.fields import text
from engine.core.rank_record import RankRecord, Window
from engine.core.run_record import RunRecord

__all__ = ["Steady", "Throughput", "bubble_ratios", "find_steady", "mean_phases", "measure_throughput", "step_phases"]

NUM_WARMUP_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Steady:
    """The windows of each rank that count.

    Attributes:
        rule: one sentence that says which.
        windows: by rank; ranks without any are absent.
    """

    rule: str
    windows: dict[int, list[Window]]


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Samples per second of all ranks together, and the median step."""

    samples_per_s: float | None
    step_s_median: float | None
    num_windows: int
    num_steps: int


def find_steady(record: RunRecord) -> Steady:
    """Leave out the warm-up, and what not every rank has.

    The warm-up is the first epoch where two or more epochs were finished, else the first ten steps but never more than
    half. Ranks choose their window sizes themselves (powers of two, so that the borders nest): only the steps that
    every rank covers with whole windows count.
    """
    ranks = {rank.rank: rank.windows for rank in record.ordered() if rank.windows}
    if not ranks:
        return Steady(rule="no steps were seen", windows={})
    finished = _finished_epochs(record)
    if len(finished) >= 2:
        rule = "windows after the first epoch"
        after = {rank: [w for w in windows if w.epoch > finished[0]] for rank, windows in ranks.items()}
    else:
        first_step = min(windows[0].step_first for windows in ranks.values())
        num_seen = min(windows[-1].step for windows in ranks.values()) + 1 - first_step
        num_left_out = max(min(NUM_WARMUP_STEPS, num_seen // 2), 0)
        rule = f"windows after the first {num_left_out} steps"
        after = {
            rank: [w for w in windows if w.step_first >= first_step + num_left_out] for rank, windows in ranks.items()
        }
    common = _common_steps(after)
    if not common:
        return Steady(rule=f"{rule}: not every rank has one", windows={})
    return Steady(rule=rule, windows=common)


def _finished_epochs(record: RunRecord) -> list[int]:
    per_rank = [set(rank.epochs) for rank in record.ordered() if rank.windows]
    return sorted(set.intersection(*per_rank)) if per_rank else []


def _common_steps(ranks: Mapping[int, list[Window]]) -> dict[int, list[Window]]:
    if any(not windows for windows in ranks.values()):
        return {}
    first = max(windows[0].step_first for windows in ranks.values())
    last = min(windows[-1].step for windows in ranks.values())
    kept = {r: [w for w in windows if w.step_first >= first and w.step <= last] for r, windows in ranks.items()}
    return kept if all(kept.values()) else {}


def measure_throughput(steady: Steady, ranks: Mapping[int, RankRecord], missing_ranks: Sequence[int]) -> Throughput:
    """Samples over the ranks that see samples, by the mean of those ranks' wall time.

    Unknown where a rank's lines are missing: its samples would be missing too.
    """
    counted = {r: ws for r, ws in steady.windows.items() if any(w.is_counted for w in ws) and r in ranks}
    windows = [window for ws in counted.values() for window in ws]
    num_steps = max((sum(w.num_steps for w in ws) for ws in counted.values()), default=0)
    samples = sum(w.samples for w in windows)
    mean_s = sum(w.window_s for w in windows) / len(counted) if counted else 0.0
    is_known = mean_s > 0 and samples > 0 and not missing_ranks
    return Throughput(
        samples_per_s=samples / mean_s if is_known else None,
        step_s_median=_weighted_median([(w.window_s / w.num_steps, w.num_steps) for w in windows]),
        num_windows=len(windows),
        num_steps=num_steps,
    )


def step_phases(steady: Steady) -> dict[int, dict[str, float]]:
    """Seconds per step of each phase, by rank; a phase that a rank did not measure is absent."""
    result: dict[int, dict[str, float]] = {}
    for rank, windows in steady.windows.items():
        sums: dict[str, float] = defaultdict(float)
        for window in windows:
            for name, seconds in window.phases.items():
                sums[name] += seconds
        num_steps = sum(window.num_steps for window in windows)
        if sums:
            result[rank] = {name: seconds / num_steps for name, seconds in sums.items()}
    return result


def mean_phases(phases: Mapping[int, Mapping[str, float]], ranks: Mapping[int, RankRecord]) -> dict[str, float]:
    """The mean step over the ranks that compute (a driver apart), so that its phases sum to the mean step's time.

    A phase that only some of these ranks have is averaged over all of them.
    """
    computing = {r: p for r, p in phases.items() if ranks[r].start.get("role") != "driver"} or phases
    names = list(dict.fromkeys(name for rank in computing.values() for name in rank))
    return {name: sum(rank.get(name, 0.0) for rank in computing.values()) / len(computing) for name in names}


def bubble_ratios(steady: Steady, ranks: Mapping[int, RankRecord]) -> dict[int, float]:
    """The share of a step in which a pipeline stage waits for its neighbours.

    From the operations' spans of the steps that every stage wrote down: one minus the stage's busy time over the time
    from the first operation of any stage to the last. Where there are no spans: the bubble phase over the step's time.
    """
    stages = {r: ws for r, ws in steady.windows.items() if ranks[r].start.get("role") != "driver"}
    hosts = {
        text(ranks[rank].start, "host") for rank in stages
    }  # monotonic clocks of two machines tell nothing together
    from_spans = _bubbles_from_spans(stages) if len(hosts) == 1 else {}
    if from_spans:
        return from_spans
    result: dict[int, float] = {}
    for rank, windows in stages.items():
        seconds = sum(window.window_s for window in windows)
        if seconds > 0 and any("bubble" in window.phases for window in windows):
            result[rank] = sum(window.phases.get("bubble", 0.0) for window in windows) / seconds
    return result


def _bubbles_from_spans(stages: Mapping[int, list[Window]]) -> dict[int, float]:
    spans = {rank: {w.step: w.span for w in windows if w.span is not None} for rank, windows in stages.items()}
    spans = {rank: by_step for rank, by_step in spans.items() if by_step}
    if len(spans) < 2:
        return {}
    busy: dict[int, float] = defaultdict(float)
    total_s = 0.0
    for step in set.intersection(*(set(by_step) for by_step in spans.values())):
        total_s += max(s[step][1] for s in spans.values()) - min(s[step][0] for s in spans.values())
        for rank, by_step in spans.items():
            busy[rank] += by_step[step][2]
    return {rank: max(1.0 - busy[rank] / total_s, 0.0) for rank in sorted(busy)} if total_s > 0 else {}


def _weighted_median(pairs: Sequence[tuple[float, int]]) -> float | None:
    half = sum(weight for _, weight in pairs) / 2
    seen = 0
    for value, weight in sorted(pairs):
        seen += weight
        if seen >= half and weight > 0:
            return value
    return None
