"""What one rank said so far, folded: bounded memory however long the run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from engine.core.events import Event
from engine.core.fields import mapping, number, number_map, sequence, text, whole, whole_or

__all__ = ["NUM_NEWEST", "EpochPart", "RankRecord", "Window"]

MAX_WINDOWS = 2048
"""Per rank; beyond it neighbours are merged, which keeps every sum."""

NUM_KEPT_APART = 64
"""The first windows are never merged: the warm-up ends among them."""

NUM_NEWEST = 32
"""Nor are the newest: where a run is now is read from them, as they came."""


@dataclass(slots=True)
class Window:
    """The steps ``step_first .. step`` of one rank; ``span`` is (first start, last end, busy seconds) of ``step``."""

    epoch: int
    step_first: int
    step: int
    num_steps: int
    window_s: float
    samples: int
    loss: float | None
    correct: float | None
    phases: dict[str, float]
    span: tuple[float, float, float] | None
    is_merged: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether this rank saw samples."""
        return self.samples > 0


@dataclass(slots=True)
class EpochPart:
    """One rank's share of a finished epoch."""

    step: int
    samples: int
    num_steps: int
    loss: float | None
    correct: float | None
    train_s: float | None
    epoch_s: float | None


@dataclass(slots=True)
class RankRecord:
    """The lines of one rank, added up. A ``run_start`` begins it anew."""

    rank: int
    start: Event = field(default_factory=dict)
    stop: Event = field(default_factory=dict)
    error: Event = field(default_factory=dict)
    latency: Event = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    epochs: dict[int, EpochPart] = field(default_factory=dict)
    epoch_lr: dict[int, float] = field(default_factory=dict)
    nonfinite_step: int | None = None
    nonfinite_what: str = ""
    num_nonfinite: int = 0
    last_epoch: int | None = None

    @property
    def first_step(self) -> int | None:
        """The first step of its first window."""
        return self.windows[0].step_first if self.windows else None

    def begin(self, event: Event, resumed_from_step: int) -> float:
        """Start over: what came before ``resumed_from_step`` stays, the rest was superseded.

        Returns:
            The seconds of the steps that were.
        """
        self.start, self.stop, self.error, self.latency = event, {}, {}, {}
        taken_s = sum(window.window_s for window in self.windows)
        self.windows = [
            _cut(window, resumed_from_step)
            for window in self.windows
            if (window.step_first if window.is_merged else window.step) < resumed_from_step
        ]
        self.epochs = {epoch: part for epoch, part in self.epochs.items() if part.step < resumed_from_step}
        if self.nonfinite_step is not None and self.nonfinite_step >= resumed_from_step:
            self.nonfinite_step, self.nonfinite_what, self.num_nonfinite = None, "", 0
        return taken_s - sum(window.window_s for window in self.windows)

    def keep(self, kind: str, event: Event) -> None:
        """Take a line of which a rank has one: an ``error``, a ``latency``, a ``run_stop``."""
        match kind:
            case "error":
                self.error = event
            case "latency":
                self.latency = event
            case "run_stop":
                self.stop = event

    def add_step(self, event: Event) -> None:
        """Take a ``step`` line; one that makes no sense is left out."""
        step, window_s = whole(event, "step"), number(event, "window_s")
        if step is None or step < 0 or window_s is None or window_s < 0:
            return
        first = min(max(whole_or(event, "step_first", step), 0), step)
        num_steps = whole_or(event, "num_steps", step - first + 1)
        if num_steps <= 0:
            return
        self.last_epoch = whole_or(event, "epoch", self.last_epoch or 0)
        lr = number(event, "lr")
        if lr is not None:
            self.epoch_lr[self.last_epoch] = lr
        self._note_nonfinite(event, step)
        self.windows.append(
            Window(
                epoch=self.last_epoch,
                step_first=first,
                step=step,
                num_steps=num_steps,
                window_s=window_s,
                samples=max(whole_or(event, "samples", 0), 0),
                loss=number(event, "loss"),
                correct=number(event, "correct"),
                phases=number_map(event, "phases"),
                span=_busy_span(mapping(event, "boundary")),
            )
        )
        if len(self.windows) > MAX_WINDOWS:
            self._merge_neighbours()

    def _note_nonfinite(self, event: Event, step: int) -> None:
        """Take note of a loss that was no number: at which step, where the line says so, else at its last."""
        said, loss = mapping(event, "nonfinite"), event.get("loss")
        if not said and not _is_nonfinite(loss):
            return
        self.num_nonfinite += max(whole_or(said, "num_steps", 1), 1)
        if self.nonfinite_step is None:
            self.nonfinite_step = whole_or(said, "step", step)
            self.nonfinite_what = text(said, "what") or (
                "infinite" if isinstance(loss, float) and math.isinf(loss) else "NaN"
            )

    def add_epoch(self, event: Event) -> None:
        """Take an ``epoch_stop`` line."""
        epoch = whole(event, "epoch")
        if epoch is None:
            return
        self.epochs[epoch] = EpochPart(
            step=whole_or(event, "step", self.windows[-1].step if self.windows else -1),
            samples=max(whole_or(event, "samples", 0), 0),
            num_steps=max(whole_or(event, "num_steps", 0), 0),
            loss=number(event, "loss"),
            correct=number(event, "correct"),
            train_s=number(event, "train_s"),
            epoch_s=number(event, "epoch_s"),
        )

    def _merge_neighbours(self) -> None:
        kept, rest = self.windows[:NUM_KEPT_APART], self.windows[NUM_KEPT_APART:-NUM_NEWEST]
        newest = self.windows[-NUM_NEWEST:]
        first_epoch = self.windows[0].epoch
        merged: list[Window] = []
        pending: Window | None = None
        for window in rest:
            if pending is None:
                pending = window
            elif (pending.epoch == first_epoch) != (window.epoch == first_epoch):
                merged.append(pending)
                pending = window
            else:
                merged.append(_merge(pending, window))
                pending = None
        self.windows = kept + merged + ([pending] if pending is not None else []) + newest


def _cut(window: Window, num_steps: int) -> Window:
    """Leave of a merged window what it holds of the first ``num_steps`` steps of the run: a share of its sums."""
    if window.step < num_steps:
        return window
    left, span = num_steps - window.step_first, window.step - window.step_first + 1
    return replace(
        window,
        step=num_steps - 1,
        num_steps=round(window.num_steps * left / span),
        window_s=window.window_s * left / span,
        samples=round(window.samples * left / span),
        correct=None if window.correct is None else window.correct * left / span,
        phases={name: seconds * left / span for name, seconds in window.phases.items()},
        span=None,
    )


def _merge(left: Window, right: Window) -> Window:
    phases = dict(left.phases)
    for name, seconds in right.phases.items():
        phases[name] = phases.get(name, 0.0) + seconds
    samples = left.samples + right.samples
    loss = None
    if left.loss is not None and right.loss is not None:
        weights = (left.samples, right.samples) if samples else (left.num_steps, right.num_steps)
        loss = (left.loss * weights[0] + right.loss * weights[1]) / sum(weights)
    return Window(
        epoch=right.epoch,
        step_first=left.step_first,
        step=right.step,
        num_steps=left.num_steps + right.num_steps,
        window_s=left.window_s + right.window_s,
        samples=samples,
        loss=loss,
        correct=None if left.correct is None or right.correct is None else left.correct + right.correct,
        phases=phases,
        span=right.span,
        is_merged=True,
    )


def _busy_span(boundary: dict[str, Any]) -> tuple[float, float, float] | None:
    """First start, last end and busy seconds of a stage's operations in the boundary step."""
    times: list[tuple[float, float]] = []
    for item in sequence(boundary, "spans"):
        if not isinstance(item, list | tuple) or len(item) < 4 or item[0] not in ("F", "B"):
            continue
        pair = {"start": item[2], "end": item[3]}
        start, end = number(pair, "start"), number(pair, "end")
        if start is not None and end is not None and end >= start:
            times.append((start, end))
    if not times:
        return None
    return min(t[0] for t in times), max(t[1] for t in times), sum(t[1] - t[0] for t in times)


def _is_nonfinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
