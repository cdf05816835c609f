"""Where the efficiency of a point went: each cause's share of the device time that its baseline did not need.

With f the share of a cause in the time of a point, g that in the time of its baseline, and E the efficiency, the cause
costs f - E g: what the point spends on it, less what the baseline spends for as many samples. So the causes sum to
1 - E. A negative one is a gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from engine.core.fields import mapping, number, sequence, text, whole

__all__ = ["CAUSES", "Lost", "explain_loss"]

Run = tuple[Mapping[str, Any], Mapping[str, Any]]
"""``run.json`` and ``summary.json``."""

COMMUNICATION, WAITING, BUBBLE, REST = "communication", "waiting", "bubble", "rest"
CAUSES = ("data", "computation", COMMUNICATION, WAITING, BUBBLE, "evaluation", "snapshots", REST)
"""``waiting``: for the slowest rank; ``rest``: warm-up, between steps, and what no phase holds."""

_CAUSE_OF_PHASE = {
    "data": "data",
    "forward": "computation",
    "backward": "computation",
    "optimizer": "computation",
    "comm": COMMUNICATION,
    "bubble": BUBBLE,
}

Shares = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The loss of one point against its baseline.

    Attributes:
        basis: ``total time``, with evaluation and snapshots; ``time per sample``, the same over the samples seen, where
            the two sides saw unlike numbers; ``steady step`` where those are unknown.
        efficiency: the measured one, of that basis.
        shares: per cause of ``CAUSES``, a ratio of the ideal; None where the runs did not measure it, and then it is
            part of the computation or of the rest. They sum to 1 - efficiency.
    """

    basis: str
    efficiency: float
    shares: Mapping[str, float | None]


def explain_loss(
    runs: Sequence[Run],
    baseline: Sequence[Run],
    *,
    time_efficiency: float | None,
    throughput_efficiency: float | None,
    device_ratio: float | None,
) -> Lost | None:
    """Return what the efficiency went into: of the total time where that is known, else per sample, else of a step.

    None where neither is known, or where the runs told no phases of their steps.
    """
    choices: list[tuple[str, float | None, Callable[[Run], Shares]]] = [
        ("total time", time_efficiency, _time_shares),
        ("time per sample", _per_sample(runs, baseline, device_ratio), _time_shares),
        ("steady step", throughput_efficiency, _step_shares),
    ]
    for basis, efficiency, shares_of in choices:
        ours, theirs = _mean_shares(runs, shares_of), _mean_shares(baseline, shares_of)
        if efficiency is not None and ours and theirs:
            _make_comparable(ours, theirs, baseline)
            lost = {cause: ours[cause] - efficiency * theirs.get(cause, 0.0) for cause in ours}
            lost[REST] -= efficiency * sum(share for cause, share in theirs.items() if cause not in ours)
            return Lost(basis=basis, efficiency=efficiency, shares={cause: lost.get(cause) for cause in CAUSES})
    return None


def _per_sample(runs: Sequence[Run], baseline: Sequence[Run], device_ratio: float | None) -> float | None:
    ours, theirs = _seconds_per_sample(runs), _seconds_per_sample(baseline)
    return theirs / ours / device_ratio if ours and theirs and device_ratio else None


def _seconds_per_sample(runs: Sequence[Run]) -> float | None:
    pairs = [(number(mapping(run[1], "time"), "total_s"), number(run[1], "samples_seen")) for run in runs]
    known = [total_s / samples for total_s, samples in pairs if total_s is not None and samples]
    return median(known) if known else None


def _make_comparable(ours: Shares, theirs: Shares, baseline: Sequence[Run]) -> None:
    """What only one side measured apart is computation on both; one process alone has none of it, and that is known."""
    is_alone = all(whole(summary, "world_size") == 1 for _, summary in baseline)
    for cause in (COMMUNICATION, WAITING, BUBBLE):
        if cause in theirs and cause not in ours:
            theirs["computation"] = theirs.get("computation", 0.0) + theirs.pop(cause)
        elif cause in ours and cause not in theirs and not is_alone:
            ours["computation"] = ours.get("computation", 0.0) + ours.pop(cause)


def _mean_shares(runs: Sequence[Run], shares_of: Callable[[Run], Shares]) -> Shares:
    """Of the repeats that know theirs; means, since medians would not sum to one."""
    known = [shares for run in runs if (shares := shares_of(run))]
    causes = {cause for shares in known for cause in shares}
    return {cause: fmean(shares.get(cause, 0.0) for shares in known) for cause in causes}


def _step_shares(run: Run) -> Shares:
    parts = {REST: 0.0} | _step_parts(run[1])
    total_s = sum(parts.values())
    return {cause: seconds / total_s for cause, seconds in parts.items()} if total_s > 0 else {}


def _time_shares(run: Run) -> Shares:
    """The steady phases times the steps, evaluation and snapshots; what is left of the total is the rest.

    Where the steady steps were slower than the others, their phases together are no longer than the training was.
    """
    summary = run[1]
    times, num_steps = mapping(summary, "time"), whole(summary, "num_steps")
    total_s, parts = number(times, "total_s"), _step_parts(summary)
    if not total_s or not num_steps or not parts:
        return {}
    apart = {"evaluation": number(times, "eval_s"), "snapshots": number(times, "snapshot_s")}
    outside = {cause: seconds for cause, seconds in apart.items() if seconds is not None}
    steps_s = sum(parts.values()) * num_steps
    training_s = max(total_s - sum(outside.values()), 0.0)
    scale = num_steps * (min(training_s / steps_s, 1.0) if steps_s > 0 else 1.0)
    known = {cause: seconds * scale for cause, seconds in parts.items() if cause != REST} | outside
    return {cause: seconds / total_s for cause, seconds in known.items()} | {REST: 1 - sum(known.values()) / total_s}


def _step_parts(summary: Mapping[str, Any]) -> Shares:
    """Seconds of the mean steady step by cause; the rank that waits least for the others tells what waiting is not."""
    phases = mapping(summary, "phases_mean")
    parts: Shares = {}
    for name in phases:
        cause, seconds = _CAUSE_OF_PHASE.get(name, REST), number(phases, name)
        if seconds is not None:
            parts[cause] = parts.get(cause, 0.0) + seconds
    least_s = _least_comm_s(summary)
    if COMMUNICATION in parts and BUBBLE not in parts and least_s is not None:  # stages send unlike amounts
        parts[WAITING] = max(parts[COMMUNICATION] - least_s, 0.0)
        parts[COMMUNICATION] -= parts[WAITING]
    return parts


def _least_comm_s(summary: Mapping[str, Any]) -> float | None:
    drivers = {
        str(whole(rank, "rank"))
        for rank in sequence(summary, "ranks")
        if isinstance(rank, dict) and text(rank, "role") == "driver"
    }
    ranks = mapping(summary, "phases")
    comm_s = [number(mapping(ranks, rank), "comm") for rank in ranks if rank not in drivers]
    known = [seconds for seconds in comm_s if seconds is not None]
    return min(known) if len(known) > 1 and len(known) == len(comm_s) else None
