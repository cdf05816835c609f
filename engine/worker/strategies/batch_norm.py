"""Whether a model's outputs for one sample depend on the others beside it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["has_batch_norm"]


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether the model takes statistics over the samples that it is given at a time, on each rank apart."""
    return any(isinstance(m, _BatchNorm) and not isinstance(m, nn.SyncBatchNorm) for m in model.modules())
