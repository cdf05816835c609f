"""One stage of the pipeline: its part of the model, its own autograd and optimizer, and the order it works in."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from engine.worker.precision import compile_model, make_precision, order_memory
from engine.worker.strategies.interface import Task
from engine.worker.strategies.replica import cpu_state, load_part, part_state

__all__ = ["NO_MICRO_BATCH", "Operation", "Span", "Stage", "order_operations"]

Span = tuple[str, int, float, float]
NO_MICRO_BATCH = -1
"""Stands for the micro-batch in the span of the optimizer."""


class Operation(NamedTuple):
    """``"F"`` or ``"B"`` of one micro-batch."""

    name: Literal["F", "B"]
    micro_batch: int


def order_operations(schedule: str, stage: int, num_stages: int, num_micro_batches: int) -> list[Operation]:
    """Return what a stage does in a step, in order.

    ``gpipe`` (arXiv:1811.06965): all forward passes, then all backward passes. ``1f1b`` (PipeDream-Flush,
    arXiv:2006.09503): as many forward passes as fill the pipeline, then one backward after each forward, so that at
    most ``num_stages - stage`` micro-batches are held. Both go through the micro-batches in ascending order, so the
    gradients are summed in the same order and are the same bits.
    """
    num_ahead = num_micro_batches if schedule == "gpipe" else min(num_stages - stage - 1, num_micro_batches)
    operations = [Operation("F", index) for index in range(num_ahead)]
    for index in range(num_micro_batches):
        if index + num_ahead < num_micro_batches:
            operations.append(Operation("F", index + num_ahead))
        operations.append(Operation("B", index))
    return operations


class Stage:
    """A part of the model on this rank's device; tensors come and go through host memory.

    Attributes:
        part: the children of the model that this stage owns, under their own names.
        optimizer: of the parameters of ``part``; None where there are none.
    """

    def __init__(self, part: nn.Sequential, index: int, task: Task, device: torch.device) -> None:
        config = task.config
        self._task = task
        self._device = device
        self._is_first = index == 0
        self._in_flight: dict[int, tuple[Tensor, Tensor]] = {}
        self._is_channels_last = config.channels_last
        self._precision = make_precision(config, device)
        self._overwrites_input = bool(getattr(next(part.children()), "inplace", False))
        self.part = order_memory(part.to(device), config)
        self._call_part = compile_model(self.part, config)
        self.optimizer = task.make_optimizer(self.part.parameters()) if list(part.parameters()) else None

    def run(self, inputs: Tensor, *, needs_gradient: bool) -> tuple[Tensor, Tensor]:
        """Run the part; return its input as a leaf (or as it came) and its output, both on the device."""
        inputs = inputs.to(self._device)
        if self._is_channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        leaf = inputs
        if needs_gradient and not self._is_first:
            leaf = inputs.detach().requires_grad_()
            inputs = leaf.clone() if self._overwrites_input else leaf  # autograd refuses to overwrite a leaf
        with self.autocast():
            return leaf, self._call_part(inputs)

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the forward pass and the loss."""
        return self._precision.autocast()

    def forward(self, micro_batch: int, inputs: Tensor) -> Tensor:
        """Run the part, keep its graph for ``backward``; return the output for the next stage, on the host."""
        leaf, outputs = self.run(inputs, needs_gradient=True)
        self._in_flight[micro_batch] = (leaf, outputs)
        return outputs.detach().cpu()

    def forward_to_loss(self, micro_batch: int, inputs: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Any]:
        """Run the last part and the loss.

        Args:
            micro_batch: its number.
            inputs: from the stage before.
            targets: ``[B]``.
            weight: this micro-batch's share of the step's samples, so that the weighted means add up to the mean over
                the step, and the gradients to its gradient.

        Returns:
            The weighted loss and the number of correct samples (or None), 0-d and detached.
        """
        leaf, outputs = self.run(inputs, needs_gradient=True)
        loss, correct = self.weigh_loss(outputs, targets, weight)
        self._in_flight[micro_batch] = (leaf, loss)
        return loss.detach(), correct

    def weigh_loss(self, outputs: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor | None]:
        """Return the weighted loss and the number of correct samples (None where not counted)."""
        targets = targets.to(self._device)
        with self.autocast():
            loss = self._task.loss(outputs, targets) * weight
        if self._task.count_correct is None:
            return loss, None
        with torch.no_grad():
            return loss, self._task.count_correct(outputs.detach(), targets)

    def backward(self, micro_batch: int, gradient: Tensor | None) -> Tensor | None:
        """Add this micro-batch's gradients to the parameters'.

        Args:
            micro_batch: its number.
            gradient: of the output, from the next stage; None on the last stage.

        Returns:
            The gradient of the input, on the host; None on the first stage.
        """
        leaf, outputs = self._in_flight.pop(micro_batch)
        if outputs.requires_grad and (gradient is not None or outputs.dim() == 0):
            outputs.backward(None if gradient is None else gradient.to(self._device))
        return None if self._is_first or leaf.grad is None else leaf.grad.cpu()

    def step(self) -> Span:
        """Update the parameters, forget the gradients; return the span."""
        start = time.monotonic()
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return ("W", NO_MICRO_BATCH, start, time.monotonic())

    def state(self) -> dict[str, Any]:
        """Copy the part's state_dict to the host."""
        return cpu_state(self.part)

    def snapshot(self) -> dict[str, Any]:
        """Return part and optimizer as they are, for ``load``."""
        return part_state(self.part, self.optimizer, self._task)

    def load(self, state: dict[str, Any]) -> None:
        """Put back what ``snapshot`` gave."""
        load_part(state, self.part, self.optimizer, self._task)
