"""Data parallel over processes: a replica and an equal share of every batch per rank, gradients averaged each step.

S. Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.comm_hooks import HookMemory, register_comm_hook
from engine.worker.strategies.group import GroupStrategy
from engine.worker.strategies.interface import Batch, EvalSums, Phases, Saved, StepOutput
from engine.worker.strategies.replica import Replica, add_sums, cpu_state, load_buffers, set_lr, share_buffers

__all__ = ["Ddp"]

_MB = 1024 * 1024
_TORCH_BUCKET_CAP_MB = 25.0


class Ddp(GroupStrategy):
    """DistributedDataParallel, or one collective per parameter after the backward pass.

    Every rank's share of a global batch has the same size, so the mean of the ranks' gradients is the gradient of the
    global batch's mean loss.
    """

    def set_up(self) -> None:
        """See ``Strategy``."""
        self.join()
        self._engine = _find_engine()
        self._sync = self.task.config.ddp.gradient_sync
        self._ddp: DistributedDataParallel | None = None
        self._hook = HookMemory()
        self._replica = Replica(self.task, self.context.device, self._wrap)
        self.description = self._describe()

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """See ``Strategy``.

        ``comm`` is what the step waits for collectives after its own backward pass: between the last gradient of this
        rank and the end of the reduction.
        """
        if self._ddp is None:
            return self._replica.train_step(micro_batches, phases, after_backward=lambda: self._average(phases))
        return self._replica.train_step(
            micro_batches,
            phases,
            defer_sync=self._ddp.no_sync,
            before_last_backward=lambda loss: self._mark_comm(loss, phases),
        )

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:  # noqa: ARG002 (one collective, at the end)
        """See ``Strategy``."""
        share_buffers(self._replica.model)
        return add_sums(self._replica.evaluate(batches), self.sum_over_ranks)

    def set_lr(self, lr: float) -> None:
        """See ``Strategy``."""
        set_lr(self._replica.optimizer, lr)

    def has_batch_norm(self) -> bool:
        """See ``Strategy``."""
        return has_batch_norm(self._replica.model)

    def num_parameters(self) -> int:
        """See ``Strategy``."""
        return self._replica.num_parameters()

    def model_state(self) -> dict[str, Any] | None:
        """See ``Strategy``."""
        return cpu_state(self._replica.model) if self.context.rank == 0 else None

    def shared_state(self) -> dict[str, Any]:
        """See ``Strategy``: parameters and optimizer are the same on every rank."""
        return self._replica.state()

    def own_state(self) -> dict[str, Any]:
        """See ``Strategy``: buffers (BatchNorm's) and what a hook remembers differ between ranks."""
        buffers = dict(self._replica.model.named_buffers())
        return {"buffers": buffers, "hook": self._hook.state()}

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``."""
        self._replica.load(saved.shared)
        if saved.own is None:
            return
        self._hook.load(saved.own["hook"], self.context.device)
        load_buffers(self._replica.model, saved.own["buffers"])

    def rehearse(self, micro_batches: list[Batch]) -> None:
        """See ``Strategy``.

        DDP sorts its buckets anew after the first step, and with three ranks or more the place of a gradient in its
        bucket decides in which order the ranks' values are added.
        """
        if self._ddp is None:
            return
        for _ in range(2):  # the new order is taken as the second forward pass begins
            for batch in micro_batches:
                self._replica.precision.backward(self._replica.compute_loss(batch)[0])
            self._replica.optimizer.zero_grad()

    def close(self) -> None:
        """See ``Strategy``.

        DDP goes first: were its reducer the last to hold the process group, it would join gloo's threads with the GIL
        held, which such a thread needs to let go of a communication hook, and the process would hang as it ends.
        """
        self._ddp = None
        self.__dict__.pop("_replica", None)
        gc.collect()
        self.leave()

    def _wrap(self, model: nn.Module) -> nn.Module:
        if self._sync != "bucketed":
            for tensor in [*model.parameters(), *model.buffers()]:
                dist.broadcast(tensor.detach(), 0)
            return model
        device = self.context.device
        self._ddp = DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            bucket_cap_mb=self._bucket_cap_mb(model),
            gradient_as_bucket_view=True,
        )
        self._hook = register_comm_hook(self._ddp, self.task.config.ddp)
        return self._ddp

    def _bucket_cap_mb(self, model: nn.Module) -> float | None:
        """None stands for torch's own default, which also makes the first bucket small so that sending begins early."""
        ddp = self.task.config.ddp
        if self._has_one_bucket():
            num_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
            return num_bytes / _MB + 1
        return None if ddp.bucket_cap_mb == _TORCH_BUCKET_CAP_MB else ddp.bucket_cap_mb

    def _has_one_bucket(self) -> bool:
        """PowerSGD's callbacks issue collectives in racing order: on gloo more than one bucket aborts or hangs."""
        return self.task.config.ddp.comm_hook == "powersgd" and self.context.backend == "gloo"

    def _describe(self) -> str:
        ddp, ranks = self.task.config.ddp, self.describe_ranks()
        if self._sync != "bucketed":
            word = {"allreduce": "all_reduce", "allgather": "all_gather and mean"}[self._sync]
            return f"{ranks}, plain module, one {word} per parameter after the backward pass"
        hook = {"none": "", "powersgd": f", PowerSGD of rank {ddp.powersgd_rank} from step 2 on"}
        text = f"{ranks}, DistributedDataParallel{hook.get(ddp.comm_hook, f', gradients sent as {ddp.comm_hook}')}"
        if self._has_one_bucket():
            text += ", one bucket for the whole model (PowerSGD on gloo fails with more)"
        return text

    def _mark_comm(self, loss: Tensor, phases: Phases) -> None:
        """Have the engine switch to ``comm`` when all gradients of this rank are computed.

        A callback queued as the backward pass begins runs after its last node and before the one that DDP queues later,
        in which it waits for its buckets. Where torch has no such queue, the waiting stays part of ``backward``.
        """
        engine = self._engine
        if engine is not None:
            loss.register_hook(lambda _: engine.queue_callback(lambda: phases.switch("comm")))

    def _average(self, phases: Phases) -> None:
        phases.switch("comm")
        world_size = self.context.world_size
        for parameter in self._replica.model.parameters():
            gradient = parameter.grad
            if gradient is None:  # not used by this step; the same on every rank, for the graph is the same
                continue
            if self._sync == "allreduce":
                dist.all_reduce(gradient)
                gradient.div_(world_size)
            else:
                parts = [torch.empty_like(gradient) for _ in range(world_size)]
                dist.all_gather(parts, gradient)
                torch.mean(torch.stack(parts), 0, out=gradient)


def _find_engine() -> Any:
    engine = getattr(torch.autograd.Variable, "_execution_engine", None)
    return engine if hasattr(engine, "queue_callback") else None
