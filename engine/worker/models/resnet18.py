"""torchvision's ResNet-18 (He et al., https://arxiv.org/abs/1512.03385) as a sequence, with its parameter names.

11,227,812 parameters at three channels and 100 classes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from engine.worker.models.shapes import require_image
from engine.worker.vision import import_torchvision

__all__ = ["HEAD", "PREFERRED_INPUT_SHAPE", "TORCHVISION_WEIGHTS", "build"]

PREFERRED_INPUT_SHAPE = (3, 64, 64)
"""What made-up data has where nothing else is said: any size will do, and 224 takes twelve times as long."""

HEAD = ("fc",)
"""How the layers are called that begin anew where given weights do not hold or fit them."""

TORCHVISION_WEIGHTS = "ResNet18_Weights"


def build(*, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Make the model.

    Raises:
        ValueError: the inputs are no images.
        InputError: torchvision does not work.
    """
    channels, _, _ = require_image("resnet18", input_shape, 1)
    made: Any = import_torchvision("models", "model resnet18").resnet18(weights=None, num_classes=num_classes)
    if channels != 3:
        made.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(made.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's
    made.relu = nn.ReLU()  # torchvision's works in place, which a pipeline's cut before it would not stand
    layers = OrderedDict[str, nn.Module](made.named_children())
    fc = layers.pop("fc")
    return nn.Sequential(OrderedDict[str, nn.Module]([*layers.items(), ("flatten", nn.Flatten()), ("fc", fc)]))
