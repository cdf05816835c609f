"""What may have spoiled a run's result or its comparison: found in what it was told and in what its ranks then did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.coverage import total_coverage
from engine.core.fields import mapping, number, sequence, text, whole
from engine.core.run_record import RunRecord

__all__ = ["find_training_confounds"]

FEW_STEPS = 10
"""An epoch of fewer steps is mostly its beginning and its end."""

SKEWED = 0.2
"""Class skew that is worth a word, where chance does not make it."""

BEYOND_CHANCE = 1.75
"""Times the mean skew of a random draw: n samples of k even classes are sqrt(k / (2 pi n)) away from them (half the sum
of the mean absolute deviations); 0.09 for 200 samples of 10 classes."""

MUCH_EVALUATION = 0.1
"""The share of the total time from which on an evaluation is named: a time speedup is then not that of training."""

_DISPENSABLE_RATIO = 0.01


def find_training_confounds(record: RunRecord, times: Mapping[str, Any]) -> list[str]:
    """Return the lines.

    Args:
        record: what the run said.
        times: of its summary, in seconds.
    """
    return [
        *_slowed(record),
        *_coverage_lines(record),
        *_evaluation_lines(record, times),
        *_few_steps(record),
    ]


def _slowed(record: RunRecord) -> list[str]:
    slow = mapping(record.config, "slow")
    rank, phase = whole(slow, "rank"), text(slow, "phase")
    if rank is None or phase is None:
        return []
    factor, delay_s = number(slow, "factor"), number(slow, "delay_s")
    amount = f"x {factor:g}" if factor is not None else "n/a" if delay_s is None else f"+ {delay_s:g} s a step"
    return [f"rank {rank} made slow on purpose: {phase} {amount}"]


def _coverage_lines(record: RunRecord) -> list[str]:
    """What the ranks' own index lists say: of each epoch, and of all."""
    rows = record.coverage.rows()
    if not rows:
        return []
    total = total_coverage(rows)
    name = text(record.config, "partition") or "disjoint"
    lines = [*_unseen(name, rows, total, record), *_overlaps(name, total)]
    skew = total["class_skew_ratio"]
    if skew is not None and skew > max(SKEWED, BEYOND_CHANCE * _skew_by_chance(rows)):
        lines.append(f"partition {name}: a rank's classes are {_percent(skew)} away from those of the data")
    if total["order_changed"] is False:
        lines.append(f"partition {name}: the same order in every epoch")
    return lines


def _skew_by_chance(rows: Sequence[Mapping[str, Any]]) -> float:
    """Of the share with the fewest samples in any epoch."""
    counts = [own for row in rows for own in sequence(row, "classes_per_share") if isinstance(own, list)]
    sizes = [(len(own), sum(value for value in own if isinstance(value, int))) for own in counts]
    return max((math.sqrt(classes / (2 * math.pi * size)) for classes, size in sizes if size > 0), default=0.0)


def _unseen(name: str, rows: Sequence[Mapping[str, Any]], total: Mapping[str, Any], record: RunRecord) -> list[str]:
    """Of whole epochs only: one that was cut short has not seen all, whatever its partition."""
    per_epoch, seen, so_far = record.started("steps_per_epoch"), total["seen_ratio"], total["seen_so_far_ratio"]
    batch, num_samples = record.started("global_batch_size"), total["num_samples"]
    if None in (per_epoch, seen, so_far, batch, num_samples) or not _all_whole(rows, record, per_epoch or 0):
        return []
    left_out = max((batch or 0) / (num_samples or 1), _DISPENSABLE_RATIO)
    if seen >= 1 - left_out:
        return []
    epochs = f", {_percent(so_far)} in all {len(rows)} epochs" if len(rows) > 1 else ""
    return [f"partition {name}: the ranks see {_percent(seen)} of the training data in an epoch{epochs}"]


def _all_whole(rows: Sequence[Mapping[str, Any]], record: RunRecord, steps_per_epoch: int) -> bool:
    epochs = [item for rank in record.ranks.values() for item in rank.epochs.items()]
    done = {epoch for epoch, part in epochs if part.num_steps >= steps_per_epoch}
    return all(whole(row, "epoch") in done for row in rows)


def _overlaps(name: str, total: Mapping[str, Any]) -> list[str]:
    overlap = total["overlap_ratio"]
    if not overlap:
        return []
    return [f"partition {name}: {_percent(overlap)} of the samples seen in an epoch are seen by several ranks"]


def _evaluation_lines(record: RunRecord, times: Mapping[str, Any]) -> list[str]:
    num_ranks = record.started("world_size") or 1
    eval_s, total_s = number(times, "eval_s"), number(times, "total_s")
    share = eval_s / total_s if eval_s is not None and total_s else None
    if text(record.config, "evaluation") == "every_rank" and num_ranks > 1:
        known = f": {_percent(share)} of the total time" if share is not None else ""
        return [f"each of {num_ranks} ranks evaluates everything (evaluation = every_rank){known}"]
    if share is None or share <= MUCH_EVALUATION:
        return []
    every = whole(record.config, "evaluate_every")
    why = f" (evaluate_every = {every})" if every else ""
    return [f"evaluation is {_percent(share)} of the total time{why}"]


def _few_steps(record: RunRecord) -> list[str]:
    steps, epochs = record.started("steps_per_epoch"), whole(record.config, "epochs")
    if steps is None or not 0 < steps < FEW_STEPS or epochs is None:
        return []
    word = "step" if steps == 1 else "steps"
    return [f"an epoch is {steps} {word}: the data set is small for this global batch"]


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"
