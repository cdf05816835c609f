"""An LSTM that reads an image row by row, or a sequence step by step: 26,602 parameters at 1x28x28 and 10 classes.

The shape of pytorch/examples' mnist_rnn. It ends in plain scores: use the loss ``cross_entropy``, which holds the
log-softmax that others put last in the model.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["PREFERRED_INPUT_SHAPE", "LastStep", "Rows", "build"]

PREFERRED_INPUT_SHAPE = (1, 28, 28)


class Rows(nn.Module):
    """Read ``[B, C, H, W]`` as ``[B, H, C * W]``: a step per row; ``[B, T, F]`` stays as it is."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``[B, T, F]``."""
        return inputs if inputs.dim() == 3 else inputs.transpose(1, 2).flatten(2)


class LastStep(nn.Module):
    """An LSTM of which only the output of the last step is used: ``[B, T, F]`` to ``[B, hidden]``."""

    def __init__(self, num_features: int, num_hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(num_features, num_hidden, batch_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        """Return ``[B, hidden]``."""
        outputs, _ = self.lstm(steps)
        return outputs[:, -1]


def build(*, input_shape: tuple[int, ...], num_classes: int, num_hidden: int = 64) -> nn.Module:
    """Make the model.

    Raises:
        ValueError: the inputs are neither images nor sequences.
    """
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"mnist_rnn takes images [C, H, W] or sequences [T, F], not inputs of shape {list(input_shape)}"
        )
    num_features = input_shape[-1] * (input_shape[0] if len(input_shape) == 3 else 1)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            rows=Rows(),
            lstm=LastStep(num_features, num_hidden),
            norm=nn.BatchNorm1d(num_hidden),
            drop1=nn.Dropout(0.25),
            fc1=nn.Linear(num_hidden, 32),
            relu=nn.ReLU(),
            drop2=nn.Dropout(0.5),
            fc2=nn.Linear(32, num_classes),
        )
    )
