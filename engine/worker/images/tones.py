"""Colour operations of Pillow on many uint8 images at once, each with its own strength, to the same grey level.

All but ``saturate`` and ``sharpen`` give each value of a channel another value, so they are a table of 256 values per
channel: tables are small to make, and one look-up applies them all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["TABLES", "apply_tables", "saturate", "sharpen"]

TableMaker = Callable[[Tensor, Tensor], Tensor]
"""``(images [n, C, H, W], strengths [n]) -> float32 tables [n, C, 256]``; cut to 0..255 and down to whole numbers."""


def apply_tables(images: Tensor, tables: Tensor) -> Tensor:
    """Look every value of uint8 ``[n, C, H, W]`` up in its channel's table of ``[n, C, 256]``."""
    flat = tables.clamp(0, 255).to(torch.uint8).flatten(0, 1)
    values = images.reshape(flat.shape[0], -1).long()
    return flat.gather(1, values).view(images.shape)


def _ramp(images: Tensor) -> Tensor:
    """The table that changes nothing, ``[1, 1, 256]``."""
    return torch.arange(256, dtype=torch.float32, device=images.device).view(1, 1, -1)


def _everywhere(tables: Tensor, images: Tensor) -> Tensor:
    return tables.expand(images.shape[0], images.shape[1], 256)


def _histograms(images: Tensor) -> Tensor:
    """How often each value occurs, int64 ``[n, C, 256]``."""
    num_planes = images.shape[0] * images.shape[1]
    plane = torch.arange(num_planes, device=images.device).view(-1, 1) * 256
    values = images.reshape(num_planes, -1) + plane
    return torch.bincount(values.view(-1), minlength=num_planes * 256).view(*images.shape[:2], 256)


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    low, high = (edge.double()[..., None] for edge in torch.aminmax(images.flatten(2).long(), dim=2))
    scale = torch.where(high > low, 255.0 / (high - low), 1.0)
    offset = torch.where(high > low, -low * scale, 0.0)
    return (_ramp(images).double() * scale + offset).floor().float()


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    counts = _histograms(images)
    last = 255 - (counts.flip(-1) > 0).int().argmax(dim=-1, keepdim=True)
    step = (counts.sum(dim=-1, keepdim=True) - counts.gather(2, last.long())) // 255
    before = counts.cumsum(dim=-1) - counts
    spread = (step // 2 + before) // step.clamp(min=1)
    # One value only, or too few pixels to move any: as it is.
    return torch.where(step > 0, spread.float(), _ramp(images))


def _invert(images: Tensor, _: Tensor) -> Tensor:
    return _everywhere(255 - _ramp(images), images)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    ramp = _ramp(images).int()
    mask = ~((1 << (8 - bits.int())) - 1).view(-1, 1, 1)
    return _everywhere((ramp & mask).float(), images)


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    ramp = _ramp(images)
    return _everywhere(torch.where(ramp < threshold.view(-1, 1, 1), ramp, 255 - ramp), images)


def _solarize_add(images: Tensor, addition: Tensor) -> Tensor:
    ramp = _ramp(images)
    return _everywhere(torch.where(ramp < 128, ramp + addition.view(-1, 1, 1), ramp), images)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return _everywhere(_blend(torch.zeros_like(_ramp(images)), _ramp(images), factor), images)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    middle = (_luma(images).double().mean(dim=(1, 2)) + 0.5).floor().float()
    return _everywhere(_blend(middle.view(-1, 1, 1), _ramp(images), factor), images)


TABLES: dict[str, TableMaker] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "brightness": _brightness,
    "contrast": _contrast,
}


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Blend between the grey image (0) and the image (1), and beyond; ``[n, C, H, W]`` by factors ``[n]``."""
    if images.shape[1] != 3:
        return images
    return _blend(_luma(images)[:, None].float(), images.float(), factor[:, None]).clamp_(0, 255).to(torch.uint8)


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Blend between the smoothed image (0) and the image (1), and beyond; the outermost pixels stay as they are."""
    height, width = images.shape[-2:]
    if min(height, width) < 3:
        return images
    whole = images.short()
    rows = whole[..., :-2, :] + whole[..., 1:-1, :] + whole[..., 2:, :]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * whole[..., 1:-1, 1:-1]
    smooth = images.float()
    smooth[..., 1:-1, 1:-1] = ((2 * sums.int() + 13) // 26).float()
    return _blend(smooth, images.float(), factor[:, None]).clamp_(0, 255).to(torch.uint8)


def _blend(dull: Tensor, image: Tensor, factor: Tensor) -> Tensor:
    """``dull + factor * (image - dull)`` as Pillow computes it, in 32 bits; ``factor`` is ``[n, ...]``."""
    return dull + factor.float().view(-1, *[1] * (image.dim() - 1)) * (image - dull)


def _luma(images: Tensor) -> Tensor:
    """The grey image of ``[n, C, H, W]`` as Pillow computes it (ITU-R 601-2), int32 ``[n, H, W]``."""
    if images.shape[1] != 3:
        return images[:, 0].int()
    red, green, blue = images.int().unbind(1)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
