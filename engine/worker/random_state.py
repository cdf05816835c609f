"""The random numbers of a rank: everything that a step may draw from, as plain values that load with weights_only."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

__all__ = ["get_random_state", "pack_numpy_state", "seed_everything", "set_random_state", "unpack_numpy_state"]


def seed_everything(seed: int) -> None:
    """Begin with numbers that depend on ``seed`` alone, whichever generator a user's code draws from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the one that others draw from
    torch.manual_seed(seed)


def get_random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of python's, numpy's, torch's and the device's generators."""
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": pack_numpy_state(np.random.get_state()),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what ``get_random_state`` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(unpack_numpy_state(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def pack_numpy_state(state: Any) -> list[Any]:
    """Return what numpy's ``get_state()`` gave (of its Mersenne Twister) as a tensor and numbers."""
    name, words, position, has_gauss, cached = state
    packed = torch.tensor([int(word) for word in words], dtype=torch.int64)
    return [str(name), packed, int(position), int(has_gauss), float(cached)]


def unpack_numpy_state(packed: list[Any]) -> tuple[Any, ...]:
    """Return what ``set_state()`` takes."""
    name, words, *rest = packed
    return (name, words.numpy().astype("uint32"), *rest)
