"""A pipeline step with local autograd: tensors go from stage to stage, each stage follows its own order of work.

Messages of a step (the call's number and a micro-batch in each key):
``inputs`` driver -> first stage, ``targets`` driver -> last stage, ``F`` output of a stage -> next stage,
``B`` gradient of a stage's input -> previous stage, ``loss`` last stage -> driver.
"""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor

from engine.worker.strategies.interface import Batch, Phases
from engine.worker.strategies.pipeline_stage import Span, Stage, order_operations
from engine.worker.strategies.pipeline_wire import Key, Wire

__all__ = ["LocalDriver", "LocalStage", "split_batches", "take"]


def take(wire: Wire, key: Key, phases: Phases) -> Any:
    """Take a message; the wait for one that is not here yet is the pipeline's bubble."""
    if not wire.inbox.holds(key):
        phases.switch("bubble")
    return wire.inbox.take(key)


def split_batches(batches: list[Batch], num_micro_batches: int) -> list[Batch]:
    """Split each batch into ``num_micro_batches`` parts on the host whose sizes differ by one at most, none empty."""
    parts = []
    for batch in batches:
        inputs = batch.inputs.cpu().tensor_split(num_micro_batches)
        targets = batch.targets.cpu().tensor_split(num_micro_batches)
        parts += [Batch(one, other) for one, other in zip(inputs, targets, strict=True) if len(other)]
    return parts


class LocalDriver:
    """The driver's part in a step: hand out the batch, wait for its loss.

    The loss is known when the last forward pass is done, so the driver prepares the next batch while the stages are
    still in their backward passes.
    """

    def __init__(self, wire: Wire, num_stages: int, num_micro_batches: int) -> None:
        self._wire = wire
        self._last_rank = num_stages
        self._num_micro_batches = num_micro_batches

    def step(self, call: int, batches: list[Batch], phases: Phases) -> tuple[Tensor, Tensor | None]:
        """Drive one step; return the mean loss and the number of correct samples."""
        phases.switch("comm")
        parts = split_batches(batches, self._num_micro_batches)
        self._wire.send(1, Key(call, "inputs"), [part.inputs for part in parts])
        self._wire.send(self._last_rank, Key(call, "targets"), [part.targets for part in parts])
        loss: tuple[Tensor, Tensor | None] = take(self._wire, Key(call, "loss"), phases)
        return loss


class LocalStage:
    """A stage's part in a step: its operations in their order, each as soon as its tensor is here."""

    def __init__(self, wire: Wire, stage: Stage, index: int, num_stages: int, schedule: str) -> None:
        self._wire = wire
        self._stage = stage
        self._index = index
        self._num_stages = num_stages
        self._schedule = schedule
        self._is_last = index == num_stages - 1

    def step(self, call: int, phases: Phases) -> list[Span]:
        """Work through one step; return what was done when."""
        spans: list[Span] = []
        inputs = _Inputs(self._wire, call, self._index == 0, phases)
        labels = _Labels(self._wire, call) if self._is_last else None
        for name, index in order_operations(self._schedule, self._index, self._num_stages, inputs.count):
            if name == "B":
                spans.append(self._backward(call, index, phases))
            else:
                value = inputs.take(index, phases)
                spans.append(self._forward(call, index, inputs.count, value, labels, phases))
        phases.switch("optimizer")
        spans.append(self._stage.step())
        phases.switch("other")
        return spans

    def _forward(
        self, call: int, index: int, num_micro_batches: int, value: Tensor, labels: _Labels | None, phases: Phases
    ) -> Span:
        if labels is not None:
            labels.wait(phases)
        start = time.monotonic()
        phases.switch("forward")
        if labels is None:
            outputs = self._stage.forward(index, value)
            end = time.monotonic()
            phases.switch("comm")
            self._wire.send(self._index + 2, Key(call, "F", index), (outputs, num_micro_batches))
            return ("F", index, start, end)
        labels.add(*self._stage.forward_to_loss(index, value, labels.targets[index], labels.weight(index)))
        end = time.monotonic()
        if index == num_micro_batches - 1:
            phases.switch("comm")
            self._wire.send(0, Key(call, "loss"), (labels.loss, labels.correct))
        return ("F", index, start, end)

    def _backward(self, call: int, index: int, phases: Phases) -> Span:
        gradient = None if self._is_last else take(self._wire, Key(call, "B", index), phases)
        start = time.monotonic()
        phases.switch("backward")
        gradient = self._stage.backward(index, gradient)
        end = time.monotonic()
        if self._index > 0:
            phases.switch("comm")
            self._wire.send(self._index, Key(call, "B", index), gradient)
        return ("B", index, start, end)


class _Inputs:
    """A stage's view of a step: the first stage gets all micro-batches at once, the others one by one.

    Attributes:
        count: micro-batches of the step; each message says it, so that a last, smaller batch needs no rule.
    """

    def __init__(self, wire: Wire, call: int, is_first: bool, phases: Phases) -> None:
        self._wire = wire
        self._call = call
        self._here: dict[int, Tensor] = {}
        if is_first:
            self._here = dict(enumerate(take(wire, Key(call, "inputs"), phases)))
            self.count = len(self._here)
        else:
            self._here[0], self.count = take(wire, Key(call, "F", 0), phases)

    def take(self, index: int, phases: Phases) -> Tensor:
        if index in self._here:
            return self._here.pop(index)
        value: Tensor = take(self._wire, Key(self._call, "F", index), phases)[0]
        return value


class _Labels:
    """The last stage's view of a step: the targets, and the sums that the driver waits for."""

    def __init__(self, wire: Wire, call: int) -> None:
        self._wire = wire
        self._call = call
        self._num_samples = 0
        self.targets: list[Tensor] = []
        self.loss: Tensor | None = None
        self.correct: Tensor | None = None

    def wait(self, phases: Phases) -> None:
        if not self.targets:
            self.targets = take(self._wire, Key(self._call, "targets"), phases)
            self._num_samples = sum(len(targets) for targets in self.targets)

    def weight(self, index: int) -> float:
        return len(self.targets[index]) / self._num_samples

    def add(self, loss: Tensor, correct: Tensor | None) -> None:
        loss = loss.cpu()
        self.loss = loss if self.loss is None else self.loss + loss
        if correct is not None:
            correct = correct.cpu()
            self.correct = correct if self.correct is None else self.correct + correct
