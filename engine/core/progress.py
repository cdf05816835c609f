"""Where a run is: one arithmetic for the fold of the lines and for the columns of the charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.core.fields import mapping, number, whole
from engine.core.rank_record import NUM_NEWEST, Window
from engine.core.run_record import Evaluation, mean_accuracy, mean_loss

__all__ = ["RankSaid", "RunProgress", "measure_progress"]

RECENT_S = 5.0
"""The live throughput is that of about this many last seconds of training."""


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """Where a run is; None is unknown.

    Attributes:
        epoch: of the last step, 0-based.
        step: the last finished step, 0-based.
        num_steps, num_epochs: planned.
        loss, accuracy: training, over the last window of each rank.
        samples_per_s: over all ranks, about the last five seconds of training.
        elapsed_s: from the first rank's start to the last line.
        eta_s: to the end, evaluation included as it was until now.
        last_event_s: Unix time of the newest line.
        test_accuracy, test_loss: of the newest evaluation.
    """

    epoch: int | None = None
    step: int | None = None
    num_steps: int | None = None
    num_epochs: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    samples_per_s: float | None = None
    elapsed_s: float | None = None
    eta_s: float | None = None
    last_event_s: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None


class RankSaid(Protocol):
    """What the progress needs of a rank."""

    @property
    def start(self) -> Mapping[str, Any]:
        """Its ``run_start``."""

    @property
    def stop(self) -> Mapping[str, Any]:
        """Its ``run_stop``; empty while it runs."""

    @property
    def windows(self) -> Sequence[Window]:
        """Its newest windows, the last one last; the last ``NUM_NEWEST`` unmerged."""

    @property
    def first_step(self) -> int | None:
        """The first step of its first window."""


def measure_progress(
    config: Mapping[str, Any],
    ranks: Sequence[RankSaid],
    evaluations: Iterable[Evaluation],
    *,
    first_start_s: float | None,
    first_step_s: float | None,
    last_event_s: float | None,
) -> RunProgress:
    """Return where the run is now.

    Args:
        config: the run's configuration.
        ranks: in order.
        evaluations: all there were.
        first_start_s: Unix time at which the first rank's process started.
        first_step_s: Unix time at which the first step began.
        last_event_s: Unix time of the newest line.
    """
    last = [rank.windows[-1] for rank in ranks if rank.windows]
    step = max((window.step for window in last), default=None)
    num_steps = _started(ranks, "num_steps")
    elapsed_s = None
    if first_start_s is not None and last_event_s is not None:
        elapsed_s = max(last_event_s - first_start_s, 0.0)
    trained_s = None
    if first_step_s is not None and last_event_s is not None:
        trained_s = max(last_event_s - first_step_s, 0.0)
    newest = max((e for e in evaluations if e.split == "test"), key=lambda e: e.epoch, default=None)
    return RunProgress(
        epoch=max((window.epoch for window in last), default=None),
        step=step,
        num_steps=num_steps,
        num_epochs=_started(ranks, "num_epochs"),
        loss=mean_loss(last),
        accuracy=mean_accuracy(last),
        samples_per_s=_recent_rate(ranks),
        elapsed_s=elapsed_s,
        eta_s=_eta_s(config, ranks, step, num_steps, trained_s),
        last_event_s=last_event_s,
        test_accuracy=newest.accuracy if newest else None,
        test_loss=newest.loss if newest else None,
    )


def _eta_s(
    config: Mapping[str, Any],
    ranks: Sequence[RankSaid],
    step: int | None,
    num_steps: int | None,
    trained_s: float | None,
) -> float | None:
    if step is None or trained_s is None:
        return None
    if any(rank.stop for rank in ranks):
        return 0.0
    num_done = step + 1 - min(rank.first_step for rank in ranks if rank.first_step is not None)
    left: list[float] = []
    if num_steps is not None and num_done > 0:
        left.append(max(num_steps - step - 1, 0) * trained_s / num_done)
    minutes = number(mapping(config, "stop"), "minutes")
    if minutes is not None:
        left.append(max(minutes * 60 - trained_s, 0.0))
    return min(left, default=None)


def _recent_rate(ranks: Sequence[RankSaid]) -> float | None:
    rate = 0.0
    for rank in ranks:
        samples, seconds = 0, 0.0
        for window in reversed(rank.windows[-NUM_NEWEST:]):
            samples, seconds = samples + window.samples, seconds + window.window_s
            if seconds >= RECENT_S:
                break
        rate += samples / seconds if seconds > 0 else 0.0
    return rate or None


def _started(ranks: Sequence[RankSaid], key: str) -> int | None:
    return next((value for rank in ranks if (value := whole(rank.start, key)) is not None), None)
