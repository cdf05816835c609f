"""The baseline: one process, no process group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.interface import Batch, EvalSums, Phases, Saved, StepOutput, Strategy
from engine.worker.strategies.replica import Replica, cpu_state, set_lr

__all__ = ["Single"]


class Single(Strategy):
    """Trains as a hand-written loop does."""

    description = "one process, one device, no process group"

    def set_up(self) -> None:
        """See ``Strategy``."""
        self._replica = Replica(self.task, self.context.device)

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """See ``Strategy``."""
        return self._replica.train_step(micro_batches, phases)

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:  # noqa: ARG002 (nobody to keep step with)
        """See ``Strategy``."""
        return self._replica.evaluate(batches)

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
        return cpu_state(self._replica.model)

    def shared_state(self) -> dict[str, Any]:
        """See ``Strategy``."""
        return self._replica.state()

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``."""
        self._replica.load(saved.shared)
