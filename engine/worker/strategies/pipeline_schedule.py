"""torch's pipeline schedules with a clock: what a stage computed when, and the step's loss on the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from engine.worker.context import RankContext
from engine.worker.precision import compile_model
from engine.worker.strategies.interface import Batch, Phases, Task
from engine.worker.strategies.pipeline_stage import NO_MICRO_BATCH, Span

__all__ = ["TimedSchedule", "make_schedule"]

_SCHEDULES: dict[str, type[ScheduleGPipe] | type[Schedule1F1B]] = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}


class _Clock:
    """Notes what runs from when to when; the time between is the schedule's: sending and waiting."""

    def __init__(self) -> None:
        self.phases: Phases | None = None
        self.spans: list[Span] = []

    @contextmanager
    def at(self, name: str, phase: str, micro_batch: int) -> Iterator[None]:
        if self.phases is not None:
            self.phases.switch(phase)
        start = time.monotonic()
        yield
        self.spans.append((name, micro_batch, start, time.monotonic()))
        if self.phases is not None:
            self.phases.switch("bubble")


class _TimedStage(PipelineStage):
    """A stage whose forward and backward passes are timed."""

    clock: _Clock

    def forward_one_chunk(self, fwd_chunk_id: int, *args: Any, **kwargs: Any) -> Any:
        with self.clock.at("F", "forward", fwd_chunk_id):
            return super().forward_one_chunk(fwd_chunk_id, *args, **kwargs)

    def backward_one_chunk(self, bwd_chunk_id: int, *args: Any, **kwargs: Any) -> Any:
        with self.clock.at("B", "backward", bwd_chunk_id):
            return super().backward_one_chunk(bwd_chunk_id, *args, **kwargs)


class _AutocastPart(nn.Module):
    """A stage's part of the model in its precision."""

    def __init__(self, part: nn.Module, task: Task, autocast: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__()
        self.part = part
        self._call = compile_model(part, task.config)
        self._autocast = autocast
        self._overwrites_input = bool(getattr(next(part.children()), "inplace", False))

    def forward(self, inputs: Tensor) -> Tensor:
        with self._autocast():
            # autograd refuses to overwrite a leaf, which is what a stage receives
            return self._call(inputs.clone() if self._overwrites_input and inputs.requires_grad else inputs)


class TimedSchedule:
    """One rank's view of the schedule.

    Args:
        stage: of this rank.
        task: what is trained.
        context: this rank.
        autocast: the precision of the loss.
    """

    def __init__(
        self,
        stage: _TimedStage,
        task: Task,
        context: RankContext,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        table = task.config.pipeline
        self._clock = stage.clock
        self._task = task
        self._autocast = autocast
        self._is_first = context.rank == 0
        self._is_last = context.rank == context.world_size - 1
        self._weight = 1.0
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._schedule = _SCHEDULES[table.schedule](
            stage, n_microbatches=table.num_micro_batches, loss_fn=self._loss, scale_grads=False
        )

    def run(self, batch: Batch | None, num_parts: int, phases: Phases) -> None:
        """Go through the schedule once: gradients are added to those that are there.

        Args:
            batch: of the first and the last stage.
            num_parts: how many such batches make a step.
            phases: the clock.
        """
        self._clock.phases = phases
        self._weight = 1.0 / (num_parts * self._task.config.pipeline.num_micro_batches)
        phases.switch("bubble")
        inputs = [batch.inputs] if self._is_first and batch is not None else []
        if self._is_last and batch is not None:
            self._schedule.step(*inputs, target=batch.targets, losses=[], return_outputs=False)
        else:
            self._schedule.step(*inputs, return_outputs=False)

    @contextmanager
    def update_span(self) -> Iterator[None]:
        """Note the optimizer's span."""
        start = time.monotonic()
        yield
        self._clock.spans.append(("W", NO_MICRO_BATCH, start, time.monotonic()))

    def take_results(self) -> tuple[Tensor | None, Tensor | None, list[Span]]:
        """Return mean loss and correct samples of the step (None but on the last stage), and the spans; forget them."""
        loss = torch.stack(self._losses).sum() if self._losses else None
        correct = torch.stack(self._correct).sum() if self._correct else None
        spans, self._clock.spans = self._clock.spans, []
        self._losses, self._correct = [], []
        return loss, correct, spans

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a micro-batch, weighted so that they add up to the step's mean; it ends a forward pass."""
        if self._clock.phases is not None:
            self._clock.phases.switch("forward")
        with self._autocast():
            loss = self._task.loss(outputs, targets) * self._weight
        self._losses.append(loss.detach())
        if self._task.count_correct is not None:
            with torch.no_grad():
                self._correct.append(self._task.count_correct(outputs.detach(), targets))
        name, micro_batch, begun, _ = self._clock.spans.pop()
        self._clock.spans.append((name, micro_batch, begun, time.monotonic()))
        if self._clock.phases is not None:
            self._clock.phases.switch("bubble")
        return loss


def make_schedule(
    part: nn.Module,
    task: Task,
    context: RankContext,
    *,
    shapes: tuple[Tensor, Tensor],
    autocast: Callable[[], AbstractContextManager[object]],
) -> TimedSchedule:
    """Make a stage of ``part`` and torch's schedule over it.

    Args:
        part: of the model, on its device.
        task: what is trained.
        context: this rank.
        shapes: an input and an output of the part for one micro-batch.
        autocast: the precision of passes and loss.
    """
    given, made = shapes
    stage = _TimedStage(
        _AutocastPart(part, task, autocast),
        context.rank,
        context.world_size,
        context.device,
        input_args=given,
        output_args=made,
    )
    stage.clock = _Clock()
    return TimedSchedule(stage, task, context, autocast)
