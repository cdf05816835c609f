"""Data parallel in one process: replicas of the model on all its devices, one optimizer.

On CUDA that is ``nn.DataParallel``. On the CPU ``nn.DataParallel`` does nothing, so there: a replica per thread.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.worker.strategies.interface import Batch, Phases, Saved, StepOutput
from engine.worker.strategies.replica import Replica
from engine.worker.strategies.single import Single
from engine.worker.strategies.threads import ThreadReplicas

__all__ = ["Dp"]


class Dp(Single):
    """The single process with its step spread over devices; see ``ThreadReplicas`` for the CPU."""

    def set_up(self) -> None:
        """See ``Strategy``."""
        count = self.task.topology.num_devices
        self._threads: ThreadReplicas | None = None
        if self.context.device.type == "cuda":
            self._replica = Replica(self.task, torch.device("cuda", 0), lambda model: _spread(model, count))
            self.description = f"nn.DataParallel over {count} GPUs; its exchange is part of forward and backward"
            return
        self._replica = Replica(self.task, self.context.device)
        self._threads = ThreadReplicas(self._replica, count, self.context.cores, self.context.num_threads)
        self.description = (
            f"{count} replicas of one process in threads sharing its weights (nn.DataParallel does nothing on a CPU); "
            "forward and backward last until the slowest replica, comm is adding the gradients"
        )

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """See ``Strategy``."""
        if self._threads is None:
            return super().train_step(micro_batches, phases)
        return self._threads.train_step(micro_batches, phases)

    def own_state(self) -> dict[str, Any]:
        """See ``Strategy``: every device draws its own random numbers."""
        if self._threads is not None:
            return self._threads.state()
        return {"cuda": [torch.cuda.get_rng_state(index) for index in range(self.task.topology.num_devices)]}

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``."""
        super().restore(saved)
        if saved.own is None:
            return
        if self._threads is not None:
            self._threads.load(saved.own)
            return
        for index, state in enumerate(saved.own["cuda"]):
            torch.cuda.set_rng_state(state, index)

    def close(self) -> None:
        """See ``Strategy``."""
        threads = getattr(self, "_threads", None)
        if threads is not None:
            threads.close()


def _spread(model: nn.Module, count: int) -> nn.Module:
    return nn.DataParallel(model, device_ids=list(range(count)))
