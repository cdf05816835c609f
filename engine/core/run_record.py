"""What a run said so far: its ranks' records, its evaluations, its nodes' load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core.coverage import CoverageFold
from engine.core.fields import whole
from engine.core.rank_record import RankRecord, Window

__all__ = ["Evaluation", "NodeLoad", "RunRecord", "mean_accuracy", "mean_loss"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One ``eval`` line."""

    epoch: int
    step: int
    split: str
    reporter: int
    loss: float | None
    accuracy: float | None
    eval_s: float | None
    metrics: dict[str, float]


@dataclass(kw_only=True)
class NodeLoad:
    """CPU use summed over the ``system`` lines of a node that know every rank's.

    The node's own is in percent of all cores, the ranks' in percent of one.
    """

    num_samples: int = 0
    cpu_percent: float = 0.0
    ranks_cpu_percent: float = 0.0


@dataclass(kw_only=True)
class RunRecord:
    """The state that ``RunFold`` keeps.

    Attributes:
        spec: the run's ``run.json``; may be odd or empty.
        config: its configuration.
        ranks: by rank.
        evaluations: by (split, epoch); the last word counts.
        loads: by node rank.
        warnings: what ranks warned of, the first hundred.
        losses: those of them that say that something is not there which was to be kept.
        garbage_lines: lines that held no event.
        attempt: the newest attempt that was seen; 0 before the first line.
        first_start_s: Unix time at which the first rank's process started.
        first_step_s: Unix time at which the first step began.
        last_event_s: Unix time of the newest line.
        lost_s: seconds of steps that a later attempt took anew, the slowest rank's of each attempt.
        startups: by attempt, the seconds that its slowest rank took to start.
        coverage: what the ranks saw of the data.
    """

    spec: dict[str, Any]
    config: dict[str, Any]
    ranks: dict[int, RankRecord] = field(default_factory=dict)
    evaluations: dict[tuple[str, int], Evaluation] = field(default_factory=dict)
    loads: dict[int, NodeLoad] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    garbage_lines: int = 0
    attempt: int = 0
    first_start_s: float | None = None
    first_step_s: float | None = None
    last_event_s: float | None = None
    lost_s: float = 0.0
    startups: dict[int, float] = field(default_factory=dict)
    coverage: CoverageFold = field(default_factory=CoverageFold)

    def ordered(self) -> list[RankRecord]:
        """The ranks in order."""
        return [self.ranks[rank] for rank in sorted(self.ranks)]

    def started(self, key: str) -> int | None:
        """A whole number that the ranks said at their start: the first rank's that has it."""
        return next((v for r in self.ordered() if (v := whole(r.start, key)) is not None), None)


def mean_loss(windows: Sequence[Window]) -> float | None:
    """The loss per sample over ``windows``; where no rank that sees samples knows it, the mean of those that do."""
    counted = [(w.loss, w.samples) for w in windows if w.loss is not None and w.is_counted]
    pairs = counted or [(w.loss, w.num_steps) for w in windows if w.loss is not None]
    weight = sum(p[1] for p in pairs)
    return sum(p[0] * p[1] for p in pairs) / weight if weight else None


def mean_accuracy(windows: Sequence[Window]) -> float | None:
    """Correct over seen samples of the windows that count them."""
    counted = [(w.correct, w.samples) for w in windows if w.correct is not None and w.is_counted]
    samples = sum(p[1] for p in counted)
    return sum(p[0] for p in counted) / samples if samples else None
