"""The learning rate of an epoch, worked out instead of stepped: the same on every rank and after a resume."""

from __future__ import annotations

import math

from engine.core.spec import Scheduler

__all__ = ["lr_at"]


def lr_at(scheduler: Scheduler, base_lr: float, epoch: int, num_epochs: int | None) -> float:
    """Return the learning rate of an epoch, as torch's scheduler of that name gives it when stepped after each epoch.

    A warm-up comes before it, as ``SequentialLR`` puts a ``LinearLR`` before the scheduler.

    Args:
        scheduler: of the run.
        base_lr: the rate of epoch 0, ``lr_scaling`` applied.
        epoch: from 0.
        num_epochs: planned, for ``cosine`` without ``t_max``; None where the run is not ended by epochs.

    Raises:
        ValueError: ``cosine`` with neither ``t_max`` nor a planned number of epochs.
    """
    warmup = scheduler.warmup_epochs
    if epoch < warmup:
        return base_lr * (scheduler.warmup_factor + (1 - scheduler.warmup_factor) * epoch / warmup)
    num_left = None if num_epochs is None else max(1, num_epochs - warmup)
    return _scheduled(scheduler, base_lr, epoch - warmup, num_left)


def _scheduled(scheduler: Scheduler, base_lr: float, epoch: int, num_epochs: int | None) -> float:
    if scheduler.name == "step":
        return base_lr * scheduler.gamma ** (epoch // scheduler.step_size)
    if scheduler.name == "multistep":
        return base_lr * scheduler.gamma ** sum(milestone <= epoch for milestone in scheduler.milestones)
    if scheduler.name == "exponential":
        return base_lr * scheduler.gamma**epoch
    if scheduler.name == "cosine":
        t_max = scheduler.t_max or num_epochs
        if t_max is None:
            raise ValueError("scheduler cosine needs t_max, or epochs to take it from")
        return scheduler.eta_min + (base_lr - scheduler.eta_min) * (1 + math.cos(math.pi * epoch / t_max)) / 2
    return base_lr
