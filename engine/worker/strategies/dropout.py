"""Dropout with a generator of its own: threads that share torch's would draw in another order on every run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SeededDropout", "seed_dropout"]

_CHANNEL_WISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class SeededDropout(nn.Module):
    """What ``nn.Dropout`` (or its channel-wise kinds) does, from the numbers of one generator."""

    def __init__(self, probability: float, is_channel_wise: bool, generator: torch.Generator) -> None:
        super().__init__()
        self._keep = 1.0 - probability
        self._is_channel_wise = is_channel_wise
        self._generator = generator

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``inputs`` of any shape with zeros drawn in (``[N, C, ...]`` where whole channels are dropped)."""
        if not self.training or self._keep == 1.0:
            return inputs
        if self._keep == 0.0:
            return torch.zeros_like(inputs)
        shape = [*inputs.shape[:2], *(1 for _ in inputs.shape[2:])] if self._is_channel_wise else inputs.shape
        mask = inputs.new_empty(shape).bernoulli_(self._keep, generator=self._generator)
        return inputs * mask.div_(self._keep)


def seed_dropout(model: nn.Module, seed: int) -> None:
    """Replace the dropout layers of ``model`` (on the CPU) by seeded ones that share one generator.

    Dropout inside other modules (``nn.LSTM(dropout=...)``, ``F.dropout``) stays as it is.
    """
    generator = torch.Generator().manual_seed(seed)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Dropout, *_CHANNEL_WISE)):
                seeded = SeededDropout(child.p, isinstance(child, _CHANNEL_WISE), generator)
                setattr(parent, name, seeded.train(child.training))
