"""What a rank says of itself and of the run as it begins: the fields of ``run_start``."""

from __future__ import annotations

import os
import socket
from typing import Any

import torch

from engine.worker.context import RankContext
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.strategies.interface import Strategy, Task
from engine.worker.usage import process_age_s

__all__ = ["describe_start"]


def describe_start(
    task: Task,
    context: RankContext,
    bundle: DatasetBundle,
    strategy: Strategy,
    num_steps: tuple[int, int | None],
) -> dict[str, Any]:
    """Return the fields of ``run_start``.

    Args:
        task: what is trained.
        context: this rank.
        bundle: its data.
        strategy: set up already.
        num_steps: of an epoch and of the whole run, None where only the clock ends it.
    """
    topology = task.topology
    return {
        **_describe_rank(context),
        "role": strategy.role,
        "strategy": task.config.strategy,
        "description": _description(task, strategy),
        "num_parameters": strategy.num_parameters(),
        "batch_norm_samples": _batch_norm_samples(task, strategy),
        "train_samples": len(bundle.train),
        "validation_samples": 0 if bundle.validation is None else len(bundle.validation),
        "test_samples": len(bundle.test),
        "num_classes": bundle.num_classes,
        "input_shape": list(task.input_shape),
        "num_devices": topology.num_devices,
        "global_batch_size": topology.global_batch_size,
        "local_batch_size": topology.local_batch_size,
        "steps_per_epoch": num_steps[0],
        "num_steps": num_steps[1],
        "num_epochs": task.config.epochs,
        "lr": topology.lr,
        "seed": task.config.seed,
        "data_note": bundle.note,
        "startup_s": process_age_s(),
    }


def _batch_norm_samples(task: Task, strategy: Strategy) -> int | None:
    """Over how many samples batch norm takes its statistics; None where the model has none."""
    config = task.config
    micro = {"pipeline": config.pipeline.num_micro_batches, "rpc_pipeline": config.rpc_pipeline.num_micro_batches}
    num_parts = micro.get(config.strategy, 1)
    return task.topology.local_batch_size // num_parts if strategy.has_batch_norm() else None


def _description(task: Task, strategy: Strategy) -> str:
    """What the strategy does here, and what was made otherwise than usual on purpose."""
    config = task.config
    partition = "" if config.partition == "disjoint" else f"partition {config.partition}"
    slow = "" if config.slow is None else config.slow.words
    return "; ".join(part for part in (strategy.description, partition, slow) if part)


def _describe_rank(context: RankContext) -> dict[str, Any]:
    is_cuda = context.device.type == "cuda"
    return {
        "world_size": context.world_size,
        "local_rank": context.local_rank,
        "node_rank": context.node_rank,
        "nodes": context.nodes,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": torch.cuda.get_device_name(context.device) if is_cuda else "cpu",
        "backend": context.backend,
        "torch": torch.__version__,
        "num_threads": context.num_threads,
        "cores": list(context.cores),
    }
