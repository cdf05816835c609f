"""What a figure is, and what all of them need: series, labels, the titles' second line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from engine.analysis.scaling import PointRow, devices_word
from engine.analysis.statistics import Estimate
from engine.report.collect import ExperimentData
from engine.report.style import Look, look_of
from engine.report.wording import plain_text

__all__ = ["Drawn", "draw_estimates", "looks_of", "short_text", "subtitle", "the_devices", "titled"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was written, or (``path`` None) why it was not."""

    name: str
    caption: str
    path: Path | None
    reason: str = ""


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name, in order."""
    return {name: look_of(index) for index, name in enumerate(dict.fromkeys(names))}


def subtitle(data: ExperimentData, *, with_baseline: bool = True) -> str:
    """Baseline, repeats, and where the data is not real, that."""
    parts = []
    baselines = list(dict.fromkeys(point.baseline_label for point in data.points if point.baseline))
    if with_baseline and baselines:
        more = f" and {len(baselines) - 1} more" if len(baselines) > 1 else ""
        parts.append(f"baseline: {short_text(baselines[0])}{more}")
    counts = sorted({point.n for point in data.points if point.n})
    if counts:
        parts.append(f"repeats: {counts[0]}" if len(counts) == 1 else f"repeats: {counts[0]} to {counts[-1]}")
        with_interval = any(p.samples_per_s is not None and p.samples_per_s.low is not None for p in data.points)
        parts.append("bars: 95 % interval of the median" if with_interval and with_baseline else "")
    parts += [short_text(note) for note in data.data_notes]
    return "  |  ".join(part for part in parts if part)


def titled(data: ExperimentData, word: str) -> str:
    """The title of a picture: what it is of, and where the data is made up, that."""
    made_up = " (synthetic data)" if data.is_made_up else ""
    return f"{word}: {short_text(data.name)}{made_up}"


def short_text(value: object) -> str:
    """One line that fits into a picture."""
    return plain_text(value, max_length=70).replace("\n", " ")


def the_devices(points: Sequence[PointRow]) -> str:
    """The x label of a scaling figure: what a device is, for each strategy here."""
    words: dict[str, list[str]] = {}
    for point in points:
        words.setdefault(devices_word(point.strategy), []).append(point.strategy)
    named = [f"{', '.join(dict.fromkeys(names))}: {word}" for word, names in words.items()]
    driver = " (driver not counted)" if any(point.strategy == "rpc_pipeline" for point in points) else ""
    return f"devices  [{'; '.join(named)}{driver}]"


def draw_estimates(axes: Axes, x: Sequence[float], values: Sequence[Estimate], look: Look, label: str) -> None:
    """Points joined by a line, with the interval of each; a single one is drawn as a point."""
    lows = [v.value - v.low if v.low is not None else 0.0 for v in values]
    highs = [v.high - v.value if v.high is not None else 0.0 for v in values]
    has_interval = any(low or high for low, high in zip(lows, highs, strict=True))
    axes.errorbar(
        x,
        [v.value for v in values],
        yerr=[[max(low, 0.0) for low in lows], [max(high, 0.0) for high in highs]] if has_interval else None,
        color=look.color, marker=look.marker, markersize=7, markeredgecolor="white", markeredgewidth=0.8,
        linestyle=look.dashes if len(x) > 1 else "none", linewidth=1.8, capsize=3.5, elinewidth=1.3, label=label,
    )  # fmt: skip
