"""Data parallel in one process: replicas of the model on all its devices, one optimizer.

On CUDA that is ``nn.DataParallel``. On the CPU ``nn.DataParallel`` does nothing, so there: a replica per thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from engine.worker.strategies.interface import Batch, EvalSums, Phases, StepOutput, Strategy
from engine.worker.strategies.replica import Replica, cpu_state, set_lr
from engine.worker.strategies.threads import ThreadReplicas

__all__ = ["Dp"]


class Dp(Strategy):
    """Chooses the way by the device; see ``ThreadReplicas`` for the CPU."""

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
            return self._replica.train_step(micro_batches, phases)
        return self._threads.train_step(micro_batches, phases)

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:  # noqa: ARG002 (nobody to keep step with)
        """See ``Strategy``."""
        return self._replica.evaluate(batches)

    def set_lr(self, lr: float) -> None:
        """See ``Strategy``."""
        set_lr(self._replica.optimizer, lr)

    def num_parameters(self) -> int:
        """See ``Strategy``."""
        return self._replica.num_parameters()

    def model_state(self) -> dict[str, Any] | None:
        """See ``Strategy``."""
        return cpu_state(self._replica.model)

    def close(self) -> None:
        """See ``Strategy``."""
        threads = getattr(self, "_threads", None)
        if threads is not None:
            threads.close()


def _spread(model: nn.Module, count: int) -> nn.Module:
    return nn.DataParallel(model, device_ids=list(range(count)))
