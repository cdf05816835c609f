"""How many steps a line covers: about four lines a second, whatever the step rate. Standard library only."""

from __future__ import annotations

import math

__all__ = ["WARM_UP_STEPS", "choose_stride", "line_interval_s"]

WARM_UP_STEPS = 10
"""Steps that get a line each, before their times say how many a window holds."""

MAX_LINES_PER_S = 4.0
"""Lines a second of one rank."""

MAX_LINES_PER_S_ALL = 64.0
"""Lines a second of all ranks together: what a reader of many files should have to bear."""


def line_interval_s(world_size: int) -> float:
    """Return the seconds between two lines of a rank.

    Args:
        world_size: how many ranks write.
    """
    return 1.0 / min(MAX_LINES_PER_S, MAX_LINES_PER_S_ALL / world_size)


def choose_stride(step_s: float, stride: int, world_size: int) -> int:
    """Return the power of two of steps that a window should hold.

    Args:
        step_s: seconds of one step.
        stride: the present stride, kept unless it is wrong by a factor of two or more.
        world_size: how many ranks write.
    """
    wanted = max(1.0, line_interval_s(world_size) / max(step_s, 1e-9))
    if stride / 2 < wanted < stride * 2:
        return stride
    return 1 << round(math.log2(wanted))
