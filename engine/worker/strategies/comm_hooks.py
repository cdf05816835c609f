"""What DDP does with a bucket of gradients: the communication hooks that ``ddp.comm_hook`` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from engine.core.spec import Ddp
from engine.worker.random_state import pack_numpy_state, unpack_numpy_state

__all__ = ["HookMemory", "register_comm_hook"]

_POWERSGD_FIRST_STEP = 2
"""torch's smallest: the buckets are rebuilt after the first step, and error feedback needs their final form."""


class HookMemory:
    """What a communication hook remembers from step to step: nothing but for PowerSGD.

    Args:
        powersgd: its state.
    """

    _NAMES = ("error_dict", "p_memory_dict", "q_memory_dict")

    def __init__(self, powersgd: powerSGD_hook.PowerSGDState | None = None) -> None:
        self._powersgd = powersgd

    def state(self) -> dict[str, Any]:
        """Return it for a snapshot."""
        if self._powersgd is None:
            return {}
        memory: dict[str, Any] = {name: dict(getattr(self._powersgd, name)) for name in self._NAMES}
        return {**memory, "iter": self._powersgd.iter, "rng": pack_numpy_state(self._powersgd.rng.get_state())}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Put it back.

        Args:
            state: of ``state``, its tensors anywhere.
            device: of the gradients.
        """
        if self._powersgd is None:
            return
        for memory in self._NAMES:
            setattr(self._powersgd, memory, {bucket: tensor.to(device) for bucket, tensor in state[memory].items()})
        self._powersgd.iter = state["iter"]
        self._powersgd.rng.set_state(unpack_numpy_state(state["rng"]))


def register_comm_hook(model: DistributedDataParallel, ddp: Ddp) -> HookMemory:
    """Register the hook that ``ddp`` names; "none" leaves DDP's own all-reduce. Return what it remembers."""
    if ddp.comm_hook == "powersgd":
        state = powerSGD_hook.PowerSGDState(
            process_group=None,
            matrix_approximation_rank=ddp.powersgd_rank,
            start_powerSGD_iter=_POWERSGD_FIRST_STEP,
        )
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
        return HookMemory(state)
    if ddp.comm_hook != "none":
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[ddp.comm_hook]
        model.register_comm_hook(None, _compress_to(dtype))
    return HookMemory()


def _compress_to(dtype: torch.dtype) -> Callable[[Any, GradBucket], Future[Tensor]]:
    """Return a hook that sends gradients as ``dtype``. Our own: CPU builds of torch refuse its bf16 hook by name."""

    def average(state: Any, bucket: GradBucket) -> Future[Tensor]:  # noqa: ARG001 (DDP's signature)
        gradients = bucket.buffer()
        small = gradients.to(dtype).div_(dist.get_world_size())
        future = dist.all_reduce(small, async_op=True).get_future()
        return future.then(lambda done: gradients.copy_(done.value()[0]))

    # DDP checks the annotations, and postponed ones are strings to it.
    average.__annotations__ = {"bucket": GradBucket, "return": Future[Tensor]}
    return average
