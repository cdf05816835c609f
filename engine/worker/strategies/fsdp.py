"""Fully sharded data parallel: each rank holds a shard of the parameters, gradients and optimizer state.

torch's ``fully_shard`` (FSDP2): the children that have parameters are gathered for their forward and backward pass and
forgotten after it, so memory falls with the number of ranks and the network carries half as much again as in DDP.
S. Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", SC 2020; Y. Zhao et al.,
"PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023.

A rank waits for others inside its forward pass (gathering) and its backward pass (gathering and reducing), so its
exposed communication is a part of these two phases and is not measured apart.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.dropout import dropout_states, set_dropout_states
from engine.worker.strategies.group import GroupStrategy
from engine.worker.strategies.interface import Batch, EvalSums, Phases, Saved, StepOutput
from engine.worker.strategies.replica import Replica, add_sums, load_buffers, set_lr, share_buffers

__all__ = ["Fsdp"]


class Fsdp(GroupStrategy):
    """``fully_shard`` over all ranks, child by child."""

    def set_up(self) -> None:
        """See ``Strategy``."""
        self.join()
        self._mesh: DeviceMesh = init_device_mesh(self.context.device.type, (self.context.world_size,))
        self._num_parameters = 0
        self._replica = Replica(self.task, self.context.device, self._wrap)
        self.description = self._describe()

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """See ``Strategy``."""
        return self._replica.train_step(micro_batches, phases, defer_sync=self._defer_sync)

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:
        """See ``Strategy``; a rank with fewer batches joins in gathering the parameters until the last is done."""
        model = self._replica.model
        share_buffers(model)
        counted = _Counted(batches)
        sums = self._replica.evaluate(counted, torch.no_grad)  # inference mode would leave tensors unfit for training
        model.eval()
        with torch.no_grad(), self._replica.precision.autocast():
            for _ in range(num_batches - counted.num_seen):
                model(torch.zeros(1, *self.task.input_shape, device=self.context.device))
        model.train()
        return add_sums(sums, self.sum_over_ranks)

    def set_lr(self, lr: float) -> None:
        """See ``Strategy``."""
        set_lr(self._replica.optimizer, lr)

    def has_batch_norm(self) -> bool:
        """See ``Strategy``."""
        return has_batch_norm(self._replica.model)

    def num_parameters(self) -> int:
        """See ``Strategy``."""
        return self._num_parameters

    def model_state(self) -> dict[str, Any] | None:
        """See ``Strategy``: gathered one tensor at a time."""
        state = {name: _whole(value).detach().cpu().clone() for name, value in self._replica.model.state_dict().items()}
        return state if self.context.rank == 0 else None

    def shared_state(self) -> dict[str, Any]:
        """See ``Strategy``: the whole model, for another number of ranks."""
        return {"model": self.model_state()}

    def own_state(self) -> dict[str, Any]:
        """See ``Strategy``: a rank has its shards of the parameters and the optimizer, and its own buffers."""
        replica = self._replica
        loss = self.task.loss
        return {
            "parameters": {name: _local(value) for name, value in replica.model.named_parameters()},
            "buffers": dict(replica.model.named_buffers()),
            "optimizer": _map_tensors(replica.optimizer.state_dict(), _local),
            "precision": replica.precision.state(),
            "dropout": dropout_states(replica.model),
            "loss": loss.state_dict() if isinstance(loss, nn.Module) else None,
        }

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``; with another number of ranks the optimizer begins anew."""
        replica = self._replica
        if saved.own is None:
            self._load_whole(saved.shared["model"])
            return
        own = saved.own
        with torch.no_grad():
            for name, parameter in replica.model.named_parameters():
                _local(parameter).copy_(own["parameters"][name])
        load_buffers(replica.model, own["buffers"])
        replica.optimizer.load_state_dict(self._shard_again(own["optimizer"]))
        replica.precision.load(own["precision"])
        set_dropout_states(replica.model, own["dropout"])
        if isinstance(self.task.loss, nn.Module):
            self.task.loss.load_state_dict(own["loss"])

    def close(self) -> None:
        """See ``Strategy``."""
        self.__dict__.pop("_replica", None)
        gc.collect()
        self.leave()

    def _wrap(self, model: nn.Module) -> nn.Module:
        self._num_parameters = sum(parameter.numel() for parameter in model.parameters())
        reshard = self.task.config.fsdp.reshard_after_forward
        if self.task.config.fsdp.shard == "children":
            for child in model.children():
                if any(True for _ in child.parameters()):
                    fully_shard(child, mesh=self._mesh, reshard_after_forward=reshard)
        fully_shard(model, mesh=self._mesh, reshard_after_forward=reshard)
        return model

    @contextmanager
    def _defer_sync(self) -> Iterator[None]:
        """Add gradients up without reducing them, as all micro-batches of a step but the last do."""
        model = self._replica.model
        assert isinstance(model, FSDPModule)
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)

    def _load_whole(self, state: dict[str, Tensor]) -> None:
        values = dict(self._replica.model.named_parameters()) | dict(self._replica.model.named_buffers())
        with torch.no_grad():
            for name, value in state.items():
                target = values[name]
                if isinstance(target, DTensor):
                    shards = _shard_like(value.to(self.context.device), target)
                    _local(target).copy_(shards)
                else:
                    target.copy_(value)

    def _shard_again(self, state: dict[str, Any]) -> dict[str, Any]:
        """Make shards of the optimizer's tensors that are as large as this rank's shard of their parameter."""
        parameters = [parameter for group in self._replica.optimizer.param_groups for parameter in group["params"]]
        return {
            **state,
            "state": {
                number: {key: _as_shard(value, parameters[number]) for key, value in values.items()}
                for number, values in state["state"].items()
            },
        }

    def _describe(self) -> str:
        fsdp = self.task.config.fsdp
        what = "each child of the model by itself" if fsdp.shard == "children" else "the model as a whole"
        kept = "gathered again for the backward pass" if fsdp.reshard_after_forward else "kept until the backward pass"
        return (
            f"{self.describe_ranks()}, fully_shard over {what}, parameters {kept}; "
            "waits for other ranks are part of forward and backward"
        )


class _Counted:
    """Batches that know how many of them were taken."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self.num_seen = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.num_seen += 1
            yield batch


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def _as_shard(value: Any, parameter: Tensor) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.dim() == 0:
        return value
    return DTensor.from_local(
        value.to(parameter.device),
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def _shard_like(whole: Tensor, parameter: DTensor) -> Tensor:
    """Return this rank's part of ``whole``: dim 0 in chunks as ``fully_shard`` cuts it (the last ones may be empty)."""
    mesh = parameter.device_mesh
    chunks = whole.chunk(mesh.size(), dim=0)
    rank = mesh.get_local_rank()
    return chunks[rank] if rank < len(chunks) else whole[:0]


def _map_tensors(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_tensors(item, change) for key, item in value.items()}
    return [_map_tensors(item, change) for item in value] if isinstance(value, list) else value
