"""How a configuration spreads over ranks, devices and batches: arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.plan_catalog import StrategyTraits
from engine.core.spec import RunConfig

__all__ = ["Topology", "make_topology"]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The sizes of one run.

    ``global_batch_size = local_batch_size * num_data_parallel * gradient_accumulation_steps``. Of a user's script only
    the ranks are known (``knows_batch`` is false): batches and learning rate are 0.
    """

    world_size: int
    nodes: int
    num_devices: int
    num_data_parallel: int
    global_batch_size: int
    local_batch_size: int
    lr: float

    @property
    def knows_batch(self) -> bool:
        """Whether the batch sizes and the learning rate are known."""
        return self.global_batch_size > 0


def make_topology(config: RunConfig, traits: StrategyTraits, *, num_gpus: int = 0) -> Topology:
    """Work out the sizes.

    Args:
        config: with ``world_size`` or ``dp.num_replicas`` perhaps "gpu".
        traits: of ``config.strategy``.
        num_gpus: what "gpu" stands for; 0 where it is not known yet (then 1 is used).

    Raises:
        ValueError: the sizes contradict each other; the message names the keys as the user typed them.
    """
    world_size = max(num_gpus, 1) if config.world_size == "gpu" else config.world_size
    num_devices = _num_devices(config, traits, world_size, num_gpus)
    _check_ranks(config, traits, world_size, num_devices)
    num_data_parallel = num_devices if traits.is_data_parallel else 1
    global_batch_size, local_batch_size = _batch_sizes(config, num_data_parallel)
    _check_micro_batches(config, world_size, local_batch_size)
    factor = {"none": 1.0, "linear": float(num_data_parallel), "sqrt": num_data_parallel**0.5}[config.lr_scaling]
    return Topology(
        world_size=world_size,
        nodes=config.nodes,
        num_devices=num_devices,
        num_data_parallel=num_data_parallel,
        global_batch_size=global_batch_size,
        local_batch_size=local_batch_size,
        lr=config.optimizer.lr * factor if config.optimizer is not None else 0.0,
    )


def _num_devices(config: RunConfig, traits: StrategyTraits, world_size: int, num_gpus: int) -> int:
    if not traits.devices_from:
        return world_size - traits.num_driver_ranks
    value: Any = config
    for part in traits.devices_from.split("."):
        value = getattr(value, part)
    return max(num_gpus, 1) if value == "gpu" else int(value)


def _check_ranks(config: RunConfig, traits: StrategyTraits, world_size: int, num_devices: int) -> None:
    name = config.strategy
    if traits.is_one_process and (world_size != 1 or config.nodes != 1):
        raise ValueError(
            f"strategy {name} is one process: world_size and nodes must be 1, not {world_size} and {config.nodes}"
        )
    if traits.num_driver_ranks and world_size != num_devices + traits.num_driver_ranks:
        raise ValueError(
            f"strategy {name} with {traits.devices_from} = {num_devices} needs "
            f"world_size = {num_devices + traits.num_driver_ranks} "
            f"(the stages and {traits.num_driver_ranks} driver), not {world_size}"
        )
    if world_size < traits.min_ranks:
        raise ValueError(f"strategy {name} needs world_size >= {traits.min_ranks}, not {world_size}")
    if config.nodes > world_size or world_size % config.nodes:
        raise ValueError(f"world_size {world_size} cannot be shared evenly by {config.nodes} nodes")
    if config.slow is not None and config.slow.rank >= world_size:
        raise ValueError(f"slow.rank {config.slow.rank} does not exist: world_size is {world_size}")


def _check_micro_batches(config: RunConfig, world_size: int, local_batch_size: int) -> None:
    """The buffers that torch.distributed.pipelining sends from have one shape for all micro-batches."""
    if config.strategy != "pipeline":
        return
    number = config.pipeline.num_micro_batches
    if local_batch_size % number:
        given = "global_batch_size" if config.local_batch_size is None else "local_batch_size"
        raise ValueError(
            f"pipeline.num_micro_batches {number} does not divide {given}: the {local_batch_size} samples of a step's "
            "pass must be equal parts"
        )
    if config.pipeline.schedule == "1f1b" and number < world_size:
        raise ValueError(
            f"pipeline.schedule 1f1b needs at least as many micro-batches as stages: pipeline.num_micro_batches "
            f"{number} is less than world_size {world_size}"
        )


def _batch_sizes(config: RunConfig, num_data_parallel: int) -> tuple[int, int]:
    share = num_data_parallel * config.gradient_accumulation_steps
    if config.local_batch_size is not None:
        return config.local_batch_size * share, config.local_batch_size
    if config.script is not None:
        return 0, 0
    assert config.global_batch_size is not None
    if config.global_batch_size % share:
        raise ValueError(
            f"global_batch_size {config.global_batch_size} cannot be divided by {num_data_parallel} devices x "
            f"{config.gradient_accumulation_steps} accumulation steps; use a multiple of {share}"
        )
    return config.global_batch_size, config.global_batch_size // share
