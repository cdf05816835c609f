"""What runs evaluate beside loss and accuracy: top-k and the user's own metrics."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from engine.core.fields import mapping, number, sequence
from engine.report.blocks import Block, Paragraph, Table
from engine.report.collect import ExperimentData, RunData
from engine.report.wording import NOT_AVAILABLE, show_number, show_percent

__all__ = ["final_metrics", "metric_blocks"]


def final_metrics(run: RunData) -> dict[str, float | None]:
    """Return the last known value of each metric, as ``test_top5``; None where none was ever known."""
    found: dict[str, float | None] = {}
    for epoch in sequence(run.summary, "epochs"):
        metrics = mapping(epoch, "metrics") if isinstance(epoch, dict) else {}
        for name in metrics:
            value = number(metrics, name)
            found[name] = found.get(name) if value is None else value
    return found


def metric_blocks(data: ExperimentData) -> list[Block]:
    """Return a table of the metrics' last values, one row per point; nothing where there are no such metrics."""
    rows_of = {
        point.label: [final_metrics(run) for run in data.runs_of(point.point) if run.state == "succeeded"]
        for point in data.points
    }
    names = list(dict.fromkeys(name for runs in rows_of.values() for run in runs for name in run))
    if not names:
        return []
    rows = [
        [label, *(_show(name, [run.get(name) for run in runs]) for name in names)] for label, runs in rows_of.items()
    ]
    header = ["point", *(name.replace("_", " ", 1) for name in names)]
    return [
        Table(header=header, rows=rows, numeric=frozenset(range(1, len(header)))),
        Paragraph(text="Of the last evaluation; medians over the succeeded repeats."),
    ]


def _show(name: str, values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOT_AVAILABLE
    _, _, metric = name.partition("_")
    is_ratio = metric.startswith("top") and metric[3:].isdigit()
    return show_percent(statistics.median(known)) if is_ratio else show_number(statistics.median(known))
