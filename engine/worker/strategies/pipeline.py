"""The model in stages, one a rank, by torch.distributed.pipelining: what people use today where RPC was used before.

Rank 0 is the first stage and gets the inputs, the last rank gets the targets and knows the loss; there is no driver.
The schedules are torch's: GPipe (arXiv:1811.06965) and 1F1B (PipeDream-Flush, arXiv:2006.09503).

What differs from ``single``: the gradients are sums over micro-batches (equal up to rounding); batch norm sees the
statistics of a micro-batch; dropout draws from each stage's own random numbers. Sending and waiting for the
neighbours cannot be told apart from outside of torch's schedule: both are ``bubble``. A run that goes on from a
snapshot is cut where it was, since measured times would cut it anew, and is the undisturbed run bit for bit.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.worker.context import RankContext
from engine.worker.precision import make_precision, order_memory
from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.group import GroupStrategy
from engine.worker.strategies.interface import Batch, EvalSums, Phases, Saved, StepOutput, Task
from engine.worker.strategies.pipeline_evaluate import SumsAdder
from engine.worker.strategies.pipeline_schedule import TimedSchedule, make_schedule
from engine.worker.strategies.pipeline_split import Split, make_split, take_stage
from engine.worker.strategies.replica import add_sums, cpu_state, load_part, part_state, set_lr

__all__ = ["Pipeline"]


class Pipeline(GroupStrategy):
    """A stage of torch's pipeline; see the module."""

    role = "stage"

    def __init__(self, task: Task, context: RankContext, saved: Saved | None = None) -> None:
        super().__init__(task, context, saved)
        if task.config.precision == "fp16":
            raise ValueError(
                "strategy pipeline takes precision fp32 or bf16: the scaler of fp16 would need the gradients of all "
                "stages at once"
            )
        self._is_first = context.rank == 0
        self._is_last = context.rank == context.world_size - 1
        self._precision = make_precision(task.config, context.device)

    def set_up(self) -> None:
        """See ``Strategy``.

        Raises:
            ValueError: the model cannot be cut as the configuration says.
        """
        self.join()
        context = self.context
        told: list[Any] = [self._plan_split() if self._is_first else None]
        dist.broadcast_object_list(told, 0, device=torch.device("cpu"))
        self._stages, self.description = told[0]
        model = self.task.build_model()
        shapes = self._stage_shapes(model)
        self._part = order_memory(
            take_stage(model, self._stages[context.rank]).to(context.device), self.task.config
        ).train()
        has_parameters = any(True for _ in self._part.parameters())
        self._optimizer = self.task.make_optimizer(self._part.parameters()) if has_parameters else None
        self._schedule: TimedSchedule = make_schedule(
            self._part, self.task, context, shapes=shapes, autocast=self._precision.autocast
        )

    def data_share(self) -> tuple[int, int] | None:
        """The first stage needs the inputs and the last one the targets; those between load nothing."""
        return (0, 1) if self._is_first or self._is_last else None

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """Take one optimizer step; the last stage knows the loss and counts the samples."""
        parts = self.task.config.gradient_accumulation_steps
        for number in range(parts):
            batch = micro_batches[number] if micro_batches else None
            self._schedule.run(batch, parts, phases)
        phases.switch("optimizer")
        with self._schedule.update_span():
            if self._optimizer is not None:
                self._optimizer.step()
                self._optimizer.zero_grad(set_to_none=True)
        phases.switch("other")
        loss, correct, spans = self._schedule.take_results()
        num_samples = sum(len(batch.targets) for batch in micro_batches) if self._is_last else 0
        return StepOutput(loss=loss, correct=correct, num_samples=num_samples, spans=spans)

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:
        """Send the batches through the stages one by one; the last one adds up."""
        adder = SumsAdder(self.task)
        own = iter(batches)
        self._part.eval()
        with torch.no_grad():
            for _ in range(num_batches):
                batch = next(own, None)
                outputs = self._pass_on(batch)
                if self._is_last:
                    assert batch is not None
                    with self._precision.autocast():
                        adder.add(outputs, batch.targets)
        self._part.train()
        return add_sums(adder.sums(), self.sum_over_ranks)

    def set_lr(self, lr: float) -> None:
        """See ``Strategy``."""
        if self._optimizer is not None:
            set_lr(self._optimizer, lr)

    def model_state(self) -> dict[str, Any] | None:
        """Put the stages' parts together on rank 0, one tensor at a time, in the order of the whole model."""
        own = cpu_state(self._part)
        if not self._is_first:
            for value in own.values():
                dist.send(value.contiguous(), 0)
            return None
        whole = self.task.build_model()
        state = dict(own)
        for rank, names in enumerate(self._stages[1:], start=1):
            for name, like in take_stage(whole, names).state_dict().items():
                state[name] = torch.empty_like(like, device="cpu").contiguous()
                dist.recv(state[name], rank)
        return state

    def shared_state(self) -> dict[str, Any]:
        """See ``Strategy``: where the model was cut (measured times decide it anew), and the whole model."""
        return {"model": self.model_state(), "stages": [list(names) for names in self._stages]}

    def own_state(self) -> dict[str, Any]:
        """See ``Strategy``: a stage has its part and its optimizer."""
        return part_state(self._part, self._optimizer, self.task)

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``; with another number of stages the optimizers begin anew."""
        if saved.own is not None:
            load_part(saved.own, self._part, self._optimizer, self.task)
            return
        names = self._part.state_dict().keys()
        self._part.load_state_dict({name: saved.shared["model"][name] for name in names})

    def close(self) -> None:
        """See ``Strategy``."""
        self.__dict__.pop("_schedule", None)
        gc.collect()
        self.leave()

    def _pass_on(self, batch: Batch | None) -> Tensor:
        """Run one batch through this stage: input from the stage before, output to the next one."""
        rank, device = self.context.rank, self.context.device
        if self._is_first:
            assert batch is not None
            inputs = batch.inputs
        else:
            inputs = _receive(rank - 1).to(device)
        with self._precision.autocast():
            outputs: Tensor = self._part(inputs)
        if not self._is_last:
            _send(outputs.cpu(), rank + 1)
        return outputs

    def _plan_split(self) -> tuple[tuple[tuple[str, ...], ...], str]:
        """Cut the model; return the layers of each stage and the description."""
        table, model = self.task.config.pipeline, self.task.build_model()
        with torch.random.fork_rng():
            sample = torch.randn(self._micro_batch_size(), *self.task.input_shape).to(self.context.device)
        split: Split = make_split(
            model.to(self.context.device), sample, self._wanted_split(), self.context.world_size, table="pipeline"
        )
        words = [
            self.describe_ranks(),
            split.describe(table.num_micro_batches),
            f"torch's {table.schedule} of {table.num_micro_batches} micro-batches",
        ]
        if has_batch_norm(model):
            words.append("batch norm sees one micro-batch at a time")
        return split.stages, "; ".join(words)

    def _wanted_split(self) -> Literal["auto"] | list[str]:
        """As the configuration says; a run that goes on is cut where it was."""
        stages = self.saved.shared.get("stages") if self.saved is not None and self.saved.own is not None else None
        return self.task.config.pipeline.split if not stages else [names[0] for names in stages[1:]]

    def _micro_batch_size(self) -> int:
        return self.task.topology.local_batch_size // self.task.config.pipeline.num_micro_batches

    def _stage_shapes(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Return an input and an output of this stage for a micro-batch, found by a pass that leaves no trace.

        torch would find them itself in the first step, by passes that draw random numbers.
        """
        state = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.random.fork_rng(), torch.no_grad(), self._precision.autocast():
            inputs = outputs = torch.zeros(self._micro_batch_size(), *self.task.input_shape)
            for names in self._stages[: self.context.rank + 1]:
                inputs, outputs = outputs, take_stage(model, names)(outputs)
        model.load_state_dict(state)
        device = self.context.device
        given = inputs.to(device).requires_grad_(not self._is_first)
        return given, outputs.to(device).requires_grad_()


def _send(value: Tensor, rank: int) -> None:
    """Send a tensor whose shape the other side does not know: sizes and type first."""
    sizes = torch.zeros(10, dtype=torch.int64)
    sizes[0], sizes[1] = value.dim(), _DTYPES.index(value.dtype)
    sizes[2 : 2 + value.dim()] = torch.tensor(value.shape, dtype=torch.int64)
    dist.send(sizes, rank)
    dist.send(value.contiguous(), rank)


def _receive(rank: int) -> Tensor:
    sizes = torch.zeros(10, dtype=torch.int64)
    dist.recv(sizes, rank)
    num_dims, number, *shape = sizes.tolist()
    value = torch.empty(shape[:num_dims], dtype=_DTYPES[number])
    dist.recv(value, rank)
    return value


_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64]
