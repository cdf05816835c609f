"""Random erasing (Zhong et al., https://arxiv.org/abs/1708.04896) of normalised images, a box a sample at most."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["draw_holes", "erase"]

_ATTEMPTS = 10


def erase(
    images: Tensor,
    generator: torch.Generator,
    *,
    probability: float,
    mode: str,
    scale: Sequence[float],
    ratio: Sequence[float],
) -> Tensor:
    """Fill a random box of some samples, in place, as timm's and torchvision's RandomErasing do.

    Args:
        images: normalised floats ``[B, C, H, W]``.
        generator: on the CPU.
        probability: that a sample loses a box.
        mode: "pixel" for normal noise in every pixel, "constant" for 0, the mean.
        scale: least and most share of the area.
        ratio: least and most height over width, drawn on a logarithmic scale.
    """
    height, width = images.shape[-2:]
    holes = draw_holes(len(images), height, width, generator, scale=scale, ratio=ratio)
    is_erased = (torch.rand(len(images), generator=generator) < probability) & (holes[:, 2] > 0)
    noise = generator
    if images.device.type != "cpu" and mode == "pixel":
        noise = torch.Generator(images.device)
        noise.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    for number in is_erased.nonzero()[:, 0].tolist():
        top, left, tall, wide = holes[number].tolist()
        hole = images[number, :, top : top + tall, left : left + wide]
        hole.normal_(generator=noise) if mode == "pixel" else hole.zero_()
    return images


def draw_holes(
    num: int, height: int, width: int, generator: torch.Generator, *, scale: Sequence[float], ratio: Sequence[float]
) -> Tensor:
    """Return int64 ``[num, 4]`` of top, left, height, width; all 0 where none of ten draws is smaller."""
    draws = torch.rand((2, num, _ATTEMPTS), generator=generator, dtype=torch.float64)
    areas = height * width * (scale[0] + (scale[1] - scale[0]) * draws[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspects = torch.exp(low + (high - low) * draws[1])
    tall, wide = (areas * aspects).sqrt().round().long(), (areas / aspects).sqrt().round().long()
    is_fit = (tall < height) & (wide < width)
    first = is_fit.int().argmax(dim=1, keepdim=True)
    tall, wide = (side.gather(1, first)[:, 0] * is_fit.any(dim=1) for side in (tall, wide))
    places = torch.rand((2, num), generator=generator, dtype=torch.float64)
    top, left = (places[0] * (height - tall + 1)).long(), (places[1] * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], dim=1)
