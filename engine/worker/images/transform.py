"""All that happens to the images of a batch between the data set and the model, in the order of the experiment file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from engine.core.errors import InputError, Problem
from engine.core.image_spec import Augmentation, Resize
from engine.worker.images.crops import crop, flip
from engine.worker.images.erase import erase
from engine.worker.images.rand_augment import rand_augment
from engine.worker.images.resize import center_resize, random_resized_crop

__all__ = ["Transform"]

_Step = Callable[[Tensor, torch.Generator], Tensor]
_HEAVY = ("random_resized_crop", "rand_augment")


class Transform:
    """Makes what a model takes of rows of the data set.

    Random numbers come from the generator given, on the CPU; heavy work is done on the device.

    Args:
        augmentations: of training images; none in evaluation.
        resize: the size that the model sees, None for that of the data.
        mean, std: per channel, of images scaled to 0..1; empty where inputs are used as they are.
        shape: of a sample as it is stored.
        is_bytes: whether samples are uint8.
        device: where the outcome lies.

    Raises:
        InputError: the data is of a kind that cannot be treated so.
    """

    def __init__(
        self,
        augmentations: Sequence[Augmentation],
        *,
        resize: Resize | None,
        mean: Sequence[float],
        std: Sequence[float],
        shape: Sequence[int],
        is_bytes: bool,
        device: torch.device,
    ) -> None:
        _check(augmentations, resize, shape, is_bytes=is_bytes)
        self._device = device
        self._resize = resize
        self._steps: list[_Step] = []
        self._last_steps: list[_Step] = []
        for item in augmentations:
            step = _make_step(item, resize, mean, shape)
            (self._last_steps if item.name == "random_erasing" else self._steps).append(step)
        self._is_cut_at_random = any(item.name == "random_resized_crop" for item in augmentations)
        self._is_heavy = resize is not None or any(item.name in _HEAVY for item in augmentations)
        self._scale: Tensor | None = None
        if mean:
            # (x / 255 - mean) / std as one multiplication and one addition
            means, stds = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
            self._scale = 1 / (255 * stds)
            self._shift = -means / stds

    def __call__(self, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return floats on the device.

        Args:
            inputs: rows of the data set on the CPU, the caller's to lose.
            generator: on the CPU; the same state gives the same outcome.
        """
        if self._is_heavy:
            inputs = self._move(inputs)
        if self._resize is not None and not self._is_cut_at_random:
            inputs = center_resize(inputs, self._resize).contiguous()
        for step in self._steps:
            inputs = step(inputs, _given(generator))
        inputs = self._normalise(self._move(inputs))
        for step in self._last_steps:
            inputs = step(inputs, _given(generator))
        return inputs

    def _move(self, inputs: Tensor) -> Tensor:
        if self._device.type != "cuda" or inputs.device.type == "cuda":
            return inputs
        # Pinned memory comes from torch's host cache, which keeps a block until the copy from it is done.
        return inputs.pin_memory().to(self._device, non_blocking=True)

    def _normalise(self, inputs: Tensor) -> Tensor:
        if self._scale is None:
            return inputs
        return inputs.to(torch.float32).mul_(self._scale).add_(self._shift)


def _given(generator: torch.Generator | None) -> torch.Generator:
    assert generator is not None, "augmentation needs random numbers"
    return generator


def _make_step(item: Augmentation, resize: Resize | None, mean: Sequence[float], shape: Sequence[int]) -> _Step:
    arguments = item.arguments()
    if "interpolation" in arguments:
        arguments["interpolation"] = item.interpolation or (resize.interpolation if resize else "bilinear")
    if item.name == "random_resized_crop":
        size = (resize.size, resize.size) if resize else (shape[-2], shape[-1])
        return partial(random_resized_crop, size=size, **arguments)
    if item.name == "rand_augment":
        return partial(rand_augment, mean=mean, **arguments)
    plain: dict[str, Callable[..., Tensor]] = {"flip": flip, "crop": crop, "random_erasing": erase}
    return partial(plain[item.name], **arguments)


def _check(
    augmentations: Sequence[Augmentation], resize: Resize | None, shape: Sequence[int], *, is_bytes: bool
) -> None:
    names: list[str] = [item.name for item in augmentations]
    key = "augment" if names else "resize"
    if (names or resize is not None) and len(shape) != 3:
        raise _problem(key, f"only images can be treated so, and samples are of shape {list(shape)}")
    heavy = [name for name in names if name in _HEAVY] or (["resize"] if resize is not None else [])
    if heavy and not is_bytes:
        raise _problem(key, f"{heavy[0]} takes uint8 images, and the data set holds floats")
    if "rand_augment" in names and shape[0] not in (1, 3):
        raise _problem(key, f"rand_augment takes images of 1 or 3 channels, not {shape[0]}")


def _problem(key: str, message: str) -> InputError:
    return InputError([Problem(key=key, message=message)])
