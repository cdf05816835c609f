"""Made-up images or sequences of any shape whose class can be learnt, for where the real data is not at hand.

Each class has a smooth random pattern. A sample is the pattern of its class, plus all patterns in random strengths
(``noise``: classes overlap, so no model reaches 100 %), plus smooth patterns that mean nothing, plus pixel noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.worker.datasets.arrays import Arrays, channel_statistics
from engine.worker.datasets.cache import Create, open_cached

__all__ = ["load"]

_VERSION = 1
_NATIVE_SHAPE = (3, 32, 32)
_NUM_DISTRACTORS = 8
_GRID = 6
"""Values along each side that a smooth pattern is drawn through."""
_CONTRAST = 24.0
"""Grey levels of one unit of pattern."""
_PIXEL_NOISE = 64
"""Grey levels from the darkest to the brightest noise, uniform; a power of two."""
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """All that the content depends on."""

    input_shape: tuple[int, ...]
    num_classes: int
    train_samples: int
    test_samples: int
    noise: float
    seed: int

    def __post_init__(self) -> None:
        for name in ("num_classes", "train_samples", "test_samples"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        if len(self.input_shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in self.input_shape):
            raise ValueError(
                f"input_shape must be [C, H, W] or [T, F], positive integers, not {list(self.input_shape)}"
            )
        if not isinstance(self.noise, int | float) or not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be a number of at least 0, not {self.noise!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be an integer of at least 0, not {self.seed!r}")


def load(
    *,
    preferred_input_shape: tuple[int, ...] | None = None,
    input_shape: Sequence[int] | None = None,
    num_classes: int = 10,
    train_samples: int = 10_000,
    test_samples: int = 2_000,
    noise: float = 0.3,
    seed: int = 0,
) -> Arrays:
    """Load the set, making it the first time.

    Args:
        preferred_input_shape: what the model likes best; used where ``input_shape`` is not given.
        input_shape: ``[C, H, W]`` for uint8 images, ``[T, F]`` for float32 sequences.
        num_classes: classes, in equal shares.
        train_samples: samples to train on.
        test_samples: samples to test on.
        noise: how far the classes overlap; at 0 they do not.
        seed: of the data alone, so that all repeats of a run train on the same data.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    recipe = _Recipe(
        input_shape=tuple(input_shape or preferred_input_shape or _NATIVE_SHAPE),
        num_classes=num_classes,
        train_samples=train_samples,
        test_samples=test_samples,
        noise=noise,
        seed=seed,
    )
    cached = open_cached("synthetic", {"version": _VERSION, **asdict(recipe)}, lambda create: _make(create, recipe))
    return Arrays(
        train_inputs=cached.arrays["train_inputs"],
        train_targets=cached.arrays["train_targets"],
        test_inputs=cached.arrays["test_inputs"],
        test_targets=cached.arrays["test_targets"],
        num_classes=num_classes,
        mean=tuple(cached.about["mean"]),
        std=tuple(cached.about["std"]),
        note="synthetic data",
        messages=cached.messages,
    )


def _make(create: Create, recipe: _Recipe) -> dict[str, Any]:
    streams = np.random.SeedSequence(recipe.seed).spawn(3)
    patterns = _draw_patterns(np.random.default_rng(streams[0]), recipe)
    is_image = len(recipe.input_shape) == 3
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    for split, num_samples, stream in (
        ("train", recipe.train_samples, streams[1]),
        ("test", recipe.test_samples, streams[2]),
    ):
        generator = np.random.default_rng(stream)
        inputs = create(f"{split}_inputs", (num_samples, *recipe.input_shape), np.uint8 if is_image else np.float32)
        targets = create(f"{split}_targets", (num_samples,), np.int64)
        targets[:] = generator.permutation(np.arange(num_samples) % recipe.num_classes)
        _fill(inputs, targets, patterns, recipe, generator)
        if is_image and split == "train":
            mean, std = channel_statistics(inputs)
    return {"mean": mean, "std": std}


def _draw_patterns(generator: np.random.Generator, recipe: _Recipe) -> NDArray[np.float32]:
    """Return ``[num_classes + distractors, C * H * W or T * F]`` smooth patterns with root mean square 1."""
    smooth_from = 1 if len(recipe.input_shape) == 3 else 0
    smooth_to = len(recipe.input_shape) if smooth_from else 1  # images over H and W, sequences over T
    coarse = tuple(
        min(size, _GRID) if smooth_from <= axis < smooth_to else size for axis, size in enumerate(recipe.input_shape)
    )
    patterns = generator.standard_normal((recipe.num_classes + _NUM_DISTRACTORS, *coarse))
    for axis in range(smooth_from, smooth_to):
        patterns = _stretch(patterns, axis + 1, recipe.input_shape[axis])
    flat = patterns.reshape(len(patterns), -1)
    return (flat / np.sqrt((flat**2).mean(axis=1, keepdims=True))).astype(np.float32)


def _stretch(values: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    """Interpolate linearly along one axis to ``size`` values."""
    position = np.linspace(0, values.shape[axis] - 1, size)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, values.shape[axis] - 1)
    weight = (position - below).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    stretched: NDArray[np.float64] = values.take(below, axis) * (1 - weight) + values.take(above, axis) * weight
    return stretched


def _fill(
    inputs: NDArray[Any],
    targets: NDArray[np.int64],
    patterns: NDArray[np.float32],
    recipe: _Recipe,
    generator: np.random.Generator,
) -> None:
    """Draw the samples, a chunk that fits the processor's cache at a time."""
    flat = inputs.reshape(len(inputs), -1)
    chunk = max(1, _CHUNK_VALUES // flat.shape[1])
    for first in range(0, len(inputs), chunk):
        classes = targets[first : first + chunk]
        strengths = generator.standard_normal((len(classes), len(patterns)), dtype=np.float32)
        strengths[:, : recipe.num_classes] *= recipe.noise
        strengths[np.arange(len(classes)), classes] += 1
        values = strengths @ patterns
        if inputs.dtype == np.uint8:
            _to_grey(values, generator, out=flat[first : first + chunk])
        else:
            values += generator.standard_normal(values.shape, dtype=np.float32)
            flat[first : first + chunk] = values


def _to_grey(values: NDArray[np.float32], generator: np.random.Generator, *, out: NDArray[np.uint8]) -> None:
    # Masked random bytes are uniform and come five times as quick as bounded integers.
    noise = np.frombuffer(generator.bytes(values.size), np.uint8).reshape(values.shape) & (_PIXEL_NOISE - 1)
    values *= _CONTRAST
    values += 128 - _PIXEL_NOISE / 2
    values += noise
    np.clip(values, 0, 255, out=values)
    out[:] = values
