"""Affine maps of many uint8 images at once, each by its own matrix, as Pillow's ``transform`` and ``rotate`` do.

Pillow's bicubic filter has a = -1 here (torch's ``grid_sample`` has -0.75), so the taps are gathered and weighed one by
one. Along an axis that a map leaves alone, only the tap of the pixel itself weighs anything, and only it is gathered.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["warp"]


def warp(images: Tensor, matrices: Tensor, interpolation: str, fill: Tensor) -> Tensor:
    """Map images.

    Args:
        images: uint8 ``[n, C, H, W]``.
        matrices: float64 ``[n, 6]``: an output pixel at ``(x, y)`` comes from ``(a x + b y + c, d x + e y + f)``, where
            pixel centres are at halves.
        interpolation: "bilinear" or "bicubic".
        fill: ``[C]``, for what comes from outside.
    """
    num, channels, height, width = images.shape
    x, y = _sources(matrices, height, width)
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    taps_y = _Taps(y, height, interpolation, is_still=_is_still(y, height, axis=1))
    taps_x = _Taps(x, width, interpolation, is_still=_is_still(x, width, axis=2))
    planes = images.reshape(num, channels, -1)
    total = torch.zeros((num, channels, height * width), device=images.device)
    for row, row_weight in taps_y:
        line = torch.zeros_like(total)
        for column, column_weight in taps_x:
            place = (row * width + column).view(num, 1, -1).expand(-1, channels, -1)
            line += planes.gather(2, place) * column_weight.view(num, 1, -1)
        total += line * row_weight.view(num, 1, -1)
    mapped = total.clamp_(0, 255).to(torch.uint8).view(images.shape)
    return torch.where(is_inside[:, None], mapped, fill.to(images).view(1, -1, 1, 1))


def _sources(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each output pixel comes from, float64 ``[n, H, W]`` each."""
    x = torch.arange(width, device=matrices.device, dtype=torch.float64).view(1, 1, -1) + 0.5
    y = torch.arange(height, device=matrices.device, dtype=torch.float64).view(1, -1, 1) + 0.5
    a, b, c, d, e, f = (column.view(-1, 1, 1) for column in matrices.unbind(1))
    return a * x + b * y + c, d * x + e * y + f


def _is_still(source: Tensor, size: int, *, axis: int) -> bool:
    """Whether every pixel comes from its own row (axis 1) or column (axis 2)."""
    shape = [1, 1, 1]
    shape[axis] = size
    own = torch.arange(size, device=source.device, dtype=torch.float64).view(shape) + 0.5
    return bool((source == own).all())


class _Taps:
    """The pixels along one axis that make a sample, and their weights: ``[n, H, W]`` each, from first to last."""

    def __init__(self, source: Tensor, size: int, interpolation: str, *, is_still: bool) -> None:
        begin = source - 0.5
        first = begin.floor()
        self._size = size
        self._first = first.long()
        self._away = (begin - first).float()
        self._is_cubic = interpolation == "bicubic"
        self._is_still = is_still

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (index, weight)."""
        for offset, weight in self._weights():
            yield (self._first + offset).clamp(0, self._size - 1), weight

    def _weights(self) -> list[tuple[int, Tensor]]:
        d = self._away
        if self._is_still:
            return [(0, torch.ones_like(d))]
        if not self._is_cubic:
            return [(0, 1 - d), (1, d)]
        d2, d3 = d * d, d * d * d
        return [(-1, -d + 2 * d2 - d3), (0, 1 - 2 * d2 + d3), (1, d + d2 - d3), (2, d3 - d2)]
