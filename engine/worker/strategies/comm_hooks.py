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

__all__ = ["register_comm_hook"]

_POWERSGD_FIRST_STEP = 2
"""torch's smallest: the buckets are rebuilt after the first step, and error feedback needs their final form."""


def register_comm_hook(model: DistributedDataParallel, ddp: Ddp) -> None:
    """Register the hook that ``ddp`` names; "none" leaves DDP's own all-reduce."""
    if ddp.comm_hook == "powersgd":
        state = powerSGD_hook.PowerSGDState(
            process_group=None,
            matrix_approximation_rank=ddp.powersgd_rank,
            start_powerSGD_iter=_POWERSGD_FIRST_STEP,
        )
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    elif ddp.comm_hook != "none":
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[ddp.comm_hook]
        model.register_comm_hook(None, _compress_to(dtype))


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
