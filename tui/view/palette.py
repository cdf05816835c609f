"""Colours of runs: stable, and told apart by the colour-blind.

Okabe and Ito's palette (jfly.uni-koeln.de/color) without black, lightened where a dark terminal would swallow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tui.view.run_row import RunRow

__all__ = ["PALETTE", "colors_of"]

PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#F0E442", "#3B8FD0", "#A6A6A6")


def colors_of(rows: Sequence[RunRow]) -> Mapping[str, str]:
    """Give every run a colour by its tag.

    The colour hangs on the place of the run's point among the points of its experiment, in the order of ``rows`` (the
    plan's), so it does not change with marks, filters, sorting or new data, and repeats of a point share it.
    """
    places: dict[str, dict[str, int]] = {}
    colors: dict[str, str] = {}
    for row in rows:
        points = places.setdefault(row.experiment, {})
        place = points.setdefault(row.point or row.id, len(points))
        colors[row.tag] = PALETTE[place % len(PALETTE)]
    return colors
