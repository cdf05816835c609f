"""Who this rank is: read once from what torchrun and ``ddptui.start`` put in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

__all__ = ["RankContext", "read_context"]


@dataclass(frozen=True, kw_only=True)
class RankContext:
    """This process among the others, in torchrun's words.

    Attributes:
        rank, local_rank, node_rank, world_size, local_world_size, nodes: as torchrun defines them.
        device: where this rank computes.
        backend: "gloo" or "nccl".
        cores: the CPU cores this process may use.
        num_threads: intra-op threads (per replica thread for dp).
    """

    rank: int
    local_rank: int
    node_rank: int
    world_size: int
    local_world_size: int
    nodes: int
    device: torch.device
    backend: str
    cores: tuple[int, ...]
    num_threads: int


def read_context(*, device: str, backend: str, num_driver_ranks: int = 0) -> RankContext:
    """Read the context from the environment; a process started without torchrun is rank 0 of 1.

    Args:
        device: "auto", "cpu" or "cuda".
        backend: "auto", "gloo" or "nccl".
        num_driver_ranks: the first ranks, which compute nothing: they stay on the CPU, and the others on their node
            take its devices from the first on.
    """
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    node_rank = int(os.environ.get("GROUP_RANK", "0"))
    local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    is_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    device_index = local_rank - (num_driver_ranks if node_rank == 0 else 0)
    return RankContext(
        rank=rank,
        local_rank=local_rank,
        node_rank=node_rank,
        world_size=world_size,
        local_world_size=local_world_size,
        nodes=max(1, world_size // local_world_size),
        device=torch.device("cuda", device_index) if is_cuda and rank >= num_driver_ranks else torch.device("cpu"),
        backend=("nccl" if is_cuda else "gloo") if backend == "auto" else backend,
        cores=_allowed_cores(),
        num_threads=torch.get_num_threads(),
    )


def _allowed_cores() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))  # macOS has no affinity
