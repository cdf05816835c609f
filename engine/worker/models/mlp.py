"""Fully connected layers with ReLU between them, over inputs of any shape."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

__all__ = ["PREFERRED_INPUT_SHAPE", "build"]

PREFERRED_INPUT_SHAPE = None


def build(*, input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (512, 512)) -> nn.Module:
    """Make the model.

    Args:
        input_shape: of one sample; it is flattened.
        num_classes: outputs.
        hidden: width of each hidden layer; none for a linear model.

    Raises:
        ValueError: a width is not a positive integer.
    """
    if not all(isinstance(width, int) and width > 0 for width in hidden):
        raise ValueError(f"hidden must be a list of positive integers, not {list(hidden)}")
    layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    for number, (before, after) in enumerate(pairwise([math.prod(input_shape), *hidden]), start=1):
        layers[f"fc{number}"] = nn.Linear(before, after)
        layers[f"relu{number}"] = nn.ReLU()
    last = hidden[-1] if hidden else math.prod(input_shape)
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(last, num_classes)
    return nn.Sequential(layers)
