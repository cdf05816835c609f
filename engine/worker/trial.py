"""Try out what a run needs before it is queued: its data loads, its model is made, and one training step works."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import InputError
from engine.core.spec import RunSpec
from engine.worker.batches import Batches
from engine.worker.context import RankContext
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.measures import LOSSES
from engine.worker.own_code import describe_error, project_on_path
from engine.worker.strategies.interface import Batch, Task
from engine.worker.strategies.replica import Replica

__all__ = ["Trial", "try_step"]

_MAX_STEPS = 7
_BUDGET_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one training step told.

    Attributes:
        num_parameters: of the whole model.
        layers: the names of its children, in order.
        is_sequential: whether they run one after the other, nothing between.
        step_s: median seconds of a step, data included.
    """

    num_parameters: int
    layers: tuple[str, ...]
    is_sequential: bool
    step_s: float


class _NoPhases:
    def switch(self, phase: str) -> None:
        """Measure nothing."""


def try_step(spec: RunSpec, bundle: DatasetBundle, task: Task, context: RankContext) -> Trial:
    """Take a few training steps on one device's share of a global batch, without compilation, and time them.

    Raises:
        InputError: the model cannot be made, does not take the data, or its outputs do not suit the loss.
    """
    batch_size = task.topology.local_batch_size * task.config.gradient_accumulation_steps
    if batch_size > len(bundle.train):
        raise InputError(
            f"one step of one device takes {batch_size} samples, and there are {len(bundle.train)} to train on"
        )
    plain = replace(task, config=task.config.model_copy(update={"compile": False}))
    replica = Replica(plain, context.device)
    batches = Batches(
        bundle,
        bundle.train,
        device=context.device,
        augmentations=task.config.augmentations,
        channels_last=task.config.channels_last,
    )
    generator = torch.Generator().manual_seed(0)
    parts = np.arange(batch_size).reshape(task.config.gradient_accumulation_steps, -1)
    with project_on_path(spec.project_dir):
        _check_forward(spec, bundle, replica, batches.get(parts[0], generator))
        times: list[float] = []
        while len(times) < 2 or (len(times) < _MAX_STEPS and sum(times) < _BUDGET_S):
            times.append(_time_step(spec, replica, batches, parts, generator))
    layers = tuple(name for name, _ in replica.model.named_children())
    return Trial(
        num_parameters=replica.num_parameters(),
        layers=layers,
        is_sequential=isinstance(replica.model, torch.nn.Sequential),
        step_s=statistics.median(times[1:]),  # the first one sets memory and kernels up
    )


def _check_forward(spec: RunSpec, bundle: DatasetBundle, replica: Replica, batch: Batch) -> None:
    """Call the model once in eval mode, so that a misfit is told from a fault of training."""
    name, shape, precision = spec.config.model, list(bundle.input_shape), spec.config.precision
    replica.model.eval()
    try:
        with torch.inference_mode(), replica.precision.autocast():
            outputs = replica.model(batch.inputs)
    except Exception as error:
        message = describe_error(error, spec.project_dir)
        raise InputError(
            f"model {name} does not take inputs of shape {shape} ({spec.config.dataset}, {precision}): {message}"
        ) from error
    finally:
        replica.model.train()
    _check_outputs(spec, bundle, outputs, len(batch.targets))


def _check_outputs(spec: RunSpec, bundle: DatasetBundle, outputs: Tensor, num_samples: int) -> None:
    """Find too few outputs here: as a wrong class number on a GPU they would abort the process."""
    name = spec.config.model
    if not isinstance(outputs, Tensor):
        raise InputError(f"model {name} must return one tensor [B, ...], not {type(outputs).__name__}")
    if outputs.shape[:1] != (num_samples,):
        raise InputError(
            f"model {name} turns a batch of {num_samples} into outputs of shape {list(outputs.shape)}; "
            "the first dimension must be the batch"
        )
    counts_classes = spec.config.loss in LOSSES
    if counts_classes and (outputs.dim() != 2 or outputs.shape[1] < bundle.num_classes):
        raise InputError(
            f"model {name} returns {list(outputs.shape[1:])} values a sample, "
            f"but {spec.config.dataset} has {bundle.num_classes} classes"
        )


def _time_step(
    spec: RunSpec, replica: Replica, batches: Batches, parts: NDArray[np.int64], generator: torch.Generator
) -> float:
    begun_s = time.perf_counter()
    try:
        replica.train_step([batches.get(part, generator) for part in parts], _NoPhases())
    except Exception as error:
        message = describe_error(error, spec.project_dir)
        raise InputError(f"a training step of {spec.config.model} on {spec.config.dataset} fails: {message}") from error
    if batches.device.type == "cuda":
        torch.cuda.synchronize(batches.device)
    return time.perf_counter() - begun_s
