"""Batches of images brought to one size: as a whole in evaluation, each from its own random box in training.

What torchvision's ``Resize``, ``CenterCrop`` and ``RandomResizedCrop`` (``v2``) do with antialiasing: on CPUs
bit for bit, by torch's kernel for bytes; on other devices within a grey level or two, random boxes by matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.core.image_spec import Resize

__all__ = ["center_resize", "draw_boxes", "random_resized_crop", "resample_boxes"]

_ATTEMPTS = 10


def center_resize(images: Tensor, resize: Resize) -> Tensor:
    """Bring the shorter side of uint8 ``[B, C, H, W]`` to ``size / crop_ratio`` and cut the middle ``size`` out."""
    height, width = images.shape[-2:]
    short = math.floor(resize.size / resize.crop_ratio)
    long = int(short * max(height, width) / min(height, width))  # torchvision's rounding
    new_height, new_width = (short, long) if height <= width else (long, short)
    if (new_height, new_width) != (height, width):
        images = _interpolate(images, new_height, new_width, resize.interpolation)
    top, left = round((new_height - resize.size) / 2), round((new_width - resize.size) / 2)
    return images[..., top : top + resize.size, left : left + resize.size]


def random_resized_crop(
    images: Tensor,
    generator: torch.Generator,
    *,
    size: tuple[int, int],
    scale: Sequence[float],
    ratio: Sequence[float],
    interpolation: str,
) -> Tensor:
    """Cut a random box out of each sample and bring it to ``size``.

    Args:
        images: uint8 ``[B, C, H, W]``.
        generator: on the CPU.
        size: height and width of the outcome.
        scale: least and most share of the area.
        ratio: least and most width over height, drawn on a logarithmic scale.
        interpolation: "bilinear" or "bicubic".
    """
    height, width = images.shape[-2:]
    boxes = draw_boxes(len(images), height, width, generator, scale=scale, ratio=ratio)
    return resample_boxes(images, boxes, size, interpolation)


def draw_boxes(
    num: int, height: int, width: int, generator: torch.Generator, *, scale: Sequence[float], ratio: Sequence[float]
) -> Tensor:
    """Return int64 ``[num, 4]`` of top, left, height, width, drawn as torchvision draws them.

    Of ten draws the first that fits is taken; where none does, the largest box in the middle that keeps the ratio.
    """
    areas = height * width * (scale[0] + (scale[1] - scale[0]) * _uniform(num, generator))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspects = torch.exp(low + (high - low) * _uniform(num, generator))
    wide, tall = (areas * aspects).sqrt().round().long(), (areas / aspects).sqrt().round().long()
    is_fit = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = is_fit.int().argmax(dim=1, keepdim=True)
    has_fit = is_fit.any(dim=1)
    in_ratio = width / height
    middle_width = round(height * ratio[1]) if in_ratio > ratio[1] else width
    middle_height = round(width / ratio[0]) if in_ratio < ratio[0] else height
    wide = torch.where(has_fit, wide.gather(1, first)[:, 0], middle_width)
    tall = torch.where(has_fit, tall.gather(1, first)[:, 0], middle_height)
    places = torch.rand((2, num), generator=generator, dtype=torch.float64)
    top = torch.where(has_fit, (places[0] * (height - tall + 1)).long(), (height - tall) // 2)
    left = torch.where(has_fit, (places[1] * (width - wide + 1)).long(), (width - wide) // 2)
    return torch.stack([top, left, tall, wide], dim=1)


def resample_boxes(images: Tensor, boxes: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Bring each sample's own box ``[B, 4]`` to ``size``, antialiased."""
    if images.device.type != "cpu":
        return _multiply(images, boxes, size, interpolation)
    # A call a sample is what is left when the boxes differ; a fifth of a millisecond each, no copy before it.
    outcome = images.new_empty((*images.shape[:2], *size))
    for number, (top, left, tall, wide) in enumerate(boxes.tolist()):
        box = images[number : number + 1, :, top : top + tall, left : left + wide]
        outcome[number] = _interpolate(box, *size, interpolation)[0]
    return outcome


def _uniform(num: int, generator: torch.Generator) -> Tensor:
    return torch.rand((num, _ATTEMPTS), generator=generator, dtype=torch.float64)


def _interpolate(images: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    if images.device.type == "cpu":
        return F.interpolate(images, (height, width), mode=interpolation, antialias=True)
    resized = F.interpolate(images.float(), (height, width), mode=interpolation, antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _multiply(images: Tensor, boxes: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """``resample_boxes`` where a call a sample would leave the device idle: ``rows @ image @ columns`` for all."""
    boxes = boxes.to(images.device)
    rows = _weights(boxes[:, 0], boxes[:, 2], images.shape[2], size[0], interpolation)
    columns = _weights(boxes[:, 1], boxes[:, 3], images.shape[3], size[1], interpolation)
    across = (images.float() @ columns[:, None].mT).round_().clamp_(0, 255)
    return (rows[:, None] @ across).round_().clamp_(0, 255).to(torch.uint8)


def _weights(first: Tensor, length: Tensor, num_in: int, num_out: int, interpolation: str) -> Tensor:
    """Return ``[B, num_out, num_in]``: how much of each input pixel is in each output pixel.

    The antialiasing filters of Pillow: a triangle, or a cubic with a = -0.5, stretched where the image shrinks.
    """
    step = length.double()[:, None, None] / num_out
    stretch = step.clamp(min=1)
    centre = first[:, None, None] + (torch.arange(num_out, device=first.device)[None, :, None] + 0.5) * step
    pixel = torch.arange(num_in, device=first.device)[None, None, :]
    away = ((pixel + 0.5 - centre) / stretch).abs()
    weight = _cubic(away) if interpolation == "bicubic" else (1 - away).clamp(min=0)
    inside = (pixel >= first[:, None, None]) & (pixel < (first + length)[:, None, None])
    weight = weight * inside
    return (weight / weight.sum(dim=2, keepdim=True)).float()


def _cubic(away: Tensor) -> Tensor:
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return torch.where(away < 1, near, torch.where(away < 2, far, 0))
