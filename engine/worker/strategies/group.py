"""What strategies of one process group have in common: joining it, the few words ranks agree with, leaving it."""

from __future__ import annotations

from contextlib import suppress

import torch
import torch.distributed as dist

from engine.worker.strategies.interface import Strategy

__all__ = ["GroupStrategy"]


class GroupStrategy(Strategy):
    """A strategy whose ranks are one process group, each with an equal share of every global batch."""

    def join(self) -> None:
        """Join by torchrun's environment, or use a process group that is there already.

        Beside nccl there is gloo for the few words on the CPU that ranks agree with.
        """
        context = self.context
        self.reports = context.rank == 0
        if dist.is_initialized():
            return
        is_nccl = context.backend == "nccl"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if is_nccl else context.backend,
            rank=context.rank,
            world_size=context.world_size,
            device_id=context.device if is_nccl else None,
        )

    def data_share(self) -> tuple[int, int] | None:
        """See ``Strategy``."""
        return self.context.rank, self.context.world_size

    def sum_over_ranks(self, values: list[float]) -> list[float]:
        """See ``Strategy``."""
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def from_leader(self, value: float) -> float:
        """See ``Strategy``."""
        word = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(word, 0)
        return word.item()

    def agree(self, word: float, is_asked: bool) -> tuple[float, bool]:
        """See ``Strategy``; one collective for both."""
        word, num_asked = self.sum_over_ranks([word if self.context.rank == 0 else 0.0, float(is_asked)])
        return word, num_asked > 0

    def describe_ranks(self) -> str:
        """How many ranks there are and what joins them."""
        world_size = self.context.world_size
        return f"{world_size} rank{'s' if world_size > 1 else ''} over {self.context.backend}"

    def leave(self) -> None:
        """Leave the process group; never raises."""
        if dist.is_initialized():
            with suppress(Exception):  # the training is over; a peer that left in haste is no reason to fail
                dist.destroy_process_group()
