"""RandAugment (Cubuk et al., https://arxiv.org/abs/1909.13719) with the operations and strengths of timm's table.

``rand-m9-mstd0.5-inc1`` there is ``{ name = "rand_augment" }`` here. Each sample draws its own operations, strengths
and signs; what the samples of a batch have in common is only that one call computes an operation for all that drew it.
Colours come out as Pillow's to the grey level, maps within one grey level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.worker.images.tones import TABLES, apply_tables, saturate, sharpen
from engine.worker.images.warp import warp

__all__ = ["OPERATIONS", "matrices_of", "rand_augment", "strengths_of"]

OPERATIONS = (
    "auto_contrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
_MOST = 10.0
"""The magnitude at which every operation is strongest."""
_GREY = 128

_BLENDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"color": saturate, "sharpness": sharpen}


def rand_augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    magnitude: float,
    magnitude_std: float,
    increasing: bool,
    num_ops: int,
    probability: float,
    interpolation: str,
    mean: Sequence[float] = (),
) -> Tensor:
    """Apply operations, in place.

    Args:
        images: uint8 ``[B, C, H, W]``, the caller's to lose.
        generator: on the CPU.
        magnitude: from 0 to 10, the middle of a normal distribution cut to that range.
        magnitude_std: its deviation.
        increasing: whether ``posterize``, ``solarize`` and the four enhancements grow with the magnitude.
        num_ops: drawn for each sample, one after the other, with replacement.
        probability: that an operation that was drawn is applied.
        interpolation: of the maps, "bilinear" or "bicubic".
        mean: per channel, of 0..1; what a map brings in from outside. Grey where it is not known.
    """
    num = len(images)
    grey = [round(255 * value) for value in mean] or [_GREY] * images.shape[1]
    fill = torch.tensor(grey, device=images.device)
    for _ in range(num_ops):
        drawn = torch.randint(len(OPERATIONS), (num,), generator=generator)
        is_applied = torch.rand(num, generator=generator) < probability
        level = torch.randn(num, generator=generator, dtype=torch.float64).mul_(magnitude_std).add_(magnitude)
        level = level.clamp_(0, _MOST) / _MOST
        sign = torch.where(torch.rand(num, generator=generator) < 0.5, -1.0, 1.0).double()
        members = {name: ((drawn == number) & is_applied).nonzero()[:, 0] for number, name in enumerate(OPERATIONS)}
        strengths = {
            name: strengths_of(name, level[chosen], sign[chosen], increasing=increasing)
            for name, chosen in members.items()
            if len(chosen)
        }
        _tone(images, members, strengths)
        _enhance(images, members, strengths)
        _map(images, members, strengths, interpolation, fill)
    return images


def strengths_of(name: str, level: Tensor, sign: Tensor, *, increasing: bool) -> Tensor:
    """Return what an operation is called with.

    Args:
        name: of ``OPERATIONS``.
        level: magnitudes as shares of 10, float64 ``[n]``.
        sign: 1 or -1 ``[n]``, for those that go both ways.
        increasing: whether more is stronger.

    Returns:
        Degrees, bits, thresholds, factors, or shares of a side; float64 ``[n]``.
    """
    if name in ("color", "contrast", "brightness", "sharpness"):
        return (1 + sign * level * 0.9).clamp(min=0.1) if increasing else level * 1.8 + 0.1
    if name == "posterize":
        return 4 - (level * 4).floor() if increasing else (level * 4).floor()
    if name == "solarize":
        return 256 - (level * 256).floor() if increasing else (level * 256).floor()
    if name == "solarize_add":
        return (level * 110).floor()
    most = {"rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.45, "translate_y": 0.45}.get(name, 0.0)
    return sign * level * most


def matrices_of(name: str, strength: Tensor, height: int, width: int) -> Tensor:
    """Return the maps ``[n, 6]`` of a rotation, shear or translation, as ``warp`` takes them."""
    zero, one = torch.zeros_like(strength), torch.ones_like(strength)
    if name == "shear_x":
        return torch.stack([one, strength, zero, zero, one, zero], dim=1)
    if name == "shear_y":
        return torch.stack([one, zero, zero, strength, one, zero], dim=1)
    if name == "translate_x":
        return torch.stack([one, zero, strength * width, zero, one, zero], dim=1)
    if name == "translate_y":
        return torch.stack([one, zero, zero, zero, one, strength * height], dim=1)
    angle = -strength * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    return torch.stack([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y], dim=1)


def _tone(images: Tensor, members: dict[str, Tensor], strengths: dict[str, Tensor]) -> None:
    """Apply all operations that are tables of values, by one look-up."""
    places, tables = [], []
    for name, make in TABLES.items():
        if name in strengths:
            place = members[name].to(images.device)
            places.append(place)
            tables.append(make(images.index_select(0, place), strengths[name].to(images.device)))
    if places:
        chosen = torch.cat(places)
        images.index_copy_(0, chosen, apply_tables(images.index_select(0, chosen), torch.cat(tables)))


def _enhance(images: Tensor, members: dict[str, Tensor], strengths: dict[str, Tensor]) -> None:
    for name, blend in _BLENDS.items():
        if name in strengths:
            chosen = members[name].to(images.device)
            images.index_copy_(0, chosen, blend(images.index_select(0, chosen), strengths[name].to(images.device)))


def _map(
    images: Tensor, members: dict[str, Tensor], strengths: dict[str, Tensor], interpolation: str, fill: Tensor
) -> None:
    height, width = images.shape[-2:]
    for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        if name in strengths:
            chosen = members[name].to(images.device)
            matrices = matrices_of(name, strengths[name], height, width).to(images.device)
            images.index_copy_(0, chosen, warp(images.index_select(0, chosen), matrices, interpolation, fill))
