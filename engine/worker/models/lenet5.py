"""LeNet-5 as commonly trained on CIFAR-10: average pooling and ReLU, 62,006 parameters at 3x32x32 and 10 classes.

After Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from engine.worker.models.shapes import require_image

__all__ = ["PREFERRED_INPUT_SHAPE", "build"]

PREFERRED_INPUT_SHAPE = (3, 32, 32)
_SMALLEST = 32


def build(*, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Make the model.

    Raises:
        ValueError: the inputs are no images, or smaller than 32x32.
    """
    channels, height, width = require_image("lenet5", input_shape, _SMALLEST)
    rows, columns = (((size - 4) // 2 - 4) // 2 - 4 for size in (height, width))
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.AvgPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            conv3=nn.Conv2d(16, 120, 5),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(120 * rows * columns, 84),
            relu4=nn.ReLU(),
            fc2=nn.Linear(84, num_classes),
        )
    )
