"""What the ranks of each run saw of the data, as a table and as rows of ``partitions.csv``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.core.coverage import COVERAGE_NOTE, total_coverage
from engine.core.fields import mapping, number, sequence, text, whole
from engine.report.blocks import Block, Paragraph, Table
from engine.report.collect import ExperimentData, RunData
from engine.report.wording import NOT_AVAILABLE, show_percent

__all__ = ["PARTITION_COLUMNS", "coverage_of", "partition_blocks", "partition_name", "partition_rows"]

PARTITION_COLUMNS = ("run", "point", "repeat", "partition", "epoch", "rank_share", "num_samples", "seen_ratio")

_RATIOS = ("seen_ratio", "seen_so_far_ratio", "overlap_ratio", "class_skew_ratio")


def coverage_of(run: RunData) -> list[dict[str, Any]]:
    """The epochs that were put together."""
    return [row for row in sequence(run.summary, "coverage") if isinstance(row, dict)]


def partition_name(run: RunData) -> str:
    """``dirichlet (alpha 0.5)``."""
    config = mapping(run.spec, "config")
    name = text(config, "partition") or "disjoint"
    alpha = number(mapping(config, "partition_args"), "alpha")
    named = f"{name} (alpha {alpha:g})" if name == "dirichlet" and alpha is not None else name
    return f"{named}, not reshuffled" if mapping(config, "partition_args").get("reshuffle") is False else named


def partition_rows(run: RunData) -> Iterator[dict[str, Any]]:
    """A row per epoch and share; the ratios of the epoch stand in each."""
    for epoch in coverage_of(run):
        unique, classes = sequence(epoch, "unique_per_share"), sequence(epoch, "classes_per_share")
        for share, num_loaded in enumerate(sequence(epoch, "per_share")):
            changed = epoch.get("order_changed")
            yield {
                "run": run.run_id,
                "point": text(run.spec, "point"),
                "repeat": whole(run.spec, "repeat"),
                "partition": text(mapping(run.spec, "config"), "partition") or "disjoint",
                "epoch": whole(epoch, "epoch"),
                "rank_share": share,
                "num_samples": whole(epoch, "num_samples"),
                **{name: number(epoch, name) for name in _RATIOS},
                "order_changed": changed if isinstance(changed, bool) else None,
                "counted_every": whole(epoch, "every"),
                "samples": num_loaded,
                "unique_samples": unique[share] if share < len(unique) else None,
                "class_counts": classes[share] if share < len(classes) else None,
            }


def partition_blocks(data: ExperimentData) -> list[Block]:
    """The table of the report: a row per point, the worst epoch of its first run that has any."""
    rows = []
    for point in data.points:
        run = next((run for run in data.runs_of(point.point) if coverage_of(run)), None)
        if run is not None:
            rows.append(_row(point.label, run))
    if not rows:
        return []
    header = ["point", "partition", "samples per rank", "seen in an epoch", "seen in all epochs", "overlap"]
    header += ["class skew", "order"]
    note = COVERAGE_NOTE + _sampled_words(data)
    return [Table(header=header, rows=rows, numeric=frozenset(range(2, 7))), Paragraph(text=note)]


def _row(label: str, run: RunData) -> list[str]:
    total = total_coverage(coverage_of(run))
    sizes = sorted({size for size in total["per_share"] if isinstance(size, int)})
    order = {True: "new each epoch", False: "the same each epoch", None: NOT_AVAILABLE}[total["order_changed"]]
    return [
        label,
        partition_name(run),
        " to ".join(f"{size:,}" for size in (sizes[:1] + sizes[-1:] if len(sizes) > 1 else sizes)) or NOT_AVAILABLE,
        *(show_percent(total[name]) for name in _RATIOS),
        order,
    ]


def _sampled_words(data: ExperimentData) -> str:
    every = max((_every(run) for run in data.runs), default=1)
    return f" Of large sets every {every}th sample was looked up." if every > 1 else ""


def _every(run: RunData) -> int:
    return max((whole(row, "every") or 1 for row in coverage_of(run)), default=1)
