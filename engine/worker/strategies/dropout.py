"""Dropout with a generator of its own: threads that share torch's would draw in another order on every run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SeededDropout", "dropout_states", "seed_dropout", "set_dropout_states"]

_CHANNEL_WISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class SeededDropout(nn.Module):
    """What ``nn.Dropout`` (or its channel-wise kinds) does, from the numbers of one generator."""

    def __init__(self, probability: float, is_channel_wise: bool, generator: torch.Generator) -> None:
        super().__init__()
        self._keep = 1.0 - probability
        self._is_channel_wise = is_channel_wise
        self._generator = generator

    @property
    def generator(self) -> torch.Generator:
        """Where the numbers come from; shared by the layers of a model."""
        return self._generator

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


def dropout_states(model: nn.Module) -> list[Tensor]:
    """Return the state of the generator of each seeded dropout layer, in the order of the layers."""
    return [module.generator.get_state() for module in model.modules() if isinstance(module, SeededDropout)]


def set_dropout_states(model: nn.Module, states: list[Tensor]) -> None:
    """Put back what ``dropout_states`` gave."""
    layers = [module for module in model.modules() if isinstance(module, SeededDropout)]
    for layer, state in zip(layers, states, strict=True):
        layer.generator.set_state(state)
