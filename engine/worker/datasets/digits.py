"""The 1,797 real 8x8 handwritten digits of the UCI optical digits set, shipped inside (see ``digits_source``)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from engine.core.errors import DdptuiError
from engine.worker.datasets.arrays import Arrays, channel_statistics
from engine.worker.datasets.cache import Create, open_cached

__all__ = ["SOURCE", "load"]

SOURCE = Path(__file__).with_name("digits_source") / "digits.npz"
_SHA256 = "19762e197c6b643a59fcb94a34c3cb5625774e9ab3b5a71bb4c0701e65ed268e"
_VERSION = 1
_NATIVE_SHAPE = (1, 8, 8)
_BRIGHTEST = 16
_TEST_SHARE = 0.2
_SPLIT_SEED = 0


def load(*, preferred_input_shape: tuple[int, ...] | None = None, input_shape: Sequence[int] | None = None) -> Arrays:
    """Load the digits, enlarged (bilinear) and their one channel repeated: 1,438 to train and 359 to test.

    Args:
        preferred_input_shape: what the model likes best; the native 1x8x8 where it has no wish.
        input_shape: ``[C, H, W]`` from ``dataset_args``; comes before the model's wish.

    Raises:
        ValueError: the shape is none of an image.
        DdptuiError: the shipped file is damaged.
    """
    shape = tuple(input_shape or preferred_input_shape or _NATIVE_SHAPE)
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"input_shape must be [C, H, W], three positive integers, not {list(shape)}")
    cached = open_cached("digits", {"version": _VERSION, "shape": shape}, lambda create: _make(create, shape))
    return Arrays(
        train_inputs=cached.arrays["train_inputs"],
        train_targets=cached.arrays["train_targets"],
        test_inputs=cached.arrays["test_inputs"],
        test_targets=cached.arrays["test_targets"],
        num_classes=10,
        mean=tuple(cached.about["mean"]),
        std=tuple(cached.about["std"]),
        messages=cached.messages,
    )


def _make(create: Create, shape: tuple[int, ...]) -> dict[str, Any]:
    images, targets = _read_source()
    enlarged = _enlarge(images, shape)
    is_test = _draw_test(targets)
    for split, chosen in (("train", ~is_test), ("test", is_test)):
        num_samples = int(chosen.sum())
        create(f"{split}_inputs", (num_samples, *shape), np.uint8)[:] = enlarged[chosen]
        create(f"{split}_targets", (num_samples,), np.int64)[:] = targets[chosen]
    mean, std = channel_statistics(enlarged[~is_test])
    return {"mean": mean, "std": std}


def _read_source() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images ``[1797, 8, 8]`` with values 0..16, and targets ``[1797]``."""
    try:
        content = SOURCE.read_bytes()
    except OSError as error:
        raise DdptuiError(f"the shipped digits cannot be read, reinstall ddptui: {error}") from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise DdptuiError(f"the shipped digits are damaged (checksum of {SOURCE} differs), reinstall ddptui")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays["images"], arrays["targets"].astype(np.int64)


def _enlarge(images: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    channels, height, width = shape
    grey = torch.from_numpy(images)[:, None].float() * (255 / _BRIGHTEST)
    if (height, width) != _NATIVE_SHAPE[1:]:
        grey = F.interpolate(grey, size=(height, width), mode="bilinear", align_corners=False)
    return grey.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1).numpy()


def _draw_test(targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the test samples: a fifth of each class, drawn once for all."""
    generator = np.random.default_rng(_SPLIT_SEED)
    is_test = np.zeros(len(targets), bool)
    for digit in range(10):
        samples = generator.permutation(np.flatnonzero(targets == digit))
        is_test[samples[: round(len(samples) * _TEST_SHARE)]] = True
    return is_test
