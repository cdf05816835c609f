"""What the machines did while the runs went on: CPU, memory, network and GPUs against time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from engine.core.fields import number
from engine.report.collect import ExperimentData, RunData
from engine.report.figures import Drawn, looks_of, short_text, subtitle, titled
from engine.report.style import Look, finish, new_figure
from engine.report.system_series import Row, system_rows

__all__ = ["draw_system"]

MAX_POINTS = 2000
"""Of a line; more cannot be told apart."""


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """What it shows: the sum of these columns, in a unit of so many of theirs."""

    y_label: str
    columns: tuple[str, ...]
    unit: float = 1.0


_PANELS = (
    _Panel(y_label="CPU of the node (%)", columns=("cpu_percent",)),
    _Panel(y_label="CPU of its ranks (cores)", columns=("ranks_cpu_percent_of_one_core",), unit=100.0),
    _Panel(y_label="memory used (GiB)", columns=("memory_used_bytes",), unit=2.0**30),
    _Panel(y_label="memory of its ranks (GiB)", columns=("ranks_rss_bytes",), unit=2.0**30),
    _Panel(
        y_label="net, sent + received (MiB/s)", columns=("net_sent_bytes_per_s", "net_received_bytes_per_s"),
        unit=2.0**20,
    ),
    _Panel(y_label="GPUs busy, mean (%)", columns=("gpu_util_percent_mean",)),
    _Panel(y_label="GPU memory used (GiB)", columns=("gpu_memory_used_bytes",), unit=2.0**30),
)  # fmt: skip

Series = Mapping[int, Sequence[Row]]
"""The samples of a run by node."""


def draw_system(data: ExperimentData, folder: Path) -> Drawn:
    """Draw the latest attempt of the first repeat of every point, a line for each node."""
    name, caption = "system_vs_time", "CPU, memory and net against time"
    series = {point.label: _series(runs[0]) for point in data.points if (runs := data.runs_of(point.point))}
    rows = [row for nodes in series.values() for samples in nodes.values() for row in samples]
    panels = [panel for panel in _PANELS if any(_value(row, panel.columns) is not None for row in rows)]
    if not panels:
        return Drawn(name=name, caption=caption, path=None, reason="no run has system samples")
    figure, axes = new_figure(len(panels), width=9.0, height=1.9 * len(panels) + 1.2, rows=True)
    looks = looks_of([point.label for point in data.points])
    for axis, panel in zip(axes, panels, strict=True):
        for label, nodes in series.items():
            _draw_nodes(axis, panel, nodes, label, looks[label])
        axis.set_ylabel(panel.y_label.replace(" (", "\n(", 1), fontsize=9)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("time since the first sample of the run (s)")
    path = folder / f"{name}.png"
    parts = [subtitle(data, with_baseline=False), "first repeat of each point"]
    if any(len(nodes) > 1 for nodes in series.values()):
        parts.append("a line for each node")
    details = "  |  ".join(part for part in parts if part)
    finish(figure, path, title=titled(data, "System"), subtitle=details, legend_from=axes)
    return Drawn(name=name, caption=caption, path=path)


def _series(run: RunData) -> Series:
    rows = list(system_rows(run))
    newest = [row for row in rows if row["attempt"] == rows[-1]["attempt"]]
    origin_s = min((row["elapsed_s"] for row in newest), default=0.0)
    nodes: dict[int, list[Row]] = defaultdict(list)
    for row in newest:
        nodes[row["node_rank"]].append(row | {"elapsed_s": row["elapsed_s"] - origin_s})
    return {node: samples[:: -(-len(samples) // MAX_POINTS)] for node, samples in nodes.items()}


def _draw_nodes(axes: Axes, panel: _Panel, nodes: Series, label: str, look: Look) -> None:
    is_named = False
    for samples in nodes.values():
        known = [(row["elapsed_s"], v / panel.unit) for row in samples if (v := _value(row, panel.columns)) is not None]
        if not known:
            continue
        x, y = zip(*known, strict=True)
        axes.plot(
            x, y, color=look.color, linestyle=look.dashes, marker="." if len(known) < 60 else "", linewidth=1.4,
            label=None if is_named else short_text(label),
        )  # fmt: skip
        is_named = True


def _value(row: Row, columns: Sequence[str]) -> float | None:
    values = [value for column in columns if (value := number(row, column)) is not None]
    return sum(values) if len(values) == len(columns) else None
