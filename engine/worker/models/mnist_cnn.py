"""Two convolutions and two linear layers, 51,902 parameters at 1x28x28 and 10 classes."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from engine.worker.models.shapes import require_image

__all__ = ["PREFERRED_INPUT_SHAPE", "build"]

PREFERRED_INPUT_SHAPE = (1, 28, 28)
_SMALLEST = 12


def build(*, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Make the model.

    Raises:
        ValueError: the inputs are no images, or smaller than 12x12.
    """
    channels, height, width = require_image("mnist_cnn", input_shape, _SMALLEST)
    rows, columns = ((size // 2 - 4) // 2 for size in (height, width))
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * rows * columns, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, num_classes),
        )
    )
