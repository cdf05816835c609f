"""Names and colours of runs in legends: short, unique, and the same wherever the run is drawn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tui.output import format_number, strip_escapes
from tui.view.palette import PALETTE
from tui.view.run_row import RunRow

__all__ = ["labels_of", "line_color", "without_hash"]

_HASH = re.compile(r"-(?:[0-9a-f]{6}|[0-9a-f]{16})$")
_IN_THE_NAME = {"strategy", "world_size"}

_SHADES = ((0.0, 0), (0.45, 255), (0.4, 0), (0.65, 255), (0.6, 0))
"""How far, and towards which grey, the colour of a point goes for each of its repeats."""


def without_hash(run_id: str) -> str:
    """Return a run's or a point's id without the hash at its end."""
    return _HASH.sub("", run_id) or run_id


def labels_of(rows: Sequence[RunRow]) -> dict[str, str]:
    """Return a label for each run by its tag, unique among ``rows``.

    It is the shortest that tells a run from the others: its id without the hash, that with the settings in which the
    namesakes differ, its whole id, or that with its experiment.
    """
    differing = _differing_axes(rows)
    ladder: tuple[Callable[[RunRow], str], ...] = (
        lambda row: without_hash(row.id),
        lambda row: f"{row.experiment}/{without_hash(row.id)}",
        lambda row: f"{without_hash(row.id)} {_settings(row, differing[without_hash(row.id)])}".rstrip(),
        lambda row: row.id,
        lambda row: row.tag,
    )
    labels: dict[str, str] = {}
    for name in ladder:
        left = [row for row in rows if row.tag not in labels]
        counts = Counter(name(row) for row in left)
        taken = set(labels.values())
        labels |= {row.tag: name(row) for row in left if counts[name(row)] == 1 and name(row) not in taken}
    return {row.tag: strip_escapes(labels.get(row.tag, row.tag)) for row in rows}


def _differing_axes(rows: Sequence[RunRow]) -> dict[str, list[str]]:
    namesakes: dict[str, list[RunRow]] = {}
    for row in rows:
        namesakes.setdefault(without_hash(row.id), []).append(row)
    return {
        name: [
            axis
            for axis in dict.fromkeys(axis for row in group for axis in row.axes)
            if axis not in _IN_THE_NAME and len({repr(row.axes.get(axis)) for row in group}) > 1
        ]
        for name, group in namesakes.items()
    }


def _settings(row: RunRow, axes: Sequence[str]) -> str:
    return " ".join(f"{axis.rpartition('.')[2]}={_shown(row.axes.get(axis))}" for axis in axes)


def _shown(value: object) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def line_color(row: RunRow, colors: Mapping[str, str]) -> str:
    """Return the colour of a run's line: its point's, in a shade that tells the repeat."""
    color = colors.get(row.tag, PALETTE[-1])
    share, grey = _SHADES[(row.repeat or 0) % len(_SHADES)]
    parts = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + (grey - part) * share):02X}" for part in parts)
