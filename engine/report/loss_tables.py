"""Where the efficiency of each point went, as a table and as columns of ``summary.csv``."""

from __future__ import annotations

from typing import Any

from engine.analysis.losses import CAUSES
from engine.analysis.scaling import PointRow
from engine.report.blocks import Block, Paragraph, Table
from engine.report.collect import ExperimentData
from engine.report.wording import show_percent

__all__ = ["CAUSE_WORDS", "known_causes", "loss_blocks", "loss_columns"]

CAUSE_WORDS = {
    "data": "data loading",
    "computation": "computation",
    "communication": "communication",
    "waiting": "waiting for the slowest rank",
    "bubble": "pipeline bubble",
    "evaluation": "evaluation",
    "snapshots": "snapshots, saved models",
    "rest": "warm-up and other",
}

_NOTE = (
    "Each cause is the part of the point's device time that its baseline did not need for as many samples; together "
    "with the efficiency they sum to 100 %, and a negative one is a gain. Of the total time: the steady step's phases "
    "times the steps, evaluation and snapshots as measured, the rest is warm-up and other. Of the time per sample: the "
    "total time over the samples seen, where the baseline saw another number of them. Of the steady step: where those "
    "are unknown. Communication is what the rank that waits least does not hide behind its "
    "computation; what the others wait longer is waiting for the slowest rank. Computation that shares cores with "
    "other ranks takes longer, and is counted there. n/a: not measured apart."
)


def known_causes(points: list[PointRow]) -> list[str]:
    """The causes that any of the points knows, in their order."""
    return [cause for cause in CAUSES if any(p.lost is not None and p.lost.shares[cause] is not None for p in points)]


def loss_blocks(data: ExperimentData) -> list[Block]:
    """The table of the report: a row per point whose phases and baseline are known."""
    points = [point for point in data.points if point.lost is not None]
    causes = known_causes(points)
    rows = [
        [
            point.label,
            point.lost.basis,
            *(show_percent(point.lost.shares[cause]) for cause in causes),
            show_percent(point.lost.efficiency),
        ]
        for point in points
        if point.lost is not None
    ]
    if not rows:
        return []
    header = ["point", "of the", *(CAUSE_WORDS[cause] for cause in causes), "efficiency left"]
    return [Table(header=header, rows=rows, numeric=frozenset(range(2, len(header)))), Paragraph(text=_NOTE)]


def loss_columns(point: PointRow) -> dict[str, Any]:
    """``lost_of`` and a ratio per cause; None for the unknown."""
    lost = point.lost
    ratios = {f"lost_{cause}_ratio": lost.shares[cause] if lost is not None else None for cause in CAUSES}
    return {"lost_of": lost.basis if lost is not None else None} | ratios
