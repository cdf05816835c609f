"""The features of VGG-19 (Simonyan and Zisserman, https://arxiv.org/abs/1409.1556) with a classifier of 4096 and 2048.

131,220,564 parameters at three channels and 20 classes. Every layer is trained.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from engine.worker.models.shapes import require_image

__all__ = ["HEAD", "PREFERRED_INPUT_SHAPE", "TORCHVISION_WEIGHTS", "build", "rename_weights"]

PREFERRED_INPUT_SHAPE = (3, 64, 64)
"""What made-up data has where nothing else is said: any size from 32 on will do, and 224 takes twelve times as long."""

HEAD = ("fc",)
"""How the layers are called that begin anew where given weights do not hold or fit them."""

TORCHVISION_WEIGHTS = "VGG19_Weights"

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions before each pooling."""
_SMALLEST = 32
_POOLED = 7


def build(
    *, input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (4096, 2048), dropout: float = 0.7
) -> nn.Module:
    """Make the model.

    Args:
        input_shape: of one sample.
        num_classes: outputs.
        hidden: widths of the classifier's hidden layers.
        dropout: after each of them.

    Raises:
        ValueError: the inputs are no images, or smaller than 32x32, or an argument is out of its range.
    """
    channels, _, _ = require_image("vgg19", input_shape, _SMALLEST)
    if not all(isinstance(width, int) and width > 0 for width in hidden):
        raise ValueError(f"vgg19: hidden must be a list of positive integers, not {list(hidden)}")
    layers = _features(channels)
    layers["pool"] = nn.AdaptiveAvgPool2d(_POOLED)
    layers["flatten"] = nn.Flatten()
    widths = [_BLOCKS[-1][0] * _POOLED**2, *hidden]
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        layers[f"fc{number}"] = nn.Linear(before, after)
        layers[f"fc{number}_relu"] = nn.ReLU()
        layers[f"fc{number}_drop"] = nn.Dropout(dropout)
    layers[f"fc{len(widths)}"] = nn.Linear(widths[-1], num_classes)
    return nn.Sequential(layers)


def _features(channels: int) -> OrderedDict[str, nn.Module]:
    layers = OrderedDict[str, nn.Module]()
    for block, (width, num_convolutions) in enumerate(_BLOCKS, start=1):
        for number in range(1, num_convolutions + 1):
            convolution = nn.Conv2d(channels, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers[f"conv{block}_{number}"] = convolution
            layers[f"relu{block}_{number}"] = nn.ReLU()
            channels = width
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    return layers


def rename_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's ``features.0.weight`` and so on under the names here; its classifier is left out."""
    names = list(_features(3))
    renamed = {}
    for key, value in state.items():
        known = re.fullmatch(r"features\.(\d+)\.(weight|bias)", key)
        if known and int(known[1]) < len(names):
            renamed[f"{names[int(known[1])]}.{known[2]}"] = value
        elif not key.startswith("classifier."):
            renamed[key] = value
    return renamed
