"""What the ranks saw of the data, drawn: a group of bars for each point."""

from __future__ import annotations

from pathlib import Path

from engine.core.coverage import total_coverage
from engine.report.collect import ExperimentData
from engine.report.figures import Drawn, short_text, subtitle, titled
from engine.report.partition_tables import coverage_of, partition_name
from engine.report.style import finish, look_of, new_figure

__all__ = ["draw_partitions"]

_MEASURES = (
    ("seen_ratio", "seen in an epoch"),
    ("seen_so_far_ratio", "seen in all epochs"),
    ("overlap_ratio", "seen by several ranks"),
    ("class_skew_ratio", "class skew"),
)


def draw_partitions(data: ExperimentData, folder: Path) -> Drawn:
    """Coverage, overlap and class skew of each point's first run, its worst epoch."""
    name, caption = "partitions", "What the ranks saw of the training data"
    found = []
    for point in data.points:
        run = next((run for run in data.runs_of(point.point) if coverage_of(run)), None)
        if run is not None:
            own = partition_name(run)
            label = point.label if own in point.label else f"{point.label}: {own}"
            found.append((short_text(label), total_coverage(coverage_of(run))))
    if not found:
        reason = "no run has told which samples its ranks saw in an epoch"
        return Drawn(name=name, caption=caption, path=None, reason=reason)
    figure, (axes,) = new_figure(1, width=9.0, height=1.8 + 0.62 * len(found))
    thickness = 0.8 / len(_MEASURES)
    for number, (key, words) in enumerate(_MEASURES):
        look = look_of(number)
        known = [(place, 100 * total[key]) for place, (_, total) in enumerate(found) if total[key] is not None]
        bars = axes.barh(
            [place + (number - 1.5) * thickness for place, _ in known], [value for _, value in known], thickness,
            color=look.color, hatch=look.hatch, edgecolor="white", linewidth=0.5, label=words,
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
    axes.set_yticks(range(len(found)), [label for label, _ in found])
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("% (seen: of the training samples;\nby several ranks: of those seen)")
    path = folder / f"{name}.png"
    details = subtitle(data, with_baseline=False)
    finish(figure, path, title=titled(data, caption), subtitle=details, legend_from=[axes])
    return Drawn(name=name, caption=caption, path=path)
