"""From what a user's program says of its training to event lines: about four a second, however often it speaks.

The lines are those of ddptui's own training (``engine.core.events``), so that such a run is read like every other.
Standard library only: this runs inside other people's processes.

What is said between two lines is put together: ``samples`` are added, ``loss`` is averaged over the calls, of every
other figure the last value counts. Lines end at steps where ``(step + 1) % stride == 0`` with a stride that is a power
of two, so that those of several ranks end at the same steps without a word between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ddptui.stride import WARM_UP_STEPS, choose_stride, line_interval_s

__all__ = ["RESERVED", "Later", "Tally"]

RESERVED = frozenset(("kind", "time_s", "mono_s", "seq", "rank", "attempt"))
"""Names that every line has: no figure can be called so."""

MAX_FIGURES = 256
"""Names of figures that one line holds."""

_SPLITS = {"test": "test", "val": "validation", "valid": "validation", "validation": "validation", "eval": "validation"}
_SHORT = {"acc": "accuracy"}
_MAX_COUNT = 2**53


class Later:
    """A value on a device: it is read when its line is written, since reading waits for the device.

    Args:
        tensor: of one element; has ``detach`` and ``item``.
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor.detach()  # keeps no graph alive

    def __float__(self) -> float:
        return float(self._tensor.item())


Figure = float | Later


class Tally:
    """Gathers calls and writes lines.

    Args:
        write: as ``LineWriter.write``.
        start: fields of ``run_start``; its ``world_size`` says how many ranks write.
        is_first: whether this is rank 0: it alone speaks of the test set, and for all ranks (``global_samples``).
        is_beside: the steps are told by somebody else: here all are figures.
    """

    def __init__(
        self, write: Callable[..., Any], start: Mapping[str, Any], *, is_first: bool, is_beside: bool = False
    ) -> None:
        self._write = write
        self.is_beside = is_beside
        self._start = dict(start)
        self._is_first = is_first
        self._world_size = max(int(start.get("world_size") or 1), 1)
        self._interval_s = line_interval_s(self._world_size)
        self._is_begun = False
        self._speaks_for_all = False
        self._stride = 1
        self._num_calls = 0  # that were steps
        self._offset = 0  # added to the caller's numbers where they began again
        self._said_step = -1
        self.step = -1
        self._epoch: int | None = None
        self._step_time_s = 0.0
        self._clock_s: float | None = None  # up to here time is accounted for
        self._figures: dict[str, Figure] = {}
        self._figures_s = -math.inf
        self._losses: list[tuple[int, Figure]] = []
        self._window_s = 0.0
        self._train_s = 0.0
        self._eval_s = 0.0
        self._begin_window()
        self._begin_epoch()

    def take(self, figures: Mapping[str, Any], time_s: float, clock_s: float) -> None:
        """Take one call.

        Args:
            figures: by name, numbers or ``Later``; anything else is left out.
            time_s: Unix seconds.
            clock_s: seconds of the clock by which steps are timed.
        """
        step, epoch = _count(figures, "step"), _count(figures, "epoch")
        samples, global_samples = _count(figures, "samples"), _count(figures, "global_samples")
        rest = _read_figures(figures)
        if self.is_beside:
            self._num_calls += 1
            self._note(rest, self._num_calls - 1 if step is None else step, time_s)
            return
        self._begin(time_s, speaks_for_all=global_samples is not None)
        if global_samples is not None:
            samples = global_samples if self._is_first else 0
        is_training = samples is not None or "loss" in rest
        split = "" if is_training else _split_of(rest)
        if is_training or (step is not None and not split and step > self._said_step):
            loss = rest.pop("loss", None)
            self._take_step(step, epoch, samples, loss, rest, time_s, clock_s)
        elif split:
            self._take_evaluation(split, rest, epoch, step, time_s, clock_s)
        elif rest:
            self._note(rest, self._place_of(step), time_s)

    def flush(self, time_s: float) -> None:
        """Write what has been gathered, if anything."""
        if self._num_steps:
            fields: dict[str, Any] = {"samples": self._samples} if self._has_samples else {}
            fields |= self._read_losses()
            self._write(
                "step",
                time_s=self._step_time_s,
                epoch=self._epoch or 0,
                step_first=self.step - self._num_steps + 1,
                step=self.step,
                num_steps=self._num_steps,
                **fields,
                window_s=round(self._window_s, 9),
                phases={},
            )
            self._begin_window()
        self._write_figures(self.step, time_s)

    def _read_losses(self) -> dict[str, Any]:
        by_step = [(step, float(loss)) for step, loss in self._losses]
        losses = [loss for _, loss in by_step]
        if not losses:
            return {}
        loss = sum(losses) / len(losses)
        self._epoch_losses += loss * self._num_steps
        self._num_epoch_losses += self._num_steps
        figures = {"loss": loss, "loss_last": losses[-1], "loss_min": min(losses), "loss_max": max(losses)}
        return figures | _describe_nonfinite(by_step)

    def finish(self, time_s: float, usage: Mapping[str, Any]) -> None:
        """Say that the program came to its end.

        Args:
            time_s: Unix seconds.
            usage: further fields of ``run_stop``.
        """
        if not self._is_begun:
            return
        self._end_epoch(time_s)
        self.flush(time_s)
        self._write(
            "run_stop",
            time_s=time_s,
            reason="the script came to its end",
            epoch=self._epoch or 0,
            step=self.step,
            num_steps=self.step + 1,
            train_s=self._train_s,
            eval_s=self._eval_s,
            **usage,
        )

    def _begin(self, time_s: float, *, speaks_for_all: bool) -> None:
        if self._is_begun and (self._speaks_for_all or not speaks_for_all or self.step >= 0):
            return
        self._is_begun, self._speaks_for_all = True, speaks_for_all
        self._write("run_start", time_s=time_s, **self._start, speaks_for_all=speaks_for_all, resumed_from_step=0)

    def _take_step(
        self,
        step: int | None,
        epoch: int | None,
        samples: int | None,
        loss: Figure | None,
        rest: dict[str, Figure],
        time_s: float,
        clock_s: float,
    ) -> None:
        if epoch is not None and epoch != self._epoch:
            self._end_epoch(time_s)
            self._epoch = epoch
        if self._is_due and (step is None or step != self._said_step):
            self.flush(time_s)
        self._count_step(step)
        self._count_time(clock_s)
        self._step_time_s = time_s
        if samples is not None:
            self._has_samples = True
            self._samples += samples
            self._epoch_samples += samples
        if loss is not None:
            if isinstance(loss, Later):  # of those the last one counts
                self._losses = [one for one in self._losses if not isinstance(one[1], Later)]
            self._losses.append((self.step, loss))
        self._gather(rest)
        self._end_window(time_s, may_go_on=step is not None)

    def _count_step(self, step: int | None) -> None:
        """Where the caller's numbers begin again (a number within the epoch), counting goes on."""
        if step is None:
            wanted = self.step + 1
        else:
            if step < self._said_step:
                self._offset = self.step + 1 - step
            self._said_step = step
            wanted = step + self._offset
        if wanted > self.step:
            # The first call covers one step, whatever its number: a program that goes on from a checkpoint.
            added = wanted - self.step if self.step >= 0 or self._num_calls else 1
            self._num_steps += added
            self._num_epoch_steps += added
            self.step = wanted
        self._num_calls += 1

    def _count_time(self, clock_s: float) -> None:
        if self._clock_s is not None:
            spent_s = max(clock_s - self._clock_s, 0.0)
            self._window_s += spent_s
            self._train_s += spent_s
            self._epoch_train_s += spent_s
        self._clock_s = clock_s

    def _end_window(self, time_s: float, *, may_go_on: bool) -> None:
        """Write the line where it ends; of a step with a number more may be said: its line waits for the next step."""
        if not self._num_steps:
            return
        if self._window_s > 2 * self._interval_s:
            while (self.step + 1) % self._stride:  # steps became slow: do not wait for a border far away
                self._stride //= 2
        if (self.step + 1) % self._stride == 0:
            step_s = self._window_s / self._num_steps
            self._is_due = may_go_on
            if not may_go_on:
                self.flush(time_s)
            if self._num_calls >= WARM_UP_STEPS and step_s > 0:
                self._stride = choose_stride(step_s, self._stride, self._world_size)

    def _take_evaluation(
        self, split: str, rest: dict[str, Figure], epoch: int | None, step: int | None, time_s: float, clock_s: float
    ) -> None:
        """The time since the last step was not training: it is not counted as a step's."""
        spent_s = 0.0 if self._clock_s is None else max(clock_s - self._clock_s, 0.0)
        if self._clock_s is not None:
            self._clock_s = clock_s
        self._eval_s += spent_s
        self._epoch_eval_s += spent_s
        self.flush(time_s)
        epoch = self._epoch if epoch is None else epoch
        if not self._is_first or epoch is None:
            self._note(rest, self._place_of(step), time_s)
            return
        named = {name: value for name, value in rest.items() if _split_of({name: value}) == split}
        metrics = {_figure_of(name): float(value) for name, value in named.items()}
        self._write(
            "eval",
            time_s=time_s,
            epoch=epoch,
            step=max(self.step, 0),
            split=split,
            loss=metrics.pop("loss", None),
            accuracy=metrics.pop("accuracy", None),
            eval_s=spent_s,
            metrics=metrics,
        )
        others = {name: value for name, value in rest.items() if name not in named}
        if other := _split_of(others):
            self._take_evaluation(other, others, epoch, step, time_s, clock_s)
        elif others:
            self._note(others, self._place_of(step), time_s)

    def _place_of(self, step: int | None) -> int:
        return max(self.step, 0) if step is None else max(step + self._offset, 0)

    def _note(self, rest: dict[str, Figure], step: int, time_s: float) -> None:
        """Figures beside a step: at once where the last ones are old enough, else with the next line."""
        self._gather(rest)
        if time_s - self._figures_s >= self._interval_s:
            self._write_figures(step, time_s)

    def _gather(self, rest: dict[str, Figure]) -> None:
        for name, value in rest.items():
            if name in self._figures or len(self._figures) < MAX_FIGURES:
                self._figures[name] = value

    def _write_figures(self, step: int, time_s: float) -> None:
        if self._figures:
            epoch = {} if self._epoch is None else {"epoch": self._epoch}
            figures = {name: float(value) for name, value in self._figures.items()}
            self._write("metric", **{**figures, "time_s": time_s, "step": max(step, 0), **epoch})
            self._figures, self._figures_s = {}, time_s

    def _end_epoch(self, time_s: float) -> None:
        self.flush(time_s)
        if self._epoch is not None and self._num_epoch_steps:
            num_losses = self._num_epoch_losses
            self._write(
                "epoch_stop",
                time_s=time_s,
                epoch=self._epoch,
                step=self.step,
                num_steps=self._num_epoch_steps,
                train_s=self._epoch_train_s,
                epoch_s=self._epoch_train_s + self._epoch_eval_s,
                samples=self._epoch_samples,
                loss=self._epoch_losses / num_losses if num_losses else None,
                correct=None,
            )
        self._begin_epoch()

    def _begin_window(self) -> None:
        self._num_steps = 0
        self._samples = 0
        self._has_samples = False
        self._window_s = 0.0
        self._is_due = False
        self._losses = []

    def _begin_epoch(self) -> None:
        self._num_epoch_steps = 0
        self._epoch_samples = 0
        self._epoch_losses = 0.0
        self._num_epoch_losses = 0
        self._epoch_train_s = 0.0
        self._epoch_eval_s = 0.0


def _describe_nonfinite(by_step: list[tuple[int, float]]) -> dict[str, Any]:
    """At which step a loss was no number first, what it was, and at how many steps of this line."""
    wrong = [(step, loss) for step, loss in by_step if not math.isfinite(loss)]
    if not wrong:
        return {}
    step, loss = wrong[0]
    what = "NaN" if math.isnan(loss) else "infinite"
    return {"nonfinite": {"step": step, "what": what, "num_steps": len({step for step, _ in wrong})}}


def _count(figures: Mapping[str, Any], name: str) -> int | None:
    """A whole number that is not negative (2.0 is one), else None."""
    value = figures.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    is_whole = math.isfinite(value) and value == int(value) and 0 <= value < _MAX_COUNT
    return int(value) if is_whole else None


def _read_figures(figures: Mapping[str, Any]) -> dict[str, Figure]:
    """The numbers among the values, true and false as 1 and 0."""
    left_out = RESERVED | {"step", "epoch", "samples", "global_samples"}
    return {
        str(name): value if isinstance(value, Later) else float(value)
        for name, value in figures.items()
        if name not in left_out and isinstance(value, int | float | Later)
    }


def _split_of(rest: Mapping[str, Figure]) -> str:
    """``"test"`` for ``test_loss`` or ``test/accuracy``, ``"validation"`` for ``val_...`` and ``eval_...``, else ""."""
    for name in rest:
        beginning = name.replace("/", "_").partition("_")[0].lower()
        if beginning in _SPLITS:
            return _SPLITS[beginning]
    return ""


def _figure_of(name: str) -> str:
    figure = name.replace("/", "_", 1).partition("_")[2] or name
    return _SHORT.get(figure, figure)
