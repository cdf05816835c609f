"""Which input shapes a model can take, said before torch says it less clearly."""

from __future__ import annotations

__all__ = ["require_image"]


def require_image(model: str, input_shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """Return ``(C, H, W)``.

    Raises:
        ValueError: it is no image, or its sides are smaller than ``smallest``; the message says what would do.
    """
    if len(input_shape) != 3:
        raise ValueError(f"{model} takes images [C, H, W], not inputs of shape {list(input_shape)}")
    channels, height, width = input_shape
    if min(height, width) < smallest:
        raise ValueError(f"{model} needs images of at least {smallest}x{smallest}, not {height}x{width}")
    return channels, height, width
