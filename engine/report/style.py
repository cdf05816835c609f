"""How every figure looks: colours that the colour-blind tell apart, and a marker, line and hatch that read in grey.

matplotlib's object-oriented interface only: no pyplot, no global state, no display.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engine.store import write_whole

__all__ = ["Look", "finish", "look_of", "new_figure", "style_axes"]

# Okabe and Ito's palette (jfly.uni-koeln.de/color), ordered so that neighbours differ in lightness too
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#7F7F7F")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 3)),
    (0, (2, 3)),
)  # fmt: skip
_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++", "oo")
_INK = "#222222"
_GRID = "#D9D9D9"
_DPI = 144

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a name with two $ in it is no formula
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one series looks like."""

    color: str
    marker: str
    dashes: str | tuple[int, tuple[float, ...]]
    hatch: str


def look_of(index: int) -> Look:
    """The look of the ``index``-th series; after eight the colours come again with other markers and lines."""
    turn, place = divmod(index, len(_COLORS))
    other = (place + 3 * turn) % len(_MARKERS)
    return Look(color=_COLORS[place], marker=_MARKERS[other], dashes=_DASHES[other], hatch=_HATCHES[other])


def new_figure(
    num_panels: int = 1, *, width: float = 8.0, height: float = 5.0, rows: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with its panels side by side, or one above the other."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        shape = (num_panels, 1) if rows else (1, num_panels)
        axes = figure.subplots(*shape, squeeze=False, sharex=rows)
    panels = [panel for row in axes for panel in row]
    for panel in panels:
        style_axes(panel)
    return figure, panels


def style_axes(axes: Axes) -> None:
    """A light grid behind the data, no box."""
    axes.grid(visible=True, color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(x=0.06, y=0.08)


def finish(figure: Figure, path: Path, *, title: str, subtitle: str, legend_from: Sequence[Axes] = ()) -> None:
    """Add the titles above and the legend below the panels, where it covers no data, and write the PNG.

    Raises:
        OSError: as the file system raised it.
    """
    with mpl.rc_context(_SETTINGS):
        if legend_from:
            _add_legend(figure, legend_from)
        heading = figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=13, fontweight="bold")  # room for two lines
        figure.draw_without_rendering()
        bottom = heading.get_window_extent().transformed(figure.transFigure.inverted()).y0
        below = figure.text(0.01, bottom, subtitle, ha="left", va="bottom", fontsize=9, color="#555555")
        below.set_in_layout(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": "ddptui"})
    write_whole(path, buffer.getvalue())


def _add_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    entries: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    ordered = sorted(entries, key=lambda label: label.startswith("ideal"))
    longest = max(len(label) for label in entries)
    columns = max(1, min(len(entries), int(figure.get_figwidth() / (0.075 * longest + 0.75))))
    figure.legend(
        handles=[entries[label] for label in ordered], labels=ordered, loc="outside lower center", ncols=columns,
        frameon=False, fontsize=9, handlelength=3.2,
    )  # fmt: skip
