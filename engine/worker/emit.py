"""The ``step`` lines of a rank: what a line covers, and how often one is written.

Windows end at steps where ``(step + 1) % stride == 0`` with a stride that is a power of two, so windows of ranks and
repeats nest without a word between them. The losses stay on the device and are read once a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddptui.lines import LineWriter
from ddptui.stride import WARM_UP_STEPS, choose_stride, line_interval_s
from engine.worker.phases import StepTimes
from engine.worker.strategies.interface import StepOutput

__all__ = ["EpochSums", "NonFinite", "StepRecord", "StepWindow"]


class StepRecord(NamedTuple):
    """A finished step as the loop knows it."""

    epoch: int
    step: int
    lr: float
    output: StepOutput


class EpochSums(NamedTuple):
    """What this rank saw since the sums were last taken; None where it does not know."""

    samples: int
    loss: float | None
    correct: float | None


class NonFinite(NamedTuple):
    """The first step whose loss was no number, which it was ("NaN", "infinite"), and how many such steps there are."""

    step: int
    what: str
    num_steps: int


class StepWindow:
    """Gathers steps and writes a line for each window.

    Args:
        writer: never raises; a line that it cannot write is lost and the training goes on.
        world_size: how many ranks write beside this one.

    Attributes:
        nonfinite: of all windows written so far; None where every loss is finite or unknown.
    """

    def __init__(self, writer: LineWriter, world_size: int) -> None:
        self._writer = writer
        self._world_size = world_size
        self._stride = 1
        self._num_seen = 0
        self.nonfinite: NonFinite | None = None
        self._records: list[StepRecord] = []
        self._times: list[StepTimes] = []
        self._window_s = 0.0
        self._interval_s = line_interval_s(world_size)
        self.start_sums()

    def add(self, record: StepRecord, times: StepTimes) -> None:
        """Add the next step; writes the line where a window ends."""
        self._records.append(record)
        self._times.append(times)
        self._window_s += times.step_s
        self._num_seen += 1
        if self._window_s > 2 * self._interval_s:
            while (record.step + 1) % self._stride:  # steps became slow: do not wait for a border far away
                self._stride //= 2
        if (record.step + 1) % self._stride == 0:
            step_s = self._window_s / len(self._records)
            self.flush()
            if self._num_seen >= WARM_UP_STEPS:
                self._stride = choose_stride(step_s, self._stride, self._world_size)

    def flush(self) -> None:
        """Write what has been gathered, if anything."""
        if not self._records:
            return
        records, times, window_s = self._records, self._times, self._window_s
        self._records, self._times, self._window_s = [], [], 0.0
        last = records[-1]
        self._writer.write(
            "step",
            epoch=last.epoch,
            step_first=records[0].step,
            step=last.step,
            num_steps=len(records),
            **self._read_outputs(records),
            lr=last.lr,
            window_s=round(window_s, 9),
            phases=_add_phases(times),
            boundary=_boundary(last.output, times[-1]),
        )

    def sums(self) -> EpochSums:
        """Return the sums over the steps of all windows written since ``start_sums``."""
        samples = self._samples
        loss = self._loss_sum / samples if samples and self._knows_loss else None
        return EpochSums(samples, loss, self._correct if samples and self._counts_correct else None)

    def state(self) -> list[float]:
        """Return the sums so far as numbers, for ``start_sums``."""
        return [self._samples, self._loss_sum, self._correct, float(self._knows_loss), float(self._counts_correct)]

    def start_sums(self, state: Sequence[float] = ()) -> None:
        """Begin to sum anew, or from what ``state`` gave."""
        samples, loss_sum, correct, knows_loss, counts_correct = state or (0, 0.0, 0.0, 0.0, 0.0)
        self._samples = int(samples)
        self._loss_sum = loss_sum
        self._correct = correct
        self._knows_loss = bool(knows_loss)
        self._counts_correct = bool(counts_correct)

    def _read_outputs(self, records: list[StepRecord]) -> dict[str, Any]:
        samples = sum(record.output.num_samples for record in records)
        losses = _read([record.output.loss for record in records])
        correct = _read([record.output.correct for record in records])
        self._samples += samples
        fields: dict[str, Any] = dict.fromkeys(("loss", "loss_min", "loss_max", "loss_last"))
        if losses is not None:
            loss = sum(losses) / len(losses)  # every step of a run has as many samples as every other
            self._loss_sum += loss * samples
            self._knows_loss = True
            fields = {"loss": loss, "loss_min": min(losses), "loss_max": max(losses), "loss_last": losses[-1]}
            found = _find_nonfinite(losses, records)
            if found is not None:
                fields["nonfinite"] = found._asdict()
                self._note(found)
        if samples:
            fields["samples"] = samples
            fields["correct"] = None
        if correct is not None:
            self._correct += sum(correct)
            self._counts_correct = True
            fields["correct"] = sum(correct)
        return fields

    def _note(self, found: NonFinite) -> None:
        """Say the first one; the others are counted."""
        if self.nonfinite is None:
            self.nonfinite = found
            text = f"loss is {found.what} at step {found.step}"
            self._writer.write("message", level="warning", text=text)
        else:
            self.nonfinite = self.nonfinite._replace(num_steps=self.nonfinite.num_steps + found.num_steps)


def _find_nonfinite(losses: list[float], records: list[StepRecord]) -> NonFinite | None:
    bad = [place for place, loss in enumerate(losses) if not math.isfinite(loss)]
    if not bad:
        return None
    what = "NaN" if math.isnan(losses[bad[0]]) else "infinite"
    return NonFinite(records[bad[0]].step, what, len(bad))


def _read(values: list[Tensor | None]) -> list[float] | None:
    """Read 0-d tensors from their device in one go; None where any is not known."""
    known = [value for value in values if value is not None]
    return torch.stack(known).tolist() if len(known) == len(values) else None


def _add_phases(times: list[StepTimes]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for step in times:
        for phase, spent_s in step.phases.items():
            sums[phase] = sums.get(phase, 0.0) + spent_s
    return _rounded(sums)


def _boundary(output: StepOutput, times: StepTimes) -> dict[str, Any]:
    boundary: dict[str, Any] = {"step_s": round(times.step_s, 9), "phases": _rounded(times.phases)}
    if output.spans is not None:
        boundary["spans"] = output.spans
    return boundary


def _rounded(phases: dict[str, float]) -> dict[str, float]:
    """Nanoseconds are what the clock knows; further digits only make the file longer."""
    return {phase: round(spent_s, 9) for phase, spent_s in phases.items()}
