"""Draw charts of growing runs as the painter does, for the memory benchmark."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

from tui.charts.draw import draw
from tui.charts.look import Look
from tui.charts.memory import ChartMemory
from tui.view.chart import ChartSpec, Line

__all__ = ["draw_frames"]


def draw_frames(num_frames: int, *, every: int) -> Iterator[int]:
    """Draw frame after frame of four lines that grow; yield after each ``every`` of them."""
    x = [array("d") for _ in range(4)]
    y = [array("d") for _ in range(4)]
    memory = ChartMemory()
    for frame in range(num_frames):
        for number in range(4):
            if frame < 4000:  # then the data stands still, and only drawing goes on
                x[number].append(float(frame))
                y[number].append(math.exp(-frame / 500) + 0.1 * math.sin(frame / 9 + number))
        lines = tuple(Line(label=f"run {n}", color="#56B4E9", x=x[n], y=y[n], num_points=len(x[n])) for n in range(4))
        spec = ChartSpec(key="loss", title="loss", x_label="step", lines=lines, smoothing=0.9)
        draw(spec, 60, 15, look=Look(), memory=memory)
        if (frame + 1) % every == 0:
            yield frame + 1
