"""A model on one device with its optimizer: the part of a step that is the same whoever else trains beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, inference_mode, nn

from engine.worker.precision import compile_model, make_precision, order_memory
from engine.worker.strategies.dropout import dropout_states, set_dropout_states
from engine.worker.strategies.interface import Batch, EvalSums, Phases, StepOutput, Task

__all__ = [
    "Replica",
    "add_sums",
    "cpu_state",
    "load_buffers",
    "load_part",
    "mean_loss",
    "part_state",
    "set_lr",
    "share_buffers",
]


class Replica:
    """The whole model on one device.

    Args:
        task: what is trained.
        device: where.
        wrap: makes of the plain model what is called for a forward pass (DDP, DataParallel).

    Attributes:
        model: the plain model; its names are those of the state_dict.
        optimizer: of all its parameters.
    """

    def __init__(
        self, task: Task, device: torch.device, wrap: Callable[[nn.Module], nn.Module] = lambda model: model
    ) -> None:
        self.task = task
        self.model = order_memory(task.build_model().to(device), task.config)
        self.forward = compile_model(wrap(self.model), task.config)
        self.optimizer = task.make_optimizer(self.model.parameters())
        self.precision = make_precision(task.config, device)
        self.model.train()

    def train_step(
        self,
        micro_batches: list[Batch],
        phases: Phases,
        *,
        defer_sync: Callable[[], AbstractContextManager[object]] = nullcontext,
        before_last_backward: Callable[[Tensor], None] = lambda _: None,
        after_backward: Callable[[], None] = lambda: None,
    ) -> StepOutput:
        """Forward and backward over the micro-batches, then one optimizer step.

        Args:
            micro_batches: equal parts of this device's share.
            phases: the clock.
            defer_sync: the context of every micro-batch but the last (``DDP.no_sync``).
            before_last_backward: is given the loss whose backward pass ends the step's gradients.
            after_backward: is called when this device's gradients are there.
        """
        losses, correct = [], []
        last = len(micro_batches) - 1
        for number, batch in enumerate(micro_batches):
            with nullcontext() if number == last else defer_sync():
                phases.switch("forward")
                loss, outputs = self.compute_loss(batch)
                if number == last:
                    before_last_backward(loss)
                phases.switch("backward")
                self.precision.backward(loss if last == 0 else loss / len(micro_batches))
            losses.append(loss.detach())
            correct.append((outputs.detach(), batch.targets))
        after_backward()
        phases.switch("optimizer")
        self.precision.update(self.optimizer)
        self.optimizer.zero_grad()
        phases.switch("other")
        return StepOutput(
            loss=mean_loss(losses),
            correct=self.count_correct(correct),
            num_samples=sum(len(batch.targets) for batch in micro_batches),
        )

    def compute_loss(self, batch: Batch, forward: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean loss (0-d) and the outputs ``[B, ...]`` of a batch, by another ``forward`` where given."""
        with self.precision.autocast():
            outputs = (forward or self.forward)(batch.inputs)
            return self.task.loss(outputs, batch.targets), outputs

    def evaluate(
        self, batches: Iterable[Batch], without_gradients: Callable[[], AbstractContextManager[object]] = inference_mode
    ) -> EvalSums:
        """Return the sums over this device's own ``batches``; read from the device once, at the end.

        Args:
            batches: of the split.
            without_gradients: the mode in which the model is run.
        """
        task = self.task
        names = [*(["correct"] if task.count_correct else []), *task.metrics]
        samples = 0
        sums: Tensor | None = None
        self.model.eval()
        try:
            with without_gradients(), self.precision.autocast():
                for batch in batches:
                    outputs, targets = self.model(batch.inputs), batch.targets
                    values = [task.loss(outputs, targets).float() * len(targets)]
                    counts = ([task.count_correct] if task.count_correct else []) + list(task.metrics.values())
                    values += [count(outputs, targets) for count in counts]
                    part = torch.stack([value.detach().to(torch.float64) for value in values])
                    sums = part if sums is None else sums + part
                    samples += len(targets)
        finally:
            self.model.train()
        read = [0.0] * (1 + len(names)) if sums is None else sums.tolist()
        found = dict(zip(names, read[1:], strict=True))
        correct = found.pop("correct") if task.count_correct else None
        return EvalSums(samples=samples, loss=read[0], correct=correct, metrics=found)

    def state(self) -> dict[str, Any]:
        """Return model, optimizer and scaler as they are; the tensors are not copied."""
        return {
            **part_state(self.model, self.optimizer, self.task),
            "precision": self.precision.state(),
            "dropout": dropout_states(self.model),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` gave."""
        load_part(state, self.model, self.optimizer, self.task)
        self.precision.load(state["precision"])
        set_dropout_states(self.model, state["dropout"])

    def num_parameters(self) -> int:
        """Return the number of parameters of the whole model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def count_correct(self, parts: list[tuple[Tensor, Tensor]]) -> Tensor | None:
        """Return how many samples of the ``(outputs, targets)`` are right (0-d), or None where that is not counted."""
        count = self.task.count_correct
        if count is None:
            return None
        if len(parts) == 1:
            return count(*parts[0])
        return torch.stack([count(outputs, targets) for outputs, targets in parts]).sum()


def mean_loss(losses: list[Tensor]) -> Tensor:
    """Return the mean of the losses of equal parts."""
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def part_state(part: nn.Module, optimizer: torch.optim.Optimizer | None, task: Task) -> dict[str, Any]:
    """Return what a step changes in a part of the model, its optimizer and the loss, as it is; for ``load_part``."""
    named = part.state_dict()
    return {
        "model": named,
        "loose": {name: buffer for name, buffer in part.named_buffers() if name not in named},  # not persistent
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "loss": task.loss.state_dict() if isinstance(task.loss, nn.Module) else None,
    }


def load_part(state: dict[str, Any], part: nn.Module, optimizer: torch.optim.Optimizer | None, task: Task) -> None:
    """Put back what ``part_state`` gave."""
    part.load_state_dict(state["model"])
    loose = dict(part.named_buffers())
    with torch.no_grad():
        for name, value in state["loose"].items():
            loose[name].copy_(value)
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    if isinstance(task.loss, nn.Module):
        task.loss.load_state_dict(state["loss"])


def share_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0, whose model is the one saved: running statistics differ between ranks."""
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


def load_buffers(model: nn.Module, values: dict[str, Tensor]) -> None:
    """Put back the buffers of this rank, by their names."""
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(values[name])


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def cpu_state(model: nn.Module) -> dict[str, Any]:
    """Return a copy of the state_dict on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def add_sums(sums: EvalSums, add_up: Callable[[list[float]], list[float]]) -> EvalSums:
    """Return the sums over ranks of ``sums``, which hold the same names on every rank.

    Args:
        sums: of this rank.
        add_up: adds lists of numbers up over ranks (a collective).
    """
    names = list(sums.metrics)
    has_correct = sums.correct is not None
    total = add_up([sums.samples, sums.loss, sums.correct or 0.0, *sums.metrics.values()])
    return EvalSums(
        samples=int(total[0]),
        loss=total[1],
        correct=total[2] if has_correct else None,
        metrics=dict(zip(names, total[3:], strict=True)),
    )
