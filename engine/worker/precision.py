"""Number format, memory format and compilation of a model, in one place for all strategies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.spec import RunConfig

__all__ = ["FullPrecision", "MixedPrecision", "compile_model", "make_precision", "order_memory"]


class FullPrecision:
    """fp32: nothing is added to what a hand-written loop does."""

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward pass and loss are computed."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Compute gradients of ``loss`` (0-d)."""
        loss.backward()

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the optimizer step."""
        optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return what a snapshot must hold."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` gave."""


class MixedPrecision:
    """Forward pass and loss under autocast; fp16 with loss scaling, since its small gradients vanish otherwise.

    Args:
        device_type: "cpu" or "cuda".
        dtype: of the matrix products and convolutions; weights stay fp32.
    """

    def __init__(self, device_type: str, dtype: torch.dtype) -> None:
        self._device_type = device_type
        self._dtype = dtype
        self._scaler = torch.amp.GradScaler(device_type, enabled=dtype is torch.float16)

    def autocast(self) -> AbstractContextManager[object]:
        """See ``FullPrecision``."""
        return torch.autocast(self._device_type, dtype=self._dtype)

    def backward(self, loss: Tensor) -> None:
        """See ``FullPrecision``."""
        self._scaler.scale(loss).backward()

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """See ``FullPrecision``; a step whose scaled gradients overflow is left out, as GradScaler does."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """See ``FullPrecision``."""
        return self._scaler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """See ``FullPrecision``."""
        if state:
            self._scaler.load_state_dict(state)


def make_precision(config: RunConfig, device: torch.device) -> FullPrecision | MixedPrecision:
    """Return what ``precision`` names for this device."""
    if config.precision == "fp32":
        return FullPrecision()
    return MixedPrecision(device.type, {"bf16": torch.bfloat16, "fp16": torch.float16}[config.precision])


def order_memory(model: nn.Module, config: RunConfig) -> nn.Module:
    """Return ``model`` with its 4-d weights in channels-last order where ``channels_last`` asks for it."""
    if not config.channels_last:
        return model
    move: Any = model.to  # torch's releases disagree on whether their stubs know this argument
    return move(memory_format=torch.channels_last)


def compile_model(model: nn.Module, config: RunConfig) -> Callable[[Tensor], Tensor]:
    """Return what is called for a forward pass: ``model``, compiled where ``compile`` asks for it."""
    return torch.compile(model) if config.compile else model
