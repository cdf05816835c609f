"""Evaluation through the pipeline: forward only, a few batches in flight, the sums made at the last stage."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from engine.worker.strategies.interface import Batch, EvalSums, Task
from engine.worker.strategies.pipeline_stage import Stage
from engine.worker.strategies.pipeline_wire import Key, Wire

__all__ = ["SumsAdder", "drive", "serve"]


def drive(wire: Wire, call: int, batches: Iterable[Batch], num_stages: int) -> EvalSums:
    """Send the batches in and return the sums; never more than ``num_stages + 1`` batches are on their way."""
    num_sent = 0
    for batch in batches:
        if num_sent > num_stages:
            wire.inbox.take(Key(call, "seen", num_sent - num_stages - 1))
        wire.send(1, Key(call, "E", num_sent), batch.inputs.cpu())
        wire.send(num_stages, Key(call, "targets", num_sent), batch.targets.cpu())
        num_sent += 1
    wire.send(1, Key(call, "E", num_sent), None)
    for index in range(max(0, num_sent - num_stages - 1), num_sent):
        wire.inbox.take(Key(call, "seen", index))
    sums: EvalSums = wire.inbox.take(Key(call, "sums"))
    return sums


def serve(wire: Wire, call: int, stage: Stage, task: Task, index: int, num_stages: int) -> None:
    """Pass batches on until the end mark; the last stage adds up and answers the driver."""
    is_last = index == num_stages - 1
    adder = SumsAdder(task)
    num_seen = 0
    stage.part.eval()
    with torch.no_grad():
        while (inputs := wire.inbox.take(Key(call, "E", num_seen))) is not None:
            _, outputs = stage.run(inputs, needs_gradient=False)
            if is_last:
                targets = wire.inbox.take(Key(call, "targets", num_seen)).to(outputs.device)
                with stage.autocast():
                    adder.add(outputs, targets)
                wire.send(0, Key(call, "seen", num_seen), None)
            else:
                wire.send(index + 2, Key(call, "E", num_seen), outputs.cpu())
            num_seen += 1
    stage.part.train()
    if is_last:
        wire.send(0, Key(call, "sums"), adder.sums())
    else:
        wire.send(index + 2, Key(call, "E", num_seen), None)


class SumsAdder:
    """Adds up loss, correct samples and metrics in double precision, read from the device once."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._samples = 0
        self._totals: dict[str, Tensor] = {}

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: outputs ``[B, ...]``, targets ``[B]``, on one device."""
        self._samples += len(targets)
        self._add("loss", self._task.loss(outputs, targets).float() * len(targets))
        if self._task.count_correct is not None:
            self._add("correct", self._task.count_correct(outputs, targets))
        for name, metric in self._task.metrics.items():
            self._add(f"metric {name}", torch.as_tensor(metric(outputs, targets)))

    def _add(self, name: str, value: Tensor) -> None:
        value = value.detach().double()
        self._totals[name] = self._totals[name] + value if name in self._totals else value

    def sums(self) -> EvalSums:
        """Return the sums so far."""
        totals = {name: float(value) for name, value in self._totals.items()}
        return EvalSums(
            samples=self._samples,
            loss=totals.get("loss", 0.0),
            correct=None if self._task.count_correct is None else totals.get("correct", 0.0),
            metrics={name: totals.get(f"metric {name}", 0.0) for name in self._task.metrics},
        )
